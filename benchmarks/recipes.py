"""Runs the recipes of ``tinyae train`` with several seeds, and writes what they led to into them.

    python benchmarks/recipes.py                          all, seeds 0 to 4
    python benchmarks/recipes.py hinton --data DIR        MNIST's files lie there

Each run is the user's command in a process of its own, one after the other. Before a recipe's
first run one of a single epoch compiles what is to be compiled, as any earlier training does.
Seconds are those of training: PCA's start, the epochs, the model's file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import machine, versions
from tinyae.cli import recipes
from tinyae.cli.output import write_text

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("tinyae", "python", "numpy", "numba")  # of the versions


def run(name: str, *options: str) -> dict[str, Any]:
    """What ``tinyae train --recipe NAME --json`` prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinyae", "train", "--recipe", name, "--json", "--out",
                   str(Path(folder) / "run"), *options]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measured(name: str, seeds: int, options: list[str]) -> dict[str, Any]:
    """The content of a recipe's "measured"."""
    run(name, *options, "--epochs", "1")
    runs = [run(name, *options, "--seed", str(seed)) for seed in range(seeds)]
    about, found = machine(), versions()
    return {
        "squared_error": [round(of["test"]["squared_error"], 4) for of in runs],
        "train_squared_error": [round(of["train"]["squared_error"], 4) for of in runs],
        "pca_squared_error": round(runs[0]["test"]["pca_squared_error"], 4),
        "parameters": runs[0]["parameters"],
        "epochs": runs[0]["epochs"],
        "seconds": [round(of["seconds"], 1) for of in runs],
        "backend": runs[0]["backend"],
        "cpu": about["cpu"], "cores": about["cores"], "date": time.strftime("%F"),
        "versions": {name: found[name] for name in SHOWN if name in found},
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(recipes.NAMES))
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to N - 1 (default 5)")
    parser.add_argument("--data", metavar="DATA", help="where the recipe's data lie")
    given = parser.parse_args()
    if unknown := set(given.names) - set(recipes.NAMES):
        parser.error(f"NAME must be of {', '.join(recipes.NAMES)}, got {', '.join(unknown)}")
    options = ["--data", given.data] if given.data else []
    for name in given.names or recipes.NAMES:
        file = recipes.FOLDER / f"{name}.json"
        found = measured(name, given.seeds, options)
        content = {**recipes.read(name)._asdict(), "measured": found}
        lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
        write_text(file, "{\n" + ",\n".join(lines) + "\n}\n")
        print(f"{name}: {found['squared_error']}, {found['seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
