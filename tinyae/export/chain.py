"""What an export holds: the layers, and what becomes of samples before and after them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..data.scaling import Scaling
from ..net.top_k import TopKSpec

if TYPE_CHECKING:
    from ..estimator import Autoencoder

Array = NDArray[Any]

PARTS = ("all", "encoder", "decoder")
QUANTIZED = ("float16", "int8")
LARGEST_INT8 = 127


class Layer(NamedTuple):
    """y = activation(x @ (weight * scale) + bias); weight (n_in, n_out) as it is stored.

    With ``k`` the k greatest of a sample's y are kept, of equal ones the first; the others are 0.
    """

    name: str
    weight: Array
    bias: Array
    activation: str
    scale: Array | None = None  # (n_out,), of int8 weights
    k: int | None = None

    @property
    def values(self) -> Array:
        """The weights that are multiplied with, in the net's dtype."""
        weight = self.weight.astype(self.bias.dtype)
        return weight if self.scale is None else weight * self.scale


class Chain(NamedTuple):
    """A trained autoencoder. ``scaling``, ``fill`` and ``groups`` act on columns of samples."""

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    scaling: Scaling | None  # what the net reads is (x - center) / spread
    fill: Array | None  # (n_features,), what it reads for NaN
    groups: tuple[tuple[int, int], ...]  # columns whose outputs become probabilities by softmax
    names: tuple[str, ...]  # of the columns; () where they have none

    @property
    def n_features(self) -> int:
        return len(self.encoder[0].weight)

    @property
    def code(self) -> int:
        return len(self.decoder[0].weight)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.encoder[0].bias.dtype

    @property
    def widths(self) -> str:
        """784-128-32-128-784"""
        layers = (*self.encoder, *self.decoder)
        return "-".join(map(str, [self.n_features, *(layer.bias.size for layer in layers)]))

    def layers(self, part: str) -> tuple[Layer, ...]:
        return {"encoder": self.encoder, "decoder": self.decoder}.get(
            part, self.encoder + self.decoder
        )

    def arrays(self, part: str) -> dict[str, Array]:
        """By name, in the order of the layers."""
        found: dict[str, Array | None] = {}
        for layer in self.layers(part):
            found |= {f"{layer.name}.weight": layer.weight, f"{layer.name}.bias": layer.bias,
                      f"{layer.name}.scale": layer.scale}  # fmt: skip
        if self.scaling is not None:
            found |= self.scaling._asdict()
        if part != "decoder":
            found["fill"] = self.fill
        return {name: array for name, array in found.items() if array is not None}


def chain_of(ae: Autoencoder) -> Chain:
    """Raises NotFittedError without weights."""
    values = ae.parameters()
    architecture = ae._network.architecture
    dense = architecture.dense
    read = [*(spec.n_in for spec in dense[1:]), dense[-1].n_out]
    layers = list[Layer]()
    for spec, n_out in zip(dense, read, strict=True):
        weight, bias = spec.arrays(values)
        # the first n_out, which the next layer reads: of means and log-variances the means
        layers.append(Layer(spec.name, weight[:, :n_out], bias[:n_out], spec.activation))
    for below, above in pairwise(architecture.layers):
        if isinstance(above, TopKSpec):
            at = next(i for i, layer in enumerate(layers) if layer.name == below.name)
            layers[at] = layers[at]._replace(k=above.k)
    if architecture.link != "identity":  # the last layer itself is linear then
        layers[-1] = layers[-1]._replace(activation=architecture.link)
    n = next(i for i, layer in enumerate(layers) if layer.name.startswith("decoder"))
    fill = None if ae.fill_ is None else ae.fill_.astype(layers[0].bias.dtype)
    names = tuple(map(str, getattr(ae, "feature_names_in_", ())))
    return Chain(
        tuple(layers[:n]), tuple(layers[n:]), ae.scaling_, fill, architecture.groups, names
    )


def quantized(chain: Chain, how: str) -> Chain:
    """The same with weights in fewer bits; biases stay.

    int8: each unit's weights are multiples of 1/127 of its largest one. Raises ValueError where a
    weight is beyond float16.
    """

    def quantize(layer: Layer) -> Layer:
        if how == "float16":
            with np.errstate(over="ignore"):
                half = layer.weight.astype(np.float16)
            if not np.isfinite(half).all():
                raise ValueError(
                    f"quantize='float16' holds numbers up to 65,504, but {layer.name}.weight has "
                    f"{np.abs(layer.weight).max():g}"
                )
            return layer._replace(weight=half)
        largest = np.abs(layer.weight).max(axis=0)
        scale = (largest / LARGEST_INT8).astype(layer.bias.dtype)
        scale[scale == 0] = 1  # of nothing, or of what is next to nothing
        steps = np.clip(np.rint(layer.weight / scale), -LARGEST_INT8, LARGEST_INT8)
        return layer._replace(weight=steps.astype(np.int8), scale=scale)

    return chain._replace(
        encoder=tuple(map(quantize, chain.encoder)), decoder=tuple(map(quantize, chain.decoder))
    )


def narrowed(name: str, array: Array, dtype: DTypeLike, to: str) -> Array:
    """``array`` in ``dtype``. Raises ValueError where that cannot hold one of its numbers, or would
    make 0 of a spread, by which is divided."""
    with np.errstate(over="ignore"):
        values = array.astype(dtype)
    lost = ~np.isfinite(values) | ((values == 0) & (name == "spread"))
    if lost.any():
        raise ValueError(
            f"to={to!r} holds {name} in {np.dtype(dtype)}, which cannot hold {array[lost][0]:g}"
        )
    return values


def rounded(ae: Autoencoder, how: str) -> Autoencoder:
    """A copy with the weights that ``quantized`` leaves."""
    chain = quantized(chain_of(ae), how)
    copied: Autoencoder = ae._with_own_weights()
    weights = copied.parameters()
    for layer in chain.layers("all"):  # of log-variances, which no export has, nothing changes
        weights[f"{layer.name}.weight"][:, : layer.bias.size] = layer.values
    return copied.set_parameters(weights)
