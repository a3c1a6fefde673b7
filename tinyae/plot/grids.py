"""Samples side by side: originals over reconstructions, maps, draws, traversals.

Pixels are drawn as they are: magnified by whole numbers, or averaged over whole blocks.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..data.rows import Array
from . import style
from .style import CELL, DPI, MOST, File, finite, image_sides, new_figure, save, short, write_png

SIDE = 1200  # pixels: the whole picture is not magnified beyond this, nor one sample beyond CELL
LINE_CELL = (60, 44)  # pixels: width and height of a sample that is drawn as a line
LEFT = 116  # pixels for the labels of the two rows of reconstructions
BOX = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], np.float64)
FRAME = np.frombuffer(bytes.fromhex(style.ORANGE[1:]), np.uint8)


def plot_reconstructions(
    originals: ArrayLike,
    reconstructions: ArrayLike,
    image_shape: tuple[int, ...] | None,
    path: File,
    n: int = 10,
    names: Sequence[str] = (),
) -> None:
    """The first n originals over their reconstructions.

    originals, reconstructions: (samples, features), real; uint8 counts as pixels, see Rows. Only
    the first n are read. image_shape: (height, width) or (height, width, 1) for grey pictures,
    (height, width, 3) for coloured ones; black and white are the least and the largest value of
    the originals drawn, in both rows. None: each sample is drawn as a line over its features; where
    up to 40 of them have ``names``, from top to bottom, each beside its name.

    Raises ValueError where shapes do not fit, n < 1 or values are not finite.
    """
    rows = {"original": originals, "reconstruction": reconstructions}
    plot_rows(rows, image_shape, path, n, names)


def plot_rows(
    samples: Mapping[str, ArrayLike], image_shape: tuple[int, ...] | None, path: File, n: int = 10,
    names: Sequence[str] = (),
) -> None:  # fmt: skip
    """The same n samples in several states, a row for each, by its label: as
    ``plot_reconstructions``, which has two rows."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    rows = {label: finite(row, f"{label}s", n) for label, row in samples.items()}
    above = next(iter(rows.values()))
    for label, row in rows.items():
        if row.shape != above.shape:
            raise ValueError(f"{label}s must have shape {above.shape}, got {row.shape}")
    stacked = np.stack([*rows.values()])
    low, high = float(above.min()), float(above.max())
    if image_shape is None:
        _expect_named(names, above.shape[1])
        upright = 0 < len(names) <= MOST
        save(_line_rows(stacked, low, high, [*rows], names if upright else ()), path)
        return
    h, w = image_sides(image_shape, above.shape[1])
    grey = (stacked - low) / (high - low) if high > low else np.full_like(stacked, 0.5)
    pictures = grey.clip(0, 1).reshape(len(rows), len(above), h, w, -1)
    save(_image_rows(pictures, [*rows]), path)


