"""Files are read with distrust: whatever is wrong with one is a FileError of one line.

What a file claims of itself (sizes, shapes, names) is held against the file's bytes and against
what is expected of it before memory is taken. Nothing in a file is ever executed.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .files import META, FileError

Expected = Mapping[str, tuple[tuple[int, ...], str]]  # by name: shape and dtype

PIECE = 1 << 20  # bytes that are unpacked at a time
DEFLATE_RATIO = 1032  # no deflated byte stands for more (RFC 1951: 258 bytes take two bits)


@contextmanager
def errors_of(path: str | os.PathLike[str], complaint: str) -> Iterator[None]:
    """Turns what the block raises into FileError: path, complaint and the reason, in one line.

    Readers of formats raise errors of all kinds for a damaged file. FileErrors pass, and so do
    the system's errors that name their file.
    """
    try:
        yield
    except FileError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        try:
            text = str(error)
            reason = brief(text if " " in text else f"{type(error).__name__} {text}")
        except Exception:  # SystemError: of text that is no Unicode
            reason = type(error).__name__
        raise FileError(f"{path}: {complaint}: {reason}") from error


def printable(text: str) -> str:
    """In one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


def brief(text: str) -> str:
    """What a file says, in one printable line of at most 200 characters."""
    line = printable(text)
    return line if len(line) <= 200 else f"{line[:200]}..."


def read_json(path: str | os.PathLike[str], complaint: str) -> Any:
    """What a JSON text says; ``complaint`` is what FileError says of any other file."""
    with errors_of(path, complaint):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def available_memory() -> int:
    """Bytes that the machine can give; more than there are anywhere where it does not say."""
    try:
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024 * int(facts["MemAvailable"].split()[0])
    except (OSError, ValueError, LookupError):
        return sys.maxsize  # an allocation fails there as it would anywhere


def expect_memory(path: str | os.PathLike[str], n_bytes: int) -> None:
    """Raises FileError where ``n_bytes`` are more than the machine can give, if it says so."""
    available = available_memory()
    if n_bytes > available:
        raise FileError(
            f"{path}: unpacked it takes {n_bytes / 2**30:,.1f} GiB of memory, "
            f"{available / 2**30:,.1f} GiB are available"
        )


# ---- .npy --------------------------------------------------------------------------------


def read_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array of a .npy file as a read-only memory map, so that it may exceed the memory.

    Raises FileError for a damaged or foreign file and for an array of Python objects.
    """
    with open(path, "rb") as file, errors_of(path, "cannot be read as .npy file"):
        if file.peek(2)[:2] == b"PK":
            raise FileError(f"{path}: expected one array in .npy format, got an archive (.npz)")
        shape, order, dtype, n_bytes = _header(file)
        start, size = file.tell(), os.fstat(file.fileno()).st_size
        if n_bytes > size - start:
            raise ValueError(_short(shape, dtype, n_bytes, size - start))
        with np.errstate(over="ignore"):  # what overflows is an error at the end
            return np.memmap(file, dtype, "r", start, shape, order)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], Any, np.dtype[Any], int]:
    """(shape, order, dtype, bytes of data) of an array in .npy format, none of them checked
    against the data. Raises ValueError for a damaged header and for what is no plain array."""
    try:
        version = npy.read_magic(file)
        # 3.0 is for records with names beyond Latin-1
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        with warnings.catch_warnings():
            for kind in (SyntaxWarning, DeprecationWarning):  # Python's, of a damaged header
                warnings.simplefilter("ignore", kind)
            warnings.filterwarnings("ignore", "Reading `.npy`")  # NumPy's, of Python 2's headers
            shape, fortran, dtype = read(file)
        n_bytes = math.prod(shape) * dtype.itemsize
    except Exception as error:  # its text may be long, and may advise to trust the file
        raise ValueError("it is no array in .npy format, or its header is damaged") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, expected numbers or words")
    if dtype.kind == "V" or not dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"expected an array of numbers or words, got {shape} of {dtype}")
    return shape, "F" if fortran else "C", dtype, n_bytes


def _short(shape: tuple[int, ...], dtype: np.dtype[Any], n_bytes: int, size: int) -> str:
    return f"shape {shape} of {dtype} takes {n_bytes} bytes, got {size}"


# ---- .npz --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """An array in a .npz file: its header, which agrees with the zip's directory."""

    read: Callable[[], NDArray[Any]]  # raises FileError
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def npz_members(path: str | os.PathLike[str], file: IO[bytes]) -> dict[str, Member]:
    """The arrays of a .npz file by name, to be read while ``file`` is open.

    Raises FileError for members that are no arrays, have one name or do not fit into memory, and
    whatever ``zipfile`` raises: to be called within ``errors_of``.
    """
    archive, members = zipfile.ZipFile(file), {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise FileError(f"{path}: two arrays have the name {brief(repr(name))}")
        members[name] = _member(path, archive, info, name)
    expect_memory(path, sum(info.file_size for info in archive.infolist()))
    return members


def _member(
    path: str | os.PathLike[str], archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str
) -> Member:
    complaint = f"broken or foreign: cannot read array {brief(repr(name))}"
    most = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: DEFLATE_RATIO}.get(info.compress_type)
    if most is None:  # others unpack by the block, whatever its size
        raise FileError(f"{path}: {complaint}: its compression is not deflate")
    with errors_of(path, complaint), archive.open(info) as file:
        shape, order, dtype, n_bytes = _header(file)
        start = file.tell()
        if n_bytes != info.file_size - start:
            raise ValueError(_short(shape, dtype, n_bytes, info.file_size - start))
        if info.file_size > most * info.compress_size:
            raise ValueError(
                f"{info.compress_size} bytes cannot unpack to {info.file_size}, as they should"
            )

    def read() -> NDArray[Any]:
        with errors_of(path, complaint), archive.open(info) as file:
            data = np.empty(n_bytes, np.uint8)
            file.read(start)  # seeking would do without the checksum
            for at in range(0, n_bytes, PIECE):
                piece = file.read(PIECE)
                if len(piece) != len(data[at : at + PIECE]):
                    raise ValueError(_short(shape, dtype, n_bytes, at + len(piece)))
                data[at : at + PIECE] = np.frombuffer(piece, np.uint8)
            return data.view(dtype).reshape(shape, order=order)

    return Member(read, shape, dtype)


