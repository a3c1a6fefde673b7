"""A layer that draws its output: the code of a variational autoencoder.

For each unit the layer below gives a mean m and the logarithm v of a variance, means first. Then

    y  = m + exp(v / 2) g, g standard normal      (batch, n)
    dm = dy
    dv = dy exp(v / 2) g / 2 = dy (y - m) / 2

so that a gradient passes through the draw (Kingma and Welling, "Auto-encoding variational Bayes",
ICLR 2014, section 2.4). What is not trained gets the mean.
"""

from __future__ import annotations

from ..kernels.backend import Array, Backend
from .layers import Record, Spec
from .parameters import Parameters


class SampleSpec(Spec):
    def layer(self, parameters: Parameters) -> Sample:
        return Sample(self)


class Sample:
    """y as above in memory for training, else m.

    ``state`` uint32 (4,), which says what is drawn, is for training to set; until then y is m.
    ``backward`` adds to what is already in ``below.dz``: the gradient of the divergence.
    """

    training_only = False

    def __init__(self, spec: SampleSpec) -> None:
        self.name = spec.name
        self.parameters: dict[str, Array] = {}
        self.state: Array | None = None

    def record(self, ops: Backend, capacity: int, training: bool, below: Record | None) -> Record:
        if below is None or below.activation != "identity":
            raise ValueError(f"{self.name} must stand above a layer with activation 'identity'")
        shape, dtype = (capacity, below.y.shape[1] // 2), below.y.dtype.name
        y = ops.empty(shape, dtype)
        dz = ops.empty(shape, dtype) if training else None
        return Record(self, "identity", y, y, dz)

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        ops.sample_normal(self.state if record.dz is not None else None, x, record.y)
        return record.y

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        assert below is not None
        ops.sample_normal_backward(x, record.y, record.dz, below.dz)
