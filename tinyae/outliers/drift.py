"""Which columns of new rows are no longer those of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .explain import shown
from .stream import Columns

SHIFT = 0.5  # standard deviations between the means, and at least
ERRORS = 4.0  # standard errors of their difference
OUTSIDE = 0.05  # of the new rows beyond the range, and at least
MIN_OUTSIDE = 3  # so many of them


class Moved(NamedTuple):
    """A column that has moved, and how: ``what`` is "mean", "range" or "missing"."""

    column: str
    what: str
    text: str


def moved(
    old: Columns, new: Columns, outside: NDArray[np.int64], empty: NDArray[np.bool_],
    names: Sequence[str],
) -> list[Moved]:  # fmt: skip
    """Of all columns. ``outside`` (n_features,): how many new rows lie beyond the old range;
    ``empty`` (n_features,): which columns hold no value in the new rows."""
    found = []
    deviation = old.scaling().spread
    for j, name in enumerate(names):
        if empty[j]:
            found.append(Moved(name, "missing", f"{name}: it holds no value"))
        shift = (new.mean[j] - old.mean[j]) / deviation[j]
        new_variance = max(new.squares[j] / new.n, deviation[j] ** 2)  # of few rows it is too small
        error = np.sqrt(deviation[j] ** 2 / old.n + new_variance / new.n) / deviation[j]
        if abs(shift) > max(SHIFT, ERRORS * error):
            now, then = (shown(columns.mean[j], deviation[j]) for columns in (new, old))
            text = f"the mean is {now}, it was {then} ({shift:+.1f} spreads)"
            found.append(Moved(name, "mean", f"{name}: {text}"))
        if outside[j] >= max(MIN_OUTSIDE, OUTSIDE * new.n):
            text = (
                f"{outside[j]:,} of {new.n:,} rows lie beyond [{old.low[j]:.4g}, {old.high[j]:.4g}]"
                f", where it was; now it ranges over [{new.low[j]:.4g}, {new.high[j]:.4g}]"
            )
            found.append(Moved(name, "range", f"{name}: {text}"))
    return found
