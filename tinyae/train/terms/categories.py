"""The loss of categories: softmax cross-entropy of each group of one-hot columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...kernels.backend import Array, Backend
from ...net.layers import Record
from ...net.network import Network
from ..objective import Term


class Categories(Term):
    """Cross-entropy in place of the loss, in the columns of ``architecture.groups``.

    They are missing from the target that the loss sees, and so have no gradient of it. Of logits z
    and the level k the loss is log(sum of exp z) - z_k, and its gradient softmax(z) - one-hot(k)
    (Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990).
    """

    of_samples = True
    of_the_data = True

    def __init__(self, network: Network, capacity: int) -> None:
        backend, n, dtype = network.backend, network.n_features, network.dtype
        groups = network.architecture.groups
        self._bounds = backend.to_device(np.array([*(a for a, _ in groups), n], np.int64))
        hidden = np.zeros((capacity, n), dtype)
        hidden[:, groups[0][0] :] = np.nan
        self._hidden = backend.to_device(hidden)
        self._numbers = backend.empty((capacity, n), dtype)

    def target(self, ops: Backend, x: Array, target: Array) -> Array:
        self._levels, hidden, numbers = target, self._hidden[: len(x)], self._numbers[: len(x)]
        ops.activation_backward(target, "tanh", hidden, numbers)  # t (1 - hidden^2): t, or NaN
        return numbers

    def value(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        last = records[-1]
        ops.softmax_loss(last.y, self._levels, self._bounds, last.dz, totals)
