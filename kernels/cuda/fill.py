"""Launches fill.cu."""

from __future__ import annotations

import numpy as np

from ..grids import MAX_BLOCKS, THREADS, Array, grid_for
from .runner import Runner


class FillKernels:
    """fill on a runner, by ``most`` blocks at most."""

    def __init__(self, runner: Runner, most: int = MAX_BLOCKS) -> None:
        self.runner, self.most = runner, most

    def fill(self, x: Array, values: Array, out: Array) -> None:
        if x.size:
            args = (x, values, out, np.int32(x.shape[1]), np.int64(x.size))
            grid = grid_for(x.size, self.most)
            self.runner.launch("fill.cu", "fill", x.dtype.name, grid, THREADS, args)
