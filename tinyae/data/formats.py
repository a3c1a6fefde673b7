"""Readers of array files: .npz and .csv; of .npy: ``reading.read_npy``.

A reader returns what the file holds, in its own dtype and shape; ``datasets`` makes rows, parts
and labels of it. Each error names the file, what was expected there and what was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from ..files import FileError
from ..reading import brief, npz_members, reading

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Samples (n, ...) as they are stored, and their n labels: numbers, words or none."""

    samples: Array
    labels: Array | None = None


# What a source holds: the training part, and the test part where it has one of its own.
Parts = tuple[Part, Part | None]


def read_npz(path: Path) -> Parts:
    """The arrays of a .npz file, by these names (in upper or lower case):

    x_train and, if they are there, y_train, x_test, y_test; or x and y; or one array alone,
    whatever its name. Raises FileError, with the names found, for all else.
    """
    with open(path, "rb") as file, reading(path, "cannot be read as .npz file"):
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


def read_csv(path: Path, label: str | int | None = None) -> Part:
    """A table of numbers: samples float64 (n, columns), without the label column if there is one.

    ``label`` is that column's name or its index from 0 (negative: from the end); labels may
    be words. The first line is a header if some cell of it is no number where the next line
    has one. Cells are separated by commas; empty lines are skipped.
    Raises ValueError, with the line, for lines of different lengths and cells that are no
    numbers, and for a label column that is not there.
    """
    from array import array

    values = array("d")
    labels: list[str] = []
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = _cells(path, file)
        top = list(islice(lines, 2))
        if not top:
            raise ValueError(f"{path}: expected lines of numbers, got an empty file")
        first = top[0][1]
        width = len(first)
        header = isinstance(label, str) or _is_header(top)
        column = None if label is None else _label_column(path, label, first)
        if header:
            top = top[1:]
        for number, cells in chain(top, lines):
            if len(cells) != width:
                raise ValueError(
                    f"{path}, line {number}: expected {width} cells as in the first line, "
                    f"got {len(cells)}"
                )
            if column is not None:
                labels.append(cells[column].strip())
                if not labels[-1]:
                    raise ValueError(f"{path}, line {number}: the label (cell {column}) is empty")
                del cells[column]
            try:
                values.extend(map(float, cells))
            except ValueError:
                raise _bad_cell(path, number, cells, column) from None
    n_features = width - (column is not None)
    n = len(labels) if column is not None else len(values) // width
    samples = np.frombuffer(values, np.float64) if values else np.empty(0)
    return Part(samples.reshape(n, n_features), _numbers(labels) if column is not None else None)


def _cells(path: Path, file: Any) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not empty."""
    import csv

    reader = csv.reader(file)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except (csv.Error, UnicodeDecodeError) as error:
        where = f"after line {reader.line_num}"
        raise ValueError(f"{path}, {where}: cannot be read as .csv file: {error}") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_header(top: list[tuple[int, list[str]]]) -> bool:
    if len(top) < 2:
        return not any(_is_number(cell) for cell in top[0][1])
    (_, first), (_, second) = top
    return any(not _is_number(a) and _is_number(b) for a, b in zip(first, second, strict=False))


def _label_column(path: Path, label: str | int, first: list[str]) -> int:
    if isinstance(label, int):
        if not -len(first) <= label < len(first):
            raise ValueError(f"{path}: no label column {label}: there are {len(first)} columns")
        return label % len(first)
    names = [cell.strip() for cell in first]
    if names.count(label) != 1:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ValueError(
            f"{path}: expected one column named {label!r} (label) in the first line, "
            f"found {names.count(label)}; the columns are: {brief(shown)}"
        )
    return names.index(label)


def _bad_cell(path: Path, number: int, cells: list[str], column: int | None) -> ValueError:
    at = next(i for i, cell in enumerate(cells) if not _is_number(cell))
    index = at + (column is not None and at >= column)  # as the file counts
    return ValueError(
        f"{path}, line {number}: expected a number in column {index} (counted from 0), "
        f"got {cells[at]!r}. Cells are separated by commas; "
        "a column of words can only be the label"
    )


def _numbers(labels: list[str]) -> Array:
    """Labels as integers if all are, else as float64 if all are numbers, else as words."""
    for kind in (int, float):
        try:
            return np.array([kind(text) for text in labels], np.int64 if kind is int else None)
        except (ValueError, OverflowError):
            continue
    return np.array(labels)
