"""Readers of array files: .npz; of .npy: ``untrusted.read_npy``.

A reader returns what the file holds, in its own dtype and shape; ``datasets`` makes rows, parts
and labels of it. Each error names the file, what was expected there and what was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from ..storage.files import FileError
from ..storage.untrusted import brief, errors_of, npz_members

if TYPE_CHECKING:
    from .tables.schema import Schema

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Samples (n, ...) as they are stored, and their n labels: numbers, words or none.

    columns: the features' names, where a table has names. schema: what its columns are, where
    some of them are not numbers.
    """

    samples: Array
    labels: Array | None = None
    columns: tuple[str, ...] | None = None
    schema: Schema | None = None


# What a source holds: the training part, and the test part where it has one of its own.
Parts = tuple[Part, Part | None]


def read_npz(path: Path) -> Parts:
    """The arrays of a .npz file, by these names (in upper or lower case):

    x_train and, if they are there, y_train, x_test, y_test; or x and y; or one array alone,
    whatever its name. Raises FileError, with the names found, for all else.
    """
    with open(path, "rb") as file, errors_of(path, "cannot be read as .npz file"):
        if file.peek(6)[:6] == MAGIC_PREFIX:
            raise FileError(f"{path}: expected an archive of arrays (.npz), got one array (.npy)")
        found = npz_members(path, file)
        members = {name.lower(): member for name, member in found.items()}

        def part(x: str, y: str) -> Part:
            return Part(members[x].read(), members[y].read() if y in members else None)

        if len(members) == len(found):
            if len(found) == 1:
                return Part(next(iter(members.values())).read()), None
            if set(members) == {"x", "y"}:
                return part("x", "y"), None
            if "x_test" in members:
                if {"x_train"} <= set(members) <= {"x_train", "y_train", "x_test", "y_test"}:
                    return part("x_train", "y_train"), part("x_test", "y_test")
            elif set(members) == {"x_train", "y_train"}:
                return part("x_train", "y_train"), None
    raise FileError(
        f"{path}: expected the arrays x_train (y_train, x_test, y_test), or x and y, or a single "
        f"one; found {brief(', '.join(found)) or 'none'}"
    )
