"""How ranks share a minibatch and a flat array, and where in a stream a share's noise begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.backend import Array, Backend

GRAIN = 4  # rows: so many of any width begin at a block of the stream


def share(n: int, rank: int, size: int, grain: int = 1) -> tuple[int, int]:
    """(first, last): rank's part of 0 .. n - 1, which begins at a multiple of ``grain``.

    Parts follow on one another in the order of ranks and differ by ``grain`` at most; where there
    are more ranks than grains some are empty.
    """
    grains = -(-n // grain)
    first, last = (min(n, grain * (grains * r // size)) for r in (rank, rank + 1))
    return first, last


class Place:
    """Where in a minibatch the rows of this process are: from ``first`` on, or at ``rows`` of n."""

    first = 0  # a multiple of GRAIN where there is noise
    rows: NDArray[np.int64] | None = None
    n = 0

    def at_home(self, ops: Backend) -> Backend:
        """``ops``, whose random numbers are those of the whole minibatch in these rows.

        Of the operations of a step only: their ``out`` has a row for each sample.
        """
        bare = ops.unchecked

        def add_normal(state: Array, std: Array, x: Array, out: Array) -> None:
            if self.rows is not None:
                self._picked(lambda x, out: bare.add_normal(state, std, x, out), x, out)
                return
            bare.add_normal(self._moved(state, out, 16 // out.itemsize), std, x, out)

        def sample_normal(state: Array | None, x: Array, y: Array) -> None:
            if state is not None and self.rows is not None:
                self._picked(lambda x, out: bare.sample_normal(state, x, out), x, y)
                return
            here = None if state is None else self._moved(state, y, 16 // y.itemsize)
            bare.sample_normal(here, x, y)

        def random_bernoulli(state: Array, probability: float, out: Array) -> None:
            if self.rows is not None:
                self._picked(lambda _, y: bare.random_bernoulli(state, probability, y), out, out)
                return
            bare.random_bernoulli(self._moved(state, out, 4), probability, out)

        def random_uniform(state: Array, low: float, high: float, out: Array) -> None:
            if self.rows is not None:
                self._picked(lambda _, y: bare.random_uniform(state, low, high, y), out, out)
                return
            bare.random_uniform(self._moved(state, out, 16 // out.itemsize), low, high, out)

        return replace(
            ops, add_normal=add_normal, sample_normal=sample_normal,
            random_bernoulli=random_bernoulli, random_uniform=random_uniform,
        )  # fmt: skip

    def _picked(self, op: Callable[[Array, Array], Any], x: Array, out: Array) -> None:
        """``op`` on the whole minibatch, of which the other rows of x are 0."""
        whole = np.zeros((self.n, x.shape[1]), x.dtype)
        found = np.empty((self.n, out.shape[1]), out.dtype)
        whole[self.rows] = x
        op(whole, found)
        out[:] = found[self.rows]

    def _moved(self, state: Array, out: Array, per_block: int) -> Array:
        """``state`` that begins at this process's rows, see ``kernels.reference.random``."""
        return np.append(state, np.uint32(self.first * out.shape[1] // per_block))
