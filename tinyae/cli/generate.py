"""``tinyae manifold``, ``sample``, ``traverse`` and ``interpolate``: what a run's codes decode to.

Each draws a picture and, where asked to, writes the same samples as an array (n, features), in
the order in which the picture shows them.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codes import densities, generate
from ..data.datasets import Dataset
from ..data.rows import Rows, value_range
from ..estimator import Autoencoder
from ..files import write_atomically
from .options import command, data_given, run_options
from .run_folder import RunFolder, UsageError

Array = NDArray[Any]

DENSITIES = ("gaussian", "mixture", "kernel")
JUDGED = 1000  # test codes that a density is judged by


def add_commands(commands: Any) -> None:
    """Adds the four to the parser's commands."""
    manifold = command(commands, "manifold", _manifold, "draw a map of a code of two units")
    run_options(manifold)
    manifold.add_argument("--grid", type=int, default=20, metavar="N",
                          help="samples along each side (default 20)")  # fmt: skip
    manifold.add_argument("--spacing", choices=generate.SPACINGS, default="quantiles",
                          help="equal shares of the codes between columns and rows, or equal "
                          "distances (default quantiles)")  # fmt: skip
    manifold.add_argument("--gap", type=int, default=0, metavar="PIXELS",
                          help="between pictures (default 0: a seamless map)")  # fmt: skip
    _outputs(manifold, "manifold.png")

    sample = command(commands, "sample", _sample, "draw new samples")
    run_options(sample)
    sample.add_argument("-n", type=int, default=64, metavar="N", help="how many (default 64)")
    sample.add_argument("--density", choices=DENSITIES, default="mixture",
                        help="what is fitted to the training codes (default mixture)")  # fmt: skip
    sample.add_argument("--components", type=int, metavar="N",
                        help="normals of the mixture (default 10)")  # fmt: skip
    sample.add_argument(
        "--bandwidth", type=_bandwidth, metavar="H",
        help="of the kernel: scott, silverman or a number (default scott)",
    )  # fmt: skip
    sample.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (default 0)")
    _outputs(sample, "samples.png")

    traverse = command(commands, "traverse", _traverse, "change one code unit at a time")
    run_options(traverse)
    traverse.add_argument("--sample", type=int, required=True, metavar="I",
                          help="the sample to start from, counted from 0")  # fmt: skip
    _part_option(traverse)
    traverse.add_argument("--steps", type=int, default=11, metavar="N",
                          help="values of each unit (default 11)")  # fmt: skip
    _outputs(traverse, "traversal.png")

    interpolate = command(
        commands, "interpolate", _interpolate, "go from one sample to another: by pixels, by codes"
    )
    run_options(interpolate)
    for end in ("from", "to"):
        interpolate.add_argument(f"--{end}", dest=f"{end}_", type=int, required=True, metavar="I",
                                 help="a sample, counted from 0")  # fmt: skip
    _part_option(interpolate)
    interpolate.add_argument("--steps", type=int, default=9, metavar="N",
                             help="frames, both ends among them (default 9)")  # fmt: skip
    _outputs(interpolate, "interpolation.png")


def _outputs(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--out", metavar="FILE", help=f".png of the picture (default RUN/{name})")
    parser.add_argument("--npy", metavar="FILE", help=".npy of the samples shown")
    parser.set_defaults(picture=name)


def _part_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", choices=("train", "test"), default="test",
                        help="where samples are counted (default test)")  # fmt: skip


def _bandwidth(text: str) -> str | float:
    return text if text in ("scott", "silverman") else float(text)


_bandwidth.__name__ = "bandwidth"  # for argparse's complaint


class _Work:
    """A run, its data, and where its picture and array go: all checked before any work."""

    def __init__(self, given: argparse.Namespace) -> None:
        data = data_given(given)
        self.picture = _file("--out", given.out, ".png")
        self.array = _file("--npy", given.npy, ".npy")
        self.run = RunFolder(given.run)
        self.ae: Autoencoder = self.run.load_model(given.backend)
        self.dataset: Dataset = self.run.load_data(data or None)
        self.default = self.run.path / given.picture

    def training_codes(self) -> Array:
        return self.ae.encode(self.dataset.train)

    def save(
        self, samples: Array, columns: int, what: str, labels: Sequence[str] = (),
        marked: Collection[int] = (), gap: int = 4,
    ) -> None:  # fmt: skip
        """Writes the array and the picture, and says so; without matplotlib an array is enough."""
        if self.array is not None:
            array = self.array
            write_atomically(array, lambda f: np.save(f, samples))
            print(f"{array}: {len(samples):,} samples of {samples.shape[1]:,} numbers, "
                  f"{samples.dtype}")  # fmt: skip
            if self.picture is None and importlib.util.find_spec("matplotlib") is None:
                print('no picture without matplotlib: pip install "tinyae[plot]"', file=sys.stderr)
                return
        from ..plot.grids import plot_grid

        span = value_range(self.dataset.train, "X")  # one scale for all of a run's pictures
        path = self.picture or self.default
        plot_grid(samples, columns, self.dataset.image_shape, path, span=span, labels=labels,
                  marked=marked, gap=gap)  # fmt: skip
        print(f"{path}: {what}")


