"""``report.md`` of a run on a table: what was learnt, and how well, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...data.datasets import Dataset
from ...data.missing import known_shares
from ...data.rows import Array
from ...data.scaling import fit_scaling
from ...estimator import Autoencoder
from ...plot.columns import plot_column_errors
from ...plot.style import MOST
from ...storage.untrusted import printable
from ...train.progress import Waiting
from ..output import write_text
from .folder import RunFolder

CHOSEN = ("scale", "missing", "hidden", "code", "activation", "initializer", "epochs", "batch_size",
          "validation_fraction", "learning_rate")  # fmt: skip
BY_COLUMN = (
    "Root mean squared error of each column on the test rows, the worst first, in its own units "
    "and in standard deviations of the training rows:"
)
COLUMNS = ("| column | standard deviation | error | PCA | error / sd | PCA / sd |",
           "|---|---:|---:|---:|---:|---:|")  # fmt: skip
PICTURES = {
    "columns": "error of each column", "code": "the test rows by their codes",
    "reconstructions": "rows and their reconstructions", "loss": "training",
}  # fmt: skip


def _categories(ae: Autoencoder, dataset: Dataset) -> list[str]:
    """How often the likeliest level of the reconstruction is the right one."""
    if ae.schema_ is None:
        return []
    x, rebuilt = np.asarray(dataset.test), ae.reconstruct(dataset.test)
    lines = ["", "Categories, by the share of the test rows whose level comes out right:", ""]
    lines += ["| category | levels | right | most frequent level alone |", "|---|---:|---:|---:|"]
    for category, (start, stop) in zip(ae.schema_.categories, ae.schema_.groups, strict=True):
        known = ~np.isnan(x[:, start])
        true, found = (a[known, start:stop].argmax(axis=1) for a in (x, rebuilt))
        n = max(len(true), 1)
        frequent = np.bincount(true, minlength=1).max() / n
        name = printable(category.name).replace("|", "\\|")
        lines.append(
            f"| {name} | {stop - start} | {(true == found).sum() / n:.3f} | {frequent:.3f} |"
        )
    return lines


def write_report(
    run: RunFolder, ae: Autoencoder, dataset: Dataset, errors: Mapping[str, Any],
    by_column: tuple[Array, Any], draw: bool,
) -> list[Path]:  # fmt: skip
    """Writes report.md and, to ``draw``, columns.png.

    ``errors`` by part, as train prints them; ``by_column`` of the test rows, what a row adds to
    them: the autoencoder's and PCA's.
    """
    file, picture = run.path / "report.md", run.path / "columns.png"
    with Waiting("writing report.md"):
        columns = range(ae.n_features_in_) if dataset.columns is None else dataset.columns
        source = columns if ae.schema_ is None else ae.schema_.source
        n = len(columns if ae.schema_ is None else ae.schema_.numbers)  # they come first
        names = [printable(str(name)) for name in columns[:n]]
        spread = fit_scaling(dataset.train, "standard").spread[:n]
        units = 1.0 if ae.scaling_ is None else ae.scaling_.spread[:n]
        known = known_shares(dataset.test)[:n]
        some = np.where(known > 0, known, 1)
        own, theirs = (np.sqrt(squared[:n] / some) * units for squared in by_column)
        order = np.argsort(-own / spread, kind="stable")
        order = order[known[order] > 0]
        named = [names[i] for i in order]
        lines = [f"# {printable(dataset.name)}: {ae.code} numbers for {len(source)} columns", ""]
        lines += [f"{len(dataset.train):,} rows to train, {len(dataset.test):,} to test.", ""]
        model = run.read_config()["model"]
        lines += ["| chosen | |", "|---|---|"]
        lines += [f"| {name} | {model[name]} |" for name in CHOSEN]
        lines += [f"| output, loss | {ae.output_}, {ae.loss_name_} |", ""]
        lines += ["Squared error of a row, over the values that it has, on the net's scale:", ""]
        lines += [f"| part | autoencoder | PCA {ae._numbers} |", "|---|---:|---:|"]
        lines += [
            f"| {part} | {e['squared_error']:.6g} | {e['pca_squared_error']:.6g} |"
            for part, e in errors.items()
        ]
        lines += ["", BY_COLUMN, "", *COLUMNS] if n else []
        lines += [
            f"| {name.replace('|', chr(92) + '|')} | {spread[i]:.4g} | {own[i]:.4g} | "
            f"{theirs[i]:.4g} | {own[i] / spread[i]:.3f} | {theirs[i] / spread[i]:.3f} |"
            for i, name in zip(order[: 10 * MOST], named, strict=False)
        ]
        if len(order) > 10 * MOST:
            lines.append(f"\n{len(order) - 10 * MOST} columns with smaller errors are left out.")
        if len(order) < n:
            lines.append(f"\nColumns without a value in the test rows: {n - len(order)}.")
        lines += _categories(ae, dataset)
        if draw:
            if n:
                plot_column_errors(named, (own / spread)[order], (theirs / spread)[order], picture)
            for name, what in PICTURES.items():
                if (run.path / f"{name}.png").exists():
                    lines += ["", f"![{what}]({name}.png)"]
        write_text(file, "\n".join([*lines, ""]))
    return [file, picture] if draw and n else [file]
