"""``tinyae manifold``, ``sample``, ``traverse`` and ``interpolate``: what a run's codes decode to.

Each draws a picture or, where asked to, writes its samples as an array (n, features) or a table,
in the order in which the picture shows them, or does both.
"""

from __future__ import annotations

import argparse
import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ..codes import densities, generate
from ..data.rows import Array, Rows, value_range
from ..data.scaling import scaled
from ..plot.grids import plot_grid
from ..storage.untrusted import available_memory
from ..train.progress import Waiting
from .options import Command, UsageError, at_least, command
from .output import can_draw, to_draw, write_samples
from .run.opening import opened

DENSITIES = ("gaussian", "mixture", "kernel")
JUDGED = 1000  # test codes that a density is judged by
# Bytes of memory for each number of a sample, decoded and drawn: 44 and 540 were measured without
# the decoded ones, and of a line 33,000 for its cell.
PICTURE, LINE, LINE_CELL = 64, 600, 33_000
LONGEST = (1 << 16) // 60  # lines beside each other: matplotlib draws fewer than 2^16 pixels


def add_commands(commands: Any) -> None:
    """Adds the four to the parser's commands."""
    parser = _drawing(commands, "manifold", _manifold, "draw a map of a code of two units",
                      "manifold.png")  # fmt: skip
    parser.count("--grid", 20, "samples along each side")
    parser.option("--spacing", "quantiles", "equal shares of the codes between columns and rows, "
                  "or equal distances", choices=generate.SPACINGS)  # fmt: skip
    parser.option("--gap", 0, "between pictures (default 0: a seamless map)", type=at_least(0),
                  metavar="PIXELS")  # fmt: skip

    parser = _drawing(commands, "sample", _sample, "draw new samples", "samples.png")
    parser.count("-n", 64, "how many")
    parser.add_argument("--density", choices=DENSITIES, help="what is fitted to the training codes "
                        "(default: the prior of a family that has one, such as variational, else "
                        "mixture)")  # fmt: skip
    parser.count("--components", None, f"normals of the mixture (default {densities.COMPONENTS}, "
                 "or as many as there are different codes)")  # fmt: skip
    parser.option("--bandwidth", None, "of the kernel: scott, silverman or a number (default "
                  "scott)", type=_bandwidth, metavar="H")  # fmt: skip
    parser.seed_option("the draw")

    parser = _drawing(commands, "traverse", _traverse, "change one code unit at a time",
                      "traversal.png")  # fmt: skip
    parser.add_argument("--sample", type=int, required=True, metavar="I",
                        help="the sample to start from, counted from 0")  # fmt: skip
    _part_option(parser)
    parser.count("--steps", 11, "values of each unit")

    parser = _drawing(commands, "interpolate", _interpolate,
                      "go from one sample to another: by pixels, by codes",
                      "interpolation.png")  # fmt: skip
    for end in ("from", "to"):
        parser.add_argument(f"--{end}", dest=f"{end}_", type=int, required=True, metavar="I",
                            help="a sample, counted from 0")  # fmt: skip
    _part_option(parser)
    parser.count("--steps", 9, "frames, both ends among them", least=2)


def _drawing(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], help: str, picture: str
) -> Command:
    """A command that draws ``picture`` of a run."""
    parser = command(commands, name, run, help)
    parser.run_options()
    parser.file_option("--out", f".png of the picture (default RUN/{picture}), or .npy or .csv of "
                       "its samples alone", ".png", ".npy", ".csv")  # fmt: skip
    parser.file_option("--npy", ".npy or .csv of the samples shown, beside the picture", ".npy",
                       ".csv")  # fmt: skip
    parser.set_defaults(picture=picture)
    return parser


def _part_option(parser: Command) -> None:
    parser.option("--part", "test", "where samples are counted", choices=("train", "test"))


def _bandwidth(text: str) -> str | float:
    return text if text in ("scott", "silverman") else float(text)


_bandwidth.__name__ = "bandwidth"  # for argparse's complaint


