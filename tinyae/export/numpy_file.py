"""A net as one Python file that needs NumPy alone."""

from __future__ import annotations

import base64
import hashlib
import io
import textwrap
import zipfile

import numpy as np

from ..storage.kinds import MARK
from .chain import Chain, Layer

# What the reference computes, in the same order, so that the bits are the same.
SIGMOID = "np.exp(np.minimum(x, 0)) / (np.exp(-np.abs(x)) + 1)"
ACTIVATIONS = {
    "relu": ["return np.maximum(x, 0)"],
    "leaky_relu": ["return np.maximum(x, x * 0.01)"],
    "elu": ["return np.maximum(x, 0) + np.expm1(np.minimum(x, 0))"],
    "sigmoid": [f"return {SIGMOID}"],
    "tanh": ["return np.tanh(x)"],
    "softplus": ["return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))"],
    "silu": [f"return x * ({SIGMOID})"],
    "gelu": [
        "t = np.tanh((x * x * 0.044715 + 1) * x * 0.7978845608028654)",
        "return x * ((t + 1) * 0.5)",
    ],
}


TOP_K = [
    "# the k greatest of each sample, of equal ones the first; the others become 0",
    'kept = np.argsort(-x, axis=-1, kind="stable")[..., :k]',
    "y = np.zeros_like(x)",
    "np.put_along_axis(y, kept, np.take_along_axis(x, kept, axis=-1), axis=-1)",
    "return y",
]


def source(chain: Chain, part: str, weights: tuple[str, bytes] | None) -> str:
    """The file's text. Its arrays lie in the archive of this name and content beside it; None: in
    the text."""
    imports = ["import base64", "import io"]
    if weights:
        imports = ["import hashlib", "import io", "from pathlib import Path"]
    lines = [*_head(chain, part), *imports, "", "import numpy as np", "",
             f"N_FEATURES, CODE = {chain.n_features}, {chain.code}", *_names(chain)]  # fmt: skip
    if part != "decoder":
        lines += _function("encode(x)", *_encode(chain))
    if part != "encoder":
        lines += _decode(chain)
    if part == "all":
        lines += _function("reconstruct(x)", "return decode(encode(x))")
        lines += _function("score(x)", *_score(chain))
    if part != "decoder":
        lines += _function("scaled(x)", *_scaled(chain))
    for name in dict.fromkeys(layer.activation for layer in chain.layers(part)):
        if name != "identity":
            lines += _function(f"{name}(x)", *ACTIVATIONS[name])
    if any(layer.k is not None for layer in chain.layers(part)):
        lines += _function("top_k(x, k)", *TOP_K)
    return "\n".join([*lines, "", "", *_arrays(chain, part, weights)]) + "\n"


def packed(chain: Chain, part: str) -> bytes:
    """The arrays as a compressed .npz."""
    file = io.BytesIO()
    np.savez_compressed(file, **chain.arrays(part))  # type: ignore[arg-type]
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = MARK
    return file.getvalue()


def _head(chain: Chain, part: str) -> list[str]:
    about = {
        "encoder": ["encode(x)       samples (n, N_FEATURES) -> codes (n, CODE)"],
        "decoder": ["decode(z)       codes (n, CODE) -> samples (n, N_FEATURES)"],
        "all": ["reconstruct(x)  decode(encode(x))",
                "score(x)        the squared error of each sample, (n,), on the net's scale"],
    }  # fmt: skip
    wanted = about if part == "all" else (part,)
    read = []
    if part != "decoder":
        missing = " NaN is a missing value." if chain.fill is not None else ""
        read = ["", f"uint8 is read as [0, 1].{missing}"]
    return [
        f"# {MARK.decode()}", f'"""An autoencoder, {chain.widths}, that needs NumPy alone.', "",
        *(f"    {line}" for name in wanted for line in about[name]), *read, '"""', "",
    ]  # fmt: skip


def _names(chain: Chain) -> list[str]:
    if not chain.names:
        return []
    return ["NAMES = (  # of the features", *(f"    {name!a}," for name in chain.names), ")"]


def _function(head: str, *body: str) -> list[str]:
    return ["", "", f"def {head}:", *(f"    {line}" for line in body)]


def _expect(array: str, name: str, width: str) -> list[str]:
    """Lines that refuse an array of another width; errors call it ``name``."""
    said = f"{name} must have {{{width}}} columns, got shape {{{array}.shape}}"
    return [f"if {array}.shape[-1:] != ({width},):", f'    raise ValueError(f"{said}")']


def _affine(layer: Layer) -> str:
    return f'y @ W["{layer.name}.weight"] + W["{layer.name}.bias"]'


