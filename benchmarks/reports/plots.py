"""The pictures of a benchmark run, as PNG; needs matplotlib (the extra "bench").

Bars start at zero, ceilings are measured ones, and every picture names machine and day. What has
no time is not drawn, and a picture with nothing on it is not made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.reports.bars import ladder, relative, split, times
from benchmarks.reports.roofline import roofline, sizes
from benchmarks.reports.rows import Results, Row, measured


def draw_all(
    results: Results, folder: str | os.PathLike[str], say: Callable[[str], object] = print
) -> list[Path]:
    """Every picture that the results can fill, as bench-WHAT-DEVICE.png in a folder that exists.

    Returns their paths; ``say`` is told which were left out, and why.
    """
    made: list[Path] = []
    for device in ("cpu", "gpu"):
        rows = [row for row in results["rows"] if row["device"] == device]
        if measured(rows):
            made += _draw(results, rows, device, Path(folder), say)
    return made


def _draw(
    results: Results, rows: list[Row], device: str, folder: Path, say: Callable[[str], object]
) -> list[Path]:
    def path(name: str) -> Path:
        return folder / f"bench-{name}-{device}.png"

    drawn = {  # name -> its file, or None; and what it would take
        "roofline": (roofline(results, rows, device, path("roofline")),
                     "no kernel with flops and bytes was timed, or no ceiling"),
        "sizes": (sizes(results, rows, path("sizes")), "no product was timed at two sizes"),
        "ladder": (ladder(results, rows, path("ladder")), "no rung was timed"),
        "split": (split(results, rows, path("split")), "no step was split by op"),
        "step": (relative(results, rows, "step", path("step")), "no step was timed beside a rival"),
        "epoch": (relative(results, rows, "epoch", path("epoch")),
                  "no epoch was timed beside a rival"),
    }  # fmt: skip
    for name, (made, missing) in drawn.items():
        if made is None:
            say(f"no picture {path(name).name}: {missing}")
    return [made for made, _ in drawn.values() if made is not None]


def draw_selection(results: Results, path: str | os.PathLike[str]) -> None:
    """The one picture that fits what was measured.

    Products at several sizes: their GFLOP/s; a ladder: its rungs; steps: their parts; else bars
    of times. Raises ValueError where nothing has a time.
    """
    path, rows = Path(path), results["rows"]
    if not (
        sizes(results, rows, path)
        or ladder(results, rows, path)
        or split(results, rows, path)
        or times(results, rows, path)
    ):
        raise ValueError("nothing to draw: no row of the results has a time")
