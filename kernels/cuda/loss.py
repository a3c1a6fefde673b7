"""Launches loss.cu: a pass over all elements, then the sum of its blocks' sums."""

from __future__ import annotations

import numpy as np

from ..conventions import LOSSES
from ..grids import MAX_PARTS, THREADS, Array, grid_for
from .runner import Runner


class LossKernels:
    """loss on a runner, by ``most`` blocks at most."""

    def __init__(self, runner: Runner, most: int = MAX_PARTS) -> None:
        self.runner, self.most = runner, most

    def loss(self, name: str, output: Array, target: Array, gradient: Array, totals: Array) -> None:
        dtype, n = output.dtype, output.size
        grid = grid_for(n, self.most)
        n_parts = grid[0]
        parts = self.runner.scratch((2 * n_parts,), "float64")
        scale = dtype.type(1 / max(len(output), 1))
        args = (np.int32(LOSSES.index(name)), output, target, scale, gradient, parts, np.int64(n))
        self.runner.launch("loss.cu", "loss_elements", dtype.name, grid, THREADS, args)
        total = (parts, np.int32(n_parts), totals)
        self.runner.launch("loss.cu", "loss_totals", dtype.name, (1, 1, 1), THREADS, total)
