"""Grey levels as probabilities: a net that reads black and white, drawn anew at every update."""

from __future__ import annotations

import numpy as np

from ...kernels.backend import Array, Backend
from ...train.draws import Draws
from ...train.objective import Term


class Binarisation(Term):
    """x in [0, 1] becomes 1 with probability x, else 0, in place, and is its own target.

    Another draw at every update (Burda et al. 2016). With numbers u of the stream, uniform in
    [0, 1), that is x > u, by operations that every backend has: the gradient of the squared error
    of x and u has the sign of x - u, and the backward pass of relu makes it 0 or 1.
    """

    of_samples = True
    target_only = True
    of_the_data = True  # validation judges what training is for

    def __init__(self, backend: Backend, shape: tuple[int, int], dtype: str, draws: Draws) -> None:
        """``shape``: (largest batch, n_features)."""
        self.draws, self._state = draws, draws.state
        self._uniform, self._above = (backend.empty(shape, dtype) for _ in range(2))
        self._ones, self._totals = (
            backend.to_device(a) for a in (np.ones(shape, dtype), np.zeros(2))
        )

    def target(self, ops: Backend, x: Array, target: Array) -> Array:
        n = len(x)
        uniform, above = self._uniform[:n], self._above[:n]
        ops.random_uniform(self._state, 0.0, 1.0, uniform)
        ops.loss("mse", x, uniform, above, self._totals)
        ops.activation_backward(self._ones[:n], "relu", above, x)
        return x
