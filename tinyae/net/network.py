"""The net: encoder layers, code, decoder layers; the whole way forward and back.

x -> encoder.0 -> encoder.1 -> ... -> z (the code) -> decoder.0 -> ... -> x'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..kernels.backend import Array, Backend
from .layers import Dense, Record
from .losses import head
from .noise import CodeNoise
from .parameters import Parameters


@dataclass(frozen=True)
class Architecture:
    """Widths and activations: everything about a net but its weights."""

    n_features: int
    encoder: tuple[int, ...]  # widths of the encoder's layers, the code's last
    decoder: tuple[int, ...]  # widths of the decoder's hidden layers
    activation: str
    code_activation: str
    output: str
    loss: str

    def layers(self) -> list[tuple[str, int, int, str]]:
        """(name, n_in, n_out, activation) of each layer; the last one's as it is trained."""
        widths = [self.n_features, *self.encoder, *self.decoder, self.n_features]
        activations = [self.activation] * (len(widths) - 1)
        activations[len(self.encoder) - 1] = self.code_activation
        activations[-1], _ = head(self.output, self.loss)
        names = [f"encoder.{i}" for i in range(len(self.encoder))]
        names += [f"decoder.{i}" for i in range(len(self.decoder) + 1)]
        return list(zip(names, widths, widths[1:], activations, strict=False))


class Workspace:
    """Room for the activations (and gradients) of up to ``capacity`` samples.

    A smaller batch uses the first rows of the same arrays; nothing is allocated twice.
    """

    def __init__(
        self, backend: Backend, layers: Sequence[Dense], n_features: int, capacity: int,
        dtype: str, training: bool, noisy: int | None,
    ) -> None:  # fmt: skip
        self.capacity = capacity
        self.input = backend.empty((capacity, n_features), dtype)
        self._layers = layers
        shapes = [(capacity, layer.w.shape[1]) for layer in layers]
        self._y = [backend.empty(shape, dtype) for shape in shapes]
        self._pre = [
            backend.empty(shape, dtype) if layer.needs_input else None
            for layer, shape in zip(layers, shapes, strict=True)
        ]
        self._dz = [backend.empty(shape, dtype) if training else None for shape in shapes]
        self._noisy = [
            backend.empty(shape, dtype) if i == noisy else None for i, shape in enumerate(shapes)
        ]
        self._records: dict[int, list[Record]] = {}

    def records(self, n: int) -> list[Record]:
        """One record per layer, for a batch of n samples."""
        if n not in self._records:
            self._records[n] = [
                Record(
                    layer.activation,
                    y[:n],
                    None if pre is None else pre[:n],
                    None if dz is None else dz[:n],
                    None if noisy is None else noisy[:n],
                )
                for layer, y, pre, dz, noisy in zip(
                    self._layers, self._y, self._pre, self._dz, self._noisy, strict=True
                )
            ]
        return self._records[n]


class Network:
    """The layers over one set of flat parameters, on one backend."""

    def __init__(self, backend: Backend, architecture: Architecture, dtype: str) -> None:
        self.backend = backend
        self.architecture = architecture
        self.dtype = dtype
        plan = architecture.layers()
        shapes: dict[str, tuple[int, ...]] = {}
        for name, n_in, n_out, _ in plan:
            shapes[f"{name}.weight"] = (n_in, n_out)
            shapes[f"{name}.bias"] = (n_out,)
        self.parameters = p = Parameters(backend, shapes, dtype)
        self.layers = [
            Dense(
                backend, name, activation,
                p.value(f"{name}.weight"), p.value(f"{name}.bias"),
                p.gradient(f"{name}.weight"), p.gradient(f"{name}.bias"),
            )
            for name, _, _, activation in plan
        ]  # fmt: skip
        self.n_encoder = len(architecture.encoder)
        _, self.link = head(architecture.output, architecture.loss)

    def workspace(self, capacity: int, training: bool, code_noise: bool = False) -> Workspace:
        """Room for ``capacity`` samples; with ``code_noise`` also for codes with noise on them."""
        n_features = self.architecture.n_features
        return Workspace(
            self.backend, self.layers, n_features, capacity, self.dtype, training,
            self.n_encoder - 1 if code_noise else None,
        )  # fmt: skip

    def forward(self, x: Array, records: Sequence[Record], noise: CodeNoise | None = None) -> Array:
        """x (batch, n_features) through all layers; returns what the loss works on."""
        z = self.encode(x, records)
        if noise is not None:
            noise.add(z, records[self.n_encoder - 1].noisy)
            z = records[self.n_encoder - 1].noisy
        return self._run(z, records, self.n_encoder, len(self.layers))

    def backward(self, x: Array, records: Sequence[Record]) -> None:
        """All gradients, from the last record's dz down to the first layer."""
        for i in reversed(range(len(self.layers))):
            below = records[i - 1] if i > 0 else None
            self.layers[i].backward(x if below is None else below.passed_on, records[i].dz, below)
        if self.backend.recorder is not None:  # dw may be made beside dx
            self.backend.recorder.join()

    def loss(
        self, x: Array, target: Array, records: Sequence[Record], totals: Array,
        noise: CodeNoise | None = None,
    ) -> None:  # fmt: skip
        """Forward, and the loss against ``target``: totals = [losses, squared errors] summed.

        Leaves d(mean loss)/d(last layer's output) in the last record's dz.
        """
        output = self.forward(x, records, noise)
        self.backend.loss(self.architecture.loss, output, target, records[-1].dz, totals)

    def loss_and_gradient(
        self, x: Array, target: Array, records: Sequence[Record], totals: Array,
        noise: CodeNoise | None = None,
    ) -> None:  # fmt: skip
        """``loss``, and the gradient of the mean loss in ``parameters.gradients``."""
        self.loss(x, target, records, totals, noise)
        last = records[-1]
        if last.activation != "identity":
            self.backend.activation_backward(last.dz, last.activation, last.saved, last.dz)
        self.backward(x, records)

    def encode(self, x: Array, records: Sequence[Record]) -> Array:
        """x (batch, n_features) -> z (batch, code)"""
        return self._run(x, records, 0, self.n_encoder)

    def decode(self, z: Array, records: Sequence[Record]) -> Array:
        """z (batch, code) -> reconstruction (batch, n_features)"""
        output = self._run(z, records, self.n_encoder, len(self.layers))
        if self.link != "identity":
            self.backend.activation_forward(output, self.link, output)
        return output

    def reconstruct(self, x: Array, records: Sequence[Record]) -> Array:
        """x -> decode(encode(x)), (batch, n_features)"""
        return self.decode(self.encode(x, records), records)

    def _run(self, x: Array, records: Sequence[Record], first: int, last: int) -> Array:
        for layer, record in zip(self.layers[first:last], records[first:last], strict=True):
            x = layer.forward(x, record)
        return x
