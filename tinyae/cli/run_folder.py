"""A run folder: config.json, checkpoint.npz, model.npz, history.csv and the pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.datasets import Dataset, load_dataset
from ..estimator import Autoencoder
from ..files import FileError, write_atomically

DATA_DEFAULTS: dict[str, Any] = {
    "source": "ball",
    "test_fraction": 0.1,
    "label": None,
    "size": None,
}


class UsageError(Exception):
    """Arguments that cannot be meant: exit code 2."""


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
        """``parent/name``, or the first of ``name-2``, ``name-3``... that does not exist."""
        number = 1
        while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        return cls(path)

    def exists(self) -> bool:
        return self.config_file.exists()

    def write_config(self, config: Mapping[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(config, indent=2) + "\n"
        write_atomically(self.config_file, lambda f: f.write(text.encode()))

    def read_config(self) -> dict[str, Any]:
        """Raises UsageError where this is no run folder, FileError where its config is broken."""
        if not self.exists():
            what = "holds no config.json" if self.path.is_dir() else "does not exist"
            raise UsageError(
                f"{self.path} is no run folder: it {what}. "
                f"'tinyae train --out {self.path}' makes one"
            )
        try:
            config = json.loads(self.config_file.read_text())
            return {"data": dict(config["data"]), "model": dict(config["model"])}
        except (ValueError, KeyError, TypeError) as error:
            raise FileError(f"{self.config_file} is broken: {error!r}") from error

    def write_history(self, history: Mapping[str, Sequence[float]]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *history])
        for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
            writer.writerow([epoch, *values])
        write_atomically(self.history_file, lambda f: f.write(text.getvalue().encode()))

    def load_model(self, backend: str) -> Autoencoder:
        """The trained autoencoder; raises UsageError where training has not ended yet."""
        if not self.model_file.exists():
            self.read_config()
            raise UsageError(
                f"{self.path} holds no model.npz yet: end its training with "
                f"'tinyae train --resume {self.path}'"
            )
        return Autoencoder.load(self.model_file, backend=backend)

    def load_data(self, data: Mapping[str, Any] | None) -> Dataset:
        """The data set described by ``data``, or the one that the run was trained on."""
        return open_data(self.read_config()["data"] if data is None else data)


def open_data(data: Mapping[str, Any]) -> Dataset:
    """Loads {"source", "test_fraction", "label", "size"}; what is missing has its default.

    Raises UsageError where there is no such data.
    """
    options = {k: v for k, v in data.items() if k != "source" and v is not None}
    if "size" in options:
        options["size"] = tuple(options["size"])
    try:
        return load_dataset(data["source"], **options)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from error
