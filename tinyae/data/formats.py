"""Readers of array files: .npy and .npz.

A reader returns what the file holds, in its own dtype and shape; ``datasets`` makes rows, parts
and labels of it. Each error names the file, what was expected there and what was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Samples (n, ...) as they are stored, and their n labels: numbers, words or none.

    columns: the features' names, where a table has names.
    """

    samples: Array
    labels: Array | None = None
    columns: tuple[str, ...] | None = None


# What a source holds: the training part, and the test part where it has one of its own.
Parts = tuple[Part, Part | None]


def read_npy(path: Path) -> Array:
    """The array of a .npy file as a read-only memory map, so that it may exceed the memory.

    Raises ValueError for a damaged or foreign file and for an array of Python objects.
    """
    array = _load(path, path, "r")
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(f"{path}: expected one array in .npy format, got an archive (.npz)")
    return array


def read_npz(path: Path) -> Parts:
    """The arrays of a .npz file, by these names (in upper or lower case):

    x_train and, if they are there, y_train, x_test, y_test; or x and y; or one array alone,
    whatever its name. Raises ValueError, with the names found, for all else.
    """
    with open(path, "rb") as file:  # np.load would leave a damaged archive open
        archive = _load(path, file, None)
        if isinstance(archive, np.ndarray):
            raise ValueError(f"{path}: expected an archive of arrays (.npz), got one array (.npy)")
        found = archive.files
        keys = {key.lower(): key for key in found}

        def get(name: str) -> Array:
            try:
                array: Array = archive[keys[name]]
            except Exception as error:  # a damaged file: zlib's, zipfile's or NumPy's own
                raise ValueError(f"{path}: cannot read array {keys[name]!r}: {error}") from error
            if not isinstance(array, np.ndarray):  # some other file within the archive
                raise ValueError(f"{path}: {keys[name]!r} is no array")
            return array

        def part(x: str, y: str) -> Part:
            return Part(get(x), get(y) if y in keys else None)

        if len(keys) == len(found):
            if len(found) == 1:
                return Part(get(next(iter(keys)))), None
            if set(keys) == {"x", "y"}:
                return part("x", "y"), None
            if "x_test" in keys:
                if {"x_train"} <= set(keys) <= {"x_train", "y_train", "x_test", "y_test"}:
                    return part("x_train", "y_train"), part("x_test", "y_test")
            elif set(keys) == {"x_train", "y_train"}:
                return part("x_train", "y_train"), None
    raise ValueError(
        f"{path}: expected the arrays x_train (y_train, x_test, y_test), or x and y, or a single "
        f"one; found {', '.join(found) if found else 'none'}"
    )


def _load(path: Path, source: Any, mmap_mode: Any) -> Any:
    from zipfile import BadZipFile

    try:
        return np.load(source, mmap_mode=mmap_mode, allow_pickle=False)
    except (ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read as {path.suffix} file: {error}") from error
