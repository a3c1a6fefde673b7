"""Missing values: NaN among the samples.

The net reads the mean of the column in their place, and neither a loss nor a score counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rows import MappedRows, Rows
from .tables.schema import Schema

Floats = NDArray[np.float64]

HOW = ("auto", "allow", "error")
HINT = ": train with missing='allow', or on data that have missing values, to allow them"


def missing_counts(rows: Rows) -> NDArray[np.int64]:
    """How many values of each column are missing, (n_features,)."""
    counts = np.zeros(rows.shape[1], np.int64)
    for _, piece in rows.pieces() if rows.dtype.kind == "f" else ():
        missing = np.isnan(piece)
        if missing.any():
            counts += missing.sum(axis=0)
    return counts


def cells(counts: NDArray[np.int64], schema: Schema | None) -> NDArray[np.int64]:
    """``missing_counts`` by column of a table: the levels of a category are missing together."""
    if schema is None:
        return counts
    return counts[[*range(len(schema.numbers)), *(start for start, _ in schema.groups)]]


def known_shares(rows: Rows) -> Floats:
    """The part of the samples that have a value, of each column, (n_features,)."""
    return 1 - missing_counts(rows) / len(rows)


def expect_values(rows: Rows, hint: str = "") -> NDArray[np.int64]:
    """``missing_counts``; raises ValueError for a column without any value."""
    counts = missing_counts(rows)
    if counts.max() == len(rows):
        column = rows.label(int(counts.argmax()))
        raise ValueError(
            f"column {column} of X holds no value, only missing ones: leave it out{hint}"
        )
    return counts


def choose_missing(rows: Rows, params: Mapping[str, Any]) -> tuple[str, str]:
    """What a ``missing`` of "auto" comes to, "allow" or "error", and why; "" for whole data.

    Allowed are also categories: a level that is not among the training data's will be missing.

    Raises ValueError for a column without any value.
    """
    if params["target_blur"]:  # it would spread them
        return "error", ""
    counts = cells(expect_values(rows, ", or say missing='allow'"), rows.schema)
    if not counts.any():
        return ("allow" if rows.schema and rows.schema.categories else "error"), ""
    return "allow", (
        f"missing {counts.sum() / (len(rows) * len(counts)):.2%} of the values, in "
        f"{np.count_nonzero(counts)} of {len(counts)} columns: read as the column's mean, and left "
        "out of the loss"
    )


def column_means(rows: Rows) -> Floats:
    """The mean of each column without its missing values, float64 (n_features,).

    0 for a column without any value. Raises ValueError where there is none at all, or where the
    numbers are too large to be summed.
    """
    total, known = np.zeros(rows.shape[1]), np.zeros(rows.shape[1], np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        for _, part in rows.chunks():
            there = ~np.isnan(part)
            total += part.sum(axis=0, where=there)
            known += there.sum(axis=0)
    if not known.any():
        raise ValueError("X holds no value, only missing ones")
    if not np.isfinite(total).all():
        column = int(np.argmin(np.isfinite(total)))
        raise ValueError(f"X has no mean: the numbers of column {rows.label(column)} are too large")
    return total / np.maximum(known, 1)


def filled(rows: Rows, values: Floats) -> Rows:
    """``rows`` with the values (n_features,) in the place of missing ones, as they are read."""
    if not missing_counts(rows).any():
        return rows
    return MappedRows(rows, lambda x: np.where(np.isnan(x), values, x))
