"""``tinyae augment``: new labelled samples, made in the code space of a trained run."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codes.augment import NewSamples, add_noise, interpolate
from ..data.datasets import Dataset, Labels
from ..data.rows import Rows
from ..files import write_atomically
from .options import command, data_given, run_options
from .run_folder import RunFolder, UsageError
from .use import _out, _part

Array = NDArray[Any]

SHOWN_CLASSES, SHOWN_PAIRS = 10, 6  # in the picture


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "augment", _augment, "write new labelled samples, made between codes of a class"
    )
    run_options(parser, part="train")
    parser.add_argument("--per-class", type=int, default=20, metavar="N",
                        help="new samples of each class (default 20)")  # fmt: skip
    parser.add_argument(
        "--method", choices=("interpolate", "noise"), default="interpolate",
        help="interpolate: between a code and a near one of its class; noise: added to a code "
        "(default interpolate)",
    )  # fmt: skip
    parser.add_argument("--neighbours", type=int, default=5, metavar="K",
                        help="interpolate: between so many near codes (default 5)")  # fmt: skip
    parser.add_argument("--scale", type=float, default=0.5, metavar="X",
                        help="noise: in the class's standard deviations (default 0.5)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of all choices (default 0)")
    parser.add_argument(
        "--out", required=True, metavar="FILE",
        help=".npz of x and y, which --data reads; a .png beside it shows some of them",
    )  # fmt: skip


def _augment(given: argparse.Namespace) -> None:
    out = _out(given.out, ".npz")
    run = RunFolder(given.run)
    ae = run.load_model(given.backend)
    dataset = run.load_data(data_given(given) or None)
    samples = _part(dataset, given.part)
    labels = np.concatenate(labels_of(dataset, given.part))
    codes = np.concatenate([ae.encode(rows) for rows in samples])
    if given.method == "interpolate":
        new = interpolate(codes, labels, given.per_class, given.seed, given.neighbours)
    else:
        new = add_noise(codes, labels, given.per_class, given.seed, given.scale)
    x = ae.decode(new.points)
    y = new.labels if dataset.label_names is None else np.array(dataset.label_names)[new.labels]
    shaped = x.reshape(len(x), *(dataset.image_shape or x.shape[1:]))
    write_atomically(out, lambda f: np.savez_compressed(f, x=shaped, y=y))
    n_classes = len(x) // given.per_class
    print(f"{out}: {len(x):,} new samples, {given.per_class:,} of each of {n_classes} classes")
    if importlib.util.find_spec("matplotlib") is not None:
        picture = out.with_suffix(".png")
        _draw(new, x, samples, y, dataset, picture)
        print(f"{picture}: originals, framed, and to the right of each a new sample made from it")


def labels_of(dataset: Dataset, part: str) -> list[Labels]:
    chosen = {"train": [dataset.train_labels], "test": [dataset.test_labels],
              "all": [dataset.train_labels, dataset.test_labels]}[part]  # fmt: skip
    labels = [values for values in chosen if values is not None]
    if len(labels) < len(chosen):
        raise UsageError(
            f"{dataset.name} has no labels to give to new samples: --label names a .csv's label "
            "column, a .npz needs a y, a folder of images a folder per class"
        )
    return labels


def _draw(
    new: NewSamples, x: Array, samples: list[Rows], y: Array, dataset: Dataset, path: Path
) -> None:
    """Pairs of an original and a new sample x, a row per class."""
    from ..plot.grids import plot_grid

    first = np.unique(new.labels, return_index=True)[1][:SHOWN_CLASSES]
    pairs = min(SHOWN_PAIRS, len(x) // len(np.unique(new.labels)))
    shown = (first[:, None] + np.arange(pairs)).reshape(-1)
    cells = np.stack([_originals(samples, new.base[shown]), x[shown]], axis=1)
    plot_grid(
        cells.reshape(2 * len(shown), -1), 2 * pairs, dataset.image_shape, path,
        labels=[str(y[i]) for i in first], marked=range(0, 2 * len(shown), 2),
    )  # fmt: skip


def _originals(samples: list[Rows], positions: Array) -> Array:
    """The samples at these positions of one or two parts, counted through."""
    n = len(samples[0])
    places = [(samples[0], p) if p < n else (samples[1], p - n) for p in positions]
    return np.concatenate([np.asarray(rows.select(np.array([at]))) for rows, at in places])
