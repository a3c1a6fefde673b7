"""Optimisers: their moments, and the numbers that each update needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.backend import Array, Backend
from ..kernels.conventions import HYPER, MOMENTS
from ..net.parameters import Parameters


@dataclass(frozen=True)
class Hyper:
    """What stays the same during training; formulas: ``kernels/reference/update.py``."""

    momentum: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    clip_norm: float | None


class Optimizer:
    """One update of all parameters from their gradients."""

    def __init__(self, name: str, parameters: Parameters, hyper: Hyper) -> None:
        self.name = name
        self.parameters = parameters
        self.hyper = hyper
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
        p, max_norm = self.parameters, self.hyper.clip_norm
        if max_norm is not None:
            ops.clip_by_norm(p.gradients, max_norm, self._norm)
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
        h = self.hyper
        beta1, beta2 = h.betas
        return (
            learning_rate, h.weight_decay, h.momentum, beta1, beta2, h.eps,
            1 - beta1**t, 1 - beta2**t,
        )  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of the moments, to be saved."""
        return {name: self.parameters.backend.to_host(m) for name, m in self.moments.items()}

    def restore(self, updates: int, moments: dict[str, NDArray[Any]]) -> None:
        for name, moment in self.moments.items():
            self.parameters.backend.write(moments[name], moment)
        self.updates = updates
