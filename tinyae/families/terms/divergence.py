"""The bound of the likelihood that a variational autoencoder is trained on, with one draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...kernels.backend import Array, Backend
from ...net.layers import Record
from ...net.network import Network
from .latent import Latent


class Divergence(Latent):
    """weight KL(q(z|x) || N(0, 1)), with -2 KL = sum of 1 + v - m^2 - exp(v) over the units j.

    With ``free_bits`` f > 0 it is weight times the sum of max(f, K_j), K_j being the mean of unit
    j's divergence over the minibatch (Kingma, Salimans et al., "Improved variational inference with
    inverse autoregressive flow", NeurIPS 2016, each unit a group): as long as K_j is
    below f, it has no gradient.
    """

    def __init__(
        self, network: Network, seed: int, capacity: int, beta: float, warmup: float,
        free_bits: float = 0.0,
    ) -> None:  # fmt: skip
        self._free, backend = free_bits, network.backend
        self.of_samples = free_bits == 0
        self.setting, self.instead = f"free_bits={free_bits:g}", "free_bits=0"
        self._weight = backend.to_device(np.zeros(1))
        super().__init__(network, seed, capacity, beta, warmup)
        zeros, n = self._zeros, self._pairs.shape[1] // 2
        self._loss, self._place = zeros(1, 2, kind="float64"), zeros(1, kind="int64")
        self._first = backend.to_device(np.array([[1.0, 0.0]]))
        if free_bits:
            # sums over the minibatch: of m and v, of the gradient of the divergence, of squares
            self._moments = zeros(6 * n)
            self._excess, self._above, self._units = zeros(2 * n), zeros(1, n), zeros(1, n)
            self._limit = backend.to_device(np.full(n, -free_bits, network.dtype))
            self._tiled, self._places = zeros(capacity, 2 * n), zeros(capacity, kind="int64")
            self._coefficients: dict[int, Array] = {}  # by the size of the minibatch
        self._weigh(1.0)

    def _weigh(self, part: float) -> None:
        weight = part * self._full
        self._backend.write(np.full(1, weight), self._weight)
        if self._free:
            shape, dtype = self._units.shape, self._pairs.dtype
            self._backend.write(np.full(shape, weight, dtype), self._units)

    def _add(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        below, both = self._below, totals.reshape((1, 2))
        ops.gather(both, self._place, 1 / self._scale, self._loss)  # as it is without this term
        if not self._free:
            ops.normal_divergence(below.y, self._weight, below.dz, totals)
            return
        self._limited(ops, below.y, totals)
        n, size = len(below.y), self._excess.size
        ops.normal_divergence(below.y, self._weight, below.dz, self._nothing)
        ops.gather(self._excess.reshape((1, size)), self._places[:n], 1.0, self._tiled[:n])
        ops.activation_backward(below.dz, "relu", self._tiled[:n], below.dz)

    def _limited(self, ops: Backend, x: Array, totals: Array) -> None:
        """Adds the value to totals[0]; ``_excess`` = K_j - f, for the means and the variances."""
        batch, width = x.shape
        n, work, moments = width // 2, self._pairs[:batch], self._moments
        ops.normal_divergence(x, self._one, work, self._nothing)
        self._sum_rows(ops, x, moments[:width])
        self._sum_rows(ops, work, moments[width : 2 * width])
        if ops.recorder is not None:
            ops.recorder.join()
        ops.inner_product(x, x, 0.0, work, self._nothing)
        self._sum_rows(ops, work, moments[2 * width :])
        if ops.recorder is not None:
            ops.recorder.join()
        if batch not in self._coefficients:
            half = 0.5 / batch  # K = half times the sum of m^2 - v, and of exp(v) - 1
            row = np.array([[0, -half, 0, 1, half, 0]], x.dtype)
            self._coefficients[batch] = self._backend.to_device(row)
        for start in (0, n):
            ops.dense_forward(
                self._coefficients[batch], moments.reshape((6, n)), self._limit, "identity",
                self._excess[start : start + n].reshape((1, n)), None,
            )  # fmt: skip
        ops.activation_forward(self._excess[:n].reshape((1, n)), "relu", self._above)
        # batch weight (sum of max(0, K - f) + n f)
        ops.inner_product(self._above, self._units, float(batch), self._above, totals)
        ops.inner_product(
            self._limit.reshape((1, n)), self._units, -float(batch), self._above, totals
        )

    def _add_nats(self, ops: Backend, nats: Array) -> None:
        ops.inner_product(self._loss, self._first, 1.0, self._loss, nats)

    def kinks(self, records: Sequence[Record]) -> list[Array]:
        return [self._excess] if self._free else []
