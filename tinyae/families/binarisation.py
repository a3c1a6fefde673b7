"""Grey levels as probabilities: a net that reads black and white, drawn anew at every update."""

from __future__ import annotations

import numpy as np

from ..kernels.backend import Array, Backend
from ..train.draws import Draws
from ..train.objective import Term


class Binarisation(Term):
    """x in [0, 1] becomes 1 with probability x, else 0, in place, and is its own target.

    Another draw at every update (Salakhutdinov and Murray, "On the quantitative analysis of deep
    belief networks", ICML 2008; Burda et al. 2016). With words u of the stream, uniform in [0, 1),
    that is x > u, by operations that every backend has: relu(x - u) is a dense layer of the number
    1 with the weights x and the biases -u, and the backward pass of relu makes it 0 or 1.
    """

    of_samples = True
    target_only = True
    of_the_data = True  # validation judges what training is for

    def __init__(self, backend: Backend, shape: tuple[int, int], dtype: str, draws: Draws) -> None:
        """``shape``: (largest batch, n_features)."""
        self.draws, self._state = draws, draws.state
        self._words, self._above = backend.empty(shape, dtype), backend.empty(shape, dtype)
        self._one = backend.to_device(np.ones((1, 1), dtype))
        self._ones = backend.to_device(np.ones(shape, dtype))

    def target(self, ops: Backend, x: Array, target: Array) -> Array:
        n, size = len(x), x.size
        words, above = self._words[:n], self._above[:n]
        ops.random_uniform(self._state, 0.0, -1.0, words)
        ops.dense_forward(
            self._one, x.reshape((1, size)), words.reshape((size,)), "relu",
            above.reshape((1, size)), None,
        )  # fmt: skip
        ops.activation_backward(self._ones[:n], "relu", above, x)
        return x
