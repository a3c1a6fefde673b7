"""Samples with missing values: the net reads a number in their place, the loss leaves them out."""

from __future__ import annotations

from ...kernels.backend import Array, Backend
from ...net.network import Network
from ..objective import Term


class Missing(Term):
    """Keeps the sample with its NaN as the target, which every loss passes over (a masked loss),
    and fills the input in place with the numbers of ``network.fill``."""

    of_samples = True
    target_only = True
    of_the_data = True

    def __init__(self, network: Network, capacity: int) -> None:
        self._fill = network.fill
        self._target = network.backend.empty((capacity, network.n_features), network.dtype)

    def target(self, ops: Backend, x: Array, target: Array) -> Array:
        if target is x:
            target = self._target[: len(x)]
            ops.activation_forward(x, "identity", target)  # a copy
        ops.fill(x, self._fill, x)
        return target
