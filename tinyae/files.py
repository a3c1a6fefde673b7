"""Files that are whole or absent: written aside, synced, renamed."""

from __future__ import annotations

import glob
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .kinds import Kind, kind_of
from .locks import lock

META = "meta"  # the member that holds a JSON text: format, version and everything not an array


class FileError(ValueError):
    """A file that is broken, truncated or not what was asked for."""


# Whether a file of another kind is replaced too: what the command's --force sets.
replacing: ContextVar[bool] = ContextVar("replacing", default=False)


def write_atomically(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Calls ``write(file)`` on a temporary file beside ``path``, syncs it and renames it.

    Whenever the process dies, ``path`` holds the old content or the new, never a part. A file that
    is replaced gives its permissions to the new one; a link is replaced, not what it points to.
    Raises what ``expect_replaceable`` does, and OSError that names ``path``.
    """
    path = Path(path)
    old = expect_replaceable(path)
    name = ""
    try:
        _remove_left_behind(path)
        with _temporary(path) as file:
            name = file.name
            if old is not None:
                with suppress(OSError):  # not every file system has permissions
                    os.chmod(name, old.st_mode & 0o777)
            write(file)
            file.flush()
            if old is not None:
                expect_replaceable(path, kind_of(Path(name), path.suffix))
            os.fsync(file.fileno())
            if os.name == "nt":  # elsewhere it stays locked until it has its name
                file.close()
            os.replace(name, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno is None:  # Pillow's own
            raise OSError(f"cannot write {path}: {error} (is the disk full?)") from error
        if error.filename is not None and not str(error.filename).endswith(".tmp"):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        if name:
            Path(name).unlink(missing_ok=True)


def expect_replaceable(path: Path, kind: Kind | None = None) -> os.stat_result | None:
    """What there is at ``path``; None where nothing would be lost.

    Raises FileNotFoundError without its folder, PermissionError where it is write-protected, and
    FileError where it is no ordinary file or, unless ``replacing``, of another kind.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    try:
        old = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(old.st_mode):
        raise FileError(f"cannot write {path}: it is a {'folder' if path.is_dir() else 'device'}")
    if not old.st_mode & 0o222:
        raise PermissionError(f"cannot write {path}: it is write-protected")
    if kind is not None and old.st_size and not replacing.get():
        found = kind_of(path, path.suffix)
        if not found.fits(kind):
            raise FileError(
                f"{path} holds {found}, not {kind}, and stays as it is: remove it, or choose "
                "another name (on the command line --force replaces it)"
            )
    return old


def _temporary(path: Path) -> IO[bytes]:
    """A new file beside ``path``, locked: it is in use."""
    while True:
        name = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        # not "xb": into such a file NumPy writes past Python, and misses that the disk is full
        file = open(name, "x+b")  # noqa: SIM115
        mine = True
        try:
            lock(file)
        except OSError as error:  # some file systems know no locks
            mine = not isinstance(error, BlockingIOError)
        if mine and os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # it was taken for one that was left behind


def _remove_left_behind(path: Path) -> None:
    """Removes the temporary files of processes that were killed while they wrote ``path``."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):  # one that is in use cannot be locked
            if stat.S_ISREG(left.lstat().st_mode):
                with open(left, "rb") as file:
                    lock(file)
                    left.unlink()


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
