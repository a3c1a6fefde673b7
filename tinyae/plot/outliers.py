"""Scores of rows with the threshold, and where the outliers lie in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..data.rows import Array
from ..kernels.reference.random import random_permutation
from .codes import MAX_POINTS
from .style import BLUE, INK, MUTED, ORANGE, PLAIN, File, finite, new_figure, save, short, styled

MARKED = 1000  # outliers that are drawn at most, the strongest


def plot_outliers(
    scores: Array, threshold: float, points: ArrayLike, titles: Sequence[str], path: File
) -> None:
    """Left a histogram of the scores (n,), which are positive, with the threshold above which a
    row is an outlier; right the rows as points (n, 1 or 2), outliers marked, of at most 5000 rows
    and the 1000 strongest outliers. Raises ValueError for values that are not finite.
    """
    logs = np.log10(finite(np.maximum(scores, 1e-300)[:, None], "scores")[:, 0])
    places = finite(points, "points")
    if places.shape[1] == 1:
        places = np.column_stack([places, logs])
        titles = [titles[0], "score, power of ten"]
    is_outlier = scores > threshold
    figure = new_figure(1000, 440)
    axes = styled(figure.add_subplot(1, 2, 1), "score", "rows")
    low, high = np.floor(10 * logs.min()) / 10, np.ceil(10 * logs.max()) / 10
    bins = 10 ** np.linspace(low, max(high, low + 0.1), 60)
    shown = 10**logs
    axes.hist(shown[~is_outlier], bins, color=BLUE, label=f"rows: {(~is_outlier).sum():,}")
    axes.hist(shown[is_outlier], bins, color=ORANGE, label=f"outliers: {is_outlier.sum():,}")
    axes.axvline(threshold, color=INK, lw=1.2, label=f"threshold {threshold:.4g}")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    # above the bars, which fill the axes
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, **PLAIN)
    axes = styled(figure.add_subplot(1, 2, 2), *(short(title, 48) for title in titles[:2]))
    for label in (axes.xaxis.label, axes.yaxis.label):  # they may be names of columns
        label.set_parse_math(False)
    some = np.empty(min(len(places), MAX_POINTS), np.int64)
    random_permutation(np.zeros(4, np.uint32), len(places), 0, some)
    normal = some[~is_outlier[some]]
    axes.scatter(*places[normal].T, s=7, linewidths=0, alpha=0.4, color=BLUE)
    marked = np.argsort(-scores, kind="stable")[: min(MARKED, int(is_outlier.sum()))]
    axes.scatter(*places[marked].T, s=26, linewidths=1.1, facecolors="none", edgecolors=ORANGE)
    figure.tight_layout(pad=1.2, w_pad=2.5)
    _number(axes, places, marked[:5], places[marked])
    save(figure, path)


def _number(axes: Any, places: Array, rows: Array, circles: Array) -> None:
    """Numbers of rows beside their circles, on that side where they cover least: of other numbers,
    of circles, and of what is beyond the axes."""
    inside = axes.get_window_extent()
    middles = axes.transData.transform(circles)
    taken = [np.array([middle - 5, middle + 5]) for middle in middles]  # lower left, upper right
    for row in rows:
        size = np.array([7 * len(f"{row}"), 11])  # pixels
        middle = axes.transData.transform(places[row])
        boxes = [
            middle + 6 * side + np.array([np.minimum(side, 0), np.maximum(side, 0)]) * size
            for side in np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
        ]
        covered = [
            sum(bool((box[0] < t[1]).all() and (t[0] < box[1]).all()) for t in taken)
            + bool((box[0] < inside.min).any() or (box[1] > inside.max).any())
            for box in boxes
        ]
        box = boxes[int(np.argmin(covered))]
        taken.append(box)
        axes.annotate(f"{row}", box.mean(axis=0), xycoords="figure pixels", ha="center",
                      va="center", fontsize=8, color=MUTED)  # fmt: skip
