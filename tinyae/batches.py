"""Minibatches: the order of an epoch, and the way from the data into the net's input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import streams
from .kernels.backend import Array, Backend
from .kernels.random_numpy import random_permutation
from .rows import Rows

ORDER_CHUNK = 1 << 16  # positions computed at a time


class Order:
    """The positions 0 .. n - 1 in the order in which one epoch visits them.

    A keyed permutation (or no shuffling), computed in pieces: no table of n positions, and an
    epoch can be entered at any step.
    """

    def __init__(self, n: int, seed: int, epoch: int, shuffle: bool) -> None:
        self.n = n
        self._state = streams.state(seed, streams.SHUFFLE, epoch) if shuffle else None
        self._piece = np.empty(0, np.int64)
        self._first = 0

    def positions(self, start: int, stop: int) -> NDArray[np.int64]:
        if not self._first <= start <= stop <= self._first + self._piece.size:
            size = min(max(ORDER_CHUNK, stop - start), self.n - start)
            self._first, self._piece = start, np.arange(start, start + size, dtype=np.int64)
            if self._state is not None:
                random_permutation(self._state, self.n, start, self._piece)
        return self._piece[start - self._first : stop - self._first]


class Feeder:
    """Copies samples of ``rows`` into backend arrays."""

    def __init__(self, backend: Backend, rows: Rows, capacity: int, dtype: str) -> None:
        self.backend = backend
        self.rows = rows
        n_features = rows.shape[1]
        # where the backend's arrays are not the host's, samples are gathered here first
        self._staging = None if backend.host else np.empty((capacity, n_features), dtype)

    def fill(self, positions: NDArray[np.int64], out: Array) -> None:
        """out[i] = sample positions[i], scaled."""
        if self._staging is None:
            self.rows.take(positions, out)
        else:
            staged = self._staging[: len(positions)]
            self.rows.take(positions, staged)
            self.backend.write(staged, out)


def split(n: int, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of (training, validation) samples, round(fraction * n) of them held out, at random.

    Raises ValueError where one of the two would be empty.
    """
    held_out = round(fraction * n)
    if not 0 < held_out < n:
        raise ValueError(
            f"validation_fraction={fraction} of {n} samples leaves {n - held_out} for training and "
            f"{held_out} for validation: each needs at least 1"
        )
    order = np.empty(n, np.int64)
    random_permutation(streams.state(seed, streams.SPLIT), n, 0, order)
    return order[held_out:], order[:held_out]
