"""A second loss for the units that a selection leaves dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..kernels.backend import Array, Backend
from ..kernels.conventions import NEEDS_INPUT
from ..net.layers import DenseSpec, Layer, Record
from ..net.network import Network
from ..net.parameters import Parameters
from ..net.top_k import TopK
from ..train.objective import Term
from .sparsity import WEIGHTS, Penalty, UnitNorm

CURVATURES = {"mse": 2.0, "bce": 0.25}  # the largest second derivative of a loss


class Revival(Term):
    """The auxiliary loss of Gao et al. 2024 (appendix A.2) for units that are dead:

        weight ||e - z' W||^2,   W (code, n) the weights of the decoder's first layer,

    z' being the greatest dead units before the selection, at most half as
    many as features, and e what the net gets wrong: x - x' of mse and one layer; in general minus
    the gradient of a sample's loss at that layer's output before its activation, divided by the
    loss's largest curvature (mse 2, bce 1/4, else 1). e is taken for constant. A unit is dead if no
    sample of the epoch before used it. The loss that is reported is without this one, which costs
    nothing while no unit is dead.
    """

    def __init__(self, network: Network, capacity: int, weight: float) -> None:
        backend, dtype, plan = network.backend, network.dtype, network.architecture
        decoder: DenseSpec = next(s for s in plan.layers[plan.code :] if isinstance(s, DenseSpec))
        at = next(i for i, layer in enumerate(network.layers) if isinstance(layer, TopK))
        self._encoder, self._decoder = network.layers[at - 1].name, decoder.name
        self._w = network.parameters.value(f"{decoder.name}.weight")
        n, n_out = decoder.n_in, decoder.n_out
        # which units are dead is counted by each process, and is no more than a figure without it
        self.of_samples, self.instead = weight == 0, "revive=0 or sparsity='l1'"
        self.setting = f"revive={weight:g} of sparsity='top-k'"
        self._backend, self.weight, self._most = backend, weight, max(1, network.n_features // 2)
        self._room = n - network.layers[at].k  # type: ignore[attr-defined]
        self._error = -1 / CURVATURES.get(plan.loss, 1.0)
        self._shape, self._n_dead = (capacity, n), 0
        rows = capacity if weight else 0
        self.k = 0  # how many dead units learn

        def zeros(*shape: int, kind: str = dtype) -> Array:
            return backend.to_device(np.zeros(shape, kind))

        # of dead units alone, side by side; behind ``back`` and ``dw`` stands what others get, 0
        self._z, self._saved, self._chosen, self._gone = (zeros(rows * n) for _ in range(4))
        self._back, self._dw = zeros(rows * n + 1), zeros(n + 1, n_out)
        self._spread, self._rows_of_w = zeros(rows, n), zeros(n, n_out)
        self._found, self._wanted, self._slope = (zeros(rows, n_out) for _ in range(3))
        # where numbers of dead units lie among those of all, and the other way round
        self._from, self._to = (zeros(rows * n, kind="int64") for _ in range(2))
        self._units, self._places = (zeros(n, kind="int64") for _ in range(2))
        self._zero, self._rows = zeros(capacity, 1), backend.to_device(np.arange(capacity))
        self._zeros, self._db, self._totals = zeros(n_out), zeros(n_out), zeros(2, kind="float64")
        # how often each unit was dropped in the epoch; 1 for each that is dead
        self._drops, self._dead, self._unused = zeros(n), zeros(n), zeros(1, n)

    def state(self) -> Mapping[str, Array]:
        return {"drops": self._drops, "dead": self._dead}

    def prepare(self, progress: float) -> None:
        dead, write = np.flatnonzero(self._backend.to_host(self._dead)), self._backend.write
        (capacity, n), m = self._shape, len(dead) if self.weight else 0
        self._n_dead, self.k = m, min(m, self._most)
        if not m:
            return
        rows, places, to = np.arange(capacity)[:, None], np.full(n, n), np.full(self._shape, -1)
        places[dead], to[:, dead] = np.arange(m), rows * m + np.arange(m)
        write(dead, self._units[:m])
        write(places, self._places)
        write((rows * n + dead).reshape(-1), self._from[: capacity * m])
        write(np.where(to < 0, capacity * n, to).reshape(-1), self._to)

    def mode(self) -> int:
        return self._n_dead

    def metrics(self) -> dict[str, float]:
        drops = self._backend.to_host(self._drops).astype(np.float64)
        samples = round(drops.sum() / self._room) if self._room else 0  # each drops so many units
        dead = (drops == samples) & (samples > 0)
        self._backend.write(dead.astype(self._dead.dtype), self._dead)
        self._backend.write(np.zeros_like(drops, self._dead.dtype), self._drops)
        return {"dead_units": float(dead.sum())}

    def value(self, ops: Backend, records: Sequence[Record], totals: Array) -> None:
        self._ops = ops
        at = next(i for i, record in enumerate(records) if isinstance(record.layer, TopK))
        self._code, n = records[at - 1], len(records[at].y)
        ops.dense_backward_weights(  # the sum over the minibatch is the gradient of biases
            self._zero[:n], records[at].dropped, self._unused, self._drops, add=True
        )
        if ops.recorder is not None:
            ops.recorder.join()

    def visit(self, layer: Layer, x: Array, dz: Array) -> None:
        ops, code, n, m = self._ops, self._code, len(dz), self._n_dead
        if m and layer.name == self._decoder:
            arrays = self._z, self._saved, self._chosen, self._gone, self._back
            z, saved, chosen, gone, back = (a[: n * m].reshape((n, m)) for a in arrays)
            found, wanted, slope = (a[:n] for a in (self._found, self._wanted, self._slope))
            w = self._rows_of_w[:m]
            ops.gather(self._w, self._units[:m], 1.0, w)
            self._pick(ops, code.y, z)
            if code.activation in NEEDS_INPUT:
                self._pick(ops, code.saved, saved)
            else:
                saved = z
            if self.k < m:
                ops.top_k(z, self.k, chosen, gone)
            else:
                chosen = z
            self._learning = chosen
            ops.dense_forward(chosen, w, self._zeros, "identity", found, None)
            ops.gather(dz, self._rows[:n], self._error * n, wanted)
            ops.loss("mse", found, wanted, slope, self._totals)
            ops.gather(slope, self._rows[:n], self.weight, wanted)
            ops.dense_backward_input(wanted, w, code.activation, saved, back)
            if self.k < m:
                ops.activation_backward(back, "tanh", gone, back)
        elif m and layer.name == self._encoder:
            spread, size = self._spread[:n], self._spread[:n].size
            back = self._back.reshape((self._back.size, 1))
            ops.gather(back, self._to[:size], 1.0, spread.reshape((size, 1)))
            ops.add(dz, spread, dz)

    def _pick(self, ops: Backend, x: Array, out: Array) -> None:
        """out (batch, dead units) = those columns of x"""
        column = out.reshape((out.size, 1))
        ops.gather(x.reshape((x.size, 1)), self._from[: out.size], 1.0, column)

    def gradient(self, ops: Backend, parameters: Parameters) -> None:
        if m := self._n_dead:
            n, dw = len(self._code.y), parameters.gradient(f"{self._decoder}.weight")
            ops.dense_backward_weights(self._learning, self._wanted[:n], self._dw[:m], self._db)
            if ops.recorder is not None:
                ops.recorder.join()
            ops.gather(self._dw, self._places, 1.0, self._rows_of_w)
            ops.add(dw, self._rows_of_w, dw)

    def kinks(self, records: Sequence[Record]) -> list[Array]:
        return [record.dropped for record in records if isinstance(record.layer, TopK)]


def terms(params: Mapping[str, Any], network: Network, capacity: int) -> list[Term]:
    """Those of a ``SparseAutoencoder`` with these arguments."""
    unit: list[Term] = [UnitNorm(network)] if params["unit_norm"] else []
    if (name := params["sparsity"]) == "top-k":
        return [Revival(network, capacity, params["revive"]), *unit]
    weight = WEIGHTS[name] if params["weight"] is None else params["weight"]
    return [Penalty(network, capacity, name, weight, params["rho"]), *unit]
