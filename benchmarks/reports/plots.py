"""The pictures of a benchmark run, as PNG; needs matplotlib (the extra "bench").

Bars start at zero, ceilings are measured ones, and every picture names machine and day. What has
no time is not drawn, and a picture with nothing on it is not made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.reports.bars import ladder, relative, split, times
from benchmarks.reports.roofline import roofline, sizes
from benchmarks.reports.rows import Results, measured

# name -> how it is drawn, from rows that have a time; and what it would take
PICTURES: dict[str, tuple[Callable[..., Path | None], str]] = {
    "roofline": (roofline, "no kernel with flops and bytes was timed, or no ceiling"),
    "sizes": (sizes, "no product was timed at two sizes"),
    "ladder": (ladder, "no rung was timed"),
    "split": (split, "no step was split by op"),
    "step": (partial(relative, suite="step"), "no step was timed beside a rival"),
    "epoch": (partial(relative, suite="epoch"), "no epoch was timed beside a rival"),
}


def draw_all(
    results: Results, folder: str | os.PathLike[str], say: Callable[[str], object] = print
) -> list[Path]:
    """Every picture that the results can fill, as bench-WHAT-DEVICE.png in a folder that exists.

    Returns their paths; ``say`` is told which were left out, and why.
    """
    made: list[Path] = []
    for device in ("cpu", "gpu"):
        rows = [row for row in measured(results["rows"]) if row["device"] == device]
        for name, (draw, missing) in PICTURES.items() if rows else ():
            path = Path(folder) / f"bench-{name}-{device}.png"
            if draw(results, rows, path):
                made.append(path)
            else:
                say(f"no picture {path.name}: {missing}")
    return made


def draw_selection(results: Results, path: str | os.PathLike[str]) -> None:
    """The one picture that fits what was measured.

    Products at several sizes: their GFLOP/s; a ladder: its rungs; steps: their parts; else bars
    of times. Raises ValueError where nothing has a time.
    """
    rows = measured(results["rows"])
    if not any(draw(results, rows, Path(path)) for draw in (sizes, ladder, split, times)):
        raise ValueError("nothing to draw: no row of the results has a time")
