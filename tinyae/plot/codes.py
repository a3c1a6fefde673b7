"""Codes of samples as points in a plane, coloured by label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..data.rows import Array
from ..kernels.reference.random import random_permutation
from .style import AXIS, BLUE, MUTED, PLAIN, SMALL, File, finite, new_figure, save, short, styled

MAX_POINTS = 5000
MAX_CLASSES = 20  # more labels than this are shown on a colour bar


def plot_code(
    codes: ArrayLike,
    labels: ArrayLike | None,
    path: File,
    label_names: Sequence[str] | None = None,
    titles: Sequence[str] = ("code unit 1", "code unit 2"),
) -> None:
    """The codes of samples as points, coloured by label.

    codes (n, 1 or 2), real; ``tinyae.data.pca.plane`` makes two numbers of more. One: a
    histogram, or against the labels; two: their plane. titles: of the axes. At most 5000 points
    are drawn, always the same random choice. labels (n,): numbers or strings, or None; up to 20
    different ones have a legend, more a colour scale. label_names[i] is the name of the integer
    label i.

    Raises ValueError where shapes do not fit, values are not finite or a label has no name.
    """
    points = finite(codes, "codes")
    if points.shape[1] > 2:
        raise ValueError(f"codes must have 1 or 2 columns, got {points.shape[1]}")
    names, which = _classes(labels, len(points), label_names)
    chosen = np.empty(min(len(points), MAX_POINTS), np.int64)
    random_permutation(np.zeros(4, np.uint32), len(points), 0, chosen)
    which = None if which is None else which[chosen]
    names = names and list(map(short, names))
    dots = _dots(chosen.size, names, which)
    axes = new_figure(680, 520).add_subplot()
    if points.shape[1] > 1:
        styled(axes, *titles)
        # all in one call and in random order, so that no class lies on top of the others
        drawn = axes.scatter(*points[chosen].T, **dots)
        if which is not None:
            _explain_colours(axes, drawn, names)
    elif which is None:
        styled(axes, titles[0], "samples")
        span = np.array([points.min(), points.max()])
        span += np.array([-1e-9, 1e-9]) * np.abs(span).max()  # no bins fit between equal numbers
        bins = min(60, max(10, int(chosen.size**0.5)))
        axes.hist(points[chosen, 0], bins, range=span, color=BLUE)
    else:
        styled(axes, titles[0], "label")
        golden = np.arange(chosen.size) * 0.6180339887 % 1  # spreads the points of a strip evenly
        axes.scatter(points[chosen, 0], which + (0.7 * (golden - 0.5) if names else 0), **dots)
        if names:
            axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.figure.tight_layout(pad=1.2)
    save(axes.figure, path)


def _classes(
    labels: ArrayLike | None, n: int, label_names: Sequence[str] | None
) -> tuple[list[str] | None, Array | None]:
    """The classes' names and each sample's class; (None, a number each) for too many classes."""
    if labels is None:
        return None, None
    values = np.asarray(labels)
    if values.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), one for each code, got {values.shape}")
    if values.dtype.kind == "f":
        values = finite(values[:, None], "labels")[:, 0]
    kinds, which = np.unique(values, return_inverse=True)
    if len(kinds) > MAX_CLASSES:
        return None, values if values.dtype.kind in "iuf" else which
    if label_names is None:
        return [f"{kind:g}" if kinds.dtype.kind == "f" else str(kind) for kind in kinds], which
    if kinds.dtype.kind not in "biu" or kinds[0] < 0 or kinds[-1] >= len(label_names):
        raise ValueError(f"label_names has {len(label_names)} names, labels are {kinds.tolist()}")
    return [label_names[int(kind)] for kind in kinds], which


def _dots(n: int, names: list[str] | None, which: Array | None) -> dict[str, Any]:
    """How n points are drawn: size, opacity and colours."""
    size, alpha = (18, 0.85) if n <= 500 else (7, 0.6)
    if which is None:
        return {"s": size, "linewidths": 0, "alpha": alpha / 2, "color": BLUE}
    dots = {"s": size, "linewidths": 0, "alpha": alpha, "c": which}
    if names is None:
        return dots | {"cmap": "viridis"}
    top = 9 if len(names) <= 10 else 19
    return dots | {"cmap": f"tab{top + 1}", "vmin": 0, "vmax": top}


def _explain_colours(axes: Any, drawn: Any, names: list[str] | None) -> None:
    if names is None:
        bar = axes.figure.colorbar(drawn, ax=axes)
        bar.solids.set_alpha(1)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, color=AXIS, labelcolor=MUTED)
        bar.set_label("label", **SMALL)
        return
    keys = [axes.scatter([], [], color=drawn.to_rgba(i), s=24) for i in range(len(names))]
    legend = axes.legend(keys, "?" * len(keys), loc="center left", bbox_to_anchor=(1, 0.5), **PLAIN)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)  # only now, as legends leave out "_name"
