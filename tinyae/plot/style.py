"""What all pictures share: colours, figures in memory, PNG files; needs matplotlib ("plot").

Drawn with matplotlib's objects into memory: no pyplot, no window, no global setting changed. The
same input gives the same bytes. All functions of this package raise, besides what they say
themselves, ValueError for a path that does not end in .png, FileNotFoundError for a missing
folder and ImportError without matplotlib.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike

from ..data.rows import Array, as_rows
from ..storage.files import write_atomically

File = str | os.PathLike[str]

DPI = 100
INK, MUTED, AXIS, GRID, SHADOW = "#222222", "#666666", "#b0b0b0", "#e4e4e4", "#c8c8c8"
BLUE, ORANGE = "#1f5fa8", "#d9822b"
SMALL: dict[str, Any] = {"fontsize": 9, "color": MUTED}
ROW = {"ha": "right", "va": "center", **SMALL}
PLAIN: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": INK}
MOST = 40  # names of columns that can be read in one picture
CELL = 64  # pixels: small images are magnified to about this size, those over twice it reduced


def new_figure(width: int, height: int) -> Any:
    """An empty figure of so many pixels, on a canvas in memory."""
    try:
        _import_matplotlib()
        library = importlib.import_module("matplotlib.figure")
        agg = importlib.import_module("matplotlib.backends.backend_agg")
    except ImportError as error:
        raise ImportError('drawing needs matplotlib: pip install "tinyae[plot]"') from error
    figure = library.Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    return agg.FigureCanvasAgg(figure).figure


def _import_matplotlib() -> None:
    """Without a window system that is chosen and not there: no picture needs one."""
    chosen = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        matplotlib = importlib.import_module("matplotlib")
    finally:
        if chosen is not None:
            os.environ["MPLBACKEND"] = chosen
    if chosen:  # what is set here is as it would be
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = chosen


def styled(axes: Any, xlabel: str, ylabel: str) -> Any:
    axes.set(facecolor="white", axisbelow=True)
    axes.grid(color=GRID, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(AXIS)
    axes.tick_params(which="both", labelsize=8, color=AXIS, labelcolor=MUTED)
    axes.set_xlabel(xlabel, **SMALL)
    axes.set_ylabel(ylabel, **SMALL)
    return axes


def short(name: str, most: int = 32) -> str:
    """In one line of so many letters; the middle is cut out, as names often begin alike."""
    name = " ".join(name.split())
    half = most // 2 - 1
    return name if len(name) <= most else f"{name[:half]}...{name[1 - half :]}"


def finite(x: ArrayLike, name: str, n: int | None = None) -> Array:
    """The first n samples of x, all where n is None, in float64."""
    rows = as_rows(x, name)
    values = np.asarray(rows.select(np.arange(len(rows))[:n]), np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return values


def image_sides(image_shape: tuple[int, ...], features: int) -> tuple[int, int]:
    """(height, width) of pictures of so many features, grey or coloured; else ValueError."""
    h, w, *channels = image_shape if len(image_shape) >= 2 else (0, 0)
    if channels not in ([], [1], [3]) or h < 1 or np.prod(image_shape) != features:
        raise ValueError(f"image_shape must be (height, width) or (height, width, 1 or 3) for "
                         f"{features} features, got {image_shape}")  # fmt: skip
    return h, w


def save(figure: Any, path: File) -> None:
    options = {"dpi": DPI, "facecolor": "white", "metadata": {"Software": None}}
    write_png(path, lambda file: figure.savefig(file, format="png", **options))


def write_png(path: File, write: Callable[[IO[bytes]], object]) -> None:
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {os.fspath(path)!r}")
    write_atomically(path, write)
