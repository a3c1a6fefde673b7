"""Launches activation.cu."""

from __future__ import annotations

import numpy as np

from ..conventions import ACTIVATIONS
from ..grids import MAX_BLOCKS, THREADS, Array, grid_for
from .runner import Runner


class ActivationKernels:
    """Activations and their derivatives on a runner, by ``most`` blocks at most."""

    def __init__(self, runner: Runner, most: int = MAX_BLOCKS) -> None:
        self.runner, self.most = runner, most

    def activation_forward(self, x: Array, activation: str, y: Array) -> None:
        self._launch("activation_forward", x, (x, activation_code(activation), y, np.int64(x.size)))

    def activation_backward(self, dy: Array, activation: str, saved: Array, dx: Array) -> None:
        args = (dy, activation_code(activation), saved, dx, np.int64(dy.size))
        self._launch("activation_backward", dy, args)

    def activation_curvature(self, dy: Array, activation: str, saved: Array, dx: Array) -> None:
        args = (dy, activation_code(activation), saved, dx, np.int64(dy.size))
        self._launch("activation_curvature", dy, args)

    def _launch(self, kernel: str, x: Array, args: tuple[object, ...]) -> None:
        if x.size:
            grid = grid_for(x.size, self.most)
            self.runner.launch("activation.cu", kernel, x.dtype.name, grid, THREADS, args)


def activation_code(activation: str) -> np.int32:
    """The ACTIVATION_... number of source.defines."""
    return np.int32(ACTIVATIONS.index(activation))
