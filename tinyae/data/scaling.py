"""Columns on one scale: a squared error over columns in metres and in years means nothing.

What the net learns is (x - center) / spread, column by column; what it gives back is undone.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.conventions import ACTIVATION_FACTS
from .missing import HINT, missing_counts
from .rows import Array, Rows, value_range

Floats = NDArray[np.float64]
Span = tuple[float, float]  # least and largest value

HOW = ("standard", "robust", "minmax")
ROUNDING = 1e-12  # of a mean, relative to the numbers
QUANTILE_ROWS = 1 << 16  # of which quantiles are taken, evenly over the data


class Scaling(NamedTuple):
    """Of each column: what becomes 0, and how far from there 1 is; two float64 (n_features,)."""

    center: Floats
    spread: Floats

    def apply(self, x: Array) -> Floats:
        """x (n, n_features) on the net's scale, float64."""
        scaled: Floats = np.subtract(x, self.center, dtype=np.float64)
        scaled /= self.spread
        return scaled

    def undo(self, x: Array) -> Array:
        """x (n, n_features) in the units of the data, in x's dtype."""
        with np.errstate(over="ignore"):
            return (x * self.spread + self.center).astype(x.dtype)


def fit_scaling(rows: Rows, how: str) -> Scaling:
    """The scaling of the columns of ``rows``.

    "standard": mean and standard deviation; "robust": median and interquartile range, of at most
    65,536 rows; "minmax": least value and range. Missing values (NaN) do not count; a column of
    nothing else has (0, 1). A spread that is rounding only, or none, counts as 1. Raises ValueError
    for values whose spread overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns without a value
        if how == "robust":
            n = len(rows)
            some = np.unique(np.linspace(0, n - 1, min(n, QUANTILE_ROWS)).astype(np.int64))
            values = rows.select(some).__array__(np.float64)
            empty = np.isnan(values).all(axis=0)
            # the latter takes columns one by one
            quantile = np.nanquantile if np.isnan(values).any() else np.quantile
            low, center, high = quantile(values, (0.25, 0.5, 0.75), axis=0)
            spread, size = high - low, np.nanmax(np.abs(values), axis=0)
            # half of the values may be alike
            spread = np.where(spread <= ROUNDING * size, np.nanstd(values, axis=0), spread)
        elif how == "minmax":
            center, top = _extremes(rows)
            empty = center > top
            spread, size = top - center, np.maximum(np.abs(center), np.abs(top))
        else:
            low, high = _extremes(rows)
            empty, size = low > high, np.maximum(np.abs(low), np.abs(high))
            known = len(rows) - missing_counts(rows)
            center = sum(np.nansum(part, axis=0) for _, part in rows.chunks()) / known
            squares = sum(np.nansum((part - center) ** 2, axis=0) for _, part in rows.chunks())
            spread = np.sqrt(squares / known)
    center, spread, size = np.where(empty, 0.0, (center, spread, size))
    if not np.isfinite(center + spread).all():
        column = int(np.argmin(np.isfinite(center + spread)))
        label = rows.label(column)
        raise ValueError(f"X cannot be scaled: the numbers of column {label} are too large")
    return Scaling(center, usable(spread, size))


def _extremes(rows: Rows) -> tuple[Floats, Floats]:
    low, high = np.full(rows.shape[1], np.inf), np.full(rows.shape[1], -np.inf)
    for _, part in rows.chunks():
        np.fmin(low, np.fmin.reduce(part), out=low)
        np.fmax(high, np.fmax.reduce(part), out=high)
    return low, high


def usable(spread: Floats, size: Floats) -> Floats:
    """1 in place of the spread of columns that are constant, but for the rounding of numbers of
    this size."""
    return np.where(spread <= ROUNDING * size, 1.0, spread)


def choose_scale(rows: Rows, params: Mapping[str, Any]) -> tuple[str | None, str]:
    """What a scale of "auto" comes to, and why, for this output and loss."""
    output = params["output"]
    reach = ACTIVATION_FACTS["identity" if output == "auto" else output]
    if params["loss"] == "bce" or reach.low > -np.inf or reach.high < np.inf:
        return None, f"scale none: output {output}, loss {params['loss']} are for data of one range"
    if rows.dtype == np.uint8:
        return None, "scale none: pixels, which are read as [0, 1]"
    low, high = value_range(rows, "X", missing=params["missing"] == "allow", hint=HINT)
    if low >= 0 and high <= 1:
        return None, "scale none: all data lie in [0, 1]"
    return "standard", (
        f"scale standard: the data range over [{low:.4g}, {high:.4g}]; each feature is brought to "
        "mean 0 and standard deviation 1"
    )


def ranges(
    rows: Rows, name: str, dtype: str, scaling: Scaling | None, missing: bool
) -> tuple[Span, Span]:
    """The range of the data, and that of what the net reads, which must be finite in ``dtype``.

    Raises ValueError as ``rows.value_range`` does, and for NaN unless it may be ``missing``.
    """
    if scaling is None:
        span = value_range(rows, name, dtype, missing, HINT)
        return span, span
    raw = value_range(rows, name, missing=missing, hint=HINT)
    return raw, value_range(scaled(rows, scaling), name, dtype, missing)


def scaling_of(rows: Rows, params: Mapping[str, Any]) -> Scaling | None:
    """By the argument ``scale``: None, "auto", a word of ``HOW``, or (center, spread)."""
    scale = params["scale"]
    if isinstance(scale, str) and scale == "auto":
        scale = choose_scale(rows, params)[0]
    if isinstance(scale, str):
        scaling = fit_scaling(rows, scale)
        for start, stop in rows.schema.groups if rows.schema else ():  # 0 and 1 stay
            scaling.center[start:stop], scaling.spread[start:stop] = 0, 1
        return scaling
    if scale is None:
        return None
    return scaling_from(scale, rows.shape[1])


def scaled(rows: Rows, scaling: Scaling | None) -> Rows:
    """``rows`` as a net with this scaling reads them."""
    return rows if scaling is None else rows.mapped(scaling.apply)


def scaling_from(found: Any, n_features: int) -> Scaling:
    """A scaling from what should be two lists; raises ValueError for another thing."""
    try:
        center, spread = (np.array([float(x) for x in column]) for column in found)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"scale must be two arrays of numbers: {error}") from None
    if not (center.shape == spread.shape == (n_features,)):
        raise ValueError(
            f"scale must be two arrays of {n_features} numbers, one a feature, got "
            f"{center.size} and {spread.size}"
        )
    if not (np.isfinite(center).all() and np.isfinite(spread).all() and (spread > 0).all()):
        raise ValueError("scale must be finite numbers, and spreads must be positive")
    return Scaling(center, spread)
