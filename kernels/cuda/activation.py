"""Launches activation.cu."""

from __future__ import annotations

import numpy as np

from ..conventions import ACTIVATIONS
from ..grids import MAX_BLOCKS, SELECT_THREADS, THREADS, Array, Dim, grid_for, ints
from .runner import Runner


class ActivationKernels:
    """Activations, their derivatives, sums, and top_k, on a runner, by ``most`` blocks at most,
    else by as many as the GPU holds."""

    def __init__(self, runner: Runner, most: int | None = None) -> None:
        self.runner, self.most = runner, most

    def activation_forward(self, x: Array, activation: str, y: Array) -> None:
        self._launch("activation_forward", x, (x, activation_code(activation), y, np.int64(x.size)))

    def activation_backward(self, dy: Array, activation: str, saved: Array, dx: Array) -> None:
        args = (dy, activation_code(activation), saved, dx, np.int64(dy.size))
        self._launch("activation_backward", dy, args)

    def activation_curvature(self, dy: Array, activation: str, saved: Array, dx: Array) -> None:
        args = (dy, activation_code(activation), saved, dx, np.int64(dy.size))
        self._launch("activation_curvature", dy, args)

    def add(self, x: Array, y: Array, out: Array) -> None:
        self._launch("add", x, (x, y, out, np.int64(y.size), np.int64(x.size)))

    def top_k(self, x: Array, k: int, y: Array, dropped: Array) -> None:
        rows, columns = x.shape
        if x.size:
            args = (x, np.int32(min(k, columns)), y, dropped, *ints(columns, rows))
            grid: Dim = (min(rows, self.most or MAX_BLOCKS), 1, 1)
            self.runner.launch("activation.cu", "top_k", x.dtype.name, grid, SELECT_THREADS, args)

    def _launch(self, kernel: str, x: Array, args: tuple[object, ...]) -> None:
        if x.size:
            launched = ("activation.cu", kernel, x.dtype.name)
            grid = grid_for(x.size, self.most or self.runner.resident(*launched))
            self.runner.launch(*launched, grid, THREADS, args)


def activation_code(activation: str) -> np.int32:
    """The ACTIVATION_... number of source.defines."""
    return np.int32(ACTIVATIONS.index(activation))
