"""The bound of the likelihood that a variational autoencoder is trained on, with several draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...kernels.backend import Array, Backend
from ...net.layers import Record
from ...net.network import Network
from ...net.sampling import SampleRecord
from .latent import Latent


class Importance(Latent):
    """The importance weighted bound: in place of the loss, scale times

        -log of the mean of exp(L_j) over k draws z_j,
        L = log p(x|z) + beta (log p(z) - log q(z|x)),   z = m + exp(v / 2) g

    (Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, equation 8; scale
    is 1 with bce, 2 with mse). With w the softmax of L over the draws of a sample its gradient is
    -sum of w_j dL_j, g being held fixed. Of L that is

        dL/dz = dlog p(x|z)/dz - beta z,   dL/dv = beta / 2 beside what reaches v through z

    All of it by operations that every backend has. Rows belong to draws (see ``net.sampling``):
    L lies as (k, batch), and sums over features are products with a column of ones.
    """

    of_samples = False  # noise for k rows of a sample does not begin where the sample does

    def __init__(
        self, network: Network, seed: int, capacity: int, beta: float, warmup: float, draws: int
    ) -> None:
        super().__init__(network, seed, capacity, beta, warmup)
        self.setting, self.instead = f"samples={draws}", "samples=1"
        self._k, self._bce = draws, network.architecture.loss == "bce"
        backend, dtype, zeros, rows = network.backend, network.dtype, self._zeros, draws * capacity
        d, width = network.n_features, self._pairs.shape[1]
        code = width // 2

        def full(shape: tuple[int, ...], value: float, kind: str = dtype) -> Array:
            return backend.to_device(np.full(shape, value, kind))

        self._full_of = full
        self._target, self._work = zeros(rows, d), zeros(rows, d)
        self._drawn, self._other = zeros(rows, code), zeros(rows, code)
        self._parts, self._logs, self._spare = zeros(5 * rows), zeros(rows), zeros(rows)
        self._by_sample, self._slopes, self._weights = zeros(rows), zeros(rows), zeros(rows)
        # of L: the sums of softplus, of logit times x, of z^2, of g^2, of v; or that of e^2 first
        self._factors, self._prior = zeros(1, 5), zeros(1, 1)
        self._entropy = zeros(1, width)
        self._halves = backend.to_device(np.repeat([[0.0], [1.0]], code, axis=0).astype(dtype))
        self._less, self._none, self._ones_d = (
            full((rows,), -math.log(draws)),
            zeros(1),
            full((d,), 1),
        )
        self._column_d, self._column_z = full((d, 1), 1), full((code, 1), 1)
        self._row_z, self._each = full((1, code), 1), full((rows,), 1)
        self._mean, self._bounds = full((rows,), 1 / draws), backend.to_device(np.array([0, draws]))
        self._eye, self._column_sums = backend.to_device(np.eye(draws, dtype=dtype)), zeros(draws)
        self._places = zeros(rows, kind="int64")
        # [losses, squared errors] of all draws -> [0, the mean of the latter over draws]
        self._kept = backend.to_device(np.array([[0.0, 1 / draws]]))
        self._first = backend.to_device(np.array([[1.0, 0.0]]))
        self._zero = zeros(1, 2, kind="float64")
        self._sum, self._product = zeros(1, 2, kind="float64"), zeros(1, 2, kind="float64")
        self._sized: dict[int, tuple[Array, ...]] = {}  # by the size of the minibatch
        self._weigh(1.0)

    def _weigh(self, part: float) -> None:
        write, dtype = self._backend.write, self._pairs.dtype
        beta, scale = part * self._full / self._scale, self._scale
        of_x = (-1.0, 1.0) if self._bce else (-0.5, 0.0)
        write(np.array([[*of_x, -beta / 2, beta / 2, beta / 2]], dtype), self._factors)
        write(np.full((1, 1), scale * beta, dtype), self._prior)
        entropy = np.zeros(self._entropy.shape, dtype)
        entropy[:, entropy.size // 2 :] = -scale * beta / 2
        write(entropy, self._entropy)

    def target(self, ops: Backend, x: Array, target: Array) -> Array:
        """Once for each draw."""
        repeated = self._target[: self._k * len(target)]
        row, rows = target.reshape((1, target.size)), repeated.reshape((self._k, target.size))
        ops.gather(row, self._places[: self._k], 1.0, rows)
        return repeated

    def _add(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        record, last, k, n = self._record, records[-1], self._k, len(self._below.y)
        assert isinstance(record, SampleRecord)
        rows, both = k * n, totals.reshape((1, 2))
        _, _, uniform = self._of_size(n)
        self._log_ratios(ops, record, last)
        ops.inner_product(both, self._kept, 0.0, both, self._nothing)
        logs = self._logs[:rows]
        by_sample, slopes = (a[:rows].reshape((n, k)) for a in (self._by_sample, self._slopes))
        ops.dense_backward_weights(  # transposed
            logs.reshape((k, n)), self._eye, by_sample, self._column_sums
        )
        if ops.recorder is not None:
            ops.recorder.join()
        # sum of log sum exp(L - log k) over samples, less the mean of all L: added again below
        ops.gather(self._zero, self._places[:1], 1.0, self._sum)
        ops.softmax_loss(
            by_sample, self._mean[:rows].reshape((n, k)), self._bounds, slopes,
            self._sum.reshape((2,)),
        )  # fmt: skip
        ops.inner_product(self._sum, self._first, -self._scale, self._product, totals)
        row, spare = logs.reshape((1, rows)), self._spare[:rows].reshape((1, rows))
        each = self._each[:rows].reshape((1, rows))
        ops.inner_product(row, each, -self._scale / k, spare, totals)
        # (w - 1 / k) / batch, by draws again
        weights = self._weights[:rows].reshape((k, n))
        ops.dense_backward_input(
            self._eye, slopes, "identity", self._spare[:rows].reshape((k, n)), weights
        )
        weights = weights.reshape((rows, 1))
        # the gradient of the output is that of a mean over all draws: times k w
        scaled, dz = self._work[:rows], last.dz
        ops.dense_forward(weights, self._of_size(n)[1], self._ones_d, "identity", scaled, None)
        ops.inner_product(dz, scaled, 0.0, dz, self._nothing)
        # -dL/dv of q, and that of the prior for m and v: scale beta w z / batch
        ops.gather(self._entropy, self._places[:rows], 1 / rows, record.slopes)
        drawn, other = self._drawn[:rows], self._other[:rows]
        ops.dense_forward(weights, self._row_z, uniform, "identity", drawn, None)
        ops.inner_product(record.y, drawn, 0.0, drawn, self._nothing)
        flat = drawn.reshape((drawn.size, 1)), other.reshape((other.size, 1))
        ops.dense_forward(flat[0], self._prior, self._none, "identity", flat[1], None)
        ops.sample_normal_backward(record.pairs, record.y, other, record.slopes)

    def _log_ratios(self, ops: Backend, record: SampleRecord, last: Record) -> None:
        """_logs = L - log k, from the output and its gradient of the mean loss over all rows."""
        rows = len(last.y)
        work, drawn = self._work[:rows], self._drawn[:rows]
        columns = [self._parts[i * rows : (i + 1) * rows].reshape((rows, 1)) for i in range(5)]

        def sums(x: Array, ones: Array, i: int) -> None:
            ops.dense_forward(x, ones, self._none, "identity", columns[i], None)

        if self._bce:
            ops.activation_forward(last.y, "softplus", work)
            sums(work, self._column_d, 0)
            ops.inner_product(last.y, self._target[:rows], 0.0, work, self._nothing)
            sums(work, self._column_d, 1)
        else:
            ops.inner_product(last.dz, last.dz, 0.0, work, self._nothing)
            sums(work, self._of_size(rows // self._k)[0], 0)
        ops.inner_product(record.y, record.y, 0.0, drawn, self._nothing)
        sums(drawn, self._column_z, 2)
        ops.random_normal(self.draws.state, 0.0, 1.0, drawn)
        ops.inner_product(drawn, drawn, 0.0, drawn, self._nothing)
        sums(drawn, self._column_z, 3)
        sums(record.pairs, self._halves, 4)
        ops.dense_forward(
            self._factors, self._parts[: 5 * rows].reshape((5, rows)), self._less[:rows],
            "identity", self._logs[:rows].reshape((1, rows)), None,
        )  # fmt: skip

    def _of_size(self, n: int) -> tuple[Array, ...]:
        """For a minibatch of n samples: what makes e^2 of (2 e / rows)^2, then k n, 1 / rows."""
        if n not in self._sized:
            rows, (d, _), (_, code) = self._k * n, self._column_d.shape, self._row_z.shape
            full = self._full_of
            self._sized[n] = (
                full((d, 1), rows**2 / 4),
                full((1, d), rows),
                full((code,), 1 / rows),
            )
        return self._sized[n]

    def _add_nats(self, ops: Backend, nats: Array) -> None:
        rows = self._k * len(self._below.y)
        each = self._each[:rows].reshape((1, rows))
        for i, factor in enumerate((1.0, -1.0) if self._bce else (0.5,)):
            part = self._parts[i * rows : (i + 1) * rows].reshape((1, rows))
            ops.inner_product(
                part, each, factor / self._k, self._spare[:rows].reshape((1, rows)), nats
            )
