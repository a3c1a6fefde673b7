"""What the columns of a table are: features, the label, or numbers of the lines."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from ...storage.untrusted import brief, errors_of
from ..reading import Reading
from .coded import is_missing
from .dialect import GROUPED, Dialect
from .schema import Schema

log = logging.getLogger(__name__)

Line = tuple[int, list[str]]  # its number in the file and its cells

_WHOLE = re.compile(r"-?\d+(\.0*)?")
_NAMELESS = re.compile(r"(Unnamed: [\d.]+)?")  # as pandas writes an index, and reads one back


@dataclass(frozen=True)
class Layout:
    """Where a table has its header, its names, its label and its features."""

    width: int
    trailing: bool  # every line ends with an empty cell, which is no column
    header: bool
    names: list[str]  # of all columns; none without a header that names them
    label: int | None
    features: list[int]
    words: frozenset[int]  # the features that are text

    @property
    def titles(self) -> list[str]:
        """What the features are called: those without a name by their index."""
        return [(self.names[i] if self.names else "") or str(i) for i in self.features]

    def chosen(self, cells: list[str]) -> list[str]:
        """The features' cells."""
        return cells if len(self.features) == self.width else [cells[i] for i in self.features]

    def trim(self, cells: list[str]) -> None:
        if self.trailing and not cells[-1].strip():
            del cells[-1]

    def column(self, index: int) -> str:
        name = f"{brief(repr(self.names[index]))}, " if self.names else ""
        return f"column {index} ({name}counted from 0)"

    def naming(self, index: int) -> str | int:
        """What --label and --drop call it: a name that is a number would be taken for an index."""
        name = self.names[index] if self.names else ""
        return index if name.lstrip("-").isdecimal() else name or index

    def dropping(self, index: int) -> str:
        name = self.naming(index)
        return brief(f"--drop {name} (in Python: drop=[{name!r}])")


def find_layout(
    path: Path, top: list[Line], dialect: Dialect, reading: Reading, schema: Schema | None = None
) -> Layout:
    """The layout that ``top``, the first lines, show, or that ``reading`` and ``schema`` demand.

    Raises ValueError for columns that are not there, and for other ones than the schema's.
    """
    first, rows = top[0][1], [cells for _, cells in top[1:]]
    ends = all(len(cells) > 1 and not cells[-1].strip() for cells in rows or [first])
    trailing = ends and (not first[-1].strip() or len(first) + 1 == len(rows[0]))
    names = [cell.strip() for cell in first]
    if trailing and not names[-1]:
        del names[-1]
    width = len(names)
    label = None if reading.label is None else find_column(path, reading.label, names, "label")
    taken = {find_column(path, name, names, "drop") for name in reading.drop}
    if label is not None:
        taken.add(label)
    header, counted = reading.header, False
    if header is None:
        named = any(isinstance(name, str) for name in (reading.label, *reading.drop))
        known = schema is not None and {*schema.source} <= {*names}
        header = named or known or _is_header(first, rows, dialect)
        if not header and (counted := _counts(names, rows, taken)):
            header = True
            log.warning(
                "%s: the first line counts 0, 1, 2, ...: it is taken for a header, not for a "
                "sample; --no-header (in Python: header=False) reads it as a sample", path
            )  # fmt: skip
    index = _index(names if header else [], rows if header else [first, *rows], width, taken)
    if reading.index is not None:
        index = [0] if reading.index else []
    elif index:
        log.warning(
            "%s: column %s has no name and numbers the lines: left out; --no-index (in Python: "
            "index=False) keeps it", path, ", ".join(map(str, index))
        )  # fmt: skip
    named = header and not counted
    left = schema.left if schema is not None else ()
    features = [
        i for i in range(width)
        if i not in taken.union(index) and (names[i] if named else str(i)) not in left
    ]  # fmt: skip
    found = Layout(width, trailing, header, names if named else [], label, features, frozenset())
    if schema is None:
        below = _below(rows if header else [first, *rows], width)
        words = [i for i in features if width > 1 and _is_text(below[i], dialect)]
    else:
        with errors_of(path, "another table than that which was learnt from"):
            schema.expect(found.titles)
        names_of_words = {category.name for category in schema.categories}
        titles = zip(features, found.titles, strict=True)
        words = [i for i, title in titles if title in names_of_words]
    return replace(found, words=frozenset(words))


def _below(rows: list[list[str]], width: int) -> list[list[str]]:
    """The cells of each column that are not missing."""
    return [
        [cells[i].strip() for cells in rows if i < len(cells) and not is_missing(cells[i])]
        for i in range(width)
    ]


def _is_text(cells: list[str], dialect: Dialect) -> bool:
    """Whether fewer than half of the cells are numbers, or meant to be."""
    meant = sum(dialect.is_number(cell) or bool(GROUPED.fullmatch(cell)) for cell in cells)
    return 2 * meant < len(cells)


def find_column(path: Path, column: str | int, names: list[str], what: str) -> int:
    if isinstance(column, int):
        if not -len(names) <= column < len(names):
            raise ValueError(f"{path}: no {what} column {column}: there are {len(names)} columns")
        return column % len(names)
    if names.count(column) != 1:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ValueError(
            f"{path}: expected one column named {column!r} ({what}), "
            f"found {names.count(column)}; the columns are: {brief(shown)}"
        )
    return names.index(column)


def _is_header(first: list[str], rows: list[list[str]], dialect: Dialect) -> bool:
    """Whether some cell of the first line is a word where the next below it is a number.

    Where no column has numbers: whether none of its cells comes again below it.
    """
    if not first[0].strip() and first[1:] == [str(i) for i in range(len(first) - 1)]:
        return True  # an index, and columns that have no names
    number, below = dialect.is_number, _below(rows, len(first))
    if not rows:
        return not any(map(number, first))
    pairs = [(a.strip(), cells) for a, cells in zip(first, below, strict=True) if cells]
    if any(number(cells[0]) for _, cells in pairs):
        return any(not number(a) and number(b[0]) and not is_missing(a) for a, b in pairs)
    return len(pairs) > 1 < len(rows) and not any(a in cells for a, cells in pairs)


def _counts(names: list[str], rows: list[list[str]], taken: set[int]) -> bool:
    """Whether the first line is what pandas writes where columns have no names: 0, 1, 2, ..."""
    features = [i for i in range(len(names)) if i not in taken]
    count = [str(i) for i in range(2 * len(names))]
    found, n = [names[i] for i in features], len(names)
    if len(found) < 2 or found not in (count[: len(found)], [count[i] for i in features]):
        return False
    if len(found) == 2:  # two numbers tell little: all others must be no whole numbers
        below = [cells[i].strip() for cells in rows for i in features if i < len(cells)]
        return len(rows) > 2 and not any(cell.lstrip("-").isdecimal() for cell in below)
    return bool(rows) and rows[0][:n] != count[n:]  # else a table that counts on


def _index(names: list[str], rows: list[list[str]], width: int, taken: set[int]) -> list[int]:
    """The first columns that number the lines: nameless under a header, or counting without."""
    found: list[int] = []
    for i in range(width - 1):
        cells = [cells[i].strip() for cells in rows if len(cells) > i]
        if i in taken or not all(map(_WHOLE.fullmatch, cells)):
            break
        numbers = [*map(float, cells)]
        if names:  # in any order, and twice: parts of tables keep their numbers, also side by side
            tells = bool(_NAMELESS.fullmatch(names[i]))
        else:
            tells = i == 0 and len(numbers) > 2 and all(b - a == 1 for a, b in pairwise(numbers))
        if not tells:
            break
        found.append(i)
    return found
