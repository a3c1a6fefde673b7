"""Launches update.cu: one launch moves all parameters; clipping takes three."""

from __future__ import annotations

import numpy as np

from ..grids import MAX_BLOCKS, MAX_PARTS, THREADS, Array, Dim, grid_for
from .runner import Runner


class UpdateKernels:
    """The optimisers and clip_by_norm on a runner, by ``most`` blocks at most."""

    def __init__(self, runner: Runner, most: int = MAX_BLOCKS) -> None:
        self.runner, self.most = runner, most

    def sgd(self, w: Array, grad: Array, hyper: Array, n_decayed: int, guard: Array) -> None:
        self._update("sgd", w, (grad, hyper), n_decayed, guard)

    def momentum(
        self, w: Array, grad: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
    ) -> None:
        self._update("momentum", w, (grad, v, hyper), n_decayed, guard)

    def nesterov(
        self, w: Array, grad: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
    ) -> None:
        self._update("nesterov", w, (grad, v, hyper), n_decayed, guard)

    def adam(
        self, w: Array, grad: Array, m: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
    ) -> None:
        self._update("adam", w, (grad, m, v, hyper), n_decayed, guard)

    def adamw(
        self, w: Array, grad: Array, m: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
    ) -> None:
        self._update("adamw", w, (grad, m, v, hyper), n_decayed, guard)

    def clip_by_norm(self, grad: Array, max_norm: float, norm: Array) -> None:
        n = np.int64(grad.size)
        grid = grid_for(grad.size, min(self.most, MAX_PARTS))
        parts = self.runner.scratch((grid[0],), "float64")
        self._launch("norm_parts", grad, grid, grad, parts, n)
        self._launch("norm_total", grad, (1, 1, 1), parts, np.int32(grid[0]), norm)
        grid = grid_for(grad.size, self.most)
        self._launch("clip_to_norm", grad, grid, grad, np.float64(max_norm), norm, n)

    def _update(
        self, kernel: str, w: Array, arrays: tuple[Array, ...], n_decayed: int, guard: Array
    ) -> None:
        args = (w, *arrays, np.int64(n_decayed), guard, np.int64(w.size))
        self._launch(kernel, w, grid_for(w.size, self.most), *args)

    def _launch(self, kernel: str, like: Array, grid: Dim, *args: object) -> None:
        self.runner.launch("update.cu", kernel, like.dtype.name, grid, THREADS, args)
