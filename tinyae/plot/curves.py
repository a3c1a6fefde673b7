"""Curves: of a training over its epochs, and of a sweep over the sizes of a code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.rows import Array
from .style import BLUE, INK, ORANGE, PLAIN, File, new_figure, save, styled

CURVES = (("autoencoder", "", BLUE), ("PCA", "pca_", ORANGE))  # label, prefix of its values


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
    figure = new_figure(470 * len(panels), 360)
    for i, key in enumerate(panels):
        axes = styled(figure.add_subplot(1, len(panels), i + 1), "epoch", "")
        axes.set_title(key.replace("_", " ") + " per sample", loc="left", fontsize=11, color=INK)
        _draw_curves(axes, [curves[name] for name in (key, "val_" + key) if name in curves])
    figure.tight_layout(pad=1.2, w_pad=2.5)
    save(figure, path)


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


def plot_sweep(rows: Sequence[Mapping[str, Any]], path: File, neighbours: int) -> None:
    """Test squared error over the code size, and where it is known the accuracy of k-NN.

    rows: one per code size, with "code", "squared_error", "pca_squared_error", "knn_accuracy"
    and "pca_knn_accuracy" (both None without labels). Raises ValueError for no rows.
    """
    if not rows:
        raise ValueError("rows must hold at least one code size")
    panels = [("squared_error", "squared error per test sample", 1.0)]
    if rows[0]["knn_accuracy"] is not None:
        panels.append(("knn_accuracy", f"accuracy of {neighbours}-NN on the codes, %", 100.0))
    figure = new_figure(370 * len(panels), 300)
    codes = [row["code"] for row in rows]
    for i, (key, title, unit) in enumerate(panels):
        axes = styled(figure.add_subplot(1, len(panels), i + 1), "code units", "")
        axes.set_title(title, loc="left", fontsize=11, color=INK)
        for label, prefix, colour in CURVES:
            values = [unit * row[prefix + key] for row in rows]
            axes.plot(codes, values, marker="o", lw=1.6, ms=4, color=colour, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(codes, [str(code) for code in codes])
        axes.minorticks_off()
        if key == "squared_error":
            axes.set_yscale("log", subs=[])
            axes.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
            axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(**PLAIN)
    figure.tight_layout(pad=1.2, w_pad=2.5)
    save(figure, path)
