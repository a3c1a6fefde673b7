"""Noise on what a net reads in training, while the clean sample stays its target."""

from __future__ import annotations

import numpy as np

from ...kernels.backend import Array, Backend
from ...train.draws import Draws
from ...train.objective import Term

KINDS = ("gaussian", "masking", "salt-pepper")


class Corruption(Term):
    """Corrupts the input in place; the clean sample stays the target. NaN, a missing value, stays.

    With g standard normal and a word w of the stream for each feature, uniform in [0, 1):

        gaussian      x + level g
        masking       0 where w < level, else x
        salt-pepper   salt where w < level / 2, pepper where level / 2 <= w < level, else x

    All of it by operations that every backend has: x (1 - m^2), of a mask m of 0 and 1, is the
    backward pass of tanh; a x + b y + z is a dense layer of the sample (a, b), with the weights
    x and y and the biases z.
    """

    of_samples = True
    target_only = True
    of_the_data = True  # validation judges what training is for

    def __init__(
        self, backend: Backend, shape: tuple[int, int], dtype: str, kind: str, level: float,
        extremes: tuple[float, float], draws: Draws,
    ) -> None:  # fmt: skip
        """``shape`` (largest batch, n_features); ``extremes`` are pepper and salt."""
        self.draws, self.kind, self.level = draws, kind, level
        self._state = draws.state
        pepper, salt = extremes
        self._clean, size = backend.empty(shape, dtype), shape[0] * shape[1]
        self._std = backend.to_device(np.full(1, float(level)))
        self._masks = backend.empty(((kind != "gaussian") * 2 * size,), dtype)
        if kind == "salt-pepper":
            self._rest = backend.empty(shape, dtype)
            self._values = backend.to_device(np.array([[pepper, salt - pepper]], dtype))

    def target(self, ops: Backend, x: Array, target: Array) -> Array:
        n, size = len(x), x.size
        if target is x:
            target = self._clean[:n]
            ops.activation_forward(x, "identity", target)  # a copy
        if self.kind == "gaussian":
            ops.add_normal(self._state, self._std, x, x)
            return target
        masked, salted = (self._masks[i * size : (i + 1) * size].reshape(x.shape) for i in (0, 1))
        ops.random_bernoulli(self._state, self.level, masked)
        if self.kind == "masking":
            ops.activation_backward(x, "tanh", masked, x)
            return target
        ops.random_bernoulli(self._state, self.level / 2, salted)  # of the same words: in masked
        ops.activation_backward(x, "tanh", masked, self._rest[:n])
        ops.dense_forward(  # rest + pepper masked + (salt - pepper) salted
            self._values, self._masks[: 2 * size].reshape((2, size)),
            self._rest[:n].reshape((size,)), "identity", x.reshape((1, size)), None,
        )  # fmt: skip
        return target
