"""Errors of a table's columns, as bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .style import BLUE, INK, MOST, ORANGE, PLAIN, File, finite, new_figure, save, short, styled


def plot_column_errors(
    names: Sequence[str], errors: ArrayLike, pca_errors: ArrayLike, path: File
) -> None:
    """Root mean squared errors of columns, (n,) each, beside PCA's; at most the first 40.

    Raises ValueError for arrays of other lengths, and for errors that are not finite.
    """
    series = [
        finite(np.asarray(e, np.float64)[:, None], "errors")[:, 0] for e in (errors, pca_errors)
    ]
    if not len(names) == len(series[0]) == len(series[1]):
        raise ValueError(f"names and errors must have one length, got {len(names)}, "
                         f"{len(series[0])} and {len(series[1])}")  # fmt: skip
    shown = min(len(names), MOST)
    figure = new_figure(760, 90 + 26 * shown)
    axes = styled(figure.add_subplot(), "root mean squared error, in standard deviations", "")
    places = np.arange(shown)
    for values, label, colour, shift in (
        (series[0], "autoencoder", BLUE, -0.2), (series[1], "PCA", ORANGE, 0.2)
    ):  # fmt: skip
        axes.barh(places + shift, values[:shown], 0.36, color=colour, label=label)
    axes.set_yticks(places, list(map(short, names[:shown])), parse_math=False)
    axes.set_ylim(shown - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_title("error of each column on test rows", loc="left", fontsize=11, color=INK)
    # above the bars, which may fill the axes
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2, **PLAIN)
    figure.tight_layout(pad=1.2)
    save(figure, path)
