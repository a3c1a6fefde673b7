"""Curves over the size of a code; as ``plots`` in all else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .plots import BLUE, INK, ORANGE, PLAIN, File, _figure, _save, _styled

CURVES = (("autoencoder", "", BLUE), ("PCA", "pca_", ORANGE))  # label, prefix of its values


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
    figure = _figure(370 * len(panels), 300)
    codes = [row["code"] for row in rows]
    for i, (key, title, unit) in enumerate(panels):
        axes = _styled(figure.add_subplot(1, len(panels), i + 1), "code units", "")
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
    _save(figure, path)
