"""The layers, each forward and backward on any backend.

A dense layer computes, for a batch x (batch, n_in),

    z = x @ w + b          (batch, n_out)
    y = act(z)             (batch, n_out)

and given dz = d(loss)/dz the chain rule yields

    dw = x.T @ dz          (n_in, n_out)
    db = sum of dz rows    (n_out,)
    dx = dz @ w.T          (batch, n_in)

As x is itself the output of the layer below, dx times that layer's act' is *its* dz: the two
are one fused operation, and the gradient walks from layer to layer as dz.

A layer is described by a spec, which makes it; what it computes for a batch lies in a record.
``ops`` are the operations of a backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..kernels.backend import Array, Backend
from ..kernels.conventions import ACTIVATION_FACTS
from .parameters import Parameters


@dataclass(frozen=True)
class Record:
    """What a layer leaves behind on its way forward, and the gradient it gets coming back."""

    layer: Layer
    activation: str
    y: Array  # (batch, n_out), what the next layer gets
    saved: Array  # what ``activation_backward`` wants: y, or for silu and gelu the input z
    dz: Array | None  # (batch, n_out), d(loss)/dz; None where nothing is trained
    dropped: Array | None = None  # (batch, n_out), 1 where a selection made a unit 0, else 0
    draws: int = 1  # how many rows of it belong to a sample: batch is so many times as large

    def first(self, n: int) -> Record:
        """The record of the first n samples, in the same memory."""
        n *= self.draws
        dz = None if self.dz is None else self.dz[:n]
        dropped = None if self.dropped is None else self.dropped[:n]
        return replace(self, y=self.y[:n], saved=self.saved[:n], dz=dz, dropped=dropped)


class Layer(Protocol):
    """What stands in a network's list of layers."""

    name: str
    training_only: bool  # inference leaves it out
    parameters: dict[str, Array]  # its own, by what messages call them

    def record(self, ops: Backend, capacity: int, training: bool, below: Record | None) -> Record:
        """Memory for up to ``capacity`` samples; with ``training`` also for the gradient."""

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        """x (batch, n_in) -> y (batch, n_out), kept in ``record``."""

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        """From ``record.dz``: its gradients, and ``below.dz`` unless this is the first layer."""


@dataclass(frozen=True)
class Spec:
    """Describes a layer, and makes it."""

    name: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each of its parameters by full name."""
        return {}

    def layer(self, parameters: Parameters) -> Layer:
        raise NotImplementedError


@dataclass(frozen=True)
class DenseSpec(Spec):
    n_in: int
    n_out: int
    activation: str
    of: str = ""  # the layer below whose weights it has, transposed, in place of its own

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {f"{self.name}.weight": (self.n_in, self.n_out), f"{self.name}.bias": (self.n_out,)}

    def arrays(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """(weights (n_in, n_out), biases (n_out,)) out of the ``values`` of a net's parameters."""
        return values[f"{self.name}.weight"], values[f"{self.name}.bias"]

    def layer(self, parameters: Parameters) -> Layer:
        return Dense(self, parameters)


class Dense:
    """y = act(x @ w + b), with w (n_in, n_out) and b (n_out,) views into the flat parameters."""

    training_only = False

    def __init__(self, spec: DenseSpec, parameters: Parameters) -> None:
        self.name, self.activation = spec.name, spec.activation
        weight, bias = spec.shapes()
        self.w, self.b = parameters.value(weight), parameters.value(bias)
        self.dw, self.db = parameters.gradient(weight), parameters.gradient(bias)
        self.parameters = {"weights": self.w, "biases": self.b}
        self._needs_input = ACTIVATION_FACTS[spec.activation].needs_input

    def record(self, ops: Backend, capacity: int, training: bool, below: Record | None) -> Record:
        draws = 1 if below is None else below.draws
        shape, dtype = (draws * capacity, self.b.size), self.w.dtype.name
        y = ops.empty(shape, dtype)
        saved = ops.empty(shape, dtype) if self._needs_input else y
        dz = ops.empty(shape, dtype) if training else None
        return Record(self, self.activation, y, saved, dz, draws=draws)

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        pre = record.saved if self._needs_input else None
        ops.dense_forward(x, self.w, self.b, self.activation, record.y, pre)
        return record.y

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        ops.dense_backward_weights(x, record.dz, self.dw, self.db)
        if below is not None:
            ops.dense_backward_input(record.dz, self.w, below.activation, below.saved, below.dz)


class NoiseSpec(Spec):
    def layer(self, parameters: Parameters) -> Noise:
        return Noise(self, parameters.backend)


class Noise:
    """y = x + std g in training, g standard normal; inference leaves the layer out.

    dx is dy. So its record is that of the layer below with another y, and the layer above writes
    dz where the layer below reads it. ``std`` float64 (1,) and ``state`` uint32 (4,), which says
    what is drawn, are for training to set.
    """

    training_only = True

    def __init__(self, spec: NoiseSpec, backend: Backend) -> None:
        self.name = spec.name
        self.parameters: dict[str, Array] = {}
        self.std = backend.to_device(np.zeros(1))
        self.state = backend.to_device(np.zeros(4, np.uint32))

    def record(self, ops: Backend, capacity: int, training: bool, below: Record | None) -> Record:
        if below is None:
            raise ValueError(f"{self.name} must stand above another layer, got it as the first")
        y = ops.empty(below.y.shape, below.y.dtype.name)
        return replace(below, layer=self, y=y)

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        ops.add_normal(self.state, self.std, x, record.y)
        return record.y

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        """Nothing is left to do: dz is ``below.dz``."""
