"""``tinyae demo augment``: a classifier with few labels, without and with new samples."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..codes.few_labels import CLASSIFIERS, Augmentation, Samples, accuracies, augmented, labelled
from ..data.datasets import Dataset
from ..data.rows import Array
from ..estimator import Autoencoder
from ..plot.grids import plot_grid
from ..train.progress import Waiting
from .options import command, data_given
from .output import can_draw, expect_own, table, write_json
from .run.data import open_data
from .run.folder import RunFolder
from .run.training import run_config, trained_run
from .use import labels_of

# Of what was tried on MNIST, the least test error for the seconds.
MODEL = {
    "hidden": (512, 256, 128), "code": 16, "activation": "silu", "initializer": "random",
    "learning_rate": 8e-3, "warmup": 0.1, "epochs": 20,
}  # fmt: skip
PER_CLASS = 20
SHOWN_CLASSES = 10  # in the picture

Results = dict[str, list[dict[str, float]]]  # way -> for each seed classifier -> accuracy


def add_commands(demos: Any) -> None:
    parser = command(
        demos, "augment", _augment,
        "classify with few labels: without new samples, with those made from pixels and from codes",
    )  # fmt: skip
    parser.data_options(default="mnist, or the data that RUN was trained on")
    parser.add_argument("--run", metavar="RUN", help="a trained run folder (default: train one)")
    parser.option("--out", "runs/demo-augment", "folder of augment.json, .png and the new run; "
                  "what is trained there already is not trained again", metavar="DIR")  # fmt: skip
    parser.force_option()
    parser.count("--per-class", None, f"training samples of a class with a label (default "
                 f"{PER_CLASS}, or as many as every class has)", least=2)  # fmt: skip
    parser.count("--new", 100, "new samples of each class")
    parser.count("--seeds", 5, "repetitions, with other labels each")
    parser.json_option()


def _augment(given: argparse.Namespace) -> None:
    started, out = time.perf_counter(), Path(given.out)
    expect_own(out, "augment.json", "run/config.json")
    run, dataset, ae = _trained(given, out)
    y_train, y_test = labels_of(dataset, "train")[0], labels_of(dataset, "test")[0]
    with Waiting(f"encoding {dataset.name}"):
        test = Samples(dataset.test, ae.encode(dataset.test), y_test)
        squared_error = -ae.score(dataset.test)
    if given.per_class is None:
        fewest = int(np.unique(y_train, return_counts=True)[1].min())
        given.per_class = max(2, min(PER_CLASS, fewest))
    how = Augmentation(given.new)
    results: Results = {}
    shown: dict[str, Array] = {}
    for seed in range(given.seeds):
        chosen = labelled(y_train, given.per_class, seed)
        with Waiting(f"classifying with {given.per_class} labels per class") as report:
            x = np.asarray(dataset.train.select(chosen), np.float64)
            known = Samples(x, ae.encode(x), y_train[chosen])
            made, base = augmented(ae, known, how, dataset.image_shape, seed)
            results.setdefault("none", []).append(accuracies(known, test))
            for i, (way, new) in enumerate(made.items(), start=1):
                results.setdefault(way, []).append(accuracies(known.joined(new), test))
                report(i, len(made))
        if not shown:  # the first of each class
            firsts = slice(0, SHOWN_CLASSES * given.new, given.new)
            shown = {"original": x[base[firsts]]}
            shown |= {way: np.asarray(new.x)[firsts] for way, new in made.items()}
        print(f"seed {seed}: {seed + 1} of {given.seeds} done", file=sys.stderr, flush=True)
    summary = {
        "data": dataset.name, "run": str(run.path), "code": ae.code,
        "squared_error": squared_error, "test_samples": len(dataset.test),
        "per_class": given.per_class, "new": given.new, "seeds": given.seeds,
        "augmentation": asdict(how), "accuracy": _summed_up(results),
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "augment.json", summary)
    files = ["augment.json"]
    if can_draw():
        with Waiting("drawing"):
            _draw(shown, dataset.image_shape, out / "augment.png")
        files.append("augment.png")
    if given.json:
        print(json.dumps(summary))
        return
    print("\n" + _tables(summary))
    print(f"\n{out}: " + ", ".join(files))


def _trained(given: argparse.Namespace, out: Path) -> tuple[RunFolder, Dataset, Autoencoder]:
    """The run that was named, or one trained below ``out``, and its data or those that were named.

    Raises UsageError where they have no labels, before anything is trained.
    """
    data = data_given(given)
    if given.run is not None:
        run = RunFolder(given.run)
        ae, dataset = run.load_model("auto"), run.load_data(data)
        labels_of(dataset, "all")
        return run, dataset, ae
    run, config = RunFolder(out / "run"), run_config({"source": "mnist", **data}, MODEL)
    dataset = open_data(config["data"])
    labels_of(dataset, "all")
    return run, dataset, trained_run(run, config, dataset)


def _summed_up(results: Results) -> dict[str, Any]:
    """way -> classifier -> accuracies of the seeds, and of these and their gains mean and std.

    A gain is over "none" with the same labels: how these fall out is the larger part of the spread.
    """
    none = results["none"]
    return {
        way: {
            name: {
                "seeds": [run[name] for run in runs],
                **_spread([run[name] for run in runs], ""),
                **_spread([a[name] - b[name] for a, b in zip(runs, none, strict=True)], "gain_"),
            }
            for name in CLASSIFIERS
        }
        for way, runs in results.items()
    }


def _spread(values: Sequence[float], prefix: str) -> dict[str, float | None]:
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {f"{prefix}mean": float(np.mean(values)), f"{prefix}std": std}


def _tables(summary: Mapping[str, Any]) -> str:
    def cells(prefix: str, sign: str) -> list[list[str]]:
        return [
            [way, *(_percent(of[name], prefix, sign) for name in CLASSIFIERS)]
            for way, of in summary["accuracy"].items()
            if not (prefix and way == "none")
        ]

    note = (
        f"accuracy on {summary['test_samples']:,} test samples of {summary['data']}, %, mean and "
        f"standard deviation over {summary['seeds']} seeds:\n{summary['per_class']} labels per "
        f"class, and {summary['new']} new samples per class made from these alone"
    )
    header = ("new samples", *CLASSIFIERS)
    return (
        f"{note}\n\n{table(header, cells('', ''))}\n\n"
        f"gain over none with the same labels\n\n{table(header, cells('gain_', '+'))}"
    )


def _percent(values: Mapping[str, Any], prefix: str, sign: str) -> str:
    mean, std = values[f"{prefix}mean"], values[f"{prefix}std"]
    return f"{100 * mean:{sign}.1f}" + ("" if std is None else f" +- {100 * std:.1f}")


def _draw(rows: Mapping[str, Array], image_shape: tuple[int, ...] | None, path: Path) -> None:
    """A row of samples each; black and white are the originals' extremes."""
    first = next(iter(rows.values()))
    plot_grid(
        np.concatenate(list(rows.values())), len(first), image_shape, path,
        labels=list(rows), span=(float(first.min()), float(first.max())),
    )  # fmt: skip
