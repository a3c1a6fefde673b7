"""Launches gather.cu."""

from __future__ import annotations

import numpy as np

from ..conventions import DATA
from ..grids import THREADS, Array, Dim, blocks, ints
from .runner import NULL, Runner


class GatherKernels:
    """gather and begin_step on a runner, by ``most`` blocks at most, else by as many as the GPU
    holds; by more where rows are very long.

    A row that does not exist becomes NaN: looking would stall a GPU.
    """

    def __init__(self, runner: Runner, most: int | None = None) -> None:
        self.runner, self.most = runner, most

    def gather(self, data: Array, indices: Array, scale: float, out: Array) -> None:
        if out.size:
            self._launch(data, indices, scale, out, NULL, np.int64(0), NULL, NULL, NULL, NULL)

    def begin_step(
        self, cursor: Array, order: Array, batch_size: int, numbers: Array, hyper: Array,
        std: Array, state: Array, data: Array, first: int, scale: float, out: Array,
    ) -> None:  # fmt: skip
        place = (cursor, np.int64(batch_size), numbers, hyper, std, state)
        self._launch(data, order[first:], scale, out, *place)

    def _launch(
        self, data: Array, indices: Array, scale: float, out: Array, *place: object
    ) -> None:
        if data.dtype.name not in DATA:
            raise TypeError(
                f"data must have dtype {', '.join(DATA)}, got {data.dtype}: "
                "convert them with .astype(...)"
            )
        (n, features), batch = data.shape, len(out)
        args = (
            data, np.int32(DATA.index(data.dtype.name)), np.int64(n), indices,
            out.dtype.type(scale), out, *ints(batch, features), *place,
        )  # fmt: skip
        launched = ("gather.cu", "gather", out.dtype.name)
        most = self.most or self.runner.resident(*launched)
        self.runner.launch(*launched, *plan(batch, features, most), args)


def plan(batch: int, features: int, most: int) -> tuple[Dim, Dim]:
    """The grid and the block: rows along y, and along x their vectors, up to a warp of them."""
    width = features // 4 if features % 4 == 0 else features
    x = min(32, 1 << (width - 1).bit_length())
    y = THREADS[0] // x
    columns = blocks(width, x)
    return (columns, max(1, min(blocks(batch, y), most // columns)), 1), (x, y, 1)
