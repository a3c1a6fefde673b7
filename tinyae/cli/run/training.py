"""Training into a run folder. It may be interrupted and called again, any number of times."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ... import checks
from ...assemble import backend_for
from ...data.datasets import Dataset
from ...data.missing import HINT, missing_counts
from ...data.rows import value_range
from ...estimator import Autoencoder
from ...families import PLAIN, made
from ...model_file import FORMAT, as_json
from ...storage.files import expect_replaceable
from ...storage.kinds import Kind, tinyae_kind
from ...storage.locks import held
from ...train.progress import Bar, Lines, Waiting
from ...train.sizes import cross_validates
from ..options import DEFAULTS, UsageError
from ..output import expect_own, has_bars
from . import together
from .data import DATA_DEFAULTS
from .folder import RunFolder

LINES = 50  # at most, of a training
Config = dict[str, dict[str, Any]]


def run_config(data: Mapping[str, Any], model: Mapping[str, Any]) -> Config:
    """{"data", "model"} as a run folder holds them: what was given over the defaults.

    Raises UsageError for arguments that the autoencoder refuses, BackendUnavailable for a
    backend that cannot run here.
    """
    data = {**DATA_DEFAULTS, **data}
    if Path(data["source"]).exists() or together.is_local(data):
        data["source"] = str(Path(data["source"]).resolve())
    try:
        ae = made({**DEFAULTS, **model})
        params = ae.get_params()
        # a code that the data's features choose is checked when they are known
        ae._check(params if "code" in model else {**params, "code": checks.WIDEST})
        backend = backend_for(params)
        if params["threads"] is not None and backend.limit_threads is None:
            raise ValueError(f"--threads {params['threads']} is for --backend numba, and this is "
                             f"{backend.name}: leave it out")  # fmt: skip
        together.expect_shared(ae, backend.name, data)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    if params["patience"] is not None and params["validation_fraction"] == 0:
        raise UsageError("--patience watches the validation loss: give --validation-fraction")
    return {"data": data, "model": {"family": ae.family or PLAIN, **as_json(params)}}


def expect_same(run: RunFolder, config: Config) -> None:
    """Raises UsageError where the run was started with another configuration.

    Where no run was started, raises it for a folder that is somebody else's.
    """
    if not run.exists():
        expect_own(run.path)
        return
    saved = run.read_config()
    for section, values in config.items():
        for name, value in values.items():
            if value != "auto" and saved[section].get(name, value) != value:
                raise UsageError(
                    f"{run.path} was started with {name}={saved[section][name]!r}, not {value!r}: "
                    "another --out keeps it"
                )


def trained_run(run: RunFolder, config: Config, dataset: Dataset) -> Autoencoder:
    """The folder's autoencoder, trained to the end on ``dataset``, which ``config`` describes.

    Raises UsageError where the folder was started with another configuration, KeyboardInterrupt
    at Ctrl-C, after which the same call goes on, and what ``Autoencoder.fit`` raises.
    """
    expect_same(run, config)
    run.expect_columns(dataset)
    if run.model_file.exists():
        print(f"{run.path}: trained already", file=sys.stderr)
        return run.load_model(config["model"]["backend"])
    return train_run(run, config, dataset, True, "the same command goes on from here")


def train_run(
    run: RunFolder, config: Config, dataset: Dataset, resume: bool, remedy: str
) -> Autoencoder:
    """Trains on ``dataset`` with a bar or a line per epoch, and writes the folder's files.

    Raises KeyboardInterrupt that says how to go on, ``remedy``, BlockingIOError where another
    process trains into the folder, and what ``fit`` raises.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    try:
        with held(run.path):
            if run.started() and not resume:  # another process was faster
                raise UsageError(run.taken())
            # before hours are spent on what could not be written
            expect_replaceable(run.history_file, Kind("a table", frozenset({"epoch"})))
            expect_replaceable(run.model_file, tinyae_kind(FORMAT))
            new = not run.exists()
            try:
                return _train(run, config, dataset, resume, remedy)
            except ValueError:
                if new and not run.started():  # these data are refused: nothing could go on
                    run.config_file.unlink(missing_ok=True)
                raise
    finally:
        with suppress(OSError):  # it is kept where anything is in it
            run.path.rmdir()


def autoencoder(model: Mapping[str, Any], dataset: Dataset) -> Autoencoder:
    ae = made(model)
    if ae.image_shape is None and dataset.image_shape is not None:
        ae.image_shape = dataset.image_shape
    return ae


def _without_auto(run: RunFolder, config: Config, dataset: Dataset) -> dict[str, Any]:
    """Its model with what "auto" came to when the run began, or comes to now, which is printed."""
    begun = run.read_config()["model"] if run.started() else {}
    settled = {n: v for n, v in begun.items() if n != "matmul"}  # a processor's to say, each time
    model = {k: settled.get(k, v) if v == "auto" else v for k, v in config["model"].items()}
    train, test = (missing_counts(rows).any() for rows in (dataset.train, dataset.test))
    if test and model["missing"] == "error":  # else found when all training is over
        value_range(dataset.test, "(test samples)", hint=HINT)
    if test and not train and model["missing"] == "auto":
        model["missing"] = "allow"
    validates = cross_validates(model, dataset.train.shape)
    what = "epochs by cross-validation (--epochs N skips it)" if validates else "settings"
    with Waiting(f"choosing {what}") as report:
        local = together.is_local(config["data"])  # else this process plans for all
        others = together.joined(config["data"], "plan", model) if local else {}
        plan = autoencoder(model, dataset).plan(dataset.train, report=report, **others)
    for reason in plan.reasons:
        print(reason, file=sys.stderr)
    return {**model, **as_json(plan.params)}


def _train(
    run: RunFolder, config: Config, dataset: Dataset, resume: bool, remedy: str
) -> Autoencoder:
    if run.started():
        run.expect_columns(dataset)
    before = run.history_file.read_bytes() if run.history_file.exists() else None
    try:
        model = _without_auto(run, config, dataset)
    except KeyboardInterrupt:
        left = "nothing was trained, and the same command starts again"
        raise KeyboardInterrupt(f"interrupted; {remedy if run.exists() else left}") from None
    kept: dict[str, Any] = {
        **config, "model": model, "columns": dataset.columns and [*dataset.columns]
    }  # fmt: skip
    if not run.exists() or run.read_config() != kept:  # resumed with more epochs, other threads
        run.write_config(kept)
    ae = autoencoder(model, dataset)
    log = sys.stderr
    bar = Bar(log) if has_bars(log) else None
    others = together.joined(config["data"], "train", model, run.checkpoint_file, resume)
    try:
        ae.fit(
            dataset.train,
            checkpoint=run.checkpoint_file,
            resume=resume,
            callback=bar or Lines(log, epochs=-(-model["epochs"] // LINES)),
            **others,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {remedy}") from None
    finally:
        if bar is not None:
            bar.close()
    # overflowing weights cannot be looked into, and must not cost the model
    with Waiting("looking for units that are always 0"), suppress(ValueError):
        ae.zero_units_ = ae.zero_units(dataset.train)
    run.write_history(ae.history_)
    if run.history_file.read_bytes() == before:
        print(f"{run.path}: trained already, nothing was left to train", file=log)
    ae.save(run.model_file)  # last: it says that training has ended
    return ae
