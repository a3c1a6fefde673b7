"""Launches loss.cu: each is a pass over all elements, whose last block adds up the blocks' sums."""

from __future__ import annotations

import numpy as np

from ..conventions import LOSSES, PENALTIES
from ..grids import MAX_PARTS, THREADS, Array, grid_for, ints
from .runner import Runner


class LossKernels:
    """The losses on a runner, by ``most`` blocks at most."""

    def __init__(self, runner: Runner, most: int = MAX_PARTS) -> None:
        self.runner, self.most = runner, most

    def loss(self, name: str, output: Array, target: Array, gradient: Array, totals: Array) -> None:
        dtype, n = output.dtype, output.size
        grid = grid_for(n, self.most)
        parts = self.runner.scratch((2 * grid[0],), "float64")
        scale = dtype.type(1 / max(len(output), 1))
        args = (
            np.int32(LOSSES.index(name)), output, target, scale, gradient, parts,
            self.runner.tickets(1), totals, np.int64(n),
        )  # fmt: skip
        self.runner.launch("loss.cu", "loss_elements", dtype.name, grid, THREADS, args)

    def softmax_loss(
        self, output: Array, target: Array, bounds: Array, gradient: Array, totals: Array
    ) -> None:
        dtype, (batch, columns), groups = output.dtype, output.shape, len(bounds) - 1
        n = batch * groups
        if n <= 0:
            return
        grid = grid_for(n, self.most)
        parts = self.runner.scratch((grid[0],), "float64")
        args = (
            output, target, bounds, *ints(groups, columns), dtype.type(1 / batch), gradient, parts,
            self.runner.tickets(1), totals, np.int64(n),
        )  # fmt: skip
        self.runner.launch("loss.cu", "softmax_groups", dtype.name, grid, THREADS, args)

    def normal_divergence(self, x: Array, weight: Array, gradient: Array, totals: Array) -> None:
        dtype, n, (batch, columns) = x.dtype, x.size // 2, x.shape
        if n:
            grid = grid_for(n, self.most)
            parts = self.runner.scratch((grid[0],), "float64")
            args = (
                x, weight, *ints(columns // 2, batch), gradient, parts, self.runner.tickets(1),
                totals, np.int64(n),
            )  # fmt: skip
            self.runner.launch("loss.cu", "normal_divergence", dtype.name, grid, THREADS, args)

    def activity_penalty(
        self, name: str, y: Array, weight: float, rate: float, gradient: Array, totals: Array
    ) -> None:
        dtype, (batch, columns) = y.dtype, y.shape
        if y.size:
            grid = grid_for(columns, self.most)
            parts = self.runner.scratch((grid[0],), "float64")
            args = (
                np.int32(PENALTIES.index(name)), y, np.float64(weight), dtype.type(rate), gradient,
                parts, self.runner.tickets(1), totals, *ints(columns, batch),
            )  # fmt: skip
            self.runner.launch("loss.cu", "activity_penalty", dtype.name, grid, THREADS, args)

    def inner_product(self, x: Array, y: Array, weight: float, out: Array, totals: Array) -> None:
        if x.size:
            grid = grid_for(x.size, self.most)
            parts = self.runner.scratch((grid[0],), "float64")
            args = (
                x, y, np.float64(weight), out, parts, self.runner.tickets(1), totals,
                np.int64(x.size),
            )  # fmt: skip
            self.runner.launch("loss.cu", "inner_product", x.dtype.name, grid, THREADS, args)
