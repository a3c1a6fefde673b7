"""A run folder: config.json, checkpoint.npz, model.npz, history.csv and the pictures.

Commands that train into run folders, any number of them, may be interrupted and called again.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count, zip_longest
from pathlib import Path
from typing import Any

from .. import arguments, checks
from .._version import __version__
from ..assemble import backend_for
from ..data.datasets import NAMES, Dataset, is_table, load_dataset
from ..data.missing import HINT, missing_counts
from ..data.reading import Reading
from ..data.rows import value_range
from ..data.tables.schema import Schema
from ..data.tables.text import table_kind
from ..estimator import Autoencoder
from ..families import PLAIN, made
from ..model_file import FORMAT, as_json
from ..storage.files import expect_replaceable
from ..storage.kinds import Kind, tinyae_kind
from ..storage.locks import held
from ..storage.untrusted import errors_of, read_json
from ..train.progress import Bar, Lines, Waiting
from ..train.sizes import cross_validates
from . import together
from .options import DEFAULTS, READING, UsageError, data_given
from .output import expect_own, has_bars, is_own, shortened, write_csv, write_json

DATA_DEFAULTS: dict[str, Any] = {
    "source": "ball",
    "test_fraction": 0.1,
    **dict.fromkeys(READING),
}
LINES = 50  # at most, of a training
Config = dict[str, dict[str, Any]]


class RunFolder:
    """The files of one training run, by name."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.checkpoint_file = self.path / "checkpoint.npz"
        self.model_file = self.path / "model.npz"
        self.history_file = self.path / "history.csv"

    @classmethod
    def unused(cls, parent: Path, name: str) -> RunFolder:
        """``parent/name``, or the first of ``name-2``, ``name-3``... that does not exist: made."""
        parent.mkdir(parents=True, exist_ok=True)  # raises where it is a file or leads nowhere
        for number in count(1):
            path = parent / (name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                path.mkdir()
                break
        return cls(path)

    def exists(self) -> bool:
        return is_own(self.config_file)

    def started(self) -> bool:
        """False where a training ended before there was anything to keep."""
        return self.exists() and (self.checkpoint_file.exists() or self.model_file.exists())

    def taken(self) -> str:
        return f"{self.path} holds a run already: --resume goes on with it, another --out keeps it"

    def write_config(self, config: Mapping[str, Any]) -> None:
        write_json(self.config_file, {"tinyae": __version__, **config})

    def read_config(self) -> dict[str, Any]:
        """Raises UsageError where this is no run folder, FileError where its config is broken."""
        if not self.exists():
            if self.path.exists() and not self.path.is_dir():
                raise UsageError(f"{self.path} is no run folder: it is a file")
            what = "holds no config.json" if self.path.is_dir() else "does not exist"
            raise UsageError(
                f"{self.path} is no run folder: it {what}. "
                f"'tinyae train --out {self.path}' makes one"
            )
        config = read_json(self.config_file, "broken")
        with errors_of(self.config_file, "broken"):
            data = {**DATA_DEFAULTS, **config["data"], "source": config["data"]["source"]}
            check_data(data)
            model = {"family": PLAIN, **arguments.of_file(config["model"])}
            ae = made(model)
            ae._check(ae._params())
            if "index" not in config["data"] and table_kind(Path(data["source"])):
                data["index"] = False  # an older tinyae learnt numbers of lines as a feature
            columns = config.get("columns")
            if columns is not None and {list, str} != {type(columns), *map(type, columns)}:
                raise TypeError("columns must be names")
            return {"data": data, "model": model, "columns": columns}

    def write_history(self, history: Mapping[str, Sequence[float]]) -> None:
        epochs = zip(*history.values(), strict=True)
        rows = ([number, *values] for number, values in enumerate(epochs, start=1))
        write_csv(self.history_file, ["epoch", *history], rows)

    def load_model(self, backend: str) -> Autoencoder:
        """The trained autoencoder; raises UsageError where training has not ended yet."""
        if not self.model_file.exists():
            self.read_config()
            raise UsageError(
                f"{self.path} holds no model.npz yet: end its training with "
                f"'tinyae train --resume {self.path}'"
            )
        return Autoencoder.load(self.model_file, backend=backend)

    def load_data(
        self, data: Mapping[str, Any], whole: bool = False, schema: Schema | None = None
    ) -> Dataset:
        """The data set described by ``data``, or where it is empty that of the training.

        ``whole``: nothing is held out, so that all samples come in the source's order. ``schema``
        is that of the training, by which another table is read. The columns that were left out by
        --label and --drop may be there or not.
        """
        how = {"test_fraction": 0.0} if whole else {}
        described = {**(data or self.read_config()["data"]), **how}
        if not data:
            with _unsaid():
                dataset = open_data(described)
        else:
            dataset = open_new(described, schema, self.columns(), self.read_config()["data"])
        self.expect_columns(dataset)
        return dataset

    def columns(self) -> list[str] | None:
        """The names of the columns that it was trained on, where they had names."""
        columns: list[str] | None = self.read_config()["columns"] if self.exists() else None
        return columns

    def expect_columns(self, dataset: Dataset) -> None:
        """Raises ValueError where the data's columns are not those of the training, in order.

        Where one of them has no names there is nothing to compare.
        """
        names, found = self.columns(), dataset.columns
        if names is None or found is None or list(found) == names:
            return
        missing = [name for name in names if name not in found]
        unknown = [name for name in found if name not in names]
        if missing or unknown:
            what = f"missing {shortened(missing)}, unknown {shortened(unknown)}"
        else:
            pairs = zip_longest(names, found)
            what = next(f"{b!r} stands in the place of {a!r}" for a, b in pairs if a != b)
        raise ValueError(
            f"{dataset.name}: its columns must be those that {self.path} was trained on, in the "
            f"same order: {what}. --drop and --label leave columns out"
        )


@contextmanager
def _unsaid() -> Iterator[None]:
    """Without what reading a run's own data logs: its training has said so."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def check_data(data: Mapping[str, Any]) -> None:
    """Raises ValueError or TypeError for what ``open_data`` cannot have been given."""
    kinds: dict[str, tuple[type, ...]] = {
        **dict.fromkeys(("source", "separator", "decimal", "encoding"), (str,)),
        **dict.fromkeys(("header", "index", "skip_bad"), (bool,)),
        **{"label": (str, int), "drop": (list,), "size": (list,), "test_fraction": (int, float)},
    }
    for name, value in data.items():
        if name not in kinds:
            raise ValueError(f"data has no option {name!r}")
        if not isinstance(value, kinds[name]) and value is not None:
            raise TypeError(f"{name} must not be {value!r}")
    checks.number("test_fraction", data["test_fraction"], above=0, below=1)
    if data["size"] is not None:
        width, height = data["size"]
        checks.integer("size", min(width, height), 1)
    Reading(**{name: data[name] for name in READING if data[name] is not None})


def _read_by(schema: Schema, trained: Mapping[str, Any], data: Mapping[str, Any]) -> Schema:
    """``schema``, for a table that is read after training: the columns that ``trained`` names as
    label or to drop may be there or not, but for a label that ``data`` names."""
    named = {trained["label"], *(trained["drop"] or ())} - {data.get("label")}
    left = {name for name in named if isinstance(name, str)} - {*schema.source, *schema.left}
    return replace(schema, left=(*schema.left, *sorted(left)))


def open_data(data: Mapping[str, Any], schema: Schema | None = None) -> Dataset:
    """Loads {"source", "test_fraction", ...}; what is missing has its default. A table is read by
    ``schema``.

    Raises UsageError where there is no such data.
    """
    options = {k: v for k, v in data.items() if k != "source" and v is not None}
    source = together.own_source(data["source"])
    if schema is not None and is_table(Path(source)):
        options["schema"] = schema
    if "size" in options:
        options["size"] = tuple(options["size"])
    try:
        with Waiting(f"reading {Path(source).name}") as report:
            return load_dataset(source, progress=report, **options)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from error


def open_new(
    data: Mapping[str, Any], schema: Schema | None, names: Sequence[str] | None,
    trained: Mapping[str, Any],
) -> Dataset:  # fmt: skip
    """``open_data`` of what is used, not learnt from: of numbers alone with these ``names`` an
    empty column is one too. ``trained`` describes the data that were learnt from."""
    if schema is not None:
        return open_data(data, _read_by(schema, trained, data))
    if names and len({*names}) == len(names):
        with suppress(ValueError):  # other columns: as they are
            return open_data(data, _read_by(Schema(tuple(names)), trained, data))
    return open_data(data)


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
        ae._check(params)
        backend = backend_for(params)
        if params["threads"] is not None and backend.limit_threads is None:
            raise ValueError(f"--threads {params['threads']} is for --backend numba, and this is "
                             f"{backend.name}: leave it out")  # fmt: skip
        together.expect_shared(ae, backend.name, data)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    if params["epochs"] == 0:
        raise UsageError("--epochs must be at least 1, got 0: a run is what training leaves")
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
