"""Targets that are blurred at first and sharpen during training.

An easy task first and the real one later (Bengio et al., "Curriculum learning", 2009). Blurred
targets tell of large features only, so that the first codes follow those, and neighbouring codes
have similar pictures: sharp targets then refine this order instead of making one of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.backend import Array, Backend
from ...net.network import Network
from ..objective import Term

# A blur below this many pixels is none: a neighbour's weight is exp(-1 / (2 0.3^2)) = 0.004.
LEAST_BLUR = 0.3

BLUR_ENDS = 0.5  # of training

MOST_BLURRED = 4096  # features: a blur is a matrix of their square


class TargetBlur(Term):
    """Targets blurred by a Gaussian of ``sigma`` pixels, less and less until half of training.

    The blur is a matrix, so that the product that every backend has applies it.
    """

    of_samples = True
    target_only = True

    def __init__(self, params: Mapping[str, Any], network: Network, capacity: int) -> None:
        self.backend = backend = network.backend
        self.image_shape, self.sigma = params["image_shape"], params["target_blur"]
        self.now = 0.0  # pixels; 0 where targets are sharp
        n, dtype = network.n_features, network.dtype
        self._matrix = backend.empty((n, n), dtype)
        self._zero = backend.to_device(np.zeros(n, dtype))
        self._blurred = backend.empty((capacity, n), dtype)

    def prepare(self, progress: float) -> None:
        sigma = self.sigma * (1 - progress / BLUR_ENDS)
        if sigma == self.now:
            return
        self.now = sigma if sigma >= LEAST_BLUR else 0.0
        if self.now:
            matrix = blur_matrix(self.image_shape, self.now)
            self.backend.write(matrix.astype(self._zero.dtype), self._matrix)

    def target(self, ops: Backend, x: Array, target: Array) -> Array:
        """``target`` (batch, n_features), blurred while there is blur."""
        if not self.now:
            return target
        blurred = self._blurred[: len(x)]
        ops.dense_forward(target, self._matrix, self._zero, "identity", blurred, None)
        return blurred

    def mode(self) -> bool:
        return self.now > 0


def blur_matrix(image_shape: Sequence[int], sigma: float) -> NDArray[np.float64]:
    """M (n, n) such that x @ M is x blurred, for rows x of flattened pictures.

    A pixel becomes the mean of the picture with weights exp(-d^2 / (2 sigma^2)) in each
    direction, which sum to 1 at the edges too; channels stay apart.
    """
    height, width, channels = (*image_shape, 1)[:3]
    rows, columns = (_blur_1d(n, sigma) for n in (height, width))
    return np.kron(np.kron(rows, columns), np.eye(channels)).T


def _blur_1d(n: int, sigma: float) -> NDArray[np.float64]:
    i = np.arange(n)
    weights = np.exp(-((i[:, None] - i) ** 2) / (2 * sigma**2))
    normalised: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normalised
