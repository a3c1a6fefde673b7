"""Kinds of files: a file is replaced by one of its own kind alone."""

from __future__ import annotations

import json
import re
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

HEAD = 1 << 16  # bytes that are looked at
LARGEST_JSON = 1 << 26
MAGIC = {b"\x89PNG\r\n\x1a\n": "a picture (.png)", b"\x93NUMPY": "an array (.npy)"}
NPY = re.compile(rb"\x93NUMPY.*'descr': '([<>|=\w]+)'.*'shape': \(([0-9, ]*)\)", re.DOTALL)


class Kind(NamedTuple):
    what: str
    names: frozenset[str] = frozenset()  # of members, keys or columns

    def fits(self, other: Kind) -> bool:
        """Another version of tinyae may have added names, or left some out."""
        return self.what == other.what and (self.names <= other.names or self.names >= other.names)

    def __str__(self) -> str:
        shown = [repr(name)[1:-1][:60] for name in sorted(self.names)[:6]]
        shown += ["..."] if len(self.names) > 6 else []
        return f"{self.what} of {', '.join(shown)}" if shown else self.what


MARK = b"exported by tinyae"  # in the first line of a net in another language
EXPORT = Kind("a tinyae export")


def tinyae_kind(format: str) -> Kind:
    """Of what ``files.write_npz`` writes."""
    return Kind(f"a {format} file")


def kind_of(path: Path, suffix: str) -> Kind:
    """What the file ``path`` holds, where its name ends, or is to end, in ``suffix``."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
        if head.startswith(b"PK"):
            # so begins what write_npz writes, in four bytes a letter: of a damaged file too
            start = head[:2048].replace(b"\0", b"").decode("latin-1")
            if found := re.search(r'meta\.npy.*{"format": "([\w-]+)"', start, re.DOTALL):
                return tinyae_kind(found[1])
            with suppress(Exception), zipfile.ZipFile(file) as archive:  # it may raise anything
                names = frozenset(archive.namelist())
                return EXPORT if archive.comment == MARK else Kind("an archive", names)
            return Kind("a broken archive")
        if array := NPY.match(head):  # what tinyae writes has two dimensions and a net's dtype
            n = len(re.findall(rb"[0-9]+", array[2]))
            return Kind(f"a {n}-D array of {array[1].decode()} (.npy)")
        for magic, what in MAGIC.items():
            if head.startswith(magic):
                return Kind(what)
        if MARK in head[:80]:
            return EXPORT
        if b"\0" in head:
            return Kind("bytes that tinyae does not know")
        if suffix == ".json":
            with suppress(ValueError, RecursionError):
                keys = json.loads(head + file.read(LARGEST_JSON))
                if isinstance(keys, dict):
                    return Kind("a JSON object", frozenset(keys))
    if suffix == ".csv":
        line = head.decode(errors="replace").split("\n")[0].rstrip("\r")
        cells = line.split(",")
        with suppress(ValueError):
            for cell in cells[:-1] if len(line) == HEAD else cells:  # the last one may be cut
                float(cell)
            return Kind("lines of numbers")
        return Kind("a table", frozenset(cells))
    return Kind("text")
