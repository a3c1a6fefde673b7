"""Pictures of a training, written as PNG; needs matplotlib (the extra "plot").

Drawn with matplotlib's objects into memory: no pyplot, no window, no global setting changed. The
same input gives the same bytes. All functions raise, besides what they say themselves, ValueError
for a path that does not end in .png, FileNotFoundError for a missing folder and ImportError
without matplotlib.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..codes.pca import fit_pca
from ..data.rows import Array, as_rows
from ..files import write_atomically
from ..kernels.reference.random import random_permutation

File = str | os.PathLike[str]

DPI = 100
INK, MUTED, AXIS, GRID, SHADOW = "#222222", "#666666", "#b0b0b0", "#e4e4e4", "#c8c8c8"
BLUE, ORANGE = "#1f5fa8", "#d9822b"
SMALL: dict[str, Any] = {"fontsize": 9, "color": MUTED}
ROW = {"ha": "right", "va": "center", **SMALL}
PLAIN: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": INK}
CELL = 64  # pixels: small images are magnified to about this size, those over twice it reduced
LEFT = 116  # pixels for the labels of rows
MAX_POINTS = 5000
MAX_CLASSES = 20  # more labels than this are shown on a colour bar


def plot_loss(history: Mapping[str, Sequence[float]], path: File) -> None:
    """Loss and squared error per epoch, of training and validation.

    history holds lists of one float per epoch: "loss", and where there are any "squared_error",
    "val_loss", "val_squared_error"; other entries are not drawn. Values that are not finite (a
    training that diverged) leave a gap. A range of more than a decade gets a logarithmic axis.

    Raises ValueError where "loss" is missing or empty or lists differ in length.
    """
    keys = [key for key in history if key.removeprefix("val_") in ("loss", "squared_error")]
    curves = {key: np.asarray(history[key], np.float64) for key in keys if len(history[key])}
    if "loss" not in curves:
        raise ValueError(f'history must hold "loss", one value per epoch; it has {[*history]}')
    n = curves["loss"].size
    for key, values in curves.items():
        if values.shape != (n,):
            raise ValueError(f"history[{key!r}] must have shape {(n,)}, got {values.shape}")
    panels = [key for key in ("loss", "squared_error") if key in curves]
    figure = _figure(470 * len(panels), 360)
    for i, key in enumerate(panels):
        axes = _styled(figure.add_subplot(1, len(panels), i + 1), "epoch", "")
        axes.set_title(key.replace("_", " ") + " per sample", loc="left", fontsize=11, color=INK)
        _draw_curves(axes, [curves[name] for name in (key, "val_" + key) if name in curves])
    figure.tight_layout(pad=1.2, w_pad=2.5)
    _save(figure, path)


def _draw_curves(axes: Any, curves: list[Array]) -> None:
    for name, colour, values in zip(("train", "validation"), (BLUE, ORANGE), curves, strict=False):
        epochs = np.arange(1, values.size + 1)
        marker = "o" if values.size <= 25 else ""  # a single epoch is no line
        label = f"{name}, last {values[-1]:.4g}"
        drawn = np.where(np.isfinite(values), values, np.nan)
        axes.plot(epochs, drawn, marker=marker, lw=1.6, ms=3.5, color=colour, label=label)
    axes.legend(**PLAIN)
    axes.set_xlim(0.5, curves[0].size + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    drawn = np.concatenate([values[np.isfinite(values)] for values in curves])
    if drawn.size and 0 < 10 * drawn.min() < drawn.max():
        axes.set_yscale("log", subs=[])
        wide = drawn.max() > 1e3 * drawn.min()
        axes.yaxis.get_major_locator().set_params(subs=(1,) if wide else (1, 2, 5))
        axes.yaxis.set_major_formatter("{x:g}")


def plot_reconstructions(
    originals: ArrayLike,
    reconstructions: ArrayLike,
    image_shape: tuple[int, ...] | None,
    path: File,
    n: int = 10,
) -> None:
    """The first n originals over their reconstructions.

    originals, reconstructions: (samples, features), real; uint8 counts as pixels, see Rows. Only
    the first n are read. image_shape: (height, width) or (height, width, 1) for grey pictures,
    (height, width, 3) for coloured ones; black and white are the least and the largest value of
    the originals drawn, in both rows. None: each sample is drawn as a line over its features.

    Raises ValueError where shapes do not fit, n < 1 or values are not finite.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    above = _finite(originals, "originals", n)
    below = _finite(reconstructions, "reconstructions", n)
    if above.shape != below.shape:
        raise ValueError(f"reconstructions must have shape {above.shape}, got {below.shape}")
    pair = np.stack([above, below])
    low, high = float(above.min()), float(above.max())
    if image_shape is None:
        _save(_draw_lines(pair, low, high), path)
        return
    h, w, *channels = image_shape if len(image_shape) >= 2 else (0, 0)
    if channels not in ([], [1], [3]) or h < 1 or np.prod(image_shape) != above.shape[1]:
        raise ValueError(f"image_shape must be (height, width) or (height, width, 1 or 3) for "
                         f"{above.shape[1]} features, got {image_shape}")  # fmt: skip
    grey = (pair - low) / (high - low) if high > low else np.full_like(pair, 0.5)
    _save(_draw_images(grey.clip(0, 1).reshape(2, len(above), h, w, -1)), path)


