"""Two layers over one array of weights: the upper one has the transpose of the lower one's.

For the lower layer's weights w (n_out, n_in) and biases b (n_out,) of its own the upper one has

    z  = x @ w.T + b       (batch, n_out)
    dw = dz.T @ x          to which the lower layer adds its own
    db = sum of dz rows
    dx = dz @ w

The backward pass comes to the upper layer first. So that one writes dw, and the lower one, made of
``SharedSpec``, adds. All of it by the operations of a dense layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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

    of: str = ""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {f"{self.name}.bias": (self.n_out,)}

    def arrays(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        return values[f"{self.of}.weight"].T.copy(), values[f"{self.name}.bias"]

    def layer(self, parameters: Parameters) -> Layer:
        return Tied(self, parameters)


@dataclass(frozen=True, kw_only=True)
class TiedRecord(Record):
    product: Array  # (batch, n_out), x @ w.T
    biases: Array  # (capacity n_out,), those of the layer once for each sample
    nothing: Array  # (batch, 0)

    def first(self, n: int) -> Record:
        dz = None if self.dz is None else self.dz[:n]
        y, saved, product, nothing = (a[:n] for a in (
            self.y, self.saved, self.product, self.nothing))  # fmt: skip
        return replace(self, y=y, saved=saved, dz=dz, product=product, nothing=nothing)


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
        shape, dtype = (capacity, self.b.size), self.w.dtype.name
        n_in = self.w.shape[1]
        # made here and not with the layer: NumPy takes a few samples for other columns
        self._one = ops.to_device(np.ones((1, 1), dtype))
        self._zeros = ops.to_device(np.zeros(n_in, dtype))
        self._none = ops.empty((0, self.b.size), dtype)
        self._unread = ops.empty((n_in,), dtype)
        y, product = ops.empty(shape, dtype), ops.empty(shape, dtype)
        saved = ops.empty(shape, dtype) if self._needs_input else y
        dz = ops.empty(shape, dtype) if training else None
        biases, nothing = ops.empty((y.size,), dtype), ops.empty((capacity, 0), dtype)
        return TiedRecord(
            self, self.activation, y, saved, dz, product=product, biases=biases, nothing=nothing
        )

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        """The sum of product and biases is a dense layer too, of one sample, (1,): its weights are
        the product, and its biases those of the layer, once for each row."""
        assert isinstance(record, TiedRecord)
        y, size = record.y, record.y.size
        biases, pre = record.biases[:size], None
        if self._needs_input:
            pre = record.saved.reshape((1, size))
        ops.dense_backward_input(x, self.w, "identity", y, record.product)
        ops.dense_forward(
            record.nothing, self._none, self.b, "identity", biases.reshape(y.shape), None
        )
        ops.dense_forward(
            self._one, record.product.reshape((1, size)), biases, self.activation,
            y.reshape((1, size)), pre,
        )  # fmt: skip
        return y

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        assert isinstance(record, TiedRecord)
        ops.dense_backward_weights(record.dz, x, self.dw, self._unread)
        ops.dense_backward_weights(record.nothing, record.dz, self._none, self.db)
        if below is not None:
            ops.dense_forward(record.dz, self.w, self._zeros, "identity", below.dz, None)
            if below.activation != "identity":
                ops.activation_backward(below.dz, below.activation, below.saved, below.dz)