def _image_rows(pictures: Array, labels: Sequence[str]) -> Any:
    """(rows, n, h, w, channels) in [0, 1], pixel by pixel: nothing is interpolated."""
    rows, n, *sides = pictures.shape
    pictures = resized(pictures.reshape(rows * n, *sides), 1, 1)
    (_, h, w, _), gap, margin = pictures.shape, 4, 10
    pitch = max(h, 16) + gap  # of rows: room for their labels
    width, height = LEFT + n * (w + gap) - gap + margin, 2 * margin + rows * pitch - gap
    figure = new_figure(width, height)
    for row, label in enumerate(labels):
        middle = height - margin - row * pitch - (pitch - gap) // 2  # counted from below
        figure.text((LEFT - 10) / width, middle / height, label, **style.ROW)
        for i in range(n):
            rgb = np.broadcast_to(pictures[row * n + i] * 255 + 0.5, (h, w, 3)).astype(np.uint8)
            figure.figimage(rgb, LEFT + i * (w + gap), middle - h // 2, origin="upper")
    return figure


def _line_rows(
    samples: Array, low: float, high: float, labels: Sequence[str], names: Sequence[str]
) -> Any:
    """Rows of line plots with one scale; the first is shadowed under the others. With names the
    lines run downwards."""
    rows, n, features = samples.shape
    written = list(map(short, names))
    left = LEFT + 7 * max(map(len, written), default=0)
    width, height = left + 110 * n, max(105, 20 + 13 * len(names)) * rows
    figure = new_figure(width, height)
    grid = figure.subplots(rows, n, squeeze=False)
    figure.subplots_adjust(left / width, 0.05, 1 - 10 / width, 0.95, wspace=0.08, hspace=0.1)
    marker = "o" if features == 1 else ""
    pad = 0.08 * (high - low) or 1.0
    places, span = np.arange(features), (low - pad, high + pad)
    for row, label in enumerate(labels):
        for i, axes in enumerate(grid[row]):
            lines = [(samples[0, i], style.SHADOW, 2.2)] if row else []
            lines.append((samples[row, i], style.ORANGE if row else style.BLUE, 1))
            for values, colour, thick in lines:
                xy = (values, places) if names else (places, values)
                axes.plot(*xy, color=colour, linewidth=thick, marker=marker)
            axes.set(xticks=[], yticks=[], facecolor="white")
            axes.spines[:].set_color(style.GRID)
            if names:
                axes.set(xlim=span, ylim=(features - 0.5, -0.5))
                axes.set_yticks(places, [] if i else written, parse_math=False)
                axes.tick_params(length=0, labelsize=8, labelcolor=style.MUTED)
                axes.grid(axis="y", color=style.GRID, linewidth=0.5)
            else:
                axes.set(ylim=span)
        grid[row, 0].set_ylabel(label, rotation=0, **style.ROW)
    return figure


def _expect_named(names: Sequence[str], features: int) -> None:
    if names and len(names) != features:
        raise ValueError(f"names must be {features}, one for each feature, got {len(names)}")


def plot_grid(
    samples: ArrayLike,
    columns: int,
    image_shape: tuple[int, ...] | None,
    path: File,
    *,
    span: tuple[float, float] | None = None,
    labels: Sequence[str] = (),
    marked: Collection[int] = (),
    gap: int = 4,
    names: Sequence[str] = (),
) -> None:
    """Samples (n, features) from left to right and from top to bottom.

    image_shape: as in ``plot_reconstructions``; None draws a line over the features.
    span: the values that are black and white (the bottom and the top of a line), by default the
    samples' least and largest. labels: of the rows. marked: positions of samples to frame.
    gap: pixels between samples; with 0 they make one picture without a border. names: of the
    features, which are listed under lines.

    Raises ValueError where shapes do not fit, columns < 1 or values are not finite.
    """
    cells = finite(samples, "samples")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    rows = -(-len(cells) // columns)
    if labels and len(labels) != rows:
        raise ValueError(f"labels must be {rows}, one for each row, got {len(labels)}")
    low, high = (float(cells.min()), float(cells.max())) if span is None else span
    unit = ((cells - low) / (high - low)).clip(0, 1) if high > low else np.full_like(cells, 0.5)
    if image_shape is None:
        _expect_named(names, cells.shape[1])
        _save_pixels(_over_names(_draw_lines(unit, columns, labels, marked), names), path)
        return
    h, w = image_sides(image_shape, cells.shape[1])
    sized = resized(unit.reshape(len(cells), h, w, -1), rows, columns)
    _save_pixels(_labelled(tiled(sized, columns, gap, marked), labels), path)


def resized(pictures: Array, rows: int, columns: int) -> Array:
    """(n, h, w, channels) by whole numbers, so that rows x columns of them fit on a screen."""
    _, h, w, channels = pictures.shape
    room = min(CELL, SIDE // max(rows, columns))
    a, b = (-(-side // (2 * max(room, CELL // 4))) for side in (h, w))
    h, w = h // a, w // b
    means = pictures[:, : h * a, : w * b].reshape(-1, h, a, w, b, channels).mean(axis=(2, 4))
    zoom = max(1, room // max(h, w))
    magnified: Array = means.repeat(zoom, axis=1).repeat(zoom, axis=2)
    return magnified


def tiled(pictures: Array, columns: int, gap: int, marked: Collection[int] = ()) -> Array:
    """(n, h, w, channels) in [0, 1] -> one picture, uint8 (height, width, 3), white between them.

    ``gap`` pixels lie around each; half of them make the frame of those at ``marked``.
    """
    n, h, w, _ = pictures.shape
    rows = -(-n // columns)
    tiles = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), 255, np.uint8)
    edge = gap // 2
    for i, picture in enumerate(pictures):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        if i in marked:
            tiles[top - edge : top + h + edge, left - edge : left + w + edge] = FRAME
        tiles[top : top + h, left : left + w] = picture * 255 + 0.5
    return tiles


def _labelled(tiles: Array, labels: Sequence[str]) -> Array:
    """The picture to the right of the labels of its rows."""
    if not labels:
        return tiles
    figure = new_figure(_room(labels), len(tiles))
    _label_rows(figure, labels)
    return np.concatenate([_pixels(figure, _room(labels), len(tiles)), tiles], axis=1)


def _draw_lines(unit: Array, columns: int, labels: Sequence[str], marked: Collection[int]) -> Array:
    """Samples (n, features) in [0, 1] as small lines, each in its box, all in one plot."""
    n, features = unit.shape
    rows = -(-n // columns)
    (w, h), pad, left = LINE_CELL, 4, _room(labels)
    width, height = left + columns * w, rows * h
    figure = new_figure(width, height)
    box = (left / width, 0, 1 - left / width, 1)
    axes = figure.add_axes(box, xlim=(0, columns * w), ylim=(height, 0))
    axes.set_axis_off()
    corner = np.stack([np.arange(n) % columns * w, np.arange(n) // columns * h], axis=1)
    along = np.linspace(0, 1, features) if features > 1 else np.array([0.5])
    within = np.stack([np.tile(along, (n, 1)), 1 - unit], axis=2)  # y grows downwards
    lines = corner[:, None] + 2 * pad + within * (w - 4 * pad, h - 4 * pad)
    boxes = corner[:, None] + pad / 2 + BOX * (w - pad, h - pad)
    framed = np.isin(np.arange(n), list(marked))
    axes.plot(*_broken(boxes[~framed]), color=style.GRID, linewidth=0.8)
    axes.plot(*_broken(boxes[framed]), color=style.ORANGE, linewidth=1.6)
    axes.plot(
        *_broken(lines), color=style.BLUE, linewidth=1, marker="" if features > 1 else "o", ms=3
    )
    _label_rows(figure, labels)
    return _pixels(figure, width, height)


def _over_names(picture: Array, names: Sequence[str]) -> Array:
    """The picture over the first 40 names, numbered from left to right, in as many columns as fit
    side by side."""
    if not names:
        return picture
    texts = [f"{i} {short(name)}" for i, name in enumerate(names[:MOST], start=1)]
    texts += [f"... and {len(names) - MOST:,} more"] if len(names) > MOST else []
    title, room, line = "in each line, from left to right:", 24 + 7 * max(map(len, texts)), 15
    width = max(picture.shape[1], room, 24 + 7 * len(title))
    rows = -(-len(texts) // (width // room))
    height = line * (rows + 2)
    figure = new_figure(width, height)
    how = {"va": "center", "fontsize": 8, "color": style.MUTED, "parse_math": False}
    for i, text in enumerate([title, *texts]):
        column, row = divmod(i - 1, rows) if i else (0, -1)
        figure.text((12 + column * room) / width, 1 - line * (row + 2) / height, text, **how)
    right = width - picture.shape[1]
    wide = np.pad(picture, ((0, 0), (0, right), (0, 0)), constant_values=255)
    return np.concatenate([wide, _pixels(figure, width, height)])


def _broken(lines: Array) -> Array:
    """Lines (n, points, 2) one after the other, with a break after each: (2, n (points + 1))."""
    return np.pad(lines, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).reshape(-1, 2).T


def _room(labels: Sequence[str]) -> int:
    """Pixels for the labels of rows."""
    return 24 + 7 * max(map(len, labels)) if labels else 0


def _label_rows(figure: Any, labels: Sequence[str]) -> None:
    edge = (_room(labels) - 10) / figure.bbox.width
    for row, label in enumerate(labels):
        figure.text(edge, 1 - (row + 0.5) / len(labels), label, parse_math=False, **style.ROW)


def _pixels(figure: Any, width: int, height: int) -> Array:
    """The figure as uint8 (height, width, 3)."""
    # half a pixel more: width / DPI * DPI may fall short of width, and older matplotlib truncates
    figure.set_size_inches((width + 0.5) / DPI, (height + 0.5) / DPI)
    figure.canvas.draw()
    pixels: Array = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]
    return pixels


def _save_pixels(pixels: Array, path: File) -> None:
    """A grey picture is saved as such, in a smaller file."""
    try:
        image = importlib.import_module("PIL.Image")
    except ImportError as error:
        raise ImportError('drawing needs Pillow: pip install "tinyae[plot]"') from error
    grey = (pixels == pixels[:, :, :1]).all()
    png = image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if grey else pixels))
    write_png(path, lambda file: png.save(file, format="png", optimize=True))
