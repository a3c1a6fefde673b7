"""Missing cells of plain tables, filled in: the error beside that of other imputers.

    python benchmarks/tables/imputation.py [FOLDER]

The tables of plain.py, in raw units; 10 and 30 % of all cells are taken out, completely at random.
tinyae learns from what is left, with a code of a quarter of the columns, 2 at least, and no other
argument than the seed, and fills it in by ``impute``. KNNImputer and IterativeImputer are as they
are without settings but the seed; "scaled" is of columns divided by their spread. The error is the
root mean square over the taken-out cells, in standard deviations of their column, complete. Columns
that are constant are left out.
Writes benchmarks/results/tables-imputation.json.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.machine import machine, versions
from benchmarks.tables.plain import SEEDS, tables
from tinyae import Autoencoder
from tinyae.cli.output import write_json
from tinyae.data.rows import Array

RESULT = Path(__file__).parents[1] / "results" / "tables-imputation.json"
FRACTIONS = 0.1, 0.3
Imputer = Callable[[Array, int], Array]  # (X with NaN, seed) -> X without


def ours(X: Array, seed: int) -> Array:
    return Autoencoder(code=max(2, X.shape[1] // 4), random_state=seed).fit(X).impute(X)


def nearest(X: Array, seed: int) -> Array:
    from sklearn.impute import KNNImputer

    return KNNImputer().fit_transform(X)


def nearest_scaled(X: Array, seed: int) -> Array:
    """Distances of columns in many units are those of one column: what a user does about it."""
    spread = np.nanstd(X, axis=0)
    spread[spread == 0] = 1
    filled = nearest(X / spread, seed) * spread
    return np.where(np.isnan(X), filled, X)


def iterative(X: Array, seed: int) -> Array:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    return IterativeImputer(random_state=seed).fit_transform(X)


def mean(X: Array, seed: int) -> Array:
    return np.where(np.isnan(X), np.nanmean(X, axis=0), X)


IMPUTERS: dict[str, Imputer] = {
    "tinyae": ours, "KNNImputer": nearest, "KNNImputer, scaled": nearest_scaled,
    "IterativeImputer": iterative, "column mean": mean,
}  # fmt: skip


def taken_out(shape: tuple[int, ...], fraction: float, seed: int) -> Array:
    """Which cells: each with the same chance; of every column and row at least one stays."""
    rng = np.random.default_rng([seed, round(1000 * fraction)])
    gone = rng.random(shape) < fraction
    columns, rows = np.arange(shape[1]), np.arange(shape[0])
    gone[rng.integers(shape[0], size=shape[1]), columns] = False
    gone[rows, rng.integers(shape[1], size=shape[0])] &= ~gone.all(axis=1)
    return gone


def error(X: Array, gone: Array, filled: Array) -> float:
    """Raises ValueError where ``filled`` is not X outside of ``gone``, or not finite."""
    if filled.shape != X.shape or not np.isfinite(filled).all():
        raise ValueError(f"expected {X.shape} finite numbers, got {filled.shape}")
    if not np.array_equal(filled[~gone], X[~gone]):
        raise ValueError("cells that were there are not as they were")
    return float(np.sqrt(np.mean(((filled - X) / X.std(axis=0))[gone] ** 2)))


def measured(
    X: Array, fraction: float, imputers: dict[str, Imputer], seeds: int = SEEDS
) -> dict[str, dict[str, Any]]:
    """By imputer: its errors, one a seed, and the seconds of all."""
    X = X[:, X.std(axis=0) > 0]
    found: dict[str, dict[str, Any]] = {name: {"error": [], "seconds": 0.0} for name in imputers}
    for seed in range(seeds):
        gone = taken_out(X.shape, fraction, seed)
        given = np.where(gone, np.nan, X)
        for name, imputer in imputers.items():
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*criterion not reached")  # in ten rounds
                filled = imputer(given.copy(), seed)
            seconds = found[name]["seconds"] + time.perf_counter() - started
            found[name]["seconds"] = round(seconds, 2)
            found[name]["error"].append(error(X, gone, filled))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with .npz files of X and y")
    folder = parser.parse_args().folder
    if folder is not None and not folder.is_dir():
        parser.error(f"there is no folder {folder}")
    rows: list[dict[str, Any]] = []
    print(f"{'':34}" + "".join(f"{name:>20}" for name in IMPUTERS))
    for name, X in tables(folder):
        for fraction in FRACTIONS:
            found = measured(X, fraction, IMPUTERS)
            rows += [
                {"table": name, "fraction": fraction, "imputer": imputer, **row}
                for imputer, row in found.items()
            ]
            shown = "".join(f"{np.mean(row['error']):20.3f}" for row in found.values())
            print(f"{name:16} {len(X):6} x {X.shape[1]:3}, {fraction:3.0%}{shown}", flush=True)
    errors = {
        (name, at): [
            row["error"] for row in rows if (row["imputer"], row["fraction"]) == (name, at)
        ]
        for name in IMPUTERS
        for at in FRACTIONS
    }
    means = {f"{at:.0%}": {n: float(np.mean(errors[n, at])) for n in IMPUTERS} for at in FRACTIONS}
    for at, values in means.items():
        shown = "".join(f"{value:20.3f}" for value in values.values())
        print(f"{'mean of the tables, ' + at:34}{shown}")
    about = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "versions": versions()}
    write_json(RESULT, {"mean_error": means, "rows": rows, **about})
    return 0


if __name__ == "__main__":
    sys.exit(main())