def _manifold(given: argparse.Namespace) -> None:
    _at_least(1, "--grid", given.grid)
    _at_least(0, "--gap", given.gap)
    work = _Work(given)
    if work.ae.code != 2:
        raise UsageError(
            f"manifold is a map of a code of 2 units, but {work.run.path} has {work.ae.code}: "
            "see 'tinyae traverse' and 'tinyae sample'"
        )
    grid = generate.code_grid(work.training_codes(), given.grid, given.spacing)
    (left, top), (right, bottom) = grid[0], grid[-1]
    what = (
        f"{given.grid} x {given.grid} samples; code unit 1 from {left:.4g} (left) to {right:.4g}, "
        f"unit 2 from {bottom:.4g} (bottom) to {top:.4g}"
    )
    work.save(work.ae.decode(grid), given.grid, what, gap=given.gap)


def _sample(given: argparse.Namespace) -> None:
    _at_least(1, "-n", given.n)
    if given.components is not None:
        _at_least(1, "--components", given.components)
    if not 0 <= given.seed < 2**64:
        raise UsageError(f"--seed must lie in [0, 2^64), got {given.seed}")
    for option, density in (("components", "mixture"), ("bandwidth", "kernel")):
        if getattr(given, option) is not None and given.density != density:
            raise UsageError(f"--{option} is for --density {density}, got {given.density}")
    work = _Work(given)
    codes = work.training_codes()
    if given.density == "gaussian":
        fitted = densities.fit_gaussian(codes)
    elif given.density == "mixture":
        fitted = densities.fit_mixture(codes, given.components or 10, given.seed)
    else:
        fitted = densities.fit_kernel(
            codes, "scott" if given.bandwidth is None else given.bandwidth
        )
    drawn = generate.within_reach(fitted.sample(given.n, given.seed), work.ae.code_activation)
    test = work.dataset.test
    judged = work.ae.encode(test.select(np.arange(min(JUDGED, len(test)))))
    what = (
        f"{given.n:,} samples of a {given.density} fitted to {len(codes):,} training codes; mean "
        f"log density of {len(judged):,} test codes {fitted.log_density(judged).mean():.4g}"
    )
    work.save(work.ae.decode(drawn), int(np.ceil(np.sqrt(given.n))), what)


def _traverse(given: argparse.Namespace) -> None:
    _at_least(1, "--steps", given.steps)
    work = _Work(given)
    code = work.ae.encode(_chosen(work, given.part, "--sample", given.sample))[0]
    low, high = generate.code_range(work.training_codes())
    codes, own = generate.traversal(code, low, high, given.steps)
    labels = [f"unit {i}" for i in range(1, len(code) + 1)]
    marked = np.arange(len(code)) * given.steps + own
    samples = work.ae.decode(codes.reshape(-1, len(code)))
    what = (
        f"{given.part} sample {given.sample} (framed), each of its {len(code)} units through "
        f"{given.steps} values"
    )
    work.save(samples, given.steps, what, labels, set(marked.tolist()))


def _interpolate(given: argparse.Namespace) -> None:
    _at_least(2, "--steps", given.steps)
    work = _Work(given)
    a = _chosen(work, given.part, "--from", given.from_)
    b = _chosen(work, given.part, "--to", given.to_)
    pixels = generate.blend(np.asarray(a)[0], np.asarray(b)[0], given.steps)
    path = generate.blend(work.ae.encode(a)[0], work.ae.encode(b)[0], given.steps)
    decoded = work.ae.decode(path)
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


def _at_least(least: int, option: str, value: int) -> None:
    if value < least:
        raise UsageError(f"{option} must be at least {least}, got {value}")


def _file(option: str, name: str | None, suffix: str) -> Path | None:
    if name is None:
        return None
    path = Path(name)
    if path.suffix != suffix:
        raise UsageError(f"{option} must end in {suffix}, got {name}")
    if not path.parent.is_dir():
        raise UsageError(f"{option}: there is no folder {path.parent}")
    return path
