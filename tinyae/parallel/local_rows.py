"""Samples of which each rank of MPI has some: rank 0's come first, then rank 1's, and so on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..data.rows import CHUNK_BYTES, Array, Rows, spread_over
from ..kernels.reference.gather import gather
from .talk import agreed, wait

Positions = NDArray[np.int64]


class LocalRows(Rows):
    """The samples of all ranks of ``comm``; this one keeps ``own`` alone.

    Sample i of the whole is the one that sample i would be if all were in one array, rank after
    rank. A training step takes those of its minibatch that are held here (``held``, ``take``).
    All else is for all ranks together, which call it in the same order: ``stored``, ``pieces``,
    ``chunks``, ``select``, ``mapped`` and turning it into an array. There every rank is sent what
    it lacks, a few megabytes at a time, so that means, ranges and PCA are those of the whole, to
    the last bit. ``places``: of which samples ``own`` are, ascending.
    """

    def __init__(self, comm: Any, own: Rows, places: range | Positions, n: int) -> None:
        super().__init__(own.array, None, own.names)
        self.scale, self.dtype, self.direct = own.scale, own.dtype, False
        self._comm, self._own, self._places, self._n = comm, own, places, n
        # now: a checkpoint, which has it, is one rank's work
        self._spread = self._scaled(spread_over(n), np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        return self._n, self._own.shape[1]

    def __len__(self) -> int:
        return self._n

    def held(self, positions: Positions) -> Positions:
        places = self._places
        if isinstance(places, range):
            return np.flatnonzero((positions >= places.start) & (positions < places.stop))
        if not len(places):
            return np.empty(0, np.int64)
        at = np.minimum(np.searchsorted(places, positions), len(places) - 1)
        return np.flatnonzero(places[at] == positions)

    def take(self, positions: Positions, out: Array) -> None:
        """out[i] = sample positions[i], scaled; IndexError for one that another rank holds."""
        if len(self.held(positions)) < len(positions):
            raise IndexError("these samples are held by another rank of MPI")
        self._own.take(self._at_home(positions), out)

    def _at_home(self, positions: Positions) -> Positions:
        if isinstance(self._places, range):
            return positions - self._places.start
        return np.searchsorted(self._places, positions)

    def select(self, positions: Positions) -> Rows:
        places = self.held(positions)
        own = self._own.select(self._at_home(positions[places]))
        return LocalRows(self._comm, own, places, len(positions))

    def mapped(self, apply: Callable[[Array], Array]) -> Rows:
        return LocalRows(self._comm, self._own.mapped(apply), self._places, self._n)

    def spread(self) -> Array:
        return self._spread

    def stored(self, positions: Positions) -> Array:
        held = self.held(positions)
        own = self._own.stored(self._at_home(positions[held]))
        wait(self._comm.Ibarrier())
        out = np.empty((len(positions), self.shape[1]), self.dtype)
        for at, rows in self._comm.allgather((held, own)):
            out[at] = rows
        return out

    def _parts(self, itemsize: int) -> Iterator[slice]:
        """As one process cuts the whole: the same sums."""
        size = max(1, CHUNK_BYTES // (itemsize * self.shape[1]))
        for start in range(0, self._n, size):
            yield slice(start, min(start + size, self._n))

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        for part in self._parts(self.dtype.itemsize):
            yield part, self.stored(np.arange(part.start, part.stop))

    def chunks(self, dtype: DTypeLike = np.float64) -> Iterator[tuple[slice, Array]]:
        for part in self._parts(8):
            yield part, self._scaled(np.arange(part.start, part.stop), dtype)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if dtype is None:
            dtype = np.float32 if self.dtype == np.float32 else np.float64
        return self._scaled(np.arange(self._n), dtype)

    def _scaled(self, positions: Positions, dtype: DTypeLike) -> Array:
        stored, out = self.stored(positions), np.empty((len(positions), self.shape[1]), dtype)
        gather(stored, np.arange(len(stored)), self.scale, out)
        return out

    def whole(self) -> Rows:
        """All samples, on every rank."""
        return Rows(self.stored(np.arange(self._n)), names=self.names)


def local_rows(comm: Any, own: Rows) -> LocalRows:
    """The samples of all ranks, of which ``own`` are this one's.

    Raises ValueError on all ranks where they do not fit together.
    """
    wait(comm.Ibarrier())
    every = comm.allgather((len(own), facts(own, own.names)))
    agreed(comm, lambda: expect_alike(facts(own, own.names), every[0][1], comm.rank))
    counts = [n for n, _ in every]
    first = sum(counts[: comm.rank])
    return LocalRows(comm, own, range(first, first + len(own)), sum(counts))


def facts(rows: Rows, names: Sequence[str] | None) -> dict[str, Any]:
    """What the rows of all ranks must have in common."""
    kind = "pixels of uint8" if rows.scale != 1 else rows.dtype.name
    columns = None if names is None else (*names,)
    return {"features": rows.shape[1], "type of numbers": kind, "columns": columns,
            "categories": rows.schema is not None}  # fmt: skip


def expect_alike(own: Mapping[str, Any], expected: Mapping[str, Any], rank: int) -> None:
    """Raises ValueError where these ``facts`` of a rank are not those of rank 0."""
    if own["categories"] or expected["categories"]:
        raise ValueError(
            "columns of categories, whose levels are learnt from all rows, cannot be learnt from "
            "rows of which each rank has some (rows='local', {rank}): encode them as numbers first"
        )
    for what, value in own.items():
        if value != expected[what]:
            raise ValueError(
                "the rows of all ranks must have the same columns: "
                f"{what} {value!r} on rank {rank}, {expected[what]!r} on rank 0"
            )
