"""MNIST in 30 numbers on a CPU: tinyae and PyTorch to a squared error of 3.00, in seconds.

    python benchmarks/mnist_race.py --data DIR               all; needs PyTorch
    python benchmarks/mnist_race.py --data DIR tinyae-pca    one; what is there of others stays

The net and, from PCA's start, all settings are those of the recipe ``hinton``. From random weights
PyTorch's Adam runs once with each learning rate of a grid, without decay. Its best one counts,
chosen by these very test errors, which favours it. PyTorch is eager, with its fused Adam. PCA
itself and what is compiled are in nobody's seconds; the errors on test data after each epoch are.
Writes results/mnist-race.json and pictures/mnist-race.png.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu import mnist_race
from benchmarks.machine import machine, versions
from tinyae.cli import recipes
from tinyae.cli.output import write_text
from tinyae.data.datasets import Dataset, load_dataset

HERE = Path(__file__).parent
TARGET = 3.0
GRID = (2e-3, 4e-3, 8e-3)
RANDOM_EPOCHS = 20
NAMES = ("tinyae-pca", "torch-pca", *(f"torch-random-{rate:g}" for rate in GRID))


def settings(name: str) -> tuple[int, dict[str, Any]]:
    """(epochs, options of training besides the net) of a contestant."""
    model = recipes.read("hinton").model
    kept = ("activation", "batch_size", "optimizer", "learning_rate", "weight_decay", "warmup")
    recipe = {"schedule": "cosine", "initializer": "pca", **{key: model[key] for key in kept}}
    if name.endswith("-pca"):
        return model["epochs"], recipe
    rate = float(name.removeprefix("torch-random-"))
    changed = {"initializer": "random", "optimizer": "adam", "learning_rate": rate,
               "weight_decay": 0.0, "warmup": 0.1, "batch_size": 256}  # fmt: skip
    return RANDOM_EPOCHS, recipe | changed


def race(name: str, data: Dataset) -> dict[str, Any]:
    epochs, recipe = settings(name)
    if name.startswith("tinyae"):
        return mnist_race.tinyae(data, "numba", "fp32", epochs, recipe, TARGET)
    return mnist_race.pytorch(data, False, epochs, recipe, TARGET)


def draw(runs: dict[str, Any], path: Path) -> None:
    """Squared error of a test picture against seconds of training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, run in runs.items():
        axes.plot(run["when"], run["errors"], marker=".", label=name)
    axes.axhline(TARGET, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel="seconds", ylabel="squared error of a test picture", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=100)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", metavar="DIR", default="mnist", help="where MNIST's files lie")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"NAME must be of {', '.join(NAMES)}, got {', '.join(unknown)}")
    data = load_dataset(given.data)
    file = HERE / "results" / "mnist-race.json"
    runs = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for name in given.names or NAMES:
        about = {"date": time.strftime("%F"), "machine": machine(), "versions": versions()}
        runs[name] = race(name, data) | about
        write_text(file, json.dumps(runs, indent=1) + "\n")
        print(f"{name}: {runs[name]['squared_error']:.3f} after {runs[name]['seconds']:.1f} s, "
              f"{TARGET:.2f} after {runs[name]['seconds_to_target']} s", flush=True)  # fmt: skip
    draw(runs, HERE / "pictures" / "mnist-race.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
