"""A run folder: config.json, checkpoint.npz, model.npz, history.csv and the pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count, zip_longest
from pathlib import Path
from typing import Any

from ... import arguments
from ..._version import __version__
from ...data.datasets import Dataset
from ...data.tables.schema import Schema
from ...data.tables.text import table_kind
from ...estimator import Autoencoder
from ...families import PLAIN, made
from ...storage.untrusted import errors_of, read_json
from ..options import UsageError
from ..output import is_own, shortened, write_csv, write_json
from .data import DATA_DEFAULTS, check_data, open_data, open_new


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
