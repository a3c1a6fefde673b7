"""``Autoencoder.export``: which file a net becomes, and what may be asked of it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..storage.files import expect_replaceable, write_atomically
from ..storage.kinds import EXPORT
from . import c_file, numpy_file, onnx_file, safetensors_file
from .chain import PARTS, QUANTIZED, Chain, chain_of, quantized

if TYPE_CHECKING:
    from ..estimator import Autoencoder

SUFFIXES = {"numpy": ".py", "c": ".h", "onnx": ".onnx", "safetensors": ".safetensors"}
LARGEST_WITHIN = 1 << 20  # bytes of packed weights that a Python file holds itself


def export(
    ae: Autoencoder, path: str | os.PathLike[str], *, to: str | None = None, part: str = "all",
    quantize: str | None = None, prefix: str = "net",
    weights: str | os.PathLike[str] | None = None, names: Sequence[str] = (),
) -> list[Path]:  # fmt: skip
    """See ``Autoencoder.export``; ``names`` of the features where the autoencoder has none."""
    path = Path(path)
    chain = chain_of(ae)
    chain = chain._replace(names=chain.names or tuple(names))
    to = _format(path, to)
    for name, value, known in (("part", part, PARTS), ("quantize", quantize, (None, *QUANTIZED))):
        if value not in known:
            raise ValueError(f"{name} must be of {', '.join(map(str, known))}, got {value!r}")
    if quantize is not None:
        chain = quantized(chain, quantize)
    if to != "numpy":
        if weights is not None:
            raise ValueError(
                f"weights={os.fspath(weights)!r} is for to='numpy': to={to!r} has them within"
            )
        return [_write(path, _other(ae, chain, to, part, prefix))]
    packed = numpy_file.packed(chain, part)
    if weights is None and len(packed) > LARGEST_WITHIN:
        weights = path.with_suffix(".npz")
    if weights is None:
        return [_write(path, numpy_file.source(chain, part, None).encode())]
    archive = Path(weights)
    if archive.suffix != ".npz" or archive.parent.resolve() != path.parent.resolve():
        raise ValueError(f"weights must be a .npz in the folder of {path}, got {archive}")
    text = numpy_file.source(chain, part, (archive.name, packed)).encode()
    expect_replaceable(path, EXPORT)
    return [_write(archive, packed), _write(path, text)]


def _other(ae: Autoencoder, chain: Chain, to: str, part: str, prefix: str) -> bytes:
    """The whole file of a format other than "numpy"."""
    if to == "c":
        return c_file.source(chain, part, prefix).encode()
    if to == "safetensors":
        return safetensors_file.content(chain, part)
    about = {"tinyae": __version__, "seed": str(ae.seed_), "widths": chain.widths, "part": part}
    if chain.names:
        about["names"] = json.dumps(chain.names)
    return onnx_file.content(chain, part, about)


def _format(path: Path, to: str | None) -> str:
    by_suffix = {suffix: name for name, suffix in SUFFIXES.items()}
    if to is None and path.suffix not in by_suffix:
        raise ValueError(f"{path} must end in {' or '.join(by_suffix)}, or say to=...")
    to = to or by_suffix[path.suffix]
    if to not in SUFFIXES:
        raise ValueError(f"to must be of {', '.join(SUFFIXES)}, got {to!r}")
    if path.suffix != SUFFIXES[to]:
        raise ValueError(f"to={to!r} makes a {SUFFIXES[to]} file, got {path}")
    return to


def _write(path: Path, content: bytes) -> Path:
    expect_replaceable(path, EXPORT)
    write_atomically(path, lambda file: file.write(content))
    return path
