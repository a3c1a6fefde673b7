"""The frame between two frames, with many seeds: how many nets end with one ball in the middle.

    python benchmarks/ball_seeds.py

Trains the last net of ``tinyae demo ball`` and those that it goes on from, with seeds 0 to 49, on
one thread: the same bytes on any number of cores. Writes benchmarks/results/ball-seeds.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.machine import machine
from tinyae import Autoencoder
from tinyae.cli.demo_ball import ROWS, TRAIN_STREAM, midpoint
from tinyae.cli.output import write_json
from tinyae.codes.midpoints import ball_pairs, measure
from tinyae.data.ball import ball_centres, ball_images

RESULT = Path(__file__).parent / "results" / "ball-seeds.json"
BOUNDS = {"within_1px": 0.99, "error_ratio": 0.02, "area_ok": 0.99}  # a success: better than all


def chain(row: str) -> list[str]:
    """The rows whose nets are trained one after the other, up to this one."""
    before = ROWS[row][0]
    return [*(chain(before) if before else ()), row]


def measured(seed: int, backend: str) -> dict[str, Any]:
    pictures = ball_images(ball_centres(5000, seed, TRAIN_STREAM))
    model = Autoencoder(random_state=seed, backend=backend)
    if backend != "numpy":
        model.set_params(threads=1)
    for row in chain(list(ROWS)[-1]):
        model.set_params(**ROWS[row][1]).fit(pictures)
    frames = ball_pairs(1000, seed)
    return {"seed": seed, **asdict(measure(midpoint(model, frames), frames))}


def succeeded(row: dict[str, Any]) -> bool:
    low = row["error_ratio"] <= BOUNDS["error_ratio"]
    return low and all(row[name] >= BOUNDS[name] for name in ("within_1px", "area_ok"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50, help="seeds 0 to N - 1 (default 50)")
    parser.add_argument("--backend", default="numba", help="numba (default) or numpy")
    given = parser.parse_args()
    started, rows = time.perf_counter(), []
    for seed in range(given.seeds):
        rows.append(measured(seed, given.backend))
        print(rows[-1], file=sys.stderr)
    good = sum(map(succeeded, rows))
    print(f"{good} of {len(rows)} seeds: {BOUNDS}")
    write_json(RESULT, {
        "bounds": BOUNDS, "succeeded": good, "seeds": rows, "backend": given.backend,
        "seconds": round(time.perf_counter() - started), "machine": machine(),
    })  # fmt: skip
    return int(good < len(rows))


if __name__ == "__main__":
    sys.exit(main())
