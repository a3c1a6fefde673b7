"""How wide the noise on the code is in the course of training.

Pictures whose codes noise confuses had better be alike, so that neighbouring codes come to stand
for similar samples, and codes spread evenly over the range that they have (bounded by tanh, say).
The noise itself is a layer: ``net.layers.Noise``.
"""

from __future__ import annotations

import numpy as np

from ..net import streams
from ..net.layers import Noise
from ..net.network import Network


class CodeNoise:
    """Another draw at every update, of a standard deviation that goes linearly from ``first`` to
    ``last`` over training."""

    def __init__(self, network: Network, seed: int, first: float, last: float) -> None:
        (layer,) = (layer for layer in network.layers if isinstance(layer, Noise))
        self.std, self.state = layer.std, layer.state
        self.seed = seed
        self.first, self.last = first, last
        self._write = network.backend.write
        self.prepare(0, 0.0)

    def prepare(self, update: int, progress: float) -> None:
        """For update number ``update``, with the part ``progress`` of training done."""
        self._write(np.full(1, self.std_at(progress)), self.std)
        self._write(streams.state(self.seed, streams.NOISE, update), self.state)

    def std_at(self, progress: float) -> float:
        return self.first + (self.last - self.first) * progress
