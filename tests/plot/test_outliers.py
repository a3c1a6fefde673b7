"""Scores with their threshold, and outliers in a plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.plot.pictures import NEEDED, drawn, shows
from tinyae.plot.outliers import plot_outliers
from tinyae.plot.style import BLUE, ORANGE

pytest.importorskip("matplotlib", reason=NEEDED)

TITLES = ["first", "$x^{$"]  # no markup


@pytest.mark.parametrize("columns", [1, 2])
def test_outliers_are_told_from_other_rows(columns: int, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(200, columns))
    scores = np.exp(points.sum(axis=1))
    some = drawn(tmp_path, plot_outliers, scores, np.quantile(scores, 0.9), points, TITLES)
    assert some.shape == (440, 1000, 3)
    assert shows(some[:, 500:], ORANGE) > 50 and shows(some[:, :500], BLUE) > 500
    none = drawn(tmp_path, plot_outliers, scores, scores.max(), points, TITLES)
    assert shows(none[:, 500:], ORANGE) == 0


def test_scores_that_are_all_alike_or_0_can_be_drawn(tmp_path: Path) -> None:
    for scores in (np.ones(5), np.zeros(5), np.array([0.0, 1e-9, 1, 1e9, 1e200])):
        drawn(tmp_path, plot_outliers, scores, 2.0, np.ones((5, 2)), TITLES)
    with pytest.raises(ValueError, match="scores must be finite"):
        plot_outliers(np.array([np.nan]), 1.0, np.ones((1, 2)), TITLES, tmp_path / "a.png")
