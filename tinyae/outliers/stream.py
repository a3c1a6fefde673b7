"""What is kept of rows that pass by: a random sample of them, and each column's numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..data.rows import Rows
from ..data.scaling import Scaling, usable
from ..kernels.reference.random import random_uniform
from ..net import streams

Floats = NDArray[np.float64]

KEPT = 10_000  # rows; fewer are all kept, in their order


@dataclass(frozen=True)
class Columns:
    """Of each column the mean, the sum of squared deviations, the least and the largest value,
    float64 (n_features,); of ``n`` rows."""

    n: int
    mean: Floats
    squares: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, x: Floats) -> Columns:
        mean = x.mean(axis=0)
        return cls(len(x), mean, ((x - mean) ** 2).sum(axis=0), x.min(axis=0), x.max(axis=0))

    def merged(self, other: Columns) -> Columns:
        """Of the rows of both (Chan, Golub and LeVeque 1979)."""
        n, apart = self.n + other.n, other.mean - self.mean
        return Columns(
            n, self.mean + apart * (other.n / n),
            self.squares + other.squares + apart**2 * (self.n * other.n / n),
            np.minimum(self.low, other.low), np.maximum(self.high, other.high),
        )  # fmt: skip

    @property
    def constant(self) -> NDArray[np.bool_]:
        return np.asarray(self.high == self.low)

    def scaling(self) -> Scaling:
        """Mean and standard deviation, as of ``fit_scaling``."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        return Scaling(self.mean, usable(np.sqrt(self.squares / self.n), size))


@dataclass(frozen=True)
class Stream:
    """``rows``: KEPT of all rows so far, each as likely as any other (Vitter 1985, algorithm R)."""

    rows: Floats
    columns: Columns
    parts: int  # that passed by: each has random numbers of its own


def passed(stream: Stream | None, rows: Rows, seed: int) -> Stream:
    """The stream after these rows too; nothing of the old one is changed.

    Raises ValueError for numbers whose squares overflow.
    """
    if stream is not None:
        stream = replace(stream, rows=stream.rows.copy())
    with np.errstate(over="ignore", invalid="ignore"):
        for _, part in rows.chunks():
            stream = _next(stream, part, seed)
    assert stream is not None  # there is at least one row
    total = stream.columns.mean + stream.columns.squares
    if not np.isfinite(total).all():
        column = int(np.argmin(np.isfinite(total)))
        label = rows.label(column)
        raise ValueError(f"X must have squares that do not overflow: column {label} is too large")
    return stream


def _next(stream: Stream | None, part: Floats, seed: int) -> Stream:
    columns = Columns.of(part)
    seen, parts = (stream.columns.n, stream.parts) if stream else (0, 0)
    room = max(KEPT - seen, 0)
    kept = part[:room].copy() if stream is None else np.concatenate([stream.rows, part[:room]])
    if len(part) > room:
        place = np.empty(len(part))
        random_uniform(streams.state(seed, streams.RESERVOIR, parts), 0.0, 1.0, place)
        place = np.floor(place * np.arange(seen + 1, seen + len(part) + 1))
        for i in np.flatnonzero((place < KEPT) & (np.arange(len(part)) >= room)):
            kept[int(place[i])] = part[i]
    return Stream(kept, stream.columns.merged(columns) if stream else columns, parts + 1)
