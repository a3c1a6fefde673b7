"""``tinyae train`` and ``tinyae evaluate``: from data to a run folder with numbers and pictures."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..assemble import tied_to_epochs
from ..data.datasets import Dataset
from ..data.missing import known_shares
from ..data.pca import PCA, fit_pca, plane
from ..data.rows import Array, Rows
from ..data.scaling import scaled
from ..data.tables.text import table_kind
from ..estimator import Autoencoder
from ..families import made
from ..kernels.conventions import AS_FP32
from ..plot import codes, curves, grids
from ..train.progress import Waiting
from . import recipes
from .options import RANK, UsageError, command, data_given, model_given
from .output import can_draw, expect_own, print_zero_units, table, to_draw
from .run import together
from .run.data import open_data
from .run.folder import RunFolder
from .run.opening import expect_usable
from .run.report import write_report
from .run.training import expect_same, run_config, train_run

MOST_UNITS, MOST_LINES = 1024, 100  # that are drawn, as pictures and as lines

# By part; None where there is no PCA to compare with
Errors = dict[str, dict[str, Any]]
ByColumn = dict[str, tuple[Array, Array | None]]


def add_commands(commands: Any) -> None:
    parser = command(commands, "train", _train, "train an autoencoder into a run folder")
    parser.set_defaults(together=True)
    parser.add_argument(
        "--out", metavar="RUN", help="the run folder (default: runs/NAME, numbered)"
    )
    parser.add_argument(
        "--resume", metavar="RUN", nargs="?", const="",
        help="go on with an interrupted run: --resume RUN, or --out RUN --resume; with more "
        "--epochs than it was started with, train it longer, which needs --schedule constant "
        "--warmup 0 from its start",
    )  # fmt: skip
    parser.force_option()
    parser.json_option()
    parser.add_argument("--recipe", metavar="NAME", choices=recipes.NAMES,
                        help="a set of options, see 'tinyae recipes'; an option that is "
                        "given beside it takes the place of the recipe's")  # fmt: skip
    parser.data_options()
    parser.model_options()
    parser.family_options()
    parser = command(
        commands, "evaluate", _evaluate, "squared error on training and test data, beside PCA; "
        "dead units",
    )  # fmt: skip
    parser.set_defaults(alike=True)
    parser.run_options()
    parser.json_option("print squared_error, pca_squared_error, code and samples of the test part, "
                       "and what the family measures")  # fmt: skip


def _train(given: argparse.Namespace) -> None:
    began = time.perf_counter()
    data, model = data_given(given), model_given(given)
    if given.recipe:
        recipe = recipes.read(given.recipe)
        data, model = {**recipe.data, **data}, {**recipe.model, **model}
    chosen, config = _choose_run(given, data, model)
    local = together.is_local(config["data"])
    dataset = together.opened_by_all(config["data"], open_data)
    name = Path(config["data"]["source"].replace(RANK, "")).name.split(".")[0]
    name = name.strip("-_") or "run"
    run = chosen or RunFolder.unused(Path("runs"), name)
    n, n_features = dataset.train.shape
    print(
        f"{dataset.name}: {n:,} training and {len(dataset.test):,} test samples of {n_features} "
        f"features; run folder {run.path}"
        + ("; of rank 0 alone, as are all errors and pictures below" if local else ""),
        file=sys.stderr,
    )
    fresh = (chosen is None or not chosen.exists()) and "code" not in model
    if fresh:
        code = made(config["model"])._code_for(n_features)
        config["model"] |= code.params
        for reason in code.reasons:
            print(reason, file=sys.stderr)
    if config["model"]["code"] >= n_features and config["model"]["family"] != "sparse":
        print(f"a code of {config['model']['code']} is no shorter than a sample and need not leave "
              "anything out: --code sets another", file=sys.stderr)  # fmt: skip
    started = time.perf_counter()
    remedy = f"'tinyae train --resume {run.path}' goes on from here"
    ae = train_run(run, config, dataset, given.resume is not None, remedy)
    seconds = time.perf_counter() - started
    parts = _parts(dataset)
    columns = _compare(ae, parts, _pca(ae, dataset.train), lambda rows, do: do(rows))
    errors = _summed(ae, columns)
    pictures = _draw(ae, dataset, run)
    if dataset.columns is not None or table_kind(Path(config["data"]["source"])):
        pictures += write_report(run, ae, dataset, errors, columns["test"], bool(pictures))
    summary = {
        "run": str(run.path),
        "epochs": ae.n_iter_,
        "seconds": round(seconds, 3),
        "backend": ae.backend_,
        "matmul": ae.matmul_,
        "code": ae.code,
        "parameters": sum(p.size for p in ae.parameters().values()),
        **errors,
    }
    if given.json:
        print(json.dumps(summary))
        return
    trained = sum(ae.history_.get("seconds", []))
    print(
        f"\n{ae.n_iter_} epoch{'s' * (ae.n_iter_ != 1)} in {trained:.1f} s, {seconds:.1f} s with "
        f"choosing settings and saving, {time.perf_counter() - began:.1f} s with reading, PCA and "
        f"pictures too, {summary['parameters']:,} parameters, output {ae.output_}, loss "
        f"{ae.loss_name_}" + ("\n" if ae.matmul_ == "fp32" else f", products {ae.matmul_}\n")
    )
    if ae.in_training:
        print(f"Losses and errors of epochs are of training, with {ae.in_training}; these are of "
              "samples and codes as they are:\n")  # fmt: skip
    if ae.schema_ and ae.schema_.categories:
        print("Squared errors of epochs are of the columns of numbers; these are of the levels of "
              "categories, as probabilities, too:\n")  # fmt: skip
    print(_error_table(ae, {part: len(rows) for part, rows in parts.items()}, errors))
    print_zero_units(ae, ae.zero_units_)
    files = [run.model_file, run.checkpoint_file, run.config_file, run.history_file, *pictures]
    print(f"\n{run.path}: " + ", ".join(sorted(f.name for f in files if f.exists())))


def _evaluate(given: argparse.Namespace) -> None:
    """Squared error by part, beside PCA of the training data; other data are one part, new."""
    data, run = data_given(given), RunFolder(given.run)
    trained_on = run.read_config()["data"]
    ae, dataset = together.by_all(lambda: _loaded(given, run, data))
    parts = _parts(dataset)
    trained: Rows | None = dataset.train
    learnt = together.is_local(trained_on)
    if data:
        try:
            trained = together.by_all(lambda: run.load_data({}).train)
        except (OSError, ValueError, UsageError) as error:
            trained = None
            where = "lie on the ranks" if learnt else "are gone"
            print(f"no PCA to compare with: the training data {where}: {error}", file=sys.stderr)
    local = together.is_local(data or trained_on)
    pca = None
    if trained is not None:
        pca = together.of_all(trained, lambda rows: _pca(ae, rows), learnt)
    errors = _summed(ae, _compare(ae, parts, pca, partial(together.mean, local=local)))
    counts = {name: together.count(rows, local) for name, rows in parts.items()}
    part = list(parts)[-1]
    measures = together.once(lambda: ae._measures(parts[part]))
    numbers: dict[str, Any] = {name: number for name, (_, number) in measures.items()}
    if local:  # the family's own figures are not of all ranks' rows
        numbers = {"rank_0": numbers} if numbers else {}
    if given.json:
        print(json.dumps({**errors[part], **numbers, "code": ae.code, "samples": counts[part]}))
    else:
        print(_error_table(ae, counts, errors))
        if measures:
            print()
        rank = f"{part} of rank 0" if local else part
        for what, number in measures.values():
            print(f"{rank}: {what}: {number:.6g}")
    with Waiting("looking for units that are always 0"):
        zero = ae.zero_units_ if trained is None else together.zero_units(ae, trained, learnt)
    print_zero_units(ae, zero, sys.stderr if given.json else None)


def _loaded(
    given: argparse.Namespace, run: RunFolder, data: Mapping[str, Any]
) -> tuple[Autoencoder, Dataset]:
    ae = run.load_model(given.backend)
    dataset = run.load_data(data, whole=bool(data), schema=ae.schema_)
    expect_usable(run, ae, dataset)
    return ae, dataset


def _choose_run(
    given: argparse.Namespace, data: dict[str, Any], model: dict[str, Any]
) -> tuple[RunFolder | None, dict[str, Any]]:
    """The folder, None where none was named, and its configuration.

    That is what was given over the defaults, or what was saved.
    """
    folder = given.resume or given.out
    if given.resume is not None and folder and RunFolder(folder).exists():
        # arguments that only make sense beside others of the run, such as schedule_options
        under = RunFolder(folder).read_config()["model"]
        if model.get("family", under["family"]) != under["family"]:
            raise UsageError(f"{folder} was started with family={under['family']!r}, not "
                             f"{model['family']!r}: another --out keeps it")  # fmt: skip
    else:
        under = {}
    fresh = run_config(data, {**under, **model})
    data = {name: fresh["data"][name] for name in data}
    if given.resume is None:
        if given.out is None:
            return None, fresh
        run = RunFolder(given.out)
        if run.started():
            raise UsageError(run.taken())
        expect_own(run.path)
        return run, fresh
    if given.resume and given.out and Path(given.resume) != Path(given.out):
        raise UsageError(f"--resume {given.resume} and --out {given.out} name different folders")
    if not folder:
        raise UsageError("--resume needs a run folder: --resume RUN, or --out RUN --resume")
    run = RunFolder(folder)
    if not run.exists():
        if not data and not model:
            run.read_config()  # raises: there is nothing that could be meant
        expect_own(run.path)
        print(f"nothing to resume in {run.path}: starting from the beginning", file=sys.stderr)
        return run, fresh
    saved = run.read_config()
    wanted = {name: fresh["model"][name] for name in model}
    other = {"threads": wanted.pop("threads")} if "threads" in wanted else {}
    if {wanted.get("matmul", ""), saved["model"].get("matmul", "fp32")} <= {*AS_FP32}:
        other["matmul"] = wanted.pop("matmul")  # the run may go on without AMX
    started = run_config(saved["data"], {**saved["model"], **other})
    if "backend" in wanted and started["model"]["backend"] == "auto":
        other["backend"] = wanted.pop("backend")  # that of the checkpoint, or ``fit`` refuses it
    planned = started["model"]["epochs"]
    if wanted.get("epochs", 0) > planned:
        tied = tied_to_epochs(started["model"])
        if tied and run.checkpoint_file.exists():
            raise UsageError(
                f"{run.path} was started with epochs={planned}, not {wanted['epochs']}: another "
                f"--out keeps it; {tied}"
            )
        other["epochs"] = wanted.pop("epochs")
    expect_same(run, {"data": data, "model": wanted})
    return run, {"data": started["data"], "model": {**started["model"], **other}}


def _parts(dataset: Dataset) -> dict[str, Rows]:
    if not len(dataset.test):
        return {"new": dataset.train}
    return {"train": dataset.train, "test": dataset.test}


def _pca(ae: Autoencoder, trained: Rows) -> PCA:
    """Of as many numbers as the code, on the net's scale."""
    with Waiting("fitting PCA, to compare with") as report:
        return fit_pca(scaled(trained, ae.scaling_), ae._numbers, report=report)


