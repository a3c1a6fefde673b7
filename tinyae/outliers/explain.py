"""Why a row is an outlier: what each column contributes to its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .members import LEAST, PIECE, Members
from .nets import Floats


class Reason(NamedTuple):
    """One column of one row. ``share``: of the row's score, in [0, 1]; ``spreads``: by how many of
    the column's standard deviations the value is off, with its sign."""

    column: str
    share: float
    value: float
    expected: float
    spreads: float

    def __str__(self) -> str:
        return (
            f"{self.column} {self.value:.4g}, expected {self.expected:.4g} ({self.spreads:+.1f} "
            f"spreads, {self.share:.0%} of the score)"
        )


@dataclass(frozen=True)
class Explanation:
    """Of n rows, float64 (n, n_features) each.

    contributions: what each column adds to the row's score; all are >= 0, and their sum over the
        columns is ``-score_samples(X)``, but for rounding.
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


def explained(
    members: Members, x: Floats, deviation: Floats, columns: tuple[str, ...]
) -> Explanation:
    """Of rows x (n, n_features).

    A member's squared distance is a sum over columns. The score is the geometric mean of these
    distances over members; each column has the part of it that it has of them, on average.
    """
    contributions, expected = np.empty_like(x), np.empty_like(x)
    for start in range(0, len(x), PIECE):
        piece = slice(start, start + PIECE)
        logs, shares, sums = np.zeros(len(x[piece])), 0.0, 0.0
        for parts, values in members.parts(x[piece]):
            parts += LEAST / x.shape[1]
            whole = parts.sum(axis=1)
            logs += np.log(whole)
            shares = shares + parts / whole[:, None]
            sums = sums + values
        contributions[piece] = np.exp(logs / len(members))[:, None] * shares / len(members)
        expected[piece] = sums / len(members)
    return Explanation(contributions, x, expected, (x - expected) / deviation, columns)
