"""Launches update.cu: one launch moves all parameters; clipping takes three."""

from __future__ import annotations

import numpy as np

from ..grids import MAX_BLOCKS, MAX_PARTS, THREADS, Array, Dim, grid_for, ints
from .runner import Runner


class UpdateKernels:
    """update, clip_by_norm and unit_rows on a runner, by ``most`` blocks at most.

    An optimiser's kernel has its name.
    """

    def __init__(self, runner: Runner, most: int = MAX_BLOCKS) -> None:
        self.runner, self.most = runner, most

    def update(
        self, name: str, w: Array, grad: Array, moments: tuple[Array, ...], hyper: Array,
        n_decayed: int, guard: Array,
    ) -> None:  # fmt: skip
        args = (w, grad, *moments, hyper, np.int64(n_decayed), guard, np.int64(w.size))
        self._launch(name, w, grid_for(w.size, self.most), *args)

    def clip_by_norm(self, grad: Array, max_norm: float, norm: Array) -> None:
        n = np.int64(grad.size)
        grid = grid_for(grad.size, min(self.most, MAX_PARTS))
        parts = self.runner.scratch((grid[0],), "float64")
        self._launch("norm_parts", grad, grid, grad, parts, n)
        self._launch("norm_total", grad, (1, 1, 1), parts, np.int32(grid[0]), norm)
        grid = grid_for(grad.size, self.most)
        self._launch("clip_to_norm", grad, grid, grad, np.float64(max_norm), norm, n)

    def unit_rows(self, w: Array) -> None:
        rows, columns = w.shape
        if w.size:
            self._launch("unit_rows", w, (min(rows, self.most), 1, 1), w, *ints(columns, rows))

    def _launch(self, kernel: str, like: Array, grid: Dim, *args: object) -> None:
        self.runner.launch("update.cu", kernel, like.dtype.name, grid, THREADS, args)
