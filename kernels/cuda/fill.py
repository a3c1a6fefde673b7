"""Launches fill.cu."""

from __future__ import annotations

import numpy as np

from ..grids import THREADS, Array, grid_for
from .runner import Runner


class FillKernels:
    """fill on a runner, by ``most`` blocks at most, else by as many as the GPU holds."""

    def __init__(self, runner: Runner, most: int | None = None) -> None:
        self.runner, self.most = runner, most

    def fill(self, x: Array, values: Array, out: Array) -> None:
        if x.size:
            args = (x, values, out, np.int32(x.shape[1]), np.int64(x.size))
            launched = ("fill.cu", "fill", x.dtype.name)
            grid = grid_for(x.size, self.most or self.runner.resident(*launched))
            self.runner.launch(*launched, grid, THREADS, args)
