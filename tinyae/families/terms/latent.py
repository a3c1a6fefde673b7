"""What the terms of a variational autoencoder share: draws, a weight that rises, the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.backend import Array, Backend
from ...net import streams
from ...net.layers import Record
from ...net.network import Network
from ...net.parameters import Parameters
from ...net.sampling import Sample
from ...train.draws import Draws
from ...train.objective import Term

ACTIVE = 0.01  # the least variance of an active unit's mean (Burda et al. 2016)


class Latent(Term):
    """The draws of the codes, and a weight that rises from 0 in the first part ``warmup`` of
    training. Validation data are judged with the full weight, and with the same draws each time.

    The history has of each epoch, over the samples as its steps met them: "reconstruction", the
    mean of -log p(x|z) in nats (with mse less d/2 log(2 pi), for d features; categories are left
    out), "divergence", that of KL(q(z|x) || N(0, 1)), and "active_units", whose means have a
    variance above 0.01.
    """

    of_samples = True
    of_the_data = True

    def __init__(
        self, network: Network, seed: int, capacity: int, beta: float, warmup: float
    ) -> None:
        backend, dtype = network.backend, network.dtype
        self.remedy = f"a smaller beta (it is {beta:g})"
        self.draws: Draws = Draws(backend, seed, streams.LATENT)
        (layer,) = (layer for layer in network.layers if isinstance(layer, Sample))
        layer.state = self.draws.state
        self._backend, self._warmup = backend, warmup
        self._scale = 2 if network.architecture.loss == "mse" else 1  # of a nat in the loss
        self._full = beta * self._scale
        width = network.architecture.dense[network.architecture.code - 2].n_out  # m and v

        def zeros(*shape: int, kind: str = dtype) -> Array:
            return backend.to_device(np.zeros(shape, kind))

        self._zeros = zeros
        self._rows, self._unused = zeros(capacity, 1), zeros(1, width)
        self._ones = backend.to_device(np.ones((capacity, 1), dtype))
        self._pairs, self._count = zeros(capacity, width), zeros(capacity, 1)
        self._nothing = zeros(2, kind="float64")
        self._one = backend.to_device(np.ones(1))
        # of an epoch: sums of -log p(x|z) and of divergences and the number of samples, each in the
        # first of two numbers, and of each unit of the layer below, also squared
        self._sums = {name: zeros(2, kind="float64") for name in ("nats", "kl", "samples")}
        self._sums |= {name: zeros(width) for name in ("units", "squares")}

    def _weigh(self, part: float) -> None:
        """The weight is ``part`` of the full one; for subclasses to write it down."""
        raise NotImplementedError

    def prepare(self, progress: float) -> None:
        self._weigh(min(1.0, progress / self._warmup) if self._warmup else 1.0)

    def judge(self) -> None:
        self._weigh(1.0)
        super().judge()

    def state(self) -> Mapping[str, Array]:
        return self._sums

    def metrics(self) -> dict[str, float]:
        sums = {name: self._backend.to_host(array) for name, array in self._sums.items()}
        for name, array in self._sums.items():
            self._backend.write(np.zeros_like(sums[name]), array)
        n = max(float(sums["samples"][0]), 1.0)
        means, squares = (self._of_means(sums[name]) / n for name in ("units", "squares"))
        return {
            "reconstruction": float(sums["nats"][0]) / n,
            "divergence": float(sums["kl"][0]) / n,
            "active_units": float((squares - means**2 > ACTIVE).sum()),
        }

    @staticmethod
    def _of_means(units: NDArray[Any]) -> NDArray[np.float64]:
        return units[: len(units) // 2].astype(np.float64)

    def value(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        i = next(i for i, record in enumerate(records) if isinstance(record.layer, Sample))
        self._below, self._record, self._totals = records[i - 1], records[i], totals
        self._add(ops, records, totals)

    def _add(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        """``value``, with the records of the codes and of the layer below them at hand."""
        raise NotImplementedError

    def _sum_rows(self, ops: Backend, x: Array, to: Array, add: bool = False) -> None:
        """to (n,) = the sum of the rows of x (batch, n), which is the gradient of biases."""
        rows = self._rows[: len(x)]
        ops.dense_backward_weights(rows, x, self._unused, to, add=add)

    def gradient(self, ops: Backend, parameters: Parameters) -> None:
        """Adds to the sums of the epoch; the gradient is in dz already."""
        x = self._below.y
        n, sums, squares = len(x), self._sums, self._pairs[: len(x)]
        ones = self._ones[:n]
        ops.inner_product(ones, ones, 1.0, self._count[:n], sums["samples"])
        ops.normal_divergence(x, self._one, squares, sums["kl"])
        ops.inner_product(x, x, 0.0, squares, self._nothing)
        for name, what in (("units", x), ("squares", squares)):
            self._sum_rows(ops, what, sums[name], add=True)
        if ops.recorder is not None:
            ops.recorder.join()
        self._add_nats(ops, sums["nats"])

    def _add_nats(self, ops: Backend, nats: Array) -> None:
        """Adds the batch's sum of -log p(x|z) to nats[0]."""
        raise NotImplementedError
