"""IDX, the format of MNIST: a magic number, the dimensions, the values, all big-endian.

LeCun, Cortes and Burges: "The MNIST database of handwritten digits", yann.lecun.com/exdb/mnist
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formats import Part, Parts

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# train-images-idx3-ubyte, emnist-letters-train-images-idx3-ubyte.gz, train-images.idx3-ubyte
_IMAGES = re.compile(r"(?P<head>.*)images(?P<dot>[-.])idx\d-ubyte(\.gz)?")


def read_idx(path: Path) -> NDArray[Any]:
    """The array of an IDX file, gzipped or not: its own shape, native byte order, read-only.

    Raises ValueError for what is no IDX file, for a truncated one and for surplus bytes.
    """
    data = _content(path)
    if len(data) < 4 or data[0] or data[1] or data[2] not in DTYPES or not data[3]:
        raise ValueError(
            f"{path}: no IDX file: expected to start with two zero bytes, a type "
            f"({', '.join(f'{code:02x}' for code in DTYPES)}) and the number of dimensions, "
            f"got {data[:4].hex(' ') or 'nothing'}"
        )
    dtype = np.dtype(DTYPES[data[2]])
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise ValueError(f"{path}: truncated: {data[3]} dimensions are announced, but missing")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", data[3], 4))
    expected = start + dtype.itemsize * math.prod(shape)
    if len(data) != expected:
        what = "truncated" if len(data) < expected else "too long"
        raise ValueError(
            f"{path}: {what}: shape {shape} of {dtype.name} takes {expected} bytes with the "
            f"header, got {len(data)}"
        )
    values = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _content(path: Path) -> bytes:
    # by content, not by name: browsers unpack downloads and leave them their name
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    import gzip
    import zlib

    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated gzip file: {error}") from error


def read_idx_parts(path: Path) -> Parts:
    """An IDX file of samples with what lies beside it, found by MNIST's names.

    X-images-idx3-ubyte brings its labels X-labels-idx1-ubyte; train-images-... brings the
    test part t10k-images-... (or test-images-...) as well. Each may be gzipped or not.
    """
    match = _IMAGES.fullmatch(path.name)
    if match is None:
        return Part(read_idx(path)), None
    before, train, after = match["head"].rpartition("train")
    if train:
        for word in ("t10k", "test"):
            test = _beside(path, f"{before}{word}{after}", "images", match["dot"])
            if test is not None:
                return _labelled(path), _labelled(test)
    return _labelled(path), None


def find_idx(folder: Path) -> Path | None:
    """The folder's one IDX file of (training) images by MNIST's names; None if it has none.

    Raises ValueError if there are several.
    """
    heads: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _IMAGES.fullmatch(path.name)
        if match is not None:
            heads.setdefault(match["head"], path)  # one of x and x.gz
    paths = [path for head, path in heads.items() if "train" in head] or list(heads.values())
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise ValueError(f"{folder}: several IDX files of images: pass the path of one: {names}")
    return paths[0] if paths else None


def _labelled(path: Path) -> Part:
    match = _IMAGES.fullmatch(path.name)
    assert match is not None
    labels = _beside(path, match["head"], "labels", match["dot"])
    return Part(read_idx(path), None if labels is None else read_idx(labels))


def _beside(path: Path, head: str, what: str, dot: str) -> Path | None:
    """head + what + "-idx<dimensions>-ubyte" in path's folder, gzipped or not."""
    pattern = re.compile(rf"{re.escape(head)}{what}{re.escape(dot)}idx\d-ubyte(\.gz)?")
    found = [other for other in path.parent.iterdir() if pattern.fullmatch(other.name)]
    # if both are there: gzipped beside gzipped
    return min(found, key=lambda other: (other.suffix != path.suffix, other.name), default=None)
