"""The squared Frobenius norm of an encoder's Jacobian, as a term of the loss.

For one sample let D_i be the derivatives of layer i's activation, on a diagonal, and v a row of as
many numbers as the code has. Then v dz/dx comes about from the code down to the data:

    g_L = v D_L,    u_i = g_{i+1} W_{i+1}^T,    g_i = u_i D_i,    v dz/dx = g_1 W_1^T

and its squared norm is g_1 K g_1^T with K = W_1^T W_1, made once for a batch. Over all rows v of
the identity these add up to ||dz/dx||^2; over random rows of 1 and -1 they are ||dz/dx||^2 in the
mean (Hutchinson 1990). With Q the sum of g_1^T g_1 over rows and samples, P = sum of K * Q, and

    dP/dW_1 = 2 W_1 Q,                   dP/dg_1 = 2 g_1 K,    e_i = dP/dg_i D_i,
    dP/dW_{i+1} = sum of e_i^T g_{i+1},  dP/dg_{i+1} = e_i W_{i+1},
    dP/dz_i = sum over rows of dP/dg_i * u_i * act''(z_i),    where u_L = v.

One row of ones is enough where the code is linear above one hidden layer, or is that layer itself:
P = sum of K * Q * M, with M = W_2 W_2^T, or the identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import checks
from ...arguments import Argument, Kind
from ...kernels.backend import Array, Backend
from ...kernels.conventions import ACTIVATION_FACTS
from ...net import streams
from ...net.layers import Dense, Layer, Record
from ...net.network import Network
from ...net.parameters import Parameters
from ...train.draws import Draws
from ...train.objective import Term

OWN = {argument.name: argument for argument in (
    Argument("contraction", Kind(lambda name, value: checks.number(name, value, least=0), float,
             "X"), 0.1, "weight of the squared Frobenius norm of the code's derivative by the "
             "sample"),
    Argument("estimate", Kind(lambda name, value: checks.integer(name, value, 0), int, "N"), 0,
             "estimate that norm by so many random directions of the code in place of all of them: "
             "faster for wide codes of deep encoders if much fewer than its units; 0: exactly"),
)}  # fmt: skip

ROWS = 4096  # of all samples together, that are taken through the encoder at a time
MOST = 8  # sizes of batches whose places are kept


class Contraction(Term):
    """Adds weight ||dz/dx||^2, the mean over the samples; ``estimate`` random rows, 0: exactly.

    Rows are scaled by sqrt(2 weight / n), so that all that follows is the gradient of the mean.
    """

    of_the_data = True

    def __init__(
        self, network: Network, seed: int, capacity: int, weight: float, estimate: int
    ) -> None:
        ops, dtype, size = network.backend, network.dtype, network.architecture.code
        self.layers = [layer for layer in network.layers[:size] if isinstance(layer, Dense)]
        self._last = last = len(self.layers) - 1
        self._bent = [not ACTIVATION_FACTS[a.activation].straight for a in self.layers]
        widths = [layer.b.size for layer in self.layers]
        linear = self.layers[-1].activation == "identity"
        self.of_samples = not estimate  # random rows are not addressed by sample
        self.setting, self.instead = f"estimate={estimate}", "estimate=0"
        self.remedy = f"a smaller contraction (it is {weight:g})"
        self._one = not estimate and (last == 0 or (last == 1 and linear))
        self.draws = Draws(ops, seed, streams.PROBES) if estimate else None
        self._rows = rows = 1 if self._one else estimate or widths[-1]
        self._weight = 2 * weight / (estimate or 1)
        self._at_once = rows if estimate else min(rows, max(1, ROWS // capacity))
        most, h = self._at_once * capacity, widths[0]
        n_in = network.n_features
        # where there are fewer rows than units, K would cost more than it saves
        self._gram = bool(self._one or rows * capacity > h)

        def empty(*shape: int) -> Array:
            return ops.empty(shape, dtype)

        tops = [h] if self._one else widths
        self._u, self._g, self._up, self._saved = (
            [empty(most, width) for width in tops] for _ in range(4)
        )
        self._below = empty(0 if self._gram else most, n_in)
        self._k, self._q, self._kq, self._km, self._qm, self._m = (empty(h, h) for _ in range(6))
        if last == 0:
            ops.write(np.eye(h, dtype=dtype), self._m)
        self._dw = [empty(*layer.w.shape) for layer in self.layers]
        self._dz = [empty(capacity, width) for width in widths]
        self._none, self._unread = empty(0), empty(max(widths))
        self._zeros = ops.to_device(np.zeros(max(widths), dtype))
        self._spare, self._ops = ops.to_device(np.zeros(2)), ops
        table = np.ones((1, h)) if self._one else np.eye(widths[-1])
        self._table = ops.to_device(table.astype(dtype))
        self._mask = empty(most if estimate else 0, widths[-1])
        self._places: dict[int, tuple[Array, ...]] = {}

    def value(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        """Also the gradient, which ``visit`` and ``gradient`` add to what is there."""
        self._ops, n, w = ops, len(records[0].y), self.layers[0].w
        if self._gram:
            self._product(ops, w, w, self._k)
        if self._one:
            self._of_one_row(ops, records, n, totals)
            return
        for start in range(0, self._rows, self._at_once):
            self._of_rows(ops, records, n, start, totals)
        if self._gram:
            ops.inner_product(self._k, self._q, n / 2, self._kq, totals)
            self._forward(ops, w, self._q, self._dw[0])

    def _of_one_row(self, ops: Backend, records: Sequence[Record], n: int, totals: Array) -> None:
        first, u, g = records[0], self._u[0][:n], self._g[0][:n]
        places = self._placed(ops, n)[0]
        ops.gather(self._table, places, math.sqrt(self._weight / n), u)
        ops.activation_backward(u, first.activation, first.saved, g)
        self._product(ops, g, g, self._q)
        k, q, m = self._k, self._q, self._m
        if self._last:
            above = self.layers[1].w
            ops.dense_backward_input(above, above, "identity", m, m)
        ops.inner_product(k, q, 0.0, self._kq, self._spare)
        ops.inner_product(q, m, 0.0, self._qm, self._spare)
        ops.inner_product(k, self._qm, n / 2, self._km, totals)
        self._forward(ops, self.layers[0].w, self._qm, self._dw[0])
        if self._last:
            self._forward(ops, self._kq, above, self._dw[1])
        if self._bent[0]:
            ops.inner_product(k, m, 0.0, self._km, self._spare)
            self._forward(ops, g, self._km, self._up[0][:n])
            self._bend(ops, 0, n, 1, first.activation, first.saved, u, False)

    def _of_rows(
        self, ops: Backend, records: Sequence[Record], n: int, start: int, totals: Array
    ) -> None:
        m, last = min(self._at_once, self._rows - start), self._last
        size, add = m * n, start > 0
        us, gs, ups, saved = (
            [a[:size] for a in each] for each in (self._u, self._g, self._up, self._saved)
        )
        self._seed(ops, n, start, us[-1])
        samples = self._placed(ops, n)[1][:size]
        for i in range(last, -1, -1):
            layer = self.layers[i]
            ops.gather(records[i].saved, samples, 1.0, saved[i])
            ops.activation_backward(us[i], layer.activation, saved[i], gs[i])
            below = us[i - 1] if i else self._below[:size]
            if i or not self._gram:
                ops.dense_backward_input(gs[i], layer.w, "identity", below, below)
        if self._gram:
            self._product(ops, gs[0], gs[0], self._q, add)
            self._forward(ops, gs[0], self._k, ups[0])
        else:
            self._product(ops, below, gs[0], self._dw[0], add)
            self._forward(ops, below, self.layers[0].w, ups[0])
            ops.inner_product(below, below, n / 2, below, totals)
        for i, layer in enumerate(self.layers):
            if self._bent[i]:
                self._bend(ops, i, n, m, layer.activation, saved[i], us[i], add)
            if i < last:
                ops.activation_backward(ups[i], layer.activation, saved[i], ups[i])
                self._product(ops, ups[i], gs[i + 1], self._dw[i + 1], add)
                if i + 1 < last or self._bent[last]:
                    self._forward(ops, ups[i], self.layers[i + 1].w, ups[i + 1])

    def _seed(self, ops: Backend, n: int, start: int, rows: Array) -> None:
        """The rows v, those of one row number for all samples first."""
        places = self._placed(ops, n)
        if self.draws is None:
            scale = math.sqrt(self._weight / n)
            ops.gather(self._table, places[0][start * n : start * n + len(rows)], scale, rows)
            return
        mask = self._mask[: len(rows)]
        ops.random_bernoulli(self.draws.state, 0.5, mask)
        ops.dense_forward(mask, places[2], places[3], "identity", rows, None)  # 0, 1 -> -s, s

    def _bend(
        self, ops: Backend, i: int, n: int, m: int, activation: str, saved: Array, u: Array,
        add: bool,
    ) -> None:  # fmt: skip
        """Of layer i dP/dz, the sum over m rows of each sample."""
        ops.inner_product(self._up[i][: m * n], u, 0.0, u, self._spare)
        ops.activation_curvature(u, activation, saved, u)
        rows, dz = u.reshape((m, u.size // m)), self._dz[i][:n].reshape((u.size // m,))
        none = self._none
        ops.dense_backward_weights(none.reshape((m, 0)), rows, none.reshape((0, dz.size)), dz, add)
        if ops.recorder is not None:
            ops.recorder.join()

    def visit(self, layer: Layer, x: Array, dz: Array) -> None:
        for i, own in enumerate(self.layers):
            if own is layer and self._bent[i]:
                self._ops.add(dz, self._dz[i][: len(dz)], dz)

    def gradient(self, ops: Backend, parameters: Parameters) -> None:
        for layer, dw in zip(self.layers, self._dw, strict=True):
            ops.add(layer.dw, dw, layer.dw)

    def _placed(self, ops: Backend, n: int) -> tuple[Array, ...]:
        """For n samples: of each of all rows its place in ``_table``, and its sample; for random
        rows the weights and biases that make -s and s of 0 and 1."""
        if n not in self._places:
            if len(self._places) >= MOST:
                self._places.clear()
            row, sample = np.divmod(np.arange(self._rows * n), max(n, 1))
            found = [row, sample]
            if self.draws is not None:
                s = np.full(self._mask.shape[1], math.sqrt(self._weight / n))
                found += [a.astype(self._zeros.dtype) for a in (np.diag(2 * s), -s)]
            self._places[n] = tuple(map(ops.to_device, found))
        return self._places[n]

    def _product(self, ops: Backend, x: Array, y: Array, out: Array, add: bool = False) -> None:
        """out = x.T @ y, or with ``add`` +="""
        ops.dense_backward_weights(x, y, out, self._unread[: y.shape[1]], add)
        if ops.recorder is not None:
            ops.recorder.join()

    def _forward(self, ops: Backend, x: Array, w: Array, out: Array) -> None:
        """out = x @ w"""
        ops.dense_forward(x, w, self._zeros[: w.shape[1]], "identity", out, None)
