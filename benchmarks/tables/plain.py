"""Plain tables by the first command: the autoencoder's error on new rows beside PCA's.

    python benchmarks/tables/plain.py [FOLDER]

Five tables of scikit-learn, six of statsmodels and, of each .npz in FOLDER with X and y (1 =
outlier), the normal rows.
Raw units; two thirds of the rows to train, the rest are new; a code of a quarter of the columns, 2
at least; no other argument than the seed. Errors are measured on the scale that the net learns on,
where PCA is fitted too. Writes benchmarks/results/tables-plain.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.machine import machine, versions
from tinyae import Autoencoder
from tinyae.cli.output import write_json
from tinyae.data.pca import fit_pca
from tinyae.data.rows import as_rows
from tinyae.data.scaling import scaled

RESULT = Path(__file__).parents[1] / "results" / "tables-plain.json"
SEEDS = 3


def tables(folder: Path | None) -> Iterator[tuple[str, Any]]:
    from sklearn import datasets
    from statsmodels import datasets as surveys

    for name in ("iris", "wine", "breast_cancer", "digits", "diabetes"):
        raw = {"scaled": False} if name == "diabetes" else {}
        yield name, getattr(datasets, f"load_{name}")(**raw).data
    for name in ("anes96", "fair", "macrodata", "modechoice", "randhie", "star98"):
        yield name, getattr(surveys, name).load_pandas().data.to_numpy(np.float64)
    for path in sorted(folder.glob("*.npz")) if folder is not None else ():
        with np.load(path) as file:
            yield path.stem, file["X"].astype(np.float64)[file["y"].reshape(-1) == 0]


def measured(X: Any, seed: int) -> dict[str, Any]:
    order = np.random.default_rng(seed).permutation(len(X))
    train, new = np.split(X[order], [2 * len(X) // 3])
    code = max(2, X.shape[1] // 4)
    started = time.perf_counter()
    ae = Autoencoder(code=code, random_state=seed).fit(train)
    seconds = time.perf_counter() - started
    pca = fit_pca(scaled(as_rows(train), ae.scaling_), code)
    return {
        "seed": seed, "rows": len(train), "columns": X.shape[1], "code": code,
        "ratio": -ae.score(new) / pca.squared_error(scaled(as_rows(new), ae.scaling_)),
        "seconds": round(seconds, 2), "epochs": ae.n_iter_, "scaled": ae.scaling_ is not None,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with .npz files of X and y")
    given = parser.parse_args()
    rows = []
    for name, X in tables(given.folder):
        rows += [{"table": name, **measured(X, seed)} for seed in range(SEEDS)]
        shown = " ".join(f"{row['ratio']:.3f}" for row in rows[-SEEDS:])
        print(f"{name:20} {len(X):6} x {X.shape[1]:3}  error / PCA's: {shown}", flush=True)
    ratios = [row["ratio"] for row in rows]
    print(f"geometric mean {np.exp(np.mean(np.log(ratios))):.3f}, largest {max(ratios):.3f}")
    write_json(RESULT, {"rows": rows, "machine": machine(), "versions": versions()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
