"""``tinyae sweep``: one net per code size, and how much each size loses, beside PCA."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..codes.classifiers import knn_predict
from ..data.datasets import Dataset
from ..data.pca import PCA, fit_pca
from ..data.scaling import scaled
from ..estimator import Autoencoder
from ..families import PLAIN
from ..plot.curves import plot_sweep
from ..storage.untrusted import errors_of, read_json
from ..train.progress import Waiting
from .options import UsageError, command, data_given, integers, model_given
from .output import can_draw, expect_own, table, write_csv, write_json
from .run import together
from .run.data import DATA_DEFAULTS, open_data
from .run.folder import RunFolder
from .run.training import expect_same, run_config, trained_run

Row = dict[str, Any]

CODES = (2, 4, 8, 16, 30, 64)


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "sweep", _sweep,
        "train one net per code size: squared error and k-NN accuracy beside PCA's",
    )  # fmt: skip
    parser.set_defaults(together=True)
    parser.option("--codes", CODES, "code sizes", type=_codes, metavar="N,N,...")
    parser.add_argument(
        "--out", metavar="DIR",
        help="folder of a run folder per size and of sweep.json, .csv and .png; what is trained "
        "there already is not trained again (default: runs/sweep-NAME)",
    )  # fmt: skip
    parser.force_option()
    parser.count("--neighbours", 5, "of k-NN, where the data have labels")
    parser.json_option()
    parser.data_options()
    parser.model_options(leave_out=("code",))
    parser.family_options()


def _codes(text: str) -> list[int]:
    codes = integers(text)
    if len(set(codes)) < len(codes):
        raise argparse.ArgumentTypeError(f"must be different integers >= 1, got {text}")
    return sorted(codes)


_codes.__name__ = "list of code sizes"  # argparse words its complaint with it


def _sweep(given: argparse.Namespace) -> None:
    data = data_given(given)
    model = model_given(given)
    configs = {code: run_config(data, {**model, "code": code}) for code in given.codes}
    described = next(iter(configs.values()))
    name = Path(described["data"]["source"]).name.split(".")[0]
    folder = Path(given.out or f"runs/sweep-{name}")
    expect_own(folder, "sweep.json", "code-*/config.json")
    runs = {code: RunFolder(folder / f"code-{code}") for code in given.codes}
    for code, run in runs.items():  # before hours are spent on the sizes ahead of it
        expect_same(run, configs[code])
    if together.is_local(described["data"]):
        raise UsageError(f"--data {described['data']['source']}: a sweep compares nets by all "
                         "rows, name one file that all processes can read")  # fmt: skip
    earlier = _earlier(folder, described, given)
    dataset = together.opened_by_all(described["data"], open_data)
    rows, pca = earlier, None
    for number, (code, run) in enumerate(runs.items(), start=1):
        print(f"\ncode {code} ({number} of {len(runs)}), run folder {run.path}", file=sys.stderr)
        ae = trained_run(run, configs[code], dataset)
        if pca is None:  # on the scale of the nets, which is the same for all
            with Waiting("fitting PCA, to compare with") as report:
                pca = fit_pca(scaled(dataset.train, ae.scaling_), max(given.codes), report=report)
        rows.append(_measure(ae, _leading(pca, ae._numbers), dataset, given.neighbours, run))
        rows.sort(key=lambda row: int(row["code"]))
        summary = {
            "data": described["data"], "samples": [len(dataset.train), len(dataset.test)],
            "model": _without_code(described["model"]),
            "neighbours": given.neighbours, "codes": rows,
        }  # fmt: skip
        _write(folder, summary)
    files = ["sweep.json", "sweep.csv"]
    if can_draw():
        with Waiting("drawing"):
            plot_sweep(rows, folder / "sweep.png", neighbours=given.neighbours)
        files.append("sweep.png")
    if given.json:
        print(json.dumps(summary))
        return
    print("\n" + _table(rows, len(dataset.test), given.neighbours))
    print(f"\n{folder}: " + ", ".join(files))


def _without_code(model: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in model.items() if name != "code"}


def _earlier(
    folder: Path, described: dict[str, dict[str, Any]], given: argparse.Namespace
) -> list[Row]:
    """What an earlier sweep in this folder measured of other code sizes.

    Raises UsageError where it had other data or settings.
    """
    file = folder / "sweep.json"
    if given.force or not file.exists():
        return []
    found = read_json(file, "no summary of a sweep")
    with errors_of(file, "no summary of a sweep"):
        data, model = {**DATA_DEFAULTS, **found["data"]}, {"family": PLAIN, **found["model"]}
        rows = [row for row in found["codes"] if row["code"] not in given.codes]
        other = [k for k, v in described["data"].items() if data.get(k) != v]
        other += [k for k, v in _without_code(described["model"]).items() if model.get(k, v) != v]
        other += ["neighbours"] if found["neighbours"] != given.neighbours else []
    if other:
        raise UsageError(
            f"{folder} holds a sweep of other {', '.join(other)}: another --out keeps it"
        )
    return rows


def _leading(pca: PCA, k: int) -> PCA:
    """The first k of its components: what fitting with k alone gives."""
    return dataclasses.replace(pca, components=pca.components[:k], variances=pca.variances[:k])


def _measure(ae: Autoencoder, pca: PCA, dataset: Dataset, k: int, run: RunFolder) -> Row:
    """Squared errors and, where there are labels, the accuracy of k-NN: of codes and of PCA's."""
    train, test = (scaled(rows, ae.scaling_) for rows in (dataset.train, dataset.test))
    with Waiting("measuring squared errors"):
        errors = {
            "squared_error": -ae.score(dataset.test),
            "pca_squared_error": pca.squared_error(test),
            "train_squared_error": -ae.score(dataset.train),
            "pca_train_squared_error": pca.squared_error(train),
        }
    row: Row = {
        "code": ae.code,
        **errors,
        "knn_accuracy": None,
        "pca_knn_accuracy": None,
        "parameters": sum(p.size for p in ae.parameters().values()),
        "epochs": ae.n_iter_,
        "seconds": round(sum(ae.history_.get("seconds", [])), 1),
        "run": str(run.path),
    }
    if dataset.train_labels is not None and dataset.test_labels is not None:
        for name, encode, parts in (
            ("knn_accuracy", ae.encode, (dataset.train, dataset.test)),
            ("pca_knn_accuracy", pca.encode, (train, test)),
        ):
            with Waiting(name.replace("_", " ")) as report:
                known, new = map(encode, parts)
                predicted = knn_predict(known, dataset.train_labels, new, k, report)
            row[name] = float(np.mean(predicted == dataset.test_labels))
    return row


