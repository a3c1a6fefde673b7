"""``tinyae encode``, ``decode``, ``reconstruct`` and ``info``: a trained run at work."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.datasets import Dataset
from ..data.formats import read_csv, read_npy
from ..data.rows import Rows
from ..files import write_atomically
from .run_folder import RunFolder, UsageError
from .tables import table

Array = NDArray[Any]


def encode(given: argparse.Namespace, data: dict[str, Any]) -> None:
    out = _out(given.out, ".npy", ".csv")
    run = RunFolder(given.run)
    ae = run.load_model(given.backend)
    samples = _part(run.load_data(data or None), given.part)
    _write(out, np.concatenate([ae.encode(rows) for rows in samples]), "codes")


def decode(given: argparse.Namespace) -> None:
    out = _out(given.out, ".npy", ".csv")
    run = RunFolder(given.run)
    ae = run.load_model(given.backend)
    codes = Path(given.codes)
    if not codes.is_file():
        raise UsageError(f"--codes: there is no file {codes}")
    Z = read_csv(codes).samples if codes.suffix == ".csv" else read_npy(codes)
    _write(out, ae.decode(Z), "samples")


def reconstruct(given: argparse.Namespace, data: dict[str, Any]) -> None:
    out = _out(given.out, ".npy", ".csv", ".png")
    run = RunFolder(given.run)
    ae = run.load_model(given.backend)
    dataset = run.load_data(data or None)
    samples = _part(dataset, given.part)
    if out.suffix == ".png":
        from ..plot.plots import plot_reconstructions

        shown = np.asarray(samples[0].select(np.arange(min(10, len(samples[0])))))
        plot_reconstructions(shown, ae.reconstruct(shown), dataset.image_shape, out)
        print(f"{out}: {len(shown)} originals over their reconstructions")
    else:
        _write(out, np.concatenate([ae.reconstruct(rows) for rows in samples]), "samples")


def info(given: argparse.Namespace) -> None:
    """Layers, settings and the course of training of a run folder."""
    run = RunFolder(given.run)
    config = run.read_config()
    ae = run.load_model("auto")
    history = ae.history_
    last = {name: values[-1] for name, values in history.items() if values}
    parameters = ae.parameters()
    if given.json:
        shapes = {name: list(p.shape) for name, p in parameters.items()}
        result = {**config, "output": ae.output_, "loss": ae.loss_name_, "epochs": ae.n_iter_,
                  "shapes": shapes, "last": last}  # fmt: skip
        print(json.dumps(result))
        return
    layers = ae._network.architecture.dense
    activations = [*(s.activation for s in layers[:-1]), ae.output_]
    rows = [
        (s.name, s.n_in, s.n_out, activation, (s.n_in + 1) * s.n_out)
        for s, activation in zip(layers, activations, strict=True)
    ]
    print(f"{run.path}: {ae!r}\n")
    print(table(("layer", "inputs", "outputs", "activation", "parameters"), rows))
    print(f"\n{sum(p.size for p in parameters.values()):,} parameters, loss {ae.loss_name_}")
    print(f"data: {_words(config['data'])}")
    print(f"trained for {ae.n_iter_} epochs, {sum(history.get('seconds', [])):.1f} s; last: "
          + _words({k: f"{v:.6g}" for k, v in last.items()}))  # fmt: skip


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _part(dataset: Dataset, part: str) -> list[Rows]:
    return {"train": [dataset.train], "test": [dataset.test], "all": [dataset.train, dataset.test]}[
        part
    ]


def _out(name: str, *suffixes: str) -> Path:
    path = Path(name)
    if path.suffix not in suffixes:
        raise UsageError(f"--out must end in {' or '.join(suffixes)}, got {name}")
    if not path.parent.is_dir():
        raise UsageError(f"--out: there is no folder {path.parent}")
    return path


def _write(path: Path, array: Array, what: str) -> None:
    if path.suffix == ".npy":
        write_atomically(path, lambda f: np.save(f, array))
    else:
        text = io.StringIO()
        digits = "%.9g" if array.dtype == np.float32 else "%.17g"
        np.savetxt(text, array, fmt=digits, delimiter=",")
        write_atomically(path, lambda f: f.write(text.getvalue().encode()))
    print(f"{path}: {array.shape[0]:,} {what} of {array.shape[1]:,} numbers, {array.dtype}")
