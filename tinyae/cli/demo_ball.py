"""``tinyae demo ball``: the frame between two frames, by pixels and through the code."""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..codes.midpoints import Frames, Measures, ball_pairs, measure
from ..data.ball import SIDE, ball_centres, ball_images
from ..estimator import Autoencoder
from ..plot.grids import plot_grid
from ..train.progress import Lines, Waiting
from .options import command
from .output import can_draw, expect_own, table, write_json

TRAIN_STREAM = 100  # of the ball's centres

PLAIN: dict[str, Any] = {
    "hidden": (256, 64), "batch_size": 64, "learning_rate": 2e-3, "epochs": 40, "warmup": 0.05,
    "initializer": "random",
}  # fmt: skip

# A code in the square [-1, 1]^2 that is a sum of pixels under weights of its own, and noise on it.
NOISY: dict[str, Any] = {
    **PLAIN, "hidden": (), "decoder_hidden": (128, 256), "code": 2, "code_activation": "tanh",
}  # fmt: skip

# Row of table and picture -> the row whose net it goes on with ("" for a new one), what it sets.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain-2": ("", {**PLAIN, "code": 2}),
    "plain-8": ("", {**PLAIN, "code": 8}),
    "noise": ("", {**NOISY, "code_noise": (0.1, 0.02)}),
    # The two first principal components order pictures by place, so that the code starts without
    # a fold. Blurred targets ask for no details yet, and weights that do not help to meet them
    # decay: of the random ones, which could fold the code again, nothing is left.
    "straightened": ("", {
        **NOISY, "initializer": "pca", "code_noise": 0.1, "target_blur": 12.0,
        "image_shape": (SIDE, SIDE), "optimizer": "adamw", "weight_decay": 1.0,
    }),
    # Details, from there: no blur, no decay, noise that fades.
    "sharpened": ("straightened", {
        "code_noise": (0.1, 0.02), "target_blur": 0.0, "optimizer": "adam", "weight_decay": 0.0,
        "epochs": 40, "warm_start": True,
    }),
}  # fmt: skip
SHOWN = 10  # pairs in the picture

LEGEND = """\
within 1 px  share of midpoints whose centroid lies within 1 pixel of the true centre (two ghosts
             have theirs in the middle as well: see the other columns)
error ratio  median of squared error over that of the pixel blend
ball         share with one connected ball of the right area (25 % more or less)"""


def add_commands(demos: Any) -> None:
    parser = command(
        demos, "ball", _ball, "the frame between two frames: pixel blend against decoded mean code"
    )
    parser.option("--out", "runs/demo-ball", "for models, table and picture", metavar="DIR")
    parser.force_option()
    parser.seed_option("data, weights and pairs")
    parser.count("--pairs", 1000, "held-out pairs to measure on")
    parser.count("--samples", 5000, "training pictures")
    parser.count("--epochs", None, "passes over them, for every row (default 40)")
    parser.json_option("print ball.json's content at the end")
    parser.backend_option()


def _ball(given: argparse.Namespace) -> None:
    out, started = Path(given.out), time.perf_counter()
    expect_own(out, f"{next(iter(ROWS))}.npz")
    out.mkdir(parents=True, exist_ok=True)
    X = ball_images(ball_centres(given.samples, given.seed, TRAIN_STREAM))
    frames = ball_pairs(given.pairs, given.seed)
    between = {"pixel blend": frames.blend}
    models: dict[str, Autoencoder] = {}
    for row in ROWS:
        models[row] = _trained(row, models, X, given)
        models[row].save(out / f"{row}.npz")
        between[row] = midpoint(models[row], frames)
    seconds = time.perf_counter() - started
    with Waiting("measuring"):
        measures = {row: measure(pictures, frames) for row, pictures in between.items()}
    result = _result(measures, given, seconds)
    write_json(out / "ball.json", result)
    drawn = _draw(out, frames, between)
    if given.json:
        print(json.dumps(result))
        return
    print(table(
        ("the frame between", "within 1 px", "error ratio", "ball"),
        [(row, *(f"{x:.3f}" for x in asdict(m).values())) for row, m in measures.items()],
    ))  # fmt: skip
    files = [*(f"{row}.npz" for row in ROWS), "ball.json", *drawn]
    print(f"\n{LEGEND}\n\nbest: {result['best']}; {seconds:.0f} s; {out}: {', '.join(files)}")


def _trained(
    row: str, models: Mapping[str, Autoencoder], X: np.ndarray[Any, Any], given: argparse.Namespace
) -> Autoencoder:
    before, options = ROWS[row]
    if given.epochs is not None:
        options = {**options, "epochs": given.epochs}
    print(f"{row}:", file=sys.stderr)
    model = (
        copy.deepcopy(models[before])
        if before
        else Autoencoder(random_state=given.seed, backend=given.backend)
    )
    model.set_params(**options)
    return model.fit(X, callback=Lines(sys.stderr, epochs=10))


def midpoint(model: Autoencoder, frames: Frames) -> np.ndarray[Any, Any]:
    """The picture of the mean of two pictures' codes, (n, SIDE^2)."""
    middle = (model.encode(frames.first) + model.encode(frames.last)) / 2
    return np.asarray(model.decode(middle))


def _result(
    measures: dict[str, Measures], given: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    rows = {row: asdict(measures[row]) for row in ROWS}
    return {
        "best": min(rows, key=lambda row: rows[row]["error_ratio"]),
        "rows": rows,
        "pixel_blend": asdict(measures["pixel blend"]),
        "seed": given.seed,
        "pairs": given.pairs,
        "samples": given.samples,
        "seconds": round(seconds, 2),
    }


def _draw(out: Path, frames: Frames, between: dict[str, np.ndarray[Any, Any]]) -> list[str]:
    """ball.png: a pair per column; no file without matplotlib, but a word about it."""
    if not can_draw():
        return []
    rows = {"frame 1": frames.first, **between, "true midpoint": frames.true,
            "frame 3": frames.last}  # fmt: skip
    shown = min(SHOWN, len(frames.first))
    pictures = np.concatenate([pictures[:shown] for pictures in rows.values()])
    with Waiting("drawing"):
        plot_grid(pictures, shown, (SIDE, SIDE), out / "ball.png", span=(0, 1), labels=tuple(rows))
    return ["ball.png"]
