"""A net's weights as PyTorch keeps those of an ``nn.Sequential``, in a file of safetensors."""

from __future__ import annotations

import numpy as np

from .. import __version__
from ..storage.kinds import MARK
from .chain import Array, Chain, Layer, narrowed

MISSING = 'safetensors files need their package: pip install "tinyae[onnx]"'


def content(chain: Chain, part: str) -> bytes:
    """Keys "0.weight" (n_out, n_in), "0.bias", ...: an activation that is not the identity counts
    as a module too. What scales the samples is within the first and the last layer.

    Raises ValueError for a net that does more than such a chain can.
    """
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise ImportError(MISSING) from error
    layers = [_plain(layer) for layer in chain.layers(part)]
    if chain.encoder[0].scale is not None:
        raise ValueError("quantize='int8' is not for to='safetensors': use 'float16'")
    if any(layer.k is not None for layer in layers):
        raise ValueError(
            "to='safetensors' has no place for a selection of the k greatest units: use "
            + _others("decoder", not chain.groups)
        )
    if chain.fill is not None and part != "decoder":
        raise ValueError(
            "to='safetensors' has no place for what is read for missing values: use "
            + _others("decoder", not chain.groups)
        )
    if part != "encoder" and chain.groups:
        raise ValueError(
            "to='safetensors' has no place for the softmax of categories: use "
            + _others("encoder", chain.fill is None)
        )
    if chain.scaling is not None and part != "decoder":
        center, spread = chain.scaling
        weight = layers[0].weight / spread[:, None]
        layers[0] = layers[0]._replace(weight=weight, bias=layers[0].bias - center @ weight)
    if chain.scaling is not None and part != "encoder":
        center, spread = chain.scaling
        last = layers[-1]
        if last.activation != "identity":
            raise ValueError(
                f"to='safetensors' has no place for a scale after output {last.activation!r}"
            )
        layers[-1] = last._replace(weight=last.weight * spread, bias=last.bias * spread + center)
    arrays, modules = dict[str, Array](), list[str]()
    half = chain.encoder[0].weight.dtype == np.float16
    for layer in layers:
        place = len(modules)
        for name, array, dtype in (
            (f"{place}.weight", layer.weight.T, np.dtype(np.float16) if half else chain.dtype),
            (f"{place}.bias", layer.bias, chain.dtype),
        ):
            arrays[name] = np.ascontiguousarray(narrowed(name, array, dtype, "safetensors"))
        modules += ["Linear", *([layer.activation] if layer.activation != "identity" else [])]
    about = f"{MARK.decode()} {__version__}: {part}, {', '.join(modules)}"
    written: bytes = save(arrays, {"made": about})
    return written


def _others(part: str, fits: bool) -> str:
    """What to do instead; whether that part of the net has a place."""
    return "'numpy', 'c' or 'onnx'" + (f", or part={part!r}" if fits else "")


def _plain(layer: Layer) -> Layer:
    """In float64, with the weights that are multiplied with."""
    return layer._replace(
        weight=layer.values.astype(np.float64), bias=layer.bias.astype(np.float64), scale=None
    )
