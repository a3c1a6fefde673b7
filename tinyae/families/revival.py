"""A second loss for the units that a selection leaves dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..kernels.backend import Array, Backend
from ..net.layers import DenseSpec, Layer, Record
from ..net.network import Network
from ..net.parameters import Parameters
from ..net.top_k import TopK
from ..train.objective import Term
from .sparsity import WEIGHTS, Penalty, UnitNorm

LOW = -1e30  # less than any unit
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
        self.k = 0  # how many dead units learn

        def arrays(count: int, width: int) -> list[Array]:
            return [backend.to_device(np.zeros((capacity, width), dtype)) for _ in range(count)]

        self._alive, self._z, self._chosen, self._gone, self._dz = arrays(5, n)
        self._found, self._wanted, self._slope = arrays(3, n_out)
        self._zero, self._rows = arrays(1, 1)[0], backend.to_device(np.arange(capacity))
        self._zeros, self._db = (backend.to_device(np.zeros(n_out, dtype)) for _ in range(2))
        self._totals = backend.to_device(np.zeros(2))
        # how often each unit was dropped in the epoch; 1 for each that is dead
        self._drops, self._dead, self._low, self._unused = (
            backend.to_device(np.zeros(shape, dtype)) for shape in (n, n, n, (1, n))
        )

    def state(self) -> Mapping[str, Array]:
        return {"drops": self._drops, "dead": self._dead}

    def prepare(self, progress: float) -> None:
        dead = self._backend.to_host(self._dead)
        self.k = min(int(dead.sum()), self._most) if self.weight else 0
        self._backend.write(np.tile(1 - dead, (len(self._zero), 1)), self._alive)
        self._backend.write(LOW * (1 - dead), self._low)

    def mode(self) -> int:
        return self.k

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
        ops, code, n = self._ops, self._code, len(dz)
        if self.k and layer.name == self._decoder:
            arrays = (self._alive, self._z, self._chosen, self._gone, self._dz, self._found,
                      self._wanted, self._slope)  # fmt: skip
            alive, z, chosen, gone, back, found, wanted, slope = (a[:n] for a in arrays)
            ops.activation_backward(code.y, "tanh", alive, z)  # 0 where alive
            ops.add(z, self._low, z)
            ops.top_k(z, self.k, chosen, gone)
            ops.dense_forward(chosen, self._w, self._zeros, "identity", found, None)
            ops.gather(dz, self._rows[:n], self._error * n, wanted)
            ops.loss("mse", found, wanted, slope, self._totals)
            ops.gather(slope, self._rows[:n], self.weight, wanted)
            ops.dense_backward_input(wanted, self._w, code.activation, code.saved, back)
            ops.activation_backward(back, "tanh", gone, back)
        elif self.k and layer.name == self._encoder:
            ops.add(dz, self._dz[:n], dz)

    def gradient(self, ops: Backend, parameters: Parameters) -> None:
        if self.k:
            n, dw = len(self._code.y), parameters.gradient(f"{self._decoder}.weight")
            ops.dense_backward_weights(self._chosen[:n], self._wanted[:n], dw, self._db, add=True)
            if ops.recorder is not None:
                ops.recorder.join()

    def kinks(self, records: Sequence[Record]) -> list[Array]:
        return [record.dropped for record in records if isinstance(record.layer, TopK)]


def terms(params: Mapping[str, Any], network: Network, capacity: int) -> list[Term]:
    """Those of a ``SparseAutoencoder`` with these arguments."""
    unit: list[Term] = [UnitNorm(network)] if params["unit_norm"] else []
    if (name := params["sparsity"]) == "top-k":
        return [Revival(network, capacity, params["revive"]), *unit]
    weight = WEIGHTS[name] if params["weight"] is None else params["weight"]
    return [Penalty(network, capacity, name, weight, params["rho"]), *unit]
