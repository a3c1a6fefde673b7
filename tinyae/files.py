"""Files that are whole or absent: written aside, synced, renamed; read with distrust."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

META = "meta"  # the member that holds a JSON text: format, version and everything not an array


class FileError(ValueError):
    """A file that is broken, truncated or not what was asked for."""


def write_atomically(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Calls ``write(file)`` on a temporary file beside ``path``, syncs it and renames it.

    Whenever the process dies, ``path`` holds the old content or the new, never a part.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename in it survive a power cut, where the system can sync folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_npz(
    path: str | os.PathLike[str],
    format: str,
    version: int,
    meta: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    """A .npz (plain zip of .npy) with the arrays and, as JSON text, the meta data."""
    text = json.dumps({"format": format, "version": version, **meta})
    members: dict[str, Any] = {META: np.array(text), **arrays}
    write_atomically(path, lambda f: np.savez(f, **members))


def read_npz(
    path: str | os.PathLike[str], format: str, version: int
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """(meta, arrays) of a file that ``write_npz`` wrote with this format and version.

    Raises FileNotFoundError, or FileError for a broken, truncated or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with open(path, "rb") as file:  # by name, np.load would leave a broken file open
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray) or META not in archive.files:
                raise FileError(f"{path} is no {format} file: it holds no tinyae meta data")
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(str(arrays.pop(META)[()]))
    except FileError:
        raise
    except (
        OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error,
        NotImplementedError, MemoryError,
    ) as error:  # fmt: skip
        raise FileError(
            f"{path} is no {format} file, or it is broken or truncated ({error})"
        ) from error
    if not isinstance(meta, dict) or meta.get("format") != format:
        found = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
        raise FileError(f"{path} is no {format} file: its format is {found!r}")
    if meta.get("version") != version:
        raise FileError(
            f"{path} is a {format} file of version {meta.get('version')!r}; "
            f"this tinyae reads version {version}"
        )
    return meta, arrays


def expect_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, NDArray[Any]],
    expected: Mapping[str, tuple[tuple[int, ...], str]],
) -> None:
    """Raises FileError unless the names, shapes and dtypes are just these and all is finite."""
    if set(arrays) != set(expected):
        missing, unknown = set(expected) - set(arrays), set(arrays) - set(expected)
        raise FileError(
            f"{path} does not hold the arrays that it should: "
            f"missing {sorted(missing) or 'none'}, unknown {sorted(unknown) or 'none'}"
        )
    for name, (shape, dtype) in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.dtype(dtype):
            raise FileError(
                f"{path}: {name} must have shape {shape} and dtype {dtype}, "
                f"got {array.shape} and {array.dtype}"
            )
        if not np.isfinite(array).all():
            raise FileError(f"{path}: {name} must be finite, but holds NaN or infinity")
