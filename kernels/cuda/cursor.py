"""Launches cursor.cu."""

from __future__ import annotations

import numpy as np

from ..grids import THREADS, Array, grid_for
from .runner import Runner


class CursorKernels:
    """begin_step and end_step on a runner."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def begin_step(
        self, cursor: Array, order: Array, batch_size: int, numbers: Array, positions: Array,
        hyper: Array, std: Array, state: Array,
    ) -> None:  # fmt: skip
        args = (cursor, order, np.int64(batch_size), numbers, positions, np.int64(positions.size),
                hyper, std, state)  # fmt: skip
        grid = grid_for(positions.size)
        self.runner.launch("cursor.cu", "begin_step", "float32", grid, THREADS, args)

    def end_step(self, cursor: Array, totals: Array, history: Array) -> None:
        args = (cursor, totals, history)
        self.runner.launch("cursor.cu", "end_step", "float32", (1, 1, 1), (2, 1, 1), args)