def _forward(layers: tuple[Layer, ...]) -> list[str]:
    """Lines that take y through the layers."""
    lines = []
    for layer in layers:
        y = _affine(layer)
        lines.append(f"y = {y if layer.activation == 'identity' else f'{layer.activation}({y})'}")
        lines += [] if layer.k is None else [f"y = top_k(y, {layer.k})"]
    return lines


def _encode(chain: Chain) -> list[str]:
    fill = [] if chain.fill is None else ['y = np.where(np.isnan(y), W["fill"], y)']
    return ["y = scaled(x)", *fill, *_forward(chain.encoder), "return y"]


def _scaled(chain: Chain) -> list[str]:
    """What the net reads, NaN included."""
    dtype, lines = f"np.{chain.dtype}", [
        "x = np.asarray(x)", *_expect("x", "x", "N_FEATURES"),
        'if x.dtype.kind not in "biuf":  # None becomes NaN, text raises ValueError',
        "    x = x.astype(float)",
    ]  # fmt: skip
    if chain.scaling is None:
        lines += ["if x.dtype == np.uint8:", f"    return x * {dtype}(1 / 255)"]
        return [*lines, f"return x.astype({dtype})"]
    lines += ["if x.dtype == np.uint8:", "    x = x * (1 / 255)"]
    return [*lines, f'return ((x - W["center"]) / W["spread"]).astype({dtype})']


def _decode(chain: Chain) -> list[str]:
    """decode, and where samples are scaled what it does before."""
    *below, last = chain.decoder
    lines = [f"y = np.asarray(z, np.{chain.dtype})", *_expect("y", "z", "CODE"),
             *_forward(tuple(below))]  # fmt: skip
    if chain.groups:
        groups = ", ".join(f"({start}, {stop})" for start, stop in chain.groups)
        link = "logits.copy()" if last.activation == "identity" else f"{last.activation}(logits)"
        lines += [
            f"logits = {_affine(last)}", f"y = {link}",
            f"for start, stop in ({groups},):  # the levels of a category each: softmax",
            "    level = logits[..., start:stop]",
            "    level = np.exp(level - level.max(axis=-1, keepdims=True))",
            "    y[..., start:stop] = level / level.sum(axis=-1, keepdims=True)",
        ]  # fmt: skip
    else:
        lines += _forward((last,))
    if chain.scaling is None:
        return _function("decode(z)", *lines, "return y")
    undo = f'(decode_scaled(z) * W["spread"] + W["center"]).astype(np.{chain.dtype})'
    inner = _function("decode_scaled(z)", *lines, "return y")
    return [*_function("decode(z)", f"return {undo}"), *inner]


def _score(chain: Chain) -> list[str]:
    decode = "decode" if chain.scaling is None else "decode_scaled"
    missing = [] if chain.fill is None else ["error[np.isnan(target)] = 0"]
    return ["target = scaled(x)", f"error = {decode}(encode(x)) - target", *missing,
            "error = error.astype(np.float64)",
            "return (error[..., None, :] @ error[..., :, None])[..., 0, 0]"]  # fmt: skip


def _arrays(chain: Chain, part: str, weights: tuple[str, bytes] | None) -> list[str]:
    """The dictionary W, of arrays of the net's dtype. Of two files one may be older than the other,
    where an export or a copy was cut off: other weights than those of the file are refused."""
    if weights is not None:
        name, content = weights
        said = (
            "{FILE} holds other weights than those of {__file__}: remove it, and export both again"
        )
        lines = [
            f"FILE = Path(__file__).with_name({name!a})", "CONTENT = FILE.read_bytes()",
            "if hashlib.sha256(CONTENT).hexdigest() != (",
            f'    "{hashlib.sha256(content).hexdigest()}"', "):",
            f'    raise ValueError(f"{said}")',
            "W = dict(np.load(io.BytesIO(CONTENT)))", "del CONTENT",
        ]  # fmt: skip
    else:
        text = base64.b85encode(packed(chain, part)).decode()
        lines = ['TEXT = """', *textwrap.wrap(text, 100, break_on_hyphens=False), '"""',
                 'W = dict(np.load(io.BytesIO(base64.b85decode(TEXT.replace("\\n", "")))))',
                 "del TEXT"]  # fmt: skip
    layer = chain.layers(part)[0]
    if layer.weight.dtype == np.float16:
        lines += ["for name, array in W.items():", "    if array.dtype == np.float16:",
                  f"        W[name] = array.astype(np.{chain.dtype})"]  # fmt: skip
    if layer.scale is not None:
        lines += ["for name in list(W):", '    if name.endswith(".weight"):',
                  '        W[name] = W[name] * W[name.replace("weight", "scale")]']  # fmt: skip
    return lines
