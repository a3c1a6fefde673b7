"""Why a row is an outlier: what each column contributes to its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..data.scaling import Scaling
from .members import FAR, LEAST, PIECE, Members
from .nets import Floats

RIDGE = 0.01  # as if each column had noise of a tenth of its standard deviation
MOST_PRECISE = 1.01 / RIDGE  # no entry of the inverse is larger, but for rounding
WIDEST = 1024  # columns; of more, a matrix of all pairs would be large
ROUNDING = 1e-12  # spreads; a number that is smaller is 0


def shown(number: float, spread: float) -> str:
    """Four digits; 0 where the number is rounding beside the column's ``spread``."""
    return f"{0.0 if abs(number) < ROUNDING * spread else number:.4g}"


class Reason(NamedTuple):
    """One column of one row. ``share``: of the row's score, in [0, 1]; ``spreads``: by how many of
    the column's standard deviations the value is off, with its sign. A ``value`` that is missing is
    NaN, and ``spreads`` are those of the column's mean, as which it counts."""

    column: str
    share: float
    value: float
    expected: float
    spreads: float

    def __str__(self) -> str:
        off = f"{self.spreads:+.1f} spreads, {self.share:.0%} of the score"
        if np.isnan(self.value):
            return f"{self.column} missing, expected {self.expected:.4g} (its mean counts: {off})"
        spread = (self.value - self.expected) / self.spreads if self.spreads else 0.0
        value = shown(self.value, spread)
        return f"{self.column} {value}, expected {self.expected:.4g} ({off})"


@dataclass(frozen=True)
class Explanation:
    """Of n rows, float64 (n, n_features) each.

    contributions: what each column adds to the row's score: all are >= 0, and their sum over the
        columns is the score, ``-score_samples(X)``, but for rounding.
    values, expected: what the row has, and what the nearest rows as the members decode them have
        there, on average over members; in the units of the table.
    spreads: (values - expected) / the column's standard deviation in the training rows.
    columns: their names; "column 0", "column 1"... where the training data had none.
    """

    contributions: Floats
    values: Floats
    expected: Floats
    spreads: Floats
    columns: tuple[str, ...]

    def reasons(self, row: int, most: int = 3) -> list[Reason]:
        """The columns that contribute most to the score of this row, the strongest first."""
        part = self.contributions[row]
        strongest = np.argsort(-part, kind="stable")[:most]
        return [
            Reason(self.columns[j], float(part[j] / part.sum()), float(self.values[row, j]),
                   float(self.expected[row, j]), float(self.spreads[row, j]))
            for j in strongest.tolist()
        ]  # fmt: skip


def precision(rows: Floats, scaling: Scaling) -> Floats:
    """The inverse of the columns' correlations, (n_features, n_features), with a little on the
    diagonal; of more than WIDEST columns only that."""
    features = rows.shape[1]
    if features > WIDEST:
        return np.eye(features)
    z = scaling.apply(rows)
    return np.asarray(np.linalg.inv(z.T @ z / len(z) + RIDGE * np.eye(features)), np.float64)


def explained(
    members: Members, x: Floats, deviation: Floats, inverse: Floats, columns: tuple[str, ...]
) -> Explanation:
    """Of rows x (n, n_features); ``inverse`` is the ``precision`` of the training rows.

    A row is off from what is expected of it by d, in standard deviations. Leaving a column free to
    be whatever fits the others best lowers d' P d by (P d)_j^2 / P_jj, P the precision. A column's
    part of all these drops is its part of the score. A value that is wrong for its row is so told
    from those that are wrong beside it, which the plain parts of a squared distance do not do.
    """
    spreads, expected, scores = np.empty_like(x), np.zeros_like(x), np.empty(len(x))
    for start in range(0, len(x), PIECE):
        piece = slice(start, start + PIECE)
        logs = np.zeros(len(x[piece]))
        for squares, values in members.expectations(x[piece]):
            logs += np.log(squares + LEAST)
            expected[piece] += values / len(members)
        scores[piece] = np.exp(logs / len(members))
    expected[np.abs(expected) < ROUNDING * deviation] = 0
    with np.errstate(over="ignore"):
        np.divide(x - expected, deviation, out=spreads)
    np.clip(spreads, -FAR, FAR, out=spreads)
    drops = (spreads @ inverse) ** 2 / np.diag(inverse) + LEAST
    shares = drops / drops.sum(axis=1, keepdims=True)
    return Explanation(scores[:, None] * shares, x, expected, spreads, columns)