def _compare(
    ae: Autoencoder, parts: Mapping[str, Rows], pca: PCA | None,
    mean: Callable[[Rows, Callable[[Rows], Array]], Array],
) -> ByColumn:  # fmt: skip
    """By column, what a sample of each part adds to the squared errors of the autoencoder and of
    PCA, on the net's scale: 0 where its value is missing. ``mean``: see ``together.mean``."""
    errors: list[Callable[[Rows], Array]] = [
        lambda rows: ae.column_errors(rows) * known_shares(rows)
    ]
    if pca is not None:
        errors.append(
            lambda rows: pca.column_errors(scaled(rows, ae.scaling_)) * known_shares(rows)
        )
    with Waiting("measuring squared errors"):
        found = {part: [mean(rows, do) for do in errors] for part, rows in parts.items()}
    return {part: (own, other[0] if other else None) for part, (own, *other) in found.items()}


def _summed(ae: Autoencoder, columns: ByColumn) -> Errors:
    """On the net's scale and, by names that begin with raw, in the units of the data."""
    weights = {"": 1.0, "raw_": 1.0 if ae.scaling_ is None else ae.scaling_.spread**2}
    return {
        part: {
            prefix + name: None if errors is None else float((errors * weight).sum())
            for prefix, weight in weights.items()
            for name, errors in (("squared_error", own), ("pca_squared_error", other))
        }
        for part, (own, other) in columns.items()
    }


