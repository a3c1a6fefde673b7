"""The five families beside the plain autoencoder: results on MNIST, and the time of a step.

    python benchmarks/families.py page --data DIR    a picture of codes, and a table
    python benchmarks/families.py speed --data DIR   [NAME ...] [--batch N], also in PyTorch

page: for each the codes of test digits in two numbers (of the sparse one, whose codes are wide,
their plane of PCA), then with ten numbers the squared error of test digits and the accuracy of five
nearest neighbours among codes, and the midpoint of two balls as ``tinyae demo ball`` measures it.
speed: CPU time of a training step on one thread, so that other work on the machine counts little:
the median of epochs, in one process, in turn. Writes benchmarks/results/families.json and
benchmarks/pictures/families.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import machine, versions
from tinyae import Autoencoder
from tinyae.cli.demo_ball import PLAIN, TRAIN_STREAM, midpoint
from tinyae.cli.output import write_json
from tinyae.codes.classifiers import knn_predict
from tinyae.codes.midpoints import ball_pairs, measure
from tinyae.data.ball import ball_centres, ball_images
from tinyae.data.datasets import Dataset, load_dataset
from tinyae.data.pca import plane
from tinyae.data.rows import Rows
from tinyae.families import made
from tinyae.plot.style import new_figure, save, styled

HERE = Path(__file__).parent
RESULT, PICTURE = HERE / "results" / "families.json", HERE / "pictures" / "families.png"

NAMES = ("plain", "denoising", "sparse", "tied", "contractive", "variational")
HIDDEN, EPOCHS, NEIGHBOURS, JUDGED = (256, 64), 6, 20_000, 2_000
WIDE = {"code": 256, "k": 10, "hidden": ()}  # the sparse net: ten of 256 numbers are not 0
BALLS = {"code": 64, "k": 2, "hidden": (), "learning_rate": 1e-2}

BATCH = 256  # of which the table is
STEPS, ROUNDS = 25, 3  # of an epoch; an epoch of each in turn, after one to warm up
SETTLED, MORE_STEPS = 6, 50  # of top-k: the epoch that is timed, and its steps; see ``own``
TOP_K: dict[str, Any] = {"hidden": (), "code": 1024, "k": 25, "output": "identity"}

# Name -> the family and the net that it is timed with.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "denoising": ("denoising", {"hidden": (128,), "code": 32}),
    "top-k": ("sparse", TOP_K),
    "top-k, revive=0": ("sparse", {**TOP_K, "revive": 0.0}),
    "tied": ("tied", {"hidden": (128,), "code": 32}),
    "tied, larger": ("tied", {"hidden": (512, 256), "code": 32}),
    "contractive": ("contractive", {"hidden": (128,), "code": 32}),
    "contractive, sigmoid": (
        "contractive", {"hidden": (), "code": 64, "code_activation": "sigmoid"}
    ),
    "variational": ("variational", {"hidden": (200, 200), "code": 50}),
}  # fmt: skip


# ---- what they lead to


def net(family: str, **options: Any) -> Autoencoder:
    return made({"family": family, "random_state": 0, "backend": "numba", **options})


def page(data: Dataset) -> dict[str, Any]:
    test, labels = np.asarray(data.test, np.float32), np.asarray(data.test_labels)
    some = np.random.default_rng(0).permutation(len(data.train))[:NEIGHBOURS]
    near, kinds = data.train.select(some), np.asarray(data.train_labels)[some]
    pictures, frames = ball_images(ball_centres(5000, 0, TRAIN_STREAM)), ball_pairs(1000, 0)
    maps: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    for family in NAMES:
        wide = family == "sparse"
        options: dict[str, Any] = {"epochs": EPOCHS, **(WIDE if wide else {"hidden": HIDDEN})}
        ten = net(family, **{"code": 10, **options}).fit(data.train)
        two = ten if wide else net(family, code=2, **options).fit(data.train)
        maps[family] = np.asarray(plane(two.encode(test))[0])
        guessed = knn_predict(ten.encode(near), kinds, ten.encode(test[:JUDGED]))
        ball = net(family, **{**PLAIN, "code": 2, **(BALLS if wide else {})}).fit(pictures)
        rows[family] = {
            "squared_error": -ten.score(test),
            "accuracy": float((guessed == labels[:JUDGED]).mean()),
            "error_of_two": None if wide else -two.score(test),
            "ball_error": -ball.score(ball_images(ball_centres(1000, 1, TRAIN_STREAM))),
            **vars(measure(midpoint(ball, frames), frames)),
            "seconds": round(sum(ten.history_["seconds"]), 1),
        }
        print(family, rows[family], flush=True)
    draw(maps, labels)
    return rows


def draw(maps: dict[str, Any], labels: Any) -> None:
    """A panel for each family, test digits coloured by what they are."""
    from PIL import Image  # comes with matplotlib

    figure = new_figure(1080, 760)
    for i, (name, points) in enumerate(maps.items()):
        axes = styled(figure.add_subplot(2, 3, i + 1), "", "")
        axes.set_title(f"{name}, PCA of its codes" if name == "sparse" else name, fontsize=10)
        dots = axes.scatter(*points[:5000].T, c=labels[:5000], s=5, linewidths=0, alpha=0.6,
                            cmap="tab10", vmin=0, vmax=9)  # fmt: skip
        low, high = np.percentile(points, (0.2, 99.8), axis=0)  # a few lie far out
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    keys = [axes.scatter([], [], color=dots.to_rgba(i), s=24) for i in range(10)]
    figure.tight_layout(pad=1.2, rect=(0, 0, 0.95, 1))
    figure.legend(keys, "0123456789", loc="center right", frameon=False)
    save(figure, PICTURE)
    few = Image.open(PICTURE).quantize(48, dither=Image.Dither.NONE)  # a seventh of the bytes
    few.save(PICTURE, optimize=True)


# ---- what a step costs


def own(
    family: str, options: dict[str, Any], X: Rows, batch: int, dead: list[int]
) -> Callable[[], float]:
    """An epoch, after one that is not counted: milliseconds of CPU time a step.

    Of a sparse net that revives dead units, as many as there are, a later one: few are dead first,
    and most after an epoch. ``dead`` gets the number of those that learnt.
    """
    last = SETTLED if family == "sparse" and options.get("revive") != 0 else 2

    def epoch() -> float:
        stamps: list[float] = []

        def stamp(progress: Any) -> None:
            if progress.epoch == last:
                stamps.append(time.process_time())

        ae = net(family, **options, batch_size=batch, epochs=last, threads=1, initializer="random")
        ae.fit(X, callback=stamp)
        if last == SETTLED:
            dead.append(int(ae.history_["dead_units"][-2]))
        return 1e3 * (stamps[-1] - stamps[0]) / (len(stamps) - 1)

    return epoch


def rival(
    family: str, options: dict[str, Any], X: Any, batch: int, compiled: bool, dead: int
) -> Callable[[], float]:
    import torch

    from benchmarks.contestants.torch_families import trainer

    widths = (X.shape[1], *options["hidden"], options["code"])
    update = trainer(family, widths, options.get("code_activation", ""), options.get("k", 0),
                     compiled, dead)  # fmt: skip
    order = np.random.default_rng(0).permutation(len(X)).reshape(-1, batch)[:STEPS]
    update(X[order[0]])

    def epoch() -> float:
        torch.set_num_threads(1)  # each time: Numba's threads come from the same library
        update(X[order[0]])
        started = time.process_time()
        for places in order[1:]:
            update(X[places])
        return 1e3 * (time.process_time() - started) / (STEPS - 1)

    return epoch


def speed(data: Dataset, names: Sequence[str], batch: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        family, options = CASES[name]
        steps = MORE_STEPS if family == "sparse" else STEPS
        X = Rows(np.asarray(data.train.array[: steps * batch]))
        pixels = np.asarray(data.train.select(np.arange(len(X))), np.float32)
        plain = {key: value for key, value in options.items() if key not in ("k", "revive")}
        dead: list[int] = []
        epochs = {
            "plain": own("plain", plain, X, batch, dead),
            "family": own(family, options, X, batch, dead),
        }
        times = {who: [epoch()] for who, epoch in epochs.items()}
        try:
            for mode in ("eager", "compiled"):
                compiled = mode == "compiled"
                epochs[mode] = rival(family, options, pixels, batch, compiled, sum(dead))
                times[mode] = [epochs[mode]()]
        except ImportError as error:
            print(f"without PyTorch: {error}", file=sys.stderr)
        for _ in range(ROUNDS - 1):
            for who, epoch in epochs.items():
                times[who].append(epoch())
        row = {who: statistics.median(values) for who, values in times.items()}
        row["ratio"] = row["family"] / row["plain"]
        if dead:
            row["dead_units"] = dead[0]
        label = name if batch == BATCH else f"{name}, batch {batch}"
        print(f"{label:22} {'  '.join(f'{k} {v:.2f}' for k, v in row.items())}", flush=True)
        found[label] = row | {"date": time.strftime("%F")}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("page", "speed"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of speed: {', '.join(CASES)}")
    parser.add_argument("--batch", metavar="N", type=int, default=BATCH,
                        help=f"of speed: digits of a step (default {BATCH})")  # fmt: skip
    parser.add_argument("--data", metavar="DIR", default="mnist", help="where MNIST's files lie")
    given = parser.parse_intermixed_args()
    if unknown := set(given.names) - set(CASES):
        parser.error(f"NAME must be of {', '.join(CASES)}, got {', '.join(unknown)}")
    data = load_dataset(given.data)
    known = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    if given.what == "page":
        found = page(data)
    else:
        found = known.get("speed", {}).get("rows", {}) | speed(
            data, given.names or list(CASES), given.batch
        )
    about = {"date": time.strftime("%F"), "machine": machine(), "versions": versions()}
    write_json(RESULT, known | {given.what: {"rows": found, **about}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
