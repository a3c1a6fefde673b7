"""Two layers over one array of weights: the upper one has the transpose of the lower one's.

For the lower layer's weights w (n_out, n_in) and biases b (n_out,) of its own the upper one has

    z  = x @ w.T + b       (batch, n_out)
    dw = dz.T @ x          to which the lower layer adds its own
    db = sum of dz rows
    dx = dz @ w

The backward pass comes to the upper layer first. So that one writes dw, and the lower one, made of
``SharedSpec``, adds. All products are those of a dense layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..kernels.backend import Array, Backend
from ..kernels.conventions import ACTIVATION_FACTS
from .layers import Dense, DenseSpec, Layer, Record
from .parameters import Parameters


@dataclass(frozen=True)
class SharedSpec(DenseSpec):
    """A dense layer of whose weights another one, above it, has the transpose."""

    def layer(self, parameters: Parameters) -> Layer:
        return Shared(self, parameters)


class Shared(Dense):
    def __init__(self, spec: SharedSpec, parameters: Parameters) -> None:
        super().__init__(spec, parameters)
        self._no_rows = parameters.backend.empty((0, spec.n_out), parameters.dtype)

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        nothing = self._no_rows
        ops.dense_backward_weights(nothing[:, :0], nothing, nothing, self.db)  # db = 0
        ops.dense_backward_weights(x, record.dz, self.dw, self.db, True)
        if below is not None:
            ops.dense_backward_input(record.dz, self.w, below.activation, below.saved, below.dz)


@dataclass(frozen=True)
class TiedSpec(DenseSpec):
    """The layer above: ``of`` is the name of the ``SharedSpec``."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {f"{self.name}.bias": (self.n_out,)}

    def arrays(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        return values[f"{self.of}.weight"].T.copy(), values[f"{self.name}.bias"]

    def layer(self, parameters: Parameters) -> Layer:
        return Tied(self, parameters)


class Tied:
    """y = act(x @ w.T + b), with w (n_out, n_in) a view that a ``Shared`` layer has too."""

    training_only = False

    def __init__(self, spec: TiedSpec, parameters: Parameters) -> None:
        self.name, self.activation = spec.name, spec.activation
        weight, bias = f"{spec.of}.weight", f"{spec.name}.bias"
        self.w, self.b = parameters.value(weight), parameters.value(bias)
        self.dw, self.db = parameters.gradient(weight), parameters.gradient(bias)
        self.parameters = {"weights": self.w, "biases": self.b}
        self._needs_input = ACTIVATION_FACTS[spec.activation].needs_input

    def record(self, ops: Backend, capacity: int, training: bool, below: Record | None) -> Record:
        n_out, n_in = self.w.shape
        dtype = self.w.dtype.name
        if training:
            self._zeros = ops.to_device(np.zeros(n_in, dtype))
            self._nothing, self._unread = ops.empty((0, n_out), dtype), ops.empty((n_in,), dtype)
        y = ops.empty((capacity, n_out), dtype)
        saved = ops.empty(y.shape, dtype) if self._needs_input else y
        dz = ops.empty(y.shape, dtype) if training else None
        return Record(self, self.activation, y, saved, dz)

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        z = record.saved
        ops.dense_backward_input(x, self.w, "identity", z, z)
        ops.add(z, self.b, z)
        if self.activation != "identity":
            ops.activation_forward(z, self.activation, record.y)
        return record.y

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        nothing = self._nothing
        ops.dense_backward_weights(record.dz, x, self.dw, self._unread)
        ops.dense_backward_weights(nothing.reshape((len(x), 0)), record.dz, nothing, self.db)
        if below is not None:
            ops.dense_forward(record.dz, self.w, self._zeros, "identity", below.dz, None)
            if below.activation != "identity":
                ops.activation_backward(below.dz, below.activation, below.saved, below.dz)
