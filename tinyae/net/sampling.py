"""A layer that draws its output: the code of a variational autoencoder.

For each unit the layer below gives a mean m and the logarithm v of a variance, means first. Then

    y  = m + exp(v / 2) g, g standard normal      (batch, n)
    dm = dy
    dv = dy exp(v / 2) g / 2 = dy (y - m) / 2

so that a gradient passes through the draw (Kingma and Welling, "Auto-encoding variational Bayes",
ICLR 2014, section 2.4). What is not trained gets the mean.

With several draws of a sample the layers above have as many rows for it: first one draw of every
sample of the batch, then another of each, and so on; the gradients of a sample's draws are added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..kernels.backend import Array, Backend
from .layers import Record, Spec
from .parameters import Parameters


@dataclass(frozen=True)
class SampleSpec(Spec):
    draws: int = 1  # of each sample in training

    def layer(self, parameters: Parameters) -> Sample:
        return Sample(self, parameters.backend)


@dataclass(frozen=True)
class SampleRecord(Record):
    """That of several draws."""

    pairs: Array = None  # (draws * batch, 2 n), what lies below, for each draw
    slopes: Array = None  # the gradient of the same, to which ``backward`` adds

    def first(self, n: int) -> SampleRecord:
        rows = n * self.draws
        short = {name: getattr(self, name)[:rows] for name in ("y", "dz", "pairs", "slopes")}
        return replace(self, saved=short["y"], **short)


class Sample:
    """y as above in memory for training, else m.

    ``state`` uint32 (4,), which says what is drawn, is for training to set; until then y is m.
    ``backward`` adds to what is already in ``below.dz``: the gradient of the divergence. Of several
    draws it adds to ``slopes``, and writes their sum into ``below.dz``.
    """

    training_only = False

    def __init__(self, spec: SampleSpec, backend: Backend) -> None:
        self.name, self.draws = spec.name, spec.draws
        self.parameters: dict[str, Array] = {}
        self.state: Array | None = None
        self._first = backend.to_device(np.zeros(spec.draws, np.int64))

    def record(self, ops: Backend, capacity: int, training: bool, below: Record | None) -> Record:
        if below is None or below.activation != "identity":
            raise ValueError(f"{self.name} must stand above a layer with activation 'identity'")
        draws = self.draws if training else 1
        width, dtype = below.y.shape[1], below.y.dtype.name
        y, dz = (ops.empty((draws * capacity, width // 2), dtype) for _ in range(2))
        if draws == 1:
            return Record(self, "identity", y, y, dz if training else None)
        pairs, slopes = (ops.empty((draws * capacity, width), dtype) for _ in range(2))
        self._zero = ops.to_device(np.zeros((draws, 1), dtype))
        self._unused = ops.empty((capacity * width,), dtype)
        return SampleRecord(self, "identity", y, y, dz, draws=draws, pairs=pairs, slopes=slopes)

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        state = self.state if record.dz is not None else None
        if isinstance(record, SampleRecord):
            row = x.reshape((1, x.size))
            ops.gather(row, self._first, 1.0, record.pairs.reshape((record.draws, x.size)))
            x = record.pairs
        ops.sample_normal(state, x, record.y)
        return record.y

    def backward(self, ops: Backend, x: Array, record: Record, below: Record | None) -> None:
        assert below is not None
        if not isinstance(record, SampleRecord):
            ops.sample_normal_backward(x, record.y, record.dz, below.dz)
            return
        assert below.dz is not None
        ops.sample_normal_backward(record.pairs, record.y, record.dz, record.slopes)
        slopes = record.slopes.reshape((record.draws, x.size))
        ops.dense_backward_weights(  # the sum over rows is the gradient of biases
            self._zero, slopes, self._unused[: x.size].reshape((1, x.size)),
            below.dz.reshape((x.size,)),
        )  # fmt: skip
        if ops.recorder is not None:
            ops.recorder.join()
