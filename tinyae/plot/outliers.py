"""Scores of rows with the threshold, and where the outliers lie in a plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..data.rows import Array
from ..kernels.reference.random import random_permutation
from .codes import MAX_POINTS
from .style import BLUE, INK, MUTED, ORANGE, PLAIN, File, finite, new_figure, save, styled

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
    axes = styled(figure.add_subplot(1, 2, 2), *titles[:2])
    for label in (axes.xaxis.label, axes.yaxis.label):  # they may be names of columns
        label.set_parse_math(False)
    some = np.empty(min(len(places), MAX_POINTS), np.int64)
    random_permutation(np.zeros(4, np.uint32), len(places), 0, some)
    normal = some[~is_outlier[some]]
    axes.scatter(*places[normal].T, s=7, linewidths=0, alpha=0.4, color=BLUE)
    marked = np.argsort(-scores, kind="stable")[: min(MARKED, int(is_outlier.sum()))]
    axes.scatter(*places[marked].T, s=26, linewidths=1.1, facecolors="none", edgecolors=ORANGE)
    for place in marked[:5]:
        axes.annotate(f"{place}", places[place], xytext=(4, 4), textcoords="offset points",
                      fontsize=8, color=MUTED)  # fmt: skip
    figure.tight_layout(pad=1.2, w_pad=2.5)
    save(figure, path)
