"""IDX, the format of MNIST: a magic number, the dimensions, the values, all big-endian.

LeCun, Cortes and Burges: "The MNIST database of handwritten digits", yann.lecun.com/exdb/mnist
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import FileError
from ..untrusted import DEFLATE_RATIO, brief, errors_of, expect_memory
from .formats import Part, Parts

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# train-images-idx3-ubyte, emnist-letters-train-images-idx3-ubyte.gz, train-images.idx3-ubyte
_IMAGES = re.compile(r"(?P<head>.*)images(?P<dot>[-.])idx\d-ubyte(\.gz)?")


def read_idx(path: Path) -> NDArray[Any]:
    """The array of an IDX file, gzipped or not: its own shape, native byte order, read-only.

    Raises FileError for what is no IDX file, for a truncated one and for surplus bytes.
    """
    import gzip

    with open(path, "rb") as stored, errors_of(path, "damaged or truncated gzip or IDX file"):
        # by content, not by name: browsers unpack downloads and leave them their name
        zipped = stored.peek(2)[:2] == b"\x1f\x8b"
        file = gzip.GzipFile(fileobj=stored) if zipped else stored
        head = file.read(4)
        if len(head) < 4 or head[0] or head[1] or head[2] not in DTYPES or not head[3]:
            raise FileError(
                f"{path}: no IDX file: expected to start with two zero bytes, a type "
                f"({', '.join(f'{code:02x}' for code in DTYPES)}) and the number of dimensions, "
                f"got {head.hex(' ') or 'nothing'}"
            )
        dtype, sizes = np.dtype(DTYPES[head[2]]), file.read(4 * head[3])
        if len(sizes) < 4 * head[3]:
            raise FileError(f"{path}: truncated: {head[3]} dimensions are announced, but missing")
        shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
        start, n_bytes = 4 + len(sizes), dtype.itemsize * math.prod(shape)
        size, data = os.fstat(stored.fileno()).st_size, b""
        if n_bytes <= size * (DEFLATE_RATIO if zipped else 1):
            expect_memory(path, n_bytes)
            data = file.read(n_bytes + 1)  # one more: at its end gzip compares the checksum
        if len(data) != n_bytes:
            raise FileError(
                f"{path}: {'truncated' if len(data) < n_bytes else 'too long'}: shape "
                f"{brief(str(shape))} of {dtype.name} takes {start + n_bytes} bytes with the "
                f"header, got {start + len(data) if zipped and data else size}"
            )
        values = np.frombuffer(data, dtype).reshape(shape)
        return values.astype(dtype.newbyteorder("="), copy=False)


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
