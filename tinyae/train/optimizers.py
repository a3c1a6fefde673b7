"""Optimisers: their moments, and the numbers that each update needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.backend import Array, Backend
from ..kernels.conventions import HYPER, MOMENTS
from ..net.parameters import Parameters


class Optimizer:
    """Updates all parameters from their gradients; formulas: ``kernels/reference/update.py``."""

    def __init__(
        self, parameters: Parameters, name: str, *, momentum: float = 0.9,
        betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:  # fmt: skip
        self.parameters = parameters
        self.name = name
        self.momentum, self.betas, self.eps = momentum, betas, eps
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.updates = 0
        backend = parameters.backend
        zeros = np.zeros(parameters.size, parameters.dtype)
        self.moments: dict[str, Array] = {m: backend.to_device(zeros) for m in MOMENTS[name]}
        self._host = np.zeros(len(HYPER))
        self._device = backend.to_device(self._host)
        self._write = backend.unchecked.write
        self._norm = backend.empty((1,), "float64")

    def apply(self, ops: Backend, hyper: Array, guard: Array) -> None:
        """One step downhill with these numbers, unless guard[0] (the loss) is not finite."""
        p = self.parameters
        if self.clip_norm is not None:
            ops.clip_by_norm(p.gradients, self.clip_norm, self._norm)
        moments = tuple(self.moments.values())
        ops.update(self.name, p.values, p.gradients, moments, hyper, p.n_weights, guard)

    def next_numbers(self, learning_rate: float) -> Array:
        """``conventions.HYPER`` of the next update, which counts from now on as done."""
        self.updates += 1
        self._host[:] = self.numbers(self.updates, learning_rate)
        self._write(self._host, self._device)
        return self._device

    def numbers(self, t: int, learning_rate: float) -> tuple[float, ...]:
        """``conventions.HYPER`` of update t = 1, 2, ..."""
        beta1, beta2 = self.betas
        return (
            learning_rate, self.weight_decay, self.momentum, beta1, beta2, self.eps,
            1 - beta1**t, 1 - beta2**t,
        )  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of the moments, to be saved."""
        return {name: self.parameters.backend.to_host(m) for name, m in self.moments.items()}

    def restore(self, updates: int, moments: dict[str, NDArray[Any]]) -> None:
        for name, moment in self.moments.items():
            self.parameters.backend.write(moments[name], moment)
        self.updates = updates