@contextmanager
def open_npz(
    path: str | os.PathLike[str], format: str, version: int
) -> Iterator[tuple[dict[str, Any], Callable[[Expected], dict[str, NDArray[Any]]]]]:
    """(meta, read) of a file that ``write_npz`` wrote with this format and version.

    ``read(expected)`` returns the arrays if their names, shapes and dtypes are just these and all
    is finite. Both raise FileError for a broken, truncated or foreign file, the first also
    FileNotFoundError.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with open(path, "rb") as file:
        with errors_of(path, f"no {format} file, or it is broken or truncated"):
            members = npz_members(path, file)
            if META not in members:
                raise FileError(f"{path} is no {format} file: it holds no tinyae meta data")
            text = members.pop(META).read()
            points = f"{text.dtype.byteorder}u4"  # Python breaks on those that are no Unicode
            if text.dtype.kind == "U" and text.ravel().view(points).max(initial=0) > sys.maxunicode:
                raise ValueError("its meta data are no Unicode")
            meta = json.loads(str(text[()]))
            found = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
            if found != format:
                raise FileError(f"{path} is no {format} file: its format is {brief(repr(found))}")
            if meta.get("version") != version:
                raise FileError(
                    f"{path} is a {format} file of version {brief(repr(meta.get('version')))}; "
                    f"this tinyae reads version {version}"
                )
        yield meta, lambda expected: _expected_arrays(path, members, expected)


def _expected_arrays(
    path: str | os.PathLike[str], members: Mapping[str, Member], expected: Expected
) -> dict[str, NDArray[Any]]:
    if set(members) != set(expected):
        missing, unknown = (
            sorted(set(expected) - set(members)),
            sorted(set(members) - set(expected)),
        )
        raise FileError(
            f"{path} does not hold the arrays that it should: missing "
            f"{brief(str(missing or 'none'))}, unknown {brief(str(unknown or 'none'))}"
        )
    for name, (shape, dtype) in expected.items():
        got = members[name]
        if got.shape != shape or got.dtype != np.dtype(dtype):
            raise FileError(
                f"{path}: {name} must have shape {shape} and dtype {dtype}, "
                f"got {brief(f'{got.shape} and {got.dtype}')}"
            )
    arrays = {name: members[name].read() for name in expected}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise FileError(f"{path}: {name} must be finite, but holds NaN or infinity")
    return arrays