def _write(folder: Path, summary: dict[str, Any]) -> None:
    """sweep.json and sweep.csv, after every size anew."""
    rows = summary["codes"]
    write_json(folder / "sweep.json", summary)
    write_csv(folder / "sweep.csv", list(rows[0]), (row.values() for row in rows))


def _table(rows: list[Row], n_test: int, k: int) -> str:
    header = ["code", "autoencoder", "PCA", "PCA / autoencoder"]
    cells = [
        [r["code"], r["squared_error"], r["pca_squared_error"],
         r["pca_squared_error"] / r["squared_error"] if r["squared_error"] else "-"] for r in rows
    ]  # fmt: skip
    note = f"squared error per sample, {n_test:,} test samples"
    if rows[0]["knn_accuracy"] is None:
        note += "; the data have no labels, so there is no k-NN accuracy"
    else:
        note += f"; accuracy of {k}-NN on the codes"
        header += [f"{k}-NN", f"{k}-NN PCA"]
        for line, r in zip(cells, rows, strict=True):
            line += [f"{r[name]:.2%}" for name in ("knn_accuracy", "pca_knn_accuracy")]
    return f"{note}\n\n" + table([*header, "seconds"], [
        [*line, r["seconds"]] for line, r in zip(cells, rows, strict=True)
    ])  # fmt: skip
