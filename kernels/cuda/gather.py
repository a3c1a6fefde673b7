"""Launches gather.cu."""

from __future__ import annotations

import numpy as np

from ..conventions import DATA
from ..grids import MAX_BLOCKS, THREADS, Array, Dim, blocks, ints
from .runner import Runner


class GatherKernels:
    """gather on a runner, by ``most`` blocks at most, but for rows that are very long.

    A row that does not exist becomes NaN: looking would stall a GPU.
    """

    def __init__(self, runner: Runner, most: int = MAX_BLOCKS) -> None:
        self.runner, self.most = runner, most

    def gather(self, data: Array, indices: Array, scale: float, out: Array) -> None:
        if data.dtype.name not in DATA:
            raise TypeError(
                f"data must have dtype {', '.join(DATA)}, got {data.dtype}: "
                "convert them with .astype(...)"
            )
        if out.size:
            (n, features), batch = data.shape, len(indices)
            args = (
                data, np.int32(DATA.index(data.dtype.name)), np.int64(n), indices,
                out.dtype.type(scale), out, *ints(batch, features),
            )  # fmt: skip
            grid, block = plan(batch, features, self.most)
            self.runner.launch("gather.cu", "gather", out.dtype.name, grid, block, args)


def plan(batch: int, features: int, most: int) -> tuple[Dim, Dim]:
    """The grid and the block: rows along y, and along x their vectors, up to a warp of them."""
    width = features // 4 if features % 4 == 0 else features
    x = min(32, 1 << (width - 1).bit_length())
    y = THREADS[0] // x
    columns = blocks(width, x)
    return (columns, max(1, min(blocks(batch, y), most // columns)), 1), (x, y, 1)
