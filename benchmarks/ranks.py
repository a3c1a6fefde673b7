"""The same net by 1, 2, 3 and 5 ranks of MPI: how far weights differ, and the course of the loss.

    python benchmarks/ranks.py --data DIR      MNIST's folder; without it MNIST is downloaded

12,000 digits of MNIST, and the ball, 784 or 256 numbers a sample to 64 to 8 and back; minibatches
of 256, backend numba, a thread for each rank. The largest difference of a weight from one rank's
after two epochs, by dtype, and the loss of each of ten epochs in float32. Writes
benchmarks/results/ranks.json and benchmarks/pictures/ranks.png.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import machine, versions
from tinyae import Autoencoder, load_dataset
from tinyae.cli.output import write_json
from tinyae.plot.style import BLUE, INK, ORANGE, PLAIN, new_figure, save, styled

HERE = Path(__file__).parent
RESULT, PICTURE = HERE / "results" / "ranks.json", HERE / "pictures" / "ranks.png"
RANKS, COMPARED, EPOCHS, DIGITS = (1, 2, 3, 5), 2, 10, 12_000
NET: dict[str, Any] = {"hidden": (64,), "code": 8, "batch_size": 256, "random_state": 0,
                       "backend": "numba", "threads": 1}  # fmt: skip


def worker(source: str, out: str) -> None:
    """Trains as one of the ranks; the first keeps the weights, by dtype, and the losses."""
    from mpi4py import MPI

    X = load_dataset(source).train.select(np.arange(DIGITS if source != "ball" else 5000))
    kept: dict[str, Any] = {}
    for dtype in ("float32", "float64"):
        ae = Autoencoder(**NET, dtype=dtype, epochs=COMPARED).fit(X, comm=MPI.COMM_WORLD)
        kept[dtype] = np.concatenate([a.ravel() for a in ae.parameters().values()])
    ae = Autoencoder(**NET, epochs=EPOCHS).fit(X, comm=MPI.COMM_WORLD)
    if MPI.COMM_WORLD.rank == 0:
        np.savez(out, loss=ae.history_["loss"], **kept)


def measured(source: str) -> list[dict[str, Any]]:
    """A row for each number of ranks."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for ranks in RANKS:
            out = str(Path(folder) / f"{ranks}.npz")
            ours = [sys.executable, __file__, "--worker", source, out]
            subprocess.run(["mpirun", "-n", str(ranks), *ours], check=True)
            with np.load(out) as file:
                found[ranks] = dict(file)
    return [
        {
            "ranks": ranks, "loss": kept["loss"].tolist(),
            **{dtype: float(abs(kept[dtype] - found[1][dtype]).max())
               for dtype in ("float32", "float64")},
        }
        for ranks, kept in found.items()
    ]  # fmt: skip


def draw(results: dict[str, list[dict[str, Any]]]) -> None:
    figure = new_figure(900, 380)
    for i, (name, rows) in enumerate(results.items()):
        axes = styled(figure.add_subplot(1, len(results), i + 1), "epoch", "loss")
        axes.set_title(name, loc="left", fontsize=11, color=INK)
        widths = (7, 4.5, 2.5, 1)  # the curves lie on each other
        colours = ("#c8c8c8", ORANGE, BLUE, INK)
        for row, width, colour in zip(rows, widths, colours, strict=True):
            label = f"{row['ranks']} rank{'s' if row['ranks'] > 1 else ''}"
            axes.plot(range(1, EPOCHS + 1), row["loss"], color=colour, lw=width, label=label)
        axes.legend(**PLAIN)
    figure.tight_layout(pad=1.2, w_pad=2.5)
    save(figure, PICTURE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="mnist", help="MNIST's folder; mnist: downloaded")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(*given.worker)
        return
    results = {"MNIST": measured(given.data), "the ball": measured("ball")}
    for name, rows in results.items():
        for row in rows:
            print(f"{name:9} {row['ranks']} ranks: {row['float32']:.1e} in float32, "
                  f"{row['float64']:.1e} in float64; loss {row['loss'][-1]:.6f}")  # fmt: skip
    about = {"date": time.strftime("%F"), "machine": machine(), "versions": versions()}
    write_json(RESULT, {"results": results, **about})
    draw(results)


if __name__ == "__main__":
    main()
