"""What a command uses a run on, and that it spares what was learnt from."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...data.datasets import NAMES, Dataset
from ...data.missing import missing_counts
from ...estimator import Autoencoder
from ..options import UsageError, data_given
from .folder import RunFolder


def opened(given: argparse.Namespace) -> tuple[RunFolder, Autoencoder, Dataset]:
    """What ``run_options`` were given: the run, its autoencoder, and the data to use it on."""
    data, run = data_given(given), RunFolder(given.run)
    expect_apart(given, run, data.get("source"))
    whole = getattr(given, "part", None) == "all"
    ae = run.load_model(given.backend)
    dataset = run.load_data(data, whole, ae.schema_)
    expect_usable(run, ae, dataset)
    return run, ae, dataset


def expect_usable(run: RunFolder, ae: Autoencoder, dataset: Dataset) -> None:
    """Raises ValueError for data of another width, and for a table with missing values where the
    run has learnt none."""
    width = dataset.train.shape[1]
    if width != ae.n_features_in_:
        raise ValueError(
            f"{dataset.name} has {width:,} features, and {run.path} was trained on "
            f"{ae.n_features_in_:,}"
        )
    if ae.fill_ is not None or dataset.columns is None:
        return
    counts = missing_counts(dataset.train) + missing_counts(dataset.test)
    if counts.any():
        raise ValueError(
            f"{dataset.name}: values are missing in column {dataset.columns[counts.argmax()]!r} "
            f"(empty cells, or levels that were not learnt), and {run.path} was trained without: "
            "train another run with --missing allow"
        )


def expect_apart(given: argparse.Namespace, run: RunFolder, source: str | None) -> None:
    """Raises UsageError where --out or --npy is among the data, unless there is a --force.

    The data are the ``source`` that is read and what the run was trained on.
    """
    for option in ("out", "npy"):
        out = getattr(given, option, None)
        if out is None or given.force or not Path(out).exists():
            continue
        for data in (source, run.read_config()["data"]["source"]):
            read = Path(data or "")
            if data in NAMES:
                continue
            among = data and read.is_dir() and read.resolve() in Path(out).resolve().parents
            if among or (read.is_file() and read.samefile(out)):
                what = f"is the file that is read or {run.path} was trained on"
                what = f"lies in {data}, among the data" if among else what
                raise UsageError(f"--{option} {out} {what}: --force replaces it all the same")
