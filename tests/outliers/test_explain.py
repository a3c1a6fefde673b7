"""What a reason says of numbers that are nothing but rounding."""

from __future__ import annotations

import numpy as np

from tinyae import OutlierDetector
from tinyae.outliers.explain import Reason

TINY = 4.885e-17


def test_a_value_that_is_rounding_beside_the_spread_is_0() -> None:
    said = str(Reason("a", 0.5, TINY, 0.3, -1.5))
    assert said == "a 0, expected 0.3 (-1.5 spreads, 50% of the score)"
    assert str(Reason("a", 0.5, TINY, 0.0, TINY)).startswith("a 0, expected 0 (+0.0 spreads, ")
    small = str(Reason("a", 0.5, TINY, 3 * TINY, -2.0))  # of a column of such numbers
    assert small.startswith("a 4.885e-17, expected 1.466e-16 (-2.0 spreads")


def test_what_is_expected_and_means_are_no_rounding() -> None:
    """Of two columns a code of two loses nothing, and the nearest rows have 0 in the first."""
    rng = np.random.default_rng(0)
    first = np.repeat([-1.0, 0.0, 1.0], 100)
    x = np.column_stack([first, 10 * first + 0.1 * rng.normal(size=300)])
    detector = OutlierDetector(members=8, rows=64, code=2, random_state=0).fit(x)
    assert detector.explain([[0.0, 0.0]]).expected[0, 0] == 0
    x[:, 1] -= x[:, 1].mean() - TINY
    detector = OutlierDetector(members=8, rows=64, code=2, random_state=0).fit(x)
    moved = detector.moved(x + np.array([0, 1e4]))[0]
    assert "it was 0 (" in moved.text
