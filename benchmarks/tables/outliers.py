"""Outliers of tables with known ones: ROC AUC of OutlierDetector beside other detectors.

    python benchmarks/tables/outliers.py FOLDER [--speed]

Of each .npz in FOLDER with X and y (1 = outlier) all rows are learnt from and scored, without y, by
each detector as it is without settings but the seed; columns are standardised for those of PyOD,
which do not scale. What is not installed is left out, and said. --speed measures fit and score of
10,000 x 20 in memory and of 1,000,000 x 20 in a file instead. Writes
benchmarks/results/tables-outliers.json, or tables-outliers-speed.json.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.machine import machine, versions
from tinyae import OutlierDetector
from tinyae.cli.output import write_json

RESULTS = Path(__file__).parents[1] / "results"
SEEDS = 3
Scores = Callable[[Any, int], Any]  # (X, seed) -> (n,), higher is more of an outlier


def by_pyod(module: str, name: str, seeded: bool = False) -> Scores:
    def scores(X: Any, seed: int) -> Any:
        kind = getattr(importlib.import_module(f"pyod.models.{module}"), name)
        spread = X.std(axis=0)
        Z = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)
        return (
            kind(**({"random_state": seed, "verbose": 0} if seeded else {})).fit(Z).decision_scores_
        )

    return scores


def forest(X: Any, seed: int) -> Any:
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(random_state=seed).fit(X).score_samples(X)


def ours(X: Any, seed: int, **options: Any) -> Any:
    return -OutlierDetector(random_state=seed, **options).fit(X).score_samples(X)


DETECTORS: dict[str, Scores] = {
    "OutlierDetector": ours,
    "OutlierDetector, updates=100": lambda X, seed: ours(X, seed, updates=100),
    "IsolationForest": forest,
    "PyOD AutoEncoder": by_pyod("auto_encoder", "AutoEncoder", seeded=True),
    "PyOD ECOD": by_pyod("ecod", "ECOD"),
    "PyOD KNN": by_pyod("knn", "KNN"),
}


def auc(y: Any, scores: Any) -> float:
    """How often an outlier's score is above another row's; ties count half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n = int(y.sum())
    return float((ranks[y == 1].sum() - n * (n + 1) / 2) / (n * (len(y) - n)))


def accuracy(folder: Path) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            X, y = file["X"].astype(np.float64), file["y"].reshape(-1)
        shown = f"{path.stem:16} {len(X):6} x {X.shape[1]:3}"
        for name, scores in DETECTORS.items():
            if name in missing:
                continue
            try:
                found = [auc(y, scores(X, seed)) for seed in range(SEEDS)]
            except ImportError as error:
                missing[name] = f"not installed: {error}"
                continue
            row = {"table": path.stem, "detector": name, "auc": found, "std": float(np.std(found))}
            rows.append(row)
            shown += f"  {np.mean(found):.3f}"
        print(shown, flush=True)
    means = {}
    for name in DETECTORS:
        values = [row["auc"] for row in rows if row["detector"] == name]
        if values:
            means[name] = float(np.mean(values))
            most = max(row["std"] for row in rows if row["detector"] == name)
            print(f"{name:30} mean AUC {means[name]:.4f}, largest deviation of seeds {most:.4f}")
    for name, why in missing.items():
        print(f"{name:30} {why}")
    return {"mean_auc": means, "rows": rows, "missing": missing}


def measured(detector: Any, X: Any) -> dict[str, float]:
    """Seconds of fit and score, and the most memory that NumPy took meanwhile, in MiB."""
    tracemalloc.start()
    started = time.perf_counter()
    detector.fit(X)
    fitted = time.perf_counter()
    detector.predict(X)
    ended = time.perf_counter()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return {"fit": fitted - started, "score": ended - fitted, "peak_mib": peak}


def speed() -> dict[str, Any]:
    from sklearn.ensemble import IsolationForest

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for n in (10_000, 1_000_000):
            path, rng = f"{folder}/{n}.npy", np.random.default_rng(0)
            file = np.lib.format.open_memmap(path, "w+", np.float64, (n, 20))
            for start in range(0, n, 10_000):
                file[start : start + 10_000] = rng.normal(size=(10_000, 20))
            X = np.load(path, mmap_mode="r")
            for kind in (OutlierDetector, IsolationForest):
                row = measured(kind(random_state=0), X)
                found[f"{kind.__name__}, {n:,} x 20"] = {k: round(v, 2) for k, v in row.items()}
                print(n, kind.__name__, row, flush=True)
    return {"seconds": found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with .npz files of X and y")
    parser.add_argument("--speed", action="store_true", help="measure seconds and memory instead")
    given = parser.parse_args()
    if not given.speed and not (given.folder and given.folder.is_dir()):
        parser.error("give a folder with .npz files of X and y, or --speed")
    found = speed() if given.speed else accuracy(given.folder)
    name = "tables-outliers-speed.json" if given.speed else "tables-outliers.json"
    about = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "versions": versions()}
    write_json(RESULTS / name, {**found, **about})
    return 0


if __name__ == "__main__":
    sys.exit(main())
