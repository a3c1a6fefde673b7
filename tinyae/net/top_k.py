"""A layer that keeps the k greatest units of each sample and makes the others 0.

    y  = z where z is among the k greatest of its row, else 0       (batch, n)
    dz = dy there, else 0

(Makhzani and Frey, "k-sparse autoencoders", ICLR 2014). Of equal units the first are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..kernels.backend import Array, Backend
from .layers import Record, Spec
from .parameters import Parameters


@dataclass(frozen=True)
class TopKSpec(Spec):
    k: int

    def layer(self, parameters: Parameters) -> TopK:
        return TopK(self)


class TopK:
    """y as above. Its record is that of the layer below with another y, and ``dropped``, 1 where a
    unit has become 0: the layer above writes dz where the layer below reads it."""

    training_only = False

    def __init__(self, spec: TopKSpec) -> None:
        self.name, self.k = spec.name, spec.k
        self.parameters: dict[str, Array] = {}

    def record(self, ops: Backend, capacity: int, training: bool, below: Record | None) -> Record:
        if below is None:
            raise ValueError(f"{self.name} must stand above another layer, got it as the first")
        y, dropped = (ops.empty(below.y.shape, below.y.dtype.name) for _ in range(2))
        return replace(below, layer=self, y=y, dropped=dropped)

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        ops.top_k(x, self.k, record.y, record.dropped)
        return record.y

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        # dz (1 - dropped^2): a product with a mask is the backward pass of tanh
        ops.activation_backward(record.dz, "tanh", record.dropped, record.dz)
