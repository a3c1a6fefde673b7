"""Columns on one scale: a squared error over columns in metres and in years means nothing.

What the net learns is (x - center) / spread, column by column; what it gives back is undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.conventions import ACTIVATION_FACTS
from .rows import CHUNK_BYTES, SMALL_BYTES, Array, Rows, value_range

Floats = NDArray[np.float64]

HOW = ("standard", "robust", "minmax")
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
    65,536 rows; "minmax": least value and range. A spread that is rounding only, or none, counts
    as 1. Raises ValueError for values whose spread overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if how == "robust":
            n = len(rows)
            some = np.unique(np.linspace(0, n - 1, min(n, QUANTILE_ROWS)).astype(np.int64))
            values = rows.select(some).__array__(np.float64)
            low, center, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
            spread, size = high - low, np.abs(values).max(axis=0)
            rare = spread <= _rounding(size)  # half of the values are alike
            spread = np.where(rare, values.std(axis=0), spread)
        elif how == "minmax":
            center, top = _extremes(rows)
            spread, size = top - center, np.maximum(np.abs(center), np.abs(top))
        else:
            low, high = _extremes(rows)
            size = np.maximum(np.abs(low), np.abs(high))
            center = sum(part.sum(axis=0) for _, part in rows.chunks()) / len(rows)
            squares = sum(((part - center) ** 2).sum(axis=0) for _, part in rows.chunks())
            spread = np.sqrt(squares / len(rows))
    if not np.isfinite(center + spread).all():
        column = int(np.argmin(np.isfinite(center + spread)))
        raise ValueError(f"X cannot be scaled: the numbers of column {column} are too large")
    return Scaling(center, np.where(spread <= _rounding(size), 1.0, spread))


def _extremes(rows: Rows) -> tuple[Floats, Floats]:
    low, high = np.full(rows.shape[1], np.inf), np.full(rows.shape[1], -np.inf)
    for _, part in rows.chunks():
        np.minimum(low, part.min(axis=0), out=low)
        np.maximum(high, part.max(axis=0), out=high)
    return low, high


def _rounding(size: Floats) -> Floats:
    """What a mean over numbers of this size may be off by."""
    return np.asarray(1e-12 * size)


def choose_scale(rows: Rows, params: Mapping[str, Any]) -> tuple[str | None, str]:
    """What a scale of "auto" comes to, and why, for this output and loss."""
    output = params["output"]
    reach = ACTIVATION_FACTS["identity" if output == "auto" else output]
    if params["loss"] == "bce" or reach.low > -np.inf or reach.high < np.inf:
        return None, f"scale none: output {output}, loss {params['loss']} are for data of one range"
    if rows.dtype == np.uint8:
        return None, "scale none: pixels, which are read as [0, 1]"
    low, high = value_range(rows, "X")
    if low >= 0 and high <= 1:
        return None, "scale none: all data lie in [0, 1]"
    return "standard", (
        f"scale standard: the data range over [{low:.4g}, {high:.4g}]; each feature is brought to "
        "mean 0 and standard deviation 1"
    )


def scaling_of(rows: Rows, params: Mapping[str, Any]) -> Scaling | None:
    """By the argument ``scale``: None, "auto", a word of ``HOW``, or (center, spread)."""
    scale = params["scale"]
    if isinstance(scale, str) and scale == "auto":
        scale = choose_scale(rows, params)[0]
    if scale is None or isinstance(scale, str):
        return None if scale is None else fit_scaling(rows, scale)
    return scaling_from(scale, rows.shape[1])


class ScaledRows(Rows):
    """``raw`` with a scaling applied as they are read; small data at once."""

    def __init__(self, raw: Rows, scaling: Scaling) -> None:
        self.raw, self.scaling = raw, scaling
        if 8 * raw.shape[0] * raw.shape[1] <= SMALL_BYTES:
            with np.errstate(over="ignore", invalid="ignore"):
                super().__init__(scaling.apply(raw.__array__(np.float64)), names=raw.names)
            return
        super().__init__(raw.array, raw.indices, raw.names)
        self.scale, self.dtype, self.direct = 1.0, np.dtype(np.float64), False

    def select(self, positions: NDArray[np.int64]) -> Rows:
        return ScaledRows(self.raw.select(positions), self.scaling)

    def take(self, positions: NDArray[np.int64], out: Array) -> None:
        if self.direct:
            super().take(positions, out)
            return
        values = np.empty(out.shape)
        self.raw.take(positions, values)
        with np.errstate(over="ignore", invalid="ignore"):
            out[...] = self.scaling.apply(values)

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        if self.direct:
            yield from super().pieces()
            return
        n, n_features = self.shape
        size = max(1, CHUNK_BYTES // (8 * n_features))
        for start in range(0, n, size):
            part = np.empty((min(size, n - start), n_features))
            self.take(np.arange(start, start + len(part)), part)
            yield slice(start, start + len(part)), part


def scaled(rows: Rows, scaling: Scaling | None) -> Rows:
    """``rows`` as a net with this scaling reads them."""
    return rows if scaling is None else ScaledRows(rows, scaling)


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