class _Work:
    """A run, its data, and where its picture and arrays go."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.run, self.ae, self.dataset = opened(given)
        self.picture = given.out or self.run.path / given.picture
        self.arrays = [path for path in (given.npy, given.out) if path and path.suffix != ".png"]
        self.asked = given.out is not None

    def expect_room(
        self, option: str, given: int, samples: Callable[[int], int],
        columns: Callable[[int], float] = float,
    ) -> None:  # fmt: skip
        """Raises UsageError where the ``samples(given)`` that are asked for, and their picture,
        do not fit into the memory that is available, or ``columns(given)`` not into a picture."""
        n_features, shape = self.ae.n_features_in_, self.dataset.image_shape
        each = PICTURE * n_features if shape else LINE_CELL + LINE * n_features
        room, wide = available_memory() // each, math.inf if shape else LONGEST
        most = bisect_left(range(1, min(given, 1 << 62) + 1), True,
                           key=lambda n: samples(n) > room or columns(n) > wide)  # fmt: skip
        if given > most:
            raise UsageError(
                f"{option} must be at most {most:,} here, got {given:,}: {samples(given):,} "
                f"samples of {n_features:,} numbers and their picture take about "
                f"{samples(given) * each / 2**30:,.1f} GiB of memory, of which "
                f"{room * each / 2**30:,.1f} are available"
                + ("" if shape else f", and at most {wide:,} are drawn beside each other")
            )

    def training_codes(self) -> Array:
        with Waiting(f"encoding {self.dataset.name}"):
            return self.ae.encode(self.dataset.train)

    def decoded(self, codes: Array) -> Array:
        with Waiting(f"decoding {len(codes):,} codes"):
            return np.asarray(self.ae.decode(codes))

    def save(
        self, samples: Array, columns: int, what: str, labels: Sequence[str] = (),
        marked: Collection[int] = (), gap: int = 4,
    ) -> None:  # fmt: skip
        """Writes arrays and the picture, and says so; without matplotlib an array is enough."""
        path = self.picture
        for array in self.arrays:
            write_samples(array, self.ae, samples, self.run.columns())
        if path in self.arrays or (self.arrays and not self.asked and not can_draw()):
            return
        with Waiting(f"drawing {path}"):
            shape = self.dataset.image_shape
            shown = to_draw(self.ae, samples, shape)
            train = self.dataset.train if shape else scaled(self.dataset.train, self.ae.scaling_)
            span = value_range(train, "X", missing=True)  # one scale for all of a run's pictures
            plot_grid(
                shown, columns, shape, path,
                span=span, labels=labels, marked=marked, gap=gap, names=self.run.columns() or (),
            )  # fmt: skip
        print(f"{path}: {what}")


def _manifold(given: argparse.Namespace) -> None:
    work = _Work(given)
    if work.ae.code != 2:
        raise UsageError(
            f"manifold is a map of a code of 2 units, but {work.run.path} has {work.ae.code}: "
            "see 'tinyae traverse' and 'tinyae sample'"
        )
    work.expect_room("--grid", given.grid, lambda side: side**2)
    grid = generate.code_grid(work.training_codes(), given.grid, given.spacing)
    (left, top), (right, bottom) = grid[0], grid[-1]
    what = (
        f"{given.grid} x {given.grid} samples; code unit 1 from {left:.4g} (left) to {right:.4g}, "
        f"unit 2 from {bottom:.4g} (bottom) to {top:.4g}"
    )
    work.save(work.decoded(grid), given.grid, what, gap=given.gap)


def _sample(given: argparse.Namespace) -> None:
    chosen = given.density or "mixture"
    for name, density in (("components", "mixture"), ("bandwidth", "kernel")):
        if getattr(given, name) is not None and chosen != density:
            raise UsageError(f"--{name} is for --density {density}, got {chosen}")
    work = _Work(given)
    work.expect_room("-n", given.n, int, math.sqrt)
    columns, fits = int(np.ceil(np.sqrt(given.n))), given.density or given.components
    prior = None if fits else work.ae._prior(given.n, given.seed)
    if prior is not None:
        what = f"{given.n:,} samples of codes from the prior of the {work.ae.family} autoencoder"
        work.save(work.decoded(prior), columns, what)
        return
    codes = work.training_codes()
    with Waiting(f"fitting a {chosen} to {len(codes):,} codes", "at most") as report:
        if chosen == "gaussian":
            fitted = densities.fit_gaussian(codes)
        elif chosen == "mixture":
            fitted = densities.fit_mixture(codes, given.components, given.seed, report=report)
        else:
            fitted = densities.fit_kernel(
                codes, "scott" if given.bandwidth is None else given.bandwidth
            )
    drawn = generate.within_reach(fitted.sample(given.n, given.seed), work.ae.code_activation)
    test = work.dataset.test
    with Waiting("judging it by test codes"):
        judged = work.ae.encode(test.select(np.arange(min(JUDGED, len(test)))))
        density = fitted.log_density(judged).mean()
    what = (
        f"{given.n:,} samples of a {chosen} fitted to {len(codes):,} training codes; mean "
        f"log density of {len(judged):,} test codes {density:.4g}"
    )
    work.save(work.decoded(drawn), columns, what)


def _traverse(given: argparse.Namespace) -> None:
    work = _Work(given)
    work.expect_room("--steps", given.steps, lambda steps: steps * work.ae.code)
    code = work.ae.encode(_chosen(work, given.part, "--sample", given.sample))[0]
    low, high = generate.code_range(work.training_codes())
    codes, own = generate.traversal(code, low, high, given.steps)
    labels = [f"unit {i}" for i in range(1, len(code) + 1)]
    marked = np.arange(len(code)) * given.steps + own
    samples = work.decoded(codes.reshape(-1, len(code)))
    what = (
        f"{given.part} sample {given.sample} (framed), each of its {len(code)} units through "
        f"{given.steps} values"
    )
    work.save(samples, given.steps, what, labels, set(marked.tolist()))


def _interpolate(given: argparse.Namespace) -> None:
    work = _Work(given)
    work.expect_room("--steps", given.steps, lambda steps: 2 * steps)
    a = _chosen(work, given.part, "--from", given.from_)
    b = _chosen(work, given.part, "--to", given.to_)
    pixels = generate.blend(np.asarray(a)[0], np.asarray(b)[0], given.steps)
    path = generate.blend(work.ae.encode(a)[0], work.ae.encode(b)[0], given.steps)
    decoded = work.decoded(path)
    samples = np.concatenate([pixels.astype(decoded.dtype), decoded])
    labels = ["pixel blend" if work.dataset.image_shape else "blend", "code path"]
    what = f"{given.part} samples {given.from_} to {given.to_} in {given.steps} steps"
    work.save(samples, given.steps, what, labels)


def _chosen(work: _Work, part: str, option: str, index: int) -> Rows:
    """One sample."""
    rows = work.dataset.train if part == "train" else work.dataset.test
    if not 0 <= index < len(rows):
        raise UsageError(
            f"{option} must lie in 0 .. {len(rows) - 1} ({len(rows):,} {part} samples), got {index}"
        )
    return rows.select(np.array([index]))
