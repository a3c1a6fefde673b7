"""What the columns of a table are: numbers, or categories with their levels; and back to a table.

The matrix of a table has the columns of numbers first, and then for each category a group of
columns, one for each level, of which the one of the row's level is 1 and all others are 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ...storage.untrusted import brief
from .coded import (
    MOST_LEVELS,
    OTHER,
    Array,
    Column,
    Unusable,
    Words,
    as_codes,
    as_numbers,
    coded,
    holds_numbers,
    listed,
    shown,
)

RARE, RARE_SHARE = 10, 0.02  # a level in fewer rows than both is rare
MOST = 100  # levels of a category, without the one that pools the others
FEW_ROWS = 20  # in fewer, texts that are all different may still be levels

_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{2}|\d{4}))([T ].*)?"
    r"|\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?"
)


@dataclass(frozen=True)
class Category:
    """A column of levels; ``other``: the last of them, "(other)", pools the rare ones."""

    name: str
    levels: tuple[str, ...]
    other: bool = False


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in its order, and the names of those that were left out of it.

    Raises ValueError for what cannot be learnt from a table.
    """

    columns: tuple[str | Category, ...]  # a name alone: numbers
    left: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [*self.source, *self.left]
        if not self.columns or len({*names}) != len(names):
            raise ValueError("a schema must have columns, each of another name")
        for category in self.categories:
            n = len({*category.levels})
            if (
                n < 2
                or n != len(category.levels)
                or category.other > (category.levels[-1] == OTHER)
            ):
                raise ValueError(
                    f"column {shown(category.name)}: expected two levels or more, each of another "
                    f"name, the last of them {OTHER!r} if it pools others"
                )

    @property
    def source(self) -> tuple[str, ...]:
        """The names of the table's columns, in its order, without those that were left out."""
        return tuple(c.name if isinstance(c, Category) else c for c in self.columns)

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if isinstance(column, str))

    @property
    def categories(self) -> tuple[Category, ...]:
        return tuple(column for column in self.columns if isinstance(column, Category))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the matrix' columns: "age", "colour=blue", "colour=red"..."""
        levels = (f"{c.name}={level}" for c in self.categories for level in c.levels)
        return (*self.numbers, *levels)

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """(start, stop) of each category's columns in the matrix."""
        sizes = (len(category.levels) for category in self.categories)
        return tuple(pairwise(accumulate(sizes, initial=len(self.numbers))))

    @property
    def width(self) -> int:
        """The matrix' columns."""
        return len(self.numbers) + sum(len(category.levels) for category in self.categories)

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dicts and text, for ``from_json``."""
        return {
            "columns": [
                c if isinstance(c, str)
                else {"name": c.name, "levels": [*c.levels], "other": c.other}
                for c in self.columns
            ],
            "left": [*self.left],
        }  # fmt: skip

    @classmethod
    def from_json(cls, json: Any) -> Schema:
        """Raises ValueError for what ``to_json`` cannot have made."""
        found = _fields(json, {"columns": list, "left": list})
        columns: list[str | Category] = []
        for column in found["columns"]:
            if isinstance(column, str):
                columns.append(_text(column))
            else:
                own = _fields(column, {"name": str, "levels": list, "other": bool})
                levels = tuple(map(_text, own["levels"]))
                columns.append(Category(_text(own["name"]), levels, own["other"]))
        return cls(tuple(columns), tuple(map(_text, found["left"])))

    def expect(self, names: Sequence[str]) -> None:
        """Raises ValueError for other columns than those of the schema, or in another order.

        As scikit-learn does. Those that were left out may be there, anywhere, or not.
        """
        found = [name for name in names if name not in self.left]
        if found == [*self.source]:
            return
        missing, unknown = (
            list((Counter(a) - Counter(b)).elements())
            for a, b in ((self.source, found), (found, self.source))
        )
        if missing or unknown:
            parts = ("missing", missing), ("unknown", unknown)
            what = ", ".join(f"{word} {listed(names)}" for word, names in parts if names)
        else:
            a, b = next((a, b) for a, b in zip(self.source, found, strict=True) if a != b)
            what = f"{shown(b)} stands in the place of {shown(a)}"
        raise ValueError(
            f"the columns must be those that were learnt from, in the same order: {what}"
        )

    def matrix(self, columns: Iterable[tuple[str, Any]], say: bool = True) -> Array:
        """float64 (n, width) of the (name, column) pairs of a table.

        NaN for a number that is missing, and in a whole group for a level that is. A level that
        was not kept is "(other)" where there is one, else missing; with ``say`` a warning is
        logged, one a column. Raises ValueError for columns that do not fit, and for infinity.
        """
        pairs = [*columns]
        self.expect([name for name, _ in pairs])
        found = {name: coded(column) for name, column in pairs if name not in self.left}
        n = len(next(iter(found.values())))
        if any(len(column) != n for column in found.values()):
            raise ValueError("the columns must be of one length")
        out = np.zeros((n, self.width))
        for j, name in enumerate(self.numbers):
            out[:, j] = as_numbers(name, found[name])
            if (infinite := np.isinf(out[:, j])).any():
                at = int(np.argmax(infinite))
                raise ValueError(
                    f"column {shown(name)}: expected finite numbers, got {out[at, j]} in row {at}"
                )
        for category, (start, stop) in zip(self.categories, self.groups, strict=True):
            codes = as_codes(
                category.name, category.levels, category.other, found[category.name], say
            )
            known = np.flatnonzero(codes >= 0)
            out[known, start + codes[known]] = 1
            out[codes < 0, start:stop] = np.nan
        return out

    def back(self, matrix: Array) -> dict[str, Array]:
        """The table's columns by name, in its order: float64 (n,), or objects, the likeliest
        levels, of a matrix (n, width) or of what a decoder made of it.

        None where a level is missing. Raises ValueError for a matrix of another shape.
        """
        if matrix.ndim != 2 or matrix.shape[1] != self.width:
            raise ValueError(f"expected a matrix of {self.width} columns, got shape {matrix.shape}")
        columns = {name: matrix[:, j].astype(np.float64) for j, name in enumerate(self.numbers)}
        for category, (start, stop) in zip(self.categories, self.groups, strict=True):
            group, levels = matrix[:, start:stop], np.array([*category.levels, None], object)
            missing = np.isnan(group).any(axis=1)
            columns[category.name] = levels[np.where(missing, -1, np.argmax(group, axis=1))]
        return {name: columns[name] for name in self.source}


def learn_schema(
    columns: Iterable[tuple[str, Any]], rare: int = RARE, most: int = MOST
) -> tuple[Schema, tuple[str, ...]]:
    """The schema of a table's (name, column) pairs, and a line on each column that is left out or
    has levels that are pooled.

    A column is one of pandas, polars or pyarrow, or an array (n,). Left out are columns without a
    value, of one value only, of dates and times, of identifiers (text that is nearly all
    different), and of types that are neither numbers nor text. Text is numbers where at least
    half of it is, and one that is none is then an error; true and false are 1 and 0. Levels in
    fewer than ``rare`` rows and fewer than 2 % of them, and all but the ``most`` frequent, are
    pooled. Levels stand in the order of their text. Raises ValueError where no column is left.
    """
    kept: list[str | Category] = []
    left, notes, seen = list[str](), list[str](), set[str]()
    for name, column in columns:
        if name in seen:
            raise ValueError(f"two columns have the name {shown(name)}: rename one")
        seen.add(name)
        found, note = _learnt(name, coded(column), rare, most)
        if note:
            notes.append(f"column {shown(name)} {note}")
        if found is None:
            left.append(name)
        else:
            kept.append(found)
    if not kept:
        raise ValueError(f"no column can be learnt from: {brief('; '.join(notes)) or 'none given'}")
    return Schema(tuple(kept), tuple(left)), tuple(notes)


def _learnt(name: str, column: Column, rare: int, most: int) -> tuple[str | Category | None, str]:
    """The name of a column of numbers, a category, or None, and what there is to say about it."""
    if isinstance(column, Unusable):
        return _left(column.reason)
    if isinstance(column, Words):
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
        if not holds_numbers(column, counts):
            found = sorted((-int(n), level) for n, level in zip(counts, column.levels, strict=True))
            frequent = {level: -n for n, level in found if n}
            return _category(name, frequent, min(rare, RARE_SHARE * len(column)), most)
    values = as_numbers(name, column)
    given = values[~np.isnan(values)]
    if not given.size:
        return _left("it has no value in any row")
    if given.min() == given.max():
        return _left(f"its only value is {given[0]:g}")
    return name, ""


def _category(
    name: str, counts: dict[str, int], rare: float, most: int
) -> tuple[Category | None, str]:
    """Of the numbers of rows of all levels, the most frequent first; ``rare`` is one as well."""
    n = sum(counts.values())
    first = shown(next((level for level in counts if level != OTHER), OTHER))
    if not counts:
        return _left("it has no value in any row")
    if len(counts) == 1:
        return _left(f"its only value is {first}")
    if all(map(_DATE.fullmatch, counts)):
        return _left(f"it holds dates or times, such as {first}")
    kept = [level for level, rows in counts.items() if rows >= rare and level != OTHER][:most]
    pooled = n - sum(counts[level] for level in kept)
    if (n >= FEW_ROWS and 2 * len(counts) > n) or 2 * pooled > n:
        many = "more than " if len(counts) > MOST_LEVELS else ""
        return _left(
            f"its text identifies rows, with {many}{min(len(counts), MOST_LEVELS):,} different "
            f"values in {n:,} rows, such as {first}"
        )
    if not pooled:
        return Category(name, tuple(sorted(kept))), ""
    return Category(name, (*sorted(kept), OTHER), True), (
        f"has {len(counts):,} levels: the {len(counts) - len(kept):,} least frequent, in "
        f"{pooled:,} of {n:,} rows, count as one, {OTHER!r}"
    )


def _left(reason: str) -> tuple[None, str]:
    return None, f"is left out: {reason}"


def _fields(json: Any, kinds: dict[str, type]) -> dict[str, Any]:
    if not isinstance(json, dict) or {*json} != {*kinds}:
        got = [*json] if isinstance(json, dict) else json
        raise ValueError(f"a schema must have {', '.join(kinds)}, got {brief(repr(got))}")
    for name, kind in kinds.items():
        if type(json[name]) is not kind:
            got = brief(repr(json[name]))
            raise ValueError(f"{name} of a schema must be a {kind.__name__}, got {got}")
    return json


def _text(value: Any) -> str:
    try:
        value.encode("utf-8")
        return str(value)
    except (AttributeError, UnicodeError):
        raise ValueError(f"a schema must hold text, got {brief(repr(value))}") from None
