"""Files that are whole or absent: written aside, synced, renamed."""

from __future__ import annotations

import json
import os
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
