"""Scores with their threshold, and outliers in a plane."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plot.pictures import NEEDED, drawn, shows
from tinyae.plot import outliers
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


def test_numbers_of_outliers_do_not_cover_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Any] = []
    monkeypatch.setattr(outliers, "save", lambda figure, path: figures.append(figure))
    points = np.random.default_rng(0).normal(size=(2000, 2))
    points[1000:1003] = [[0, 0], [0.1, 0.02], [points.max(), 1]]  # the last at the right edge
    scores = np.ones(2000)
    scores[1000:1003] = 9
    plot_outliers(scores, 2.0, points, ["x" * 200, "y" * 200], tmp_path / "x.png")
    (figure,) = figures
    axes = figure.axes[1]
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == ["1000", "1001", "1002"]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    for box in (*boxes, axes.xaxis.label.get_window_extent(), axes.yaxis.label.get_window_extent()):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_scores_that_are_all_alike_or_0_can_be_drawn(tmp_path: Path) -> None:
    for scores in (np.ones(5), np.zeros(5), np.array([0.0, 1e-9, 1, 1e9, 1e200])):
        drawn(tmp_path, plot_outliers, scores, 2.0, np.ones((5, 2)), TITLES)
    with pytest.raises(ValueError, match="scores must be finite"):
        plot_outliers(np.array([np.nan]), 1.0, np.ones((1, 2)), TITLES, tmp_path / "a.png")