def _error_table(ae: Autoencoder, counts: Mapping[str, int], errors: Errors) -> str:
    header, prefixes = ["part", "samples", "autoencoder", f"PCA {ae._numbers}"], [""]
    note = f"squared error per sample, code of {ae.code}"
    if ae._numbers != ae.code:
        note += f", of which {ae._numbers} are not 0"
    if ae.fill_ is not None:
        note += "; missing values count as none"
    if ae.scaling_ is not None:
        note += "; of scaled features, and in the units of the data"
        header, prefixes = [*header, "in units", "PCA in units"], ["", "raw_"]
    names = [p + name for p in prefixes for name in ("squared_error", "pca_squared_error")]
    rows: list[list[Any]] = [
        [part, counts[part], *("-" if e[name] is None else e[name] for name in names)]
        for part, e in errors.items()
    ]
    text = f"{note}\n\n" + table(header, rows)
    own, pca = rows[-1][2:4]
    if isinstance(pca, float) and own > 1.001 * pca:
        text += "\n\nPCA is better here: " + (
            f"see {_advice(ae)}" if ae._numbers < ae.n_features_in_ else
            f"its {ae._numbers} numbers hold all {ae.n_features_in_} features; --code sets fewer"
        )  # fmt: skip
    return text


def _advice(ae: Autoencoder) -> str:
    """The options that a net worse than PCA may lack, or have too much of."""
    text = "--epochs, --learning-rate, --initializer and --scale"
    if ae.schema_ and ae.schema_.categories:
        text += "; of categories the net learns the cross-entropy, not this error"
    if not ae.family:
        return text
    own = ", ".join("--" + name.replace("_", "-") for name in ae._adjustable())
    return f"{text}; --family {ae.family} may be the cause as well" + (own and f": {own}")


def _draw(ae: Autoencoder, dataset: Dataset, run: RunFolder) -> list[Path]:
    """loss.png, reconstructions.png, code.png and, of some families, units.png, where matplotlib is
    installed."""
    if not can_draw():
        return []
    files = [run.path / f"{name}.png" for name in ("reconstructions", "code", "loss")]
    with Waiting("drawing"):
        shown = np.asarray(dataset.test.select(np.arange(min(10, len(dataset.test)))))
        shape = dataset.image_shape
        rows = {label: to_draw(ae, x, shape) for label, x in ae._rows_shown(shown).items()}
        names = dataset.columns or ()
        grids.plot_rows(rows, shape, files[0], names=names)
        points, titles = plane(ae.encode(dataset.test))
        codes.plot_code(points, dataset.test_labels, files[1], dataset.label_names, titles)
        units = ae._units_shown(dataset.test)
        if units is not None:
            units = units[: MOST_UNITS if shape else MOST_LINES]
            files.insert(2, run.path / "units.png")
            side = math.ceil(math.sqrt(len(units)))
            grids.plot_grid(units, side, shape, files[2], span=(-1, 1), names=names)
        if not ae.history_:
            return files[:-1]
        curves.plot_loss(ae.history_, files[-1])
    return files
