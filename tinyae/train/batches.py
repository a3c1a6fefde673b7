"""Minibatches: the order of an epoch, and the way from the data into the net's input."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from ..data.rows import Rows
from ..kernels.backend import Array, Backend, Gather
from ..kernels.columns import get_backend
from ..kernels.reference.random import random_permutation
from ..net import streams

ORDER_CHUNK = 1 << 16  # positions computed at a time


class Order:
    """The positions 0 .. n - 1 in the order in which one epoch visits them, in a backend's memory.

    A keyed permutation (or no shuffling), computed in pieces: no table of n positions, and an
    epoch can be entered at any step.
    """

    def __init__(self, backend: Backend, n: int, seed: int, epoch: int, shuffle: bool) -> None:
        self.backend = backend
        self.n = n
        state = streams.state(seed, streams.SHUFFLE, epoch)
        self._state = backend.to_device(state) if shuffle else None
        self._piece = backend.empty((0,), "int64")
        self._first = 0

    def positions(self, start: int, stop: int) -> Array:
        """int64 (stop - start,)"""
        if not self._first <= start <= stop <= self._first + self._piece.size:
            size = min(max(ORDER_CHUNK, stop - start), self.n - start)
            self._first, self._piece = start, self.backend.empty((size,), "int64")
            self._write(start, self._piece)
        return self._piece[start - self._first : stop - self._first]

    def write_all(self, out: Array) -> None:
        """out (n,) = the positions of the whole epoch"""
        self._write(0, out)

    def _write(self, start: int, out: Array) -> None:
        if self._state is None:
            self.backend.write(np.arange(start, start + out.size, dtype=np.int64), out)
        else:
            self.backend.random_permutation(self._state, self.n, start, out)


class Feeder:
    """Copies samples of ``rows`` into backend arrays.

    A host backend gathers them where they lie, if it can (``Rows.direct``). On a device
    ``resident`` data are moved there once, as they are (uint8 stays uint8), so that a step needs
    nothing of the host; where they do not fit, or are visited once, each minibatch is gathered
    on the host and copied over.
    """

    def __init__(
        self, backend: Backend, rows: Rows, capacity: int, dtype: str, resident: bool = False
    ) -> None:
        self.backend = backend
        self.rows = rows
        # the samples, where an operation of the backend gathers them
        if backend.host:
            self.data = rows.array if rows.direct else None
        else:
            self.data = _moved(backend, rows) if resident and rows.still else None
        # the backend in whose memory ``fill`` wants the positions
        self.home = get_backend("numpy") if self.data is None else backend
        if self.data is None:
            self._staging = np.empty((capacity, rows.shape[1]), dtype)
        # data and positions are the library's own, the same kind at every step: the operation
        # without its argument check, which takes longer than gathering a small batch
        self._gather = backend.unchecked.gather

    @property
    def resident(self) -> bool:
        """Is ``fill`` nothing but an operation of the backend?"""
        return self.data is not None and not (self.backend.host and self.rows.indices is not None)

    def by(self, gather: Gather) -> Feeder:
        """The same samples, ``resident`` ones, gathered by another operation than the backend's."""
        other = copy(self)
        other._gather = gather
        return other

    def order(self, seed: int, epoch: int, shuffle: bool) -> Order:
        self.rows.begin_epoch(seed, epoch)
        return Order(self.home, len(self.rows), seed, epoch, shuffle)

    def fill(self, positions: Array, out: Array) -> None:
        """out[i] = sample positions[i], scaled."""
        if self.data is None:
            staged = self._staging[: len(positions)]
            self.rows.take(positions, staged)
            self.backend.write(staged, out)
        else:
            if self.backend.host and self.rows.indices is not None:
                positions = self.rows.indices[positions]
            self._gather(self.data, positions, self.rows.scale, out)


def _moved(backend: Backend, rows: Rows) -> Array | None:
    """All samples in the device's memory, unscaled; None where they do not fit."""
    try:
        data = backend.empty(rows.shape, rows.dtype.name)
    except MemoryError:
        return None
    for part, samples in rows.pieces():
        backend.write(samples, data[part])
    return data


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
