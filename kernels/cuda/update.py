"""Launches update.cu: one launch moves all parameters; clipping takes two."""

from __future__ import annotations

import numpy as np

from ..grids import MAX_BLOCKS, MAX_PARTS, THREADS, Array, Dim, grid_for, ints
from .runner import NULL, Runner


class UpdateKernels:
    """update, end_step, clip_by_norm and unit_rows on a runner, by ``most`` blocks at most,
    else by as many as the GPU holds.

    An optimiser's kernel has its name.
    """

    def __init__(self, runner: Runner, most: int | None = None) -> None:
        self.runner, self.most = runner, most

    def update(
        self, name: str, w: Array, grad: Array, moments: tuple[Array, ...], hyper: Array,
        n_decayed: int, guard: Array,
    ) -> None:  # fmt: skip
        self.end_step(NULL, NULL, name, w, grad, moments, hyper, n_decayed, guard)

    def end_step(
        self, cursor: Array, history: Array, name: str, w: Array, grad: Array,
        moments: tuple[Array, ...], hyper: Array, n_decayed: int, guard: Array,
    ) -> None:  # fmt: skip
        n = np.int64(w.size)
        args = (w, grad, *moments, hyper, np.int64(n_decayed), guard, cursor, history, n)
        self._each(name, w, *args)

    def clip_by_norm(self, grad: Array, max_norm: float, norm: Array) -> None:
        n = np.int64(grad.size)
        grid = grid_for(grad.size, min(self.most or MAX_PARTS, MAX_PARTS))
        parts = self.runner.scratch((grid[0],), "float64")
        self._launch("norm_of", grad, grid, grad, parts, self.runner.tickets(1), norm, n)
        self._each("clip_to_norm", grad, grad, np.float64(max_norm), norm, n)

    def unit_rows(self, w: Array) -> None:
        rows, columns = w.shape
        if w.size:
            grid = (min(rows, self.most or MAX_BLOCKS), 1, 1)
            self._launch("unit_rows", w, grid, w, *ints(columns, rows))

    def _each(self, kernel: str, like: Array, *args: object) -> None:
        """A pass over as many elements as ``like`` has."""
        most = self.most or self.runner.resident("update.cu", kernel, like.dtype.name)
        self._launch(kernel, like, grid_for(like.size, most), *args)

    def _launch(self, kernel: str, like: Array, grid: Dim, *args: object) -> None:
        self.runner.launch("update.cu", kernel, like.dtype.name, grid, THREADS, args)
