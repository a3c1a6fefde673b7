"""Training into a run folder, and reading what has been trained there.

Commands that need trained nets, any number of them, may be interrupted and called again.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import config as arguments
from .._version import __version__
from ..data.datasets import Dataset
from ..estimator import Autoencoder
from ..kernels.columns import get_backend
from ..train.progress import Bar, print_epochs
from .run_folder import DATA_DEFAULTS, RunFolder, UsageError

Config = dict[str, dict[str, Any]]


def run_config(data: Mapping[str, Any], model: Mapping[str, Any]) -> Config:
    """{"data", "model"} as a run folder holds them: what was given over the defaults.

    Raises UsageError for arguments that the autoencoder refuses, BackendUnavailable for a
    backend that cannot run here.
    """
    data = {**DATA_DEFAULTS, **data}
    if Path(data["source"]).exists():
        data["source"] = str(Path(data["source"]).resolve())
    try:
        params = Autoencoder(**{"random_state": 0, **model}).get_params()
        arguments.check(params)
        get_backend(params["backend"], params["matmul"])
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    if params["patience"] is not None and params["validation_fraction"] == 0:
        raise UsageError("--patience watches the validation loss: give --validation-fraction")
    return {"data": data, "model": json.loads(json.dumps(params))}


def expect_same(run: RunFolder, config: Config) -> None:
    """Raises UsageError where the run folder exists and was started with another configuration."""
    if not run.exists():
        return
    saved = run.read_config()
    for section, values in config.items():
        for name, value in values.items():
            if saved[section].get(name, value) != value:
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
    if run.model_file.exists():
        print(f"{run.path}: trained already", file=sys.stderr)
        return run.load_model(config["model"]["backend"])
    if not run.exists():
        run.write_config({"tinyae": __version__, **config})
    ae = Autoencoder(**config["model"])
    fit_run(ae, run, dataset, resume=True, remedy="the same command goes on from here")
    run.write_history(ae.history_)
    ae.save(run.model_file)  # last: it says that training has ended
    return ae


def fit_run(ae: Autoencoder, run: RunFolder, dataset: Dataset, resume: bool, remedy: str) -> None:
    """``fit`` on the training part, with the folder's checkpoint and a bar or a line per epoch.

    Raises KeyboardInterrupt that says how to go on, ``remedy``, and what ``fit`` raises.
    """
    if ae.image_shape is None and dataset.image_shape is not None:
        ae.image_shape = dataset.image_shape
    log = sys.stderr
    bar = None
    if log.isatty() and importlib.util.find_spec("tqdm") is not None:
        bar = Bar(log)
    try:
        ae.fit(
            dataset.train,
            checkpoint=run.checkpoint_file,
            resume=resume,
            callback=bar or (lambda p: print_epochs(p, log)),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {remedy}") from None
    finally:
        if bar is not None:
            bar.close()
