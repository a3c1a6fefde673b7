"""Kinds of files: a file is replaced by one of its own kind alone."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

HEAD = 1 << 16  # bytes that are looked at
LARGEST_JSON = 1 << 26
MAGIC = {b"\x89PNG\r\n\x1a\n": "a picture (.png)", b"\x93NUMPY": "an array (.npy)"}


class Kind(NamedTuple):
    what: str
    names: frozenset[str] = frozenset()  # of members, keys or columns

    def fits(self, other: Kind) -> bool:
        """Another version of tinyae may have added names, or left some out."""
        return self.what == other.what and (self.names <= other.names or self.names >= other.names)

    def __str__(self) -> str:
        shown = sorted(self.names)
        more = ", ..." if len(shown) > 6 else ""
        return f"{self.what} of {', '.join(shown[:6])}{more}" if shown else self.what


def tinyae_kind(format: str) -> Kind:
    """Of what ``files.write_npz`` writes."""
    return Kind(f"a {format} file")


def kind_of(path: Path, suffix: str) -> Kind:
    """What the file ``path`` holds, where its name ends, or is to end, in ``suffix``."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
        for magic, what in MAGIC.items():
            if head.startswith(magic):
                return Kind(what)
        if head.startswith(b"PK"):
            # so begins what write_npz writes, in four bytes a letter: of a damaged file too
            start = head[:2048].replace(b"\0", b"").decode("latin-1")
            found = re.search(r'meta\.npy.*{"format": "([\w-]+)"', start, re.DOTALL)
            return tinyae_kind(found[1]) if found else _archive(file)
        if b"\0" in head:
            return Kind("bytes that tinyae does not know")
        if suffix == ".json":
            return _json(head + file.read(LARGEST_JSON))
    if suffix == ".csv":
        return _table(head)
    return Kind("text")


def _archive(file: IO[bytes]) -> Kind:
    try:
        with zipfile.ZipFile(file) as archive:
            return Kind("an archive", frozenset(archive.namelist()))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return Kind("a broken archive")


def _json(text: bytes) -> Kind:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Kind("text that is no JSON")
    return Kind("a JSON object", frozenset(value)) if isinstance(value, dict) else Kind("JSON")


def _table(head: bytes) -> Kind:
    """By its first line: numbers, or the names of columns."""
    line, *rest = head.decode(errors="replace").splitlines() or [""]
    cells = line.split(",")
    try:
        for cell in cells[:-1] if len(head) == HEAD and not rest else cells:  # it may be cut
            float(cell)
    except ValueError:
        return Kind("a table", frozenset(cells))
    return Kind("lines of numbers")
