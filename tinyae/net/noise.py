"""Noise on the code, which training makes fade (``train.curriculum`` says what it is for)."""

from __future__ import annotations

import numpy as np

from ..kernels.backend import Array, Backend
from . import streams


class CodeNoise:
    """Gaussian noise on the code: another draw at every update, of a width that goes linearly
    from ``first`` to ``last`` over training."""

    def __init__(self, backend: Backend, seed: int, first: float, last: float) -> None:
        self.backend = backend
        self.seed = seed
        self.first, self.last = first, last
        # of the update under way
        self.std = backend.to_device(np.zeros(1))
        self.state = backend.to_device(streams.state(seed, streams.NOISE))

    def prepare(self, update: int, progress: float) -> None:
        """For update number ``update``, with the part ``progress`` of training done."""
        self.backend.write(np.full(1, self.std_at(progress)), self.std)
        self.backend.write(streams.state(self.seed, streams.NOISE, update), self.state)

    def std_at(self, progress: float) -> float:
        return self.first + (self.last - self.first) * progress

    def add(self, z: Array, out: Array) -> None:
        """out (batch, code) = z + noise"""
        self.backend.add_normal(self.state, self.std, z, out)
