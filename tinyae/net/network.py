"""The network: a list of layers over one set of parameters, all the way forward and back.

x -> encoder.0 -> encoder.1 -> ... -> z (the code) -> decoder.0 -> ... -> x'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernels.backend import Array, Backend
from .layers import DenseSpec, Layer, Record, Spec
from .losses import softmax
from .parameters import Parameters

# Called with (layer, its input x, its dz) on the way back, before the layer uses them.
Visit = Callable[[Layer, Array, Array], None]


def forward(ops: Backend, x: Array, records: Sequence[Record]) -> Array:
    """x (batch, n_in) through the layers of the records; returns the last one's output."""
    for record in records:
        x = record.layer.forward(ops, x, record)
    return x


def backward(ops: Backend, x: Array, records: Sequence[Record], visits: Sequence[Visit]) -> None:
    """All gradients, from the last record's dz down to the first layer, whose input x was."""
    for i in reversed(range(len(records))):
        layer = records[i].layer
        below = records[i - 1] if i > 0 else None
        x_i = x if below is None else below.y
        for visit in visits:
            visit(layer, x_i, records[i].dz)
        layer.backward(ops, x_i, records[i], below)
    if ops.recorder is not None:  # dw may be made beside dx
        ops.recorder.join()


@dataclass(frozen=True)
class Architecture:
    """Everything about a network but its weights."""

    layers: tuple[Spec, ...]
    code: int  # the place of the code: layers[:code] make it
    loss: str
    link: str  # the activation that makes a reconstruction of the last layer's output
    # (start, stop) of outputs that are the logits of one category each; they follow on one another
    # and end with the last output
    groups: tuple[tuple[int, int], ...] = ()

    @property
    def dense(self) -> list[DenseSpec]:
        return [spec for spec in self.layers if isinstance(spec, DenseSpec)]


class Workspace:
    """The records of up to ``capacity`` samples, and room for as many inputs.

    A smaller batch uses the first rows of the same arrays; nothing is allocated twice.
    """

    def __init__(self, network: Network, capacity: int, training: bool = False) -> None:
        ops = network.backend
        self.capacity = capacity
        self.input = ops.empty((capacity, network.n_features), network.dtype)
        self._all: list[Record] = []
        for layer in network.layers:
            if training or not layer.training_only:
                below = self._all[-1] if self._all else None
                self._all.append(layer.record(ops, capacity, training, below))
        self._records: dict[tuple[int, bool], list[Record]] = {}

    def records(self, n: int, noisy: bool = False) -> list[Record]:
        """One record per layer, for a batch of n samples; noise is left out unless ``noisy``."""
        try:
            return self._records[n, noisy]
        except KeyError:
            layers = [r for r in self._all if noisy or not r.layer.training_only]
            records = self._records[n, noisy] = [record.first(n) for record in layers]
            return records


class Network:
    """The layers that ``architecture`` describes, over one set of flat parameters."""

    def __init__(self, backend: Backend, architecture: Architecture, dtype: str) -> None:
        self.backend = backend
        self.architecture = architecture
        self.dtype = dtype
        self.n_features = architecture.dense[0].n_in
        # (n_features,), what is read where a value is missing; None: no value may be missing
        self.fill: Array | None = None
        # (batch, n_features) at least, for reconstructions; None: each is a new array
        self.room: Array | None = None
        self.plans: list[Any] = []  # of a few samples' way, see ``passes``
        shapes = {k: v for spec in architecture.layers for k, v in spec.shapes().items()}
        self.parameters = Parameters(backend, shapes, dtype)
        self.layers = [spec.layer(self.parameters) for spec in architecture.layers]

    def rebase(self, values: Array) -> None:
        """From now on the parameters lie in ``values``, which has them already; of the layers there
        were before nobody may keep a view."""
        self.parameters.values = values
        self.layers = [spec.layer(self.parameters) for spec in self.architecture.layers]

    def filled(self, x: Array) -> Array:
        """x (batch, n_features) as the net reads it: a new array with ``fill`` in the place of NaN,
        or x itself where there is no such number."""
        if self.fill is None:
            return x
        out = self.backend.empty(x.shape, self.dtype)
        self.backend.fill(x, self.fill, out)
        return out

    def encode(self, x: Array, records: Sequence[Record]) -> Array:
        """x (batch, n_features), NaN where a value is missing -> z (batch, code)"""
        return forward(self.backend, self.filled(x), records[: self.architecture.code])

    def decode(self, z: Array, records: Sequence[Record]) -> Array:
        """z (batch, code) -> reconstruction (batch, n_features), of categories probabilities"""
        ops, room = self.backend, self.room
        output = forward(ops, z, records[self.architecture.code :])
        groups = self.architecture.groups
        levels = softmax(ops.to_host(output), groups) if groups else None
        if self.architecture.link != "identity":
            logits = output
            output = ops.empty(logits.shape, self.dtype) if room is None else room[: len(logits)]
            ops.activation_forward(logits, self.architecture.link, output)
        if levels is not None:
            reconstruction = ops.to_host(output)
            reconstruction[:, groups[0][0] :] = levels
            ops.write(reconstruction, output)
        return output

    def reconstruct(self, x: Array, records: Sequence[Record]) -> Array:
        """x -> decode(encode(x)), (batch, n_features)"""
        return self.decode(self.encode(x, records), records)
