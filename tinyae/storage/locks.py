"""Locks that end with the process that holds them, however it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

SUFFIX = ".tinyae-lock"


def lock(file: IO[Any]) -> None:
    """Locks an open file until it is closed.

    Raises BlockingIOError where it is locked already, by this process or another, and another
    OSError where the file system knows no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file.fileno(), 1 << 30, os.SEEK_SET)  # a byte that nobody reads or writes
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None
        finally:
            os.lseek(file.fileno(), 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def held(path: str | os.PathLike[str]) -> Iterator[None]:
    """A file, or a folder that is there, for the block alone: nobody else can hold it meanwhile.

    What is locked is a file of its own, which goes with the block. One that a killed process left
    behind is taken over. Where the file system knows no locks, nobody is held back. Raises
    BlockingIOError that names the process that holds ``path``, be it this one.
    """
    path = Path(path)
    name = path / SUFFIX if path.is_dir() else path.with_name(f".{path.name}{SUFFIX}")
    with _taken(name, path):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps the file, as it is open; it is nobody's then
                name.unlink()


def _taken(name: Path, path: Path) -> IO[bytes]:
    """The locked file."""
    import platform

    while True:
        # O_NOFOLLOW: where somebody put a link, what it points to stays as it is
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        file = open(os.open(name, flags, 0o666), "r+b", buffering=0)  # noqa: SIM115
        holder = file.read(200).decode(errors="replace")
        try:
            lock(file)
        except BlockingIOError:
            file.close()
            raise BlockingIOError(
                f"{path} is in use by {holder or 'another process'}: wait for its end"
            ) from None
        except OSError:
            pass  # no locks here
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(name)):
                break
        file.close()  # whoever held it has ended and removed it meanwhile
    with suppress(OSError):  # a full disk costs the name alone
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}".encode())
    return file
