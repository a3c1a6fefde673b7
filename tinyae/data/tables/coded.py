"""A table's column, whichever library it comes from, as numbers or as codes of its levels.

pandas, polars and pyarrow are told by the methods of their columns: none is imported for that.
"""

from __future__ import annotations

import logging
import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...storage.untrusted import brief

log = logging.getLogger(__name__)

Array = NDArray[Any]

MISSING = frozenset(
    ("", "na", "n/a", "nan", "<na>", "#n/a", "null", "none", "nil", "?", "-", ".")
)  # fmt: skip
OTHER = "(other)"  # the level that pools the rare ones
TRUTH = {"true": 1.0, "false": 0.0}  # as of a column of truth values
MOST_LEVELS = 100_000  # of a column of text: all further ones are OTHER

DATES = "it holds dates or times"
NESTED = "it holds lists, structures or other nested values"


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: float64 (n,), NaN where one is missing."""

    values: Array

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Words:
    """A column of text: codes int64 (n,), which number the ``levels``; -1 where one is missing.

    ``declared``: it is one of categories, even where its levels look like numbers.
    """

    codes: Array
    levels: tuple[str, ...]
    declared: bool = False

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Unusable:
    """A column of ``n`` values that cannot be learnt from, for this ``reason``."""

    reason: str
    n: int

    def __len__(self) -> int:
        return self.n


Column = Numbers | Words | Unusable


def is_missing(text: str) -> bool:
    return text.strip().lower() in MISSING


def is_gone(column: Column) -> Array:
    """Which values of numbers or text are missing, bool (n,)."""
    if isinstance(column, Words):
        return np.asarray(column.codes < 0)
    return np.isnan(as_numbers("", column))


class Coder(dict[str, float]):
    """coder[cell] is the code of a cell's text: its number in ``levels``, -1.0 if it is missing.

    A text that is new is a new level.
    """

    def __init__(self) -> None:
        self.levels: dict[str, float] = {}

    def __missing__(self, cell: str) -> float:
        text = cell.strip()
        if is_missing(text):
            code = -1.0
        elif len(self.levels) >= MOST_LEVELS and text not in self.levels:
            return self.levels.setdefault(OTHER, float(len(self.levels)))
        else:
            code = self.levels.setdefault(text, float(len(self.levels)))
        self[cell] = code
        return code


def text_of(value: object) -> str:
    """The text of a level: 1.0 is "1", as where no number of its column is missing."""
    whole = isinstance(value, (float, np.floating)) and value.is_integer()
    return str(int(value) if whole else value)  # type: ignore[call-overload]


def coded(column: Any) -> Column:
    """A column of pandas, polars or pyarrow, or an array (n,)."""
    if isinstance(column, (Numbers, Words, Unusable)):
        return column
    try:
        if hasattr(column, "dictionary_encode"):
            return _of_pyarrow(column)
        if hasattr(column, "iter_slices"):
            return _of_polars(column)
        if hasattr(column, "iloc"):
            return _of_pandas(column)
        array = np.asarray(column)
        if array.ndim == 1:
            return _of_kind(array.dtype.kind, array) or _of_objects(*_factorized(array.tolist()))
    except (TypeError, NotImplementedError):  # of values that have no hash
        pass
    return Unusable(NESTED, len(column))


def _of_kind(kind: str, array: Array) -> Column | None:
    """A column that NumPy has a kind of, but for objects and text."""
    if kind in "biuf":
        return Numbers(np.asarray(array, np.float64))
    if kind in "mM":
        return Unusable(DATES, len(array))
    return Unusable("it holds complex numbers", len(array)) if kind == "c" else None


def _of_pandas(column: Any) -> Column:
    if hasattr(column, "cat"):
        return _words(column.cat.codes.to_numpy(), [*column.cat.categories], True)
    kind = getattr(column.dtype, "kind", "O")
    if kind in "biuf":
        return Numbers(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind in "mMc":
        return _of_kind(kind, column)  # type: ignore[return-value]
    codes, levels = column.factorize()
    return _of_objects(codes, [*levels])


def _of_polars(column: Any) -> Column:
    dtype, n = column.dtype, len(column)
    if dtype.is_temporal():
        return Unusable(DATES, n)
    if dtype.is_nested():
        return Unusable(NESTED, n)
    if dtype.is_numeric() or str(dtype) == "Boolean":
        return Numbers(column.cast(float).to_numpy())
    pieces = (piece.to_list() for piece in column.iter_slices(65536))
    codes, levels = _factorized(value for piece in pieces for value in piece)
    if str(dtype).startswith(("Categorical", "Enum")):
        return _words(codes, levels, True)
    return _of_objects(codes, levels)


def _of_pyarrow(column: Any) -> Column:
    import pyarrow
    from pyarrow import types

    kind, n = column.type, len(column)
    if types.is_null(kind):
        return Numbers(np.full(n, np.nan))
    if types.is_temporal(kind):
        return Unusable(DATES, n)
    if types.is_nested(kind):
        return Unusable(NESTED, n)
    number = (types.is_boolean, types.is_integer, types.is_floating, types.is_decimal)
    if any(is_one(kind) for is_one in number):
        real = column.cast(pyarrow.float64(), safe=False)
        return Numbers(np.asarray(real.to_numpy(zero_copy_only=False)))
    if str(kind) == "string_view":  # which has no dictionary_encode
        column = column.cast(pyarrow.large_string())
    declared = types.is_dictionary(kind)
    if not declared and str(kind) not in ("string", "large_string", "string_view"):
        return Unusable(f"it holds values of type {kind}", n)
    encoded = column if declared else column.dictionary_encode()
    if hasattr(encoded, "chunks"):  # of several parts, each with its dictionary
        encoded = encoded.unify_dictionaries().combine_chunks()
    codes = encoded.indices.cast(pyarrow.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    levels = encoded.dictionary.to_pylist()
    return _words(codes, levels, declared)


def _factorized(values: Iterable[Any]) -> tuple[Array, list[Any]]:
    """Codes and levels of objects, -1 for None and NaN."""
    seen: dict[Any, int] = {}
    codes = (
        -1
        if v is None or (isinstance(v, float) and math.isnan(v))
        else seen.setdefault(v, len(seen))
        for v in values
    )
    return np.fromiter(codes, np.int64), [*seen]


def _of_objects(codes: Array, levels: Sequence[Any]) -> Column:
    """By the types of the levels: numbers only, with text among them, dates, or something else."""
    kinds = {type(level) for level in levels}
    timed = (np.datetime64, np.timedelta64)  # the latter is an integer to NumPy
    dates = {k for k in kinds if issubclass(k, timed) or hasattr(k, "strftime")
             or hasattr(k, "total_seconds")}  # fmt: skip
    if kinds and dates == kinds:
        return Unusable(DATES, len(codes))
    real = {k for k in kinds - dates if issubclass(k, (numbers.Real, Decimal, np.bool_))}
    if real == kinds:
        return Numbers(np.array([*map(_float, levels), math.nan])[codes])
    if all(k in real or issubclass(k, str) for k in kinds):
        return _words(codes, levels)
    names = ", ".join(sorted({k.__name__ for k in kinds if k not in real} - {"str"}))
    return Unusable(f"it holds values of type {names}", len(codes))


def _float(value: Any) -> float:
    """Infinity of an integer that is too large, which is refused by the name of its column."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _words(codes: Array, levels: Sequence[Any], declared: bool = False) -> Words:
    """Levels of the same text are one."""
    coder = Coder()
    new = np.array([*(coder[text_of(level)] for level in levels), -1.0]).astype(np.int64)
    return Words(new[np.asarray(codes, np.int64)], tuple(coder.levels), declared)


