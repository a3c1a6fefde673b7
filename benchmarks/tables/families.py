"""Tables by the families: the error on new rows beside the plain autoencoder's, and outliers found.

    python benchmarks/tables/families.py [FOLDER] [--most-rows N] [--seeds N]

The tables, their rows and the size of the code are those of tables/plain.py, and nothing else is
set; but the sparse net has four times as many units as columns, of which as many are not 0 as the
others have. An error is of samples as they are, on the scale that the nets learn on. Of a table
with outliers also the ROC AUC of the error, of new rows and outliers, by nets that have seen
neither. A line for each table, then one for each family. Writes
benchmarks/results/tables-families.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.machine import machine, versions
from benchmarks.tables.outliers import auc
from benchmarks.tables.plain import tables
from tinyae.cli.output import write_json
from tinyae.families import FAMILIES, PLAIN, made

RESULT = Path(__file__).parents[1] / "results" / "tables-families.json"


def measured(X: Any, outliers: Any, seed: int) -> dict[str, dict[str, float]]:
    """By family, of the plain one first."""
    order = np.random.default_rng(seed).permutation(len(X))
    train, new = np.split(X[order], [2 * len(X) // 3])
    found = {}
    for family in (PLAIN, *FAMILIES):
        code = max(2, X.shape[1] // 4)
        wide = {"code": 4 * X.shape[1], "k": code} if family == "sparse" else {"code": code}
        ae = made({"family": family, "random_state": seed, **wide}).fit(train)
        found[family] = {"error": -ae.score(new)}
        if outliers is not None:
            scores = [-ae.score_samples(rows) for rows in (new, outliers)]
            found[family]["auc"] = auc(
                np.repeat([0, 1], [len(s) for s in scores]), np.concatenate(scores)
            )
    return found


def outliers_of(folder: Path | None, name: str) -> Any:
    """The outliers of a table of the folder, None of another."""
    if folder is None or not (path := folder / f"{name}.npz").exists():
        return None
    with np.load(path) as file:
        return file["X"].astype(np.float64)[file["y"].reshape(-1) == 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with .npz files of X and y")
    parser.add_argument("--most-rows", type=int, default=10**9, help="leave larger tables out")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to N - 1 (default 3)")
    given = parser.parse_args()
    ratios: dict[str, dict[str, float]] = {}
    aucs: dict[str, dict[str, float]] = {}
    for name, X in tables(given.folder):
        if len(X) > given.most_rows:
            continue
        outliers = outliers_of(given.folder, name)
        runs = [measured(X, outliers, seed) for seed in range(given.seeds)]
        logs = [[np.log(run[f]["error"] / run[PLAIN]["error"]) for f in FAMILIES] for run in runs]
        ratios[name] = dict(zip(FAMILIES, np.exp(np.mean(logs, axis=0)).tolist(), strict=True))
        shown = "  ".join(f"{family} {ratio:.3f}" for family, ratio in ratios[name].items())
        if outliers is not None:
            aucs[name] = {
                family: float(np.mean([run[family]["auc"] for run in runs]))
                for family in (PLAIN, *FAMILIES)
            }
            shown += "  AUC " + "  ".join(
                f"{family} {value:.3f}" for family, value in aucs[name].items()
            )
        print(f"{name:14} {len(X):6} x {X.shape[1]:3}  {shown}", flush=True)
        write_json(RESULT, {
            "error_over_plain": ratios, "auc": aucs, "seeds": given.seeds, "machine": machine(),
            "versions": versions(),
        })  # fmt: skip
    for family in FAMILIES:
        own = [row[family] for row in ratios.values()]
        better, mean = sum(ratio < 1 for ratio in own), np.exp(np.mean(np.log(own)))
        print(f"{family:14} better on {better} of {len(own)}, geometric mean {mean:.3f}")
    for family in (PLAIN, *FAMILIES) if aucs else ():
        print(f"{family:14} mean AUC {np.mean([row[family] for row in aucs.values()]):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