def _draw_images(pictures: Array) -> Any:
    """(2, n, h, w, channels) in [0, 1], pixel by pixel: nothing is interpolated."""
    rows, n, h, w, channels = pictures.shape
    a, b = (-(-side // (2 * CELL)) for side in (h, w))  # means over a x b blocks of pixels
    h, w = h // a, w // b
    pictures = pictures[:, :, : h * a, : w * b].reshape(rows, n, h, a, w, b, channels).mean((3, 5))
    zoom = max(1, CELL // max(h, w))
    pictures = pictures.repeat(zoom, axis=2).repeat(zoom, axis=3)
    h, w, gap, margin = h * zoom, w * zoom, 4, 10
    pitch = max(h, 16) + gap  # of rows: room for their labels
    width, height = LEFT + n * (w + gap) - gap + margin, 2 * (margin + pitch) - gap
    figure = _figure(width, height)
    for row, label in enumerate(("original", "reconstruction")):
        middle = height - margin - row * pitch - (pitch - gap) // 2  # counted from below
        figure.text((LEFT - 10) / width, middle / height, label, **ROW)
        for i in range(n):
            rgb = np.broadcast_to(pictures[row, i] * 255 + 0.5, (h, w, 3)).astype(np.uint8)
            figure.figimage(rgb, LEFT + i * (w + gap), middle - h // 2, origin="upper")
    return figure


def _draw_lines(pair: Array, low: float, high: float) -> Any:
    """Two rows of line plots with one scale; the original is shadowed under its reconstruction."""
    width = LEFT + 110 * pair.shape[1]
    figure = _figure(width, 210)
    grid = figure.subplots(2, pair.shape[1], squeeze=False)
    figure.subplots_adjust(LEFT / width, 0.05, 1 - 10 / width, 0.95, wspace=0.08, hspace=0.1)
    marker = "o" if pair.shape[2] == 1 else ""
    pad = 0.08 * (high - low) or 1.0
    for row, label in enumerate(("original", "reconstruction")):
        grid[row, 0].set_ylabel(label, rotation=0, **ROW)
        for i, axes in enumerate(grid[row]):
            if row:
                axes.plot(pair[0, i], color=SHADOW, linewidth=2.2, marker=marker)
            axes.plot(pair[row, i], color=ORANGE if row else BLUE, linewidth=1, marker=marker)
            axes.set(xticks=[], yticks=[], ylim=(low - pad, high + pad), facecolor="white")
            axes.spines[:].set_color(GRID)
    return figure


def plot_code(
    codes: ArrayLike, labels: ArrayLike | None, path: File, label_names: Sequence[str] | None = None
) -> None:
    """The codes of samples as points, coloured by label.

    codes (n, k), real. One unit: a histogram, or against the labels; two: their plane; more: the
    plane of the codes' own two principal directions, with their shares of the variance. At most
    5000 points are drawn, always the same random choice. labels (n,): numbers or strings, or
    None; up to 20 different ones have a legend, more a colour scale. label_names[i] is the name
    of the integer label i.

    Raises ValueError where shapes do not fit, values are not finite or a label has no name.
    """
    points = _finite(codes, "codes")
    names, which = _classes(labels, len(points), label_names)
    chosen = np.empty(min(len(points), MAX_POINTS), np.int64)
    random_permutation(np.zeros(4, np.uint32), len(points), 0, chosen)
    which = None if which is None else which[chosen]
    dots = _dots(chosen.size, names, which)
    axes = _figure(680, 520).add_subplot()
    if points.shape[1] > 1:
        plane, titles = _plane(points)
        _styled(axes, *titles)
        # all in one call and in random order, so that no class lies on top of the others
        drawn = axes.scatter(*plane[chosen].T, **dots)
        if which is not None:
            _explain_colours(axes, drawn, names)
    elif which is None:
        _styled(axes, "code unit 1", "samples")
        span = np.array([points.min(), points.max()])
        span += np.array([-1e-9, 1e-9]) * np.abs(span).max()  # no bins fit between equal numbers
        bins = min(60, max(10, int(chosen.size**0.5)))
        axes.hist(points[chosen, 0], bins, range=span, color=BLUE)
    else:
        _styled(axes, "code unit 1", "label")
        golden = np.arange(chosen.size) * 0.6180339887 % 1  # spreads the points of a strip evenly
        axes.scatter(points[chosen, 0], which + (0.7 * (golden - 0.5) if names else 0), **dots)
        if names:
            axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.figure.tight_layout(pad=1.2)
    _save(axes.figure, path)


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
        values = _finite(values[:, None], "labels")[:, 0]
    kinds, which = np.unique(values, return_inverse=True)
    if len(kinds) > MAX_CLASSES:
        return None, values if values.dtype.kind in "iuf" else which
    if label_names is None:
        return [f"{kind:g}" if kinds.dtype.kind == "f" else str(kind) for kind in kinds], which
    if kinds.dtype.kind not in "biu" or kinds[0] < 0 or kinds[-1] >= len(label_names):
        raise ValueError(f"label_names has {len(label_names)} names, labels are {kinds.tolist()}")
    return [label_names[int(kind)] for kind in kinds], which


def _plane(points: Array) -> tuple[Array, list[str]]:
    """Two coordinates of each point, and what they are."""
    if points.shape[1] == 2:
        return points, ["code unit 1", "code unit 2"]
    pca = fit_pca(points, 2)
    plane = np.zeros((len(points), 2))  # zeros: a single point has no directions
    plane[:, : len(pca.components)] = pca.encode(points)
    shares = [v / pca.total_variance if v else 0.0 for v in (*pca.variances, 0.0, 0.0)]
    return plane, [f"principal direction {i} of the code ({share:.0%} of its variance)"
                   for i, share in enumerate(shares[:2], 1)]  # fmt: skip


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


def _figure(width: int, height: int) -> Any:
    """An empty figure of so many pixels, on a canvas in memory."""
    try:
        importlib.import_module("matplotlib")
        library = importlib.import_module("matplotlib.figure")
        agg = importlib.import_module("matplotlib.backends.backend_agg")
    except ImportError as error:
        raise ImportError('drawing needs matplotlib: pip install "tinyae[plot]"') from error
    figure = library.Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    return agg.FigureCanvasAgg(figure).figure


def _styled(axes: Any, xlabel: str, ylabel: str) -> Any:
    axes.set(facecolor="white", axisbelow=True)
    axes.grid(color=GRID, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(AXIS)
    axes.tick_params(which="both", labelsize=8, color=AXIS, labelcolor=MUTED)
    axes.set_xlabel(xlabel, **SMALL)
    axes.set_ylabel(ylabel, **SMALL)
    return axes


def _finite(x: ArrayLike, name: str, n: int | None = None) -> Array:
    """The first n samples of x, all where n is None, in float64."""
    rows = as_rows(x, name)
    values = np.asarray(rows.select(np.arange(len(rows))[:n]), np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return values


def _save(figure: Any, path: File) -> None:
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {os.fspath(path)!r}")
    options = {"dpi": DPI, "facecolor": "white", "metadata": {"Software": None}}
    write_atomically(path, lambda file: figure.savefig(file, format="png", **options))