def holds_numbers(column: Words, counts: Array) -> bool:
    """Whether text with these ``counts`` of its levels is half numbers or more, or true and false.

    Half are not enough where it is declared to be of categories.
    """
    there = [(level, n) for level, n in zip(column.levels, counts.tolist(), strict=True) if n]
    truth = {level for level, _ in there if level.lower() in TRUTH}
    if len(truth) == len(there):
        return bool(there)
    numbers = sum(n for level, n in there if level not in truth and number_of(level) is not None)
    return not column.declared and 2 * numbers >= int(counts.sum())


def as_numbers(name: str, column: Column) -> Array:
    """Its values, float64 (n,); raises ValueError, with the column's name, where there are none."""
    if isinstance(column, Unusable):
        raise ValueError(f"column {shown(name)}: expected numbers, but {column.reason}")
    if isinstance(column, Numbers):
        return column.values
    values = [number_of(level) for level in column.levels]
    codes = {code for code, value in enumerate(values) if value is None}
    if codes and (wrong := np.isin(column.codes, [*codes])).any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"column {shown(name)}: expected numbers, got {shown(column.levels[column.codes[at]])} "
            f"in row {at}: leave the column out, or correct this value"
        )
    return np.array([*(np.nan if v is None else v for v in values), np.nan])[column.codes]


def as_codes(name: str, levels: Sequence[str], other: bool, column: Column, say: bool) -> Array:
    """int64 (n,): the place in ``levels`` of each row's level; -1 where it is missing.

    What is not there is the last one with ``other``, else missing; ``say``: with a warning.
    Raises ValueError, with the column's name, where the column holds nothing of the kind.
    """
    if isinstance(column, Unusable):
        raise ValueError(f"column {shown(name)}: expected text, but {column.reason}")
    if isinstance(column, Numbers):
        values, codes = np.unique(column.values, return_inverse=True)  # NaN is the last
        codes[np.isnan(column.values)] = -1
        column = Words(codes, tuple(map(text_of, values)))
    places = {level: place for place, level in enumerate(levels)}
    # whole numbers that were written as floats, as where one is missing, are those of ``text_of``
    found = [places.get(text, places.get(text.removesuffix(".0"))) for text in column.levels]
    unseen = [code for code, place in enumerate(found) if place is None]
    elsewhere = len(places) - 1 if other else -1
    new = np.array([*(elsewhere if place is None else place for place in found), -1])
    if unseen and say and (there := np.isin(column.codes, unseen)).any():
        log.warning(
            "column %s: %d rows have a level that was %snot learnt, such as %s: it counts as %s",
            shown(name), there.sum(), "rare or " if other else "",
            shown(column.levels[column.codes[np.argmax(there)]]),
            f"{OTHER!r}" if other else "missing",
        )  # fmt: skip
    return new[column.codes]


def number_of(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return TRUTH.get(text.strip().lower())


def shown(text: str) -> str:
    return brief(repr(text)) if len(text) < 60 else brief(repr(text[:60] + "..."))


def listed(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:10])) + (", ..." if len(names) > 10 else "")
