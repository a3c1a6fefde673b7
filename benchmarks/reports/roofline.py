"""Pictures of rates: the roofline with every kernel on it, and GFLOP/s against size.

The roofline is that of Williams, Waterman and Patterson, "Roofline: an insightful visual
performance model" (CACM, 2009).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reports.rows import Results, Row, contestants, significant
from benchmarks.reports.style import ceilings, colours, finish, markers, panel
from tinyae.plot.style import INK, MUTED, new_figure

REACHES = (8, 14, 22, 32, 44, 58, 74)  # points between a name and what it names
WAYS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
OFFSETS = [(x * reach, y * reach) for reach in REACHES for x, y in WAYS]


def roofline(results: Results, rows: list[Row], path: Path) -> Path | None:
    """GFLOP/s over flops per byte, on logarithmic axes, under the ceilings of the one device.

    Each op is named once. None where no kernel with flops has a time or a ceiling is missing.
    """
    timed = [row for row in rows if row["suite"] == "kernel"]
    points = [row for row in timed if row["flops"] and row["bytes"]]
    device = rows[0]["device"]
    if not points or device not in results["ceilings"]:
        return None
    roofs, gbs = results["ceilings"][device]["gflops"], results["ceilings"][device]["gbs"]
    figure = new_figure(900, 600)
    title, x = f"Roofline, {device.upper()}", "arithmetic intensity, flop per byte"
    axes = panel(figure, (1, 1, 1), title, x, "GFLOP/s")
    axes.set(xscale="log", yscale="log")
    intensity = np.array([row["flops"] / row["bytes"] for row in points])
    speed = np.array([row["flops"] / row["median"] / 1e9 for row in points])
    _draw_roofs(axes, roofs, gbs, intensity, speed)
    hues, shapes, legend = colours(results), markers(results), {}
    for name in contestants(results, points):
        own = [i for i, row in enumerate(points) if row["contestant"] == name]
        legend[name] = axes.scatter(intensity[own], speed[own], s=28, lw=0.4, edgecolor="white",
                                    color=hues[name], marker=shapes[name], zorder=3)  # fmt: skip
    no_flops = sorted({row["op"] for row in timed if not row["flops"]})
    extra = f"not drawn, as they do no arithmetic on floats: {', '.join(no_flops)}" * bool(no_flops)
    if any((row["share"] or 0) > 1 for row in points):
        extra = (
            "above the roof: data that stay in a cache, or products faster than the largest\n"
            + extra
        )
    return finish(figure, path, results, points, legend=legend, extra=extra,
                  last=lambda: _name_ops(axes, points, intensity, speed))  # fmt: skip


def _draw_roofs(
    axes: Any, roofs: dict[str, float], gbs: float, intensity: np.ndarray, speed: np.ndarray
) -> None:
    top = max(roofs.values())
    left, right = intensity.min() / 2, max(intensity.max(), top / gbs) * 2
    axes.set(xlim=(left, right), ylim=(speed.min() / 2, max(top, speed.max()) * 3))
    along = np.geomspace(left, top / gbs, 60)
    axes.plot(along, gbs * along, color=INK, lw=1.2)
    for dtype, roof in roofs.items():
        axes.plot(np.geomspace(roof / gbs, right, 60), np.full(60, roof), color=INK, lw=1.2)
        text = f"largest GEMM, {dtype}: {significant(roof)} GFLOP/s"
        axes.annotate(text, (right, roof), (-2, 4), textcoords="offset points", ha="right",
                      fontsize=8, color=INK)  # fmt: skip
    axes.annotate(f"largest copy: {significant(gbs)} GB/s", (left, gbs * left), (6, 9),
                  textcoords="offset points", fontsize=8, color=INK, rotation_mode="anchor",
                  rotation=45, transform_rotates_text=True)  # fmt: skip


def _name_ops(axes: Any, points: list[Row], intensity: np.ndarray, speed: np.ndarray) -> None:
    """Each op's name beside one of its points, where least is in the way.

    In the way are other names, and less so other points and the roof; near is better than far.
    """
    from matplotlib.text import Text

    def extent(text: Any) -> Any:
        text.update_positions(renderer)
        return Text.get_window_extent(text, renderer).padded(2)  # its own would include the arrow

    axes.figure.canvas.draw()
    renderer, to_pixels = axes.figure.canvas.get_renderer(), axes.transData.transform
    roofs = [to_pixels(line.get_xydata()) for line in axes.lines]
    dots = np.concatenate([to_pixels(np.stack([intensity, speed], axis=1)), *roofs])
    taken = [extent(text) for text in axes.texts]
    for op in dict.fromkeys(row["op"] for row in points):
        own = [(x, y) for row, x, y in zip(points, intensity, speed, strict=True)
               if row["op"] == op]  # fmt: skip
        text, least = None, np.inf
        for at in sorted(own, key=lambda point: -point[1])[:8]:
            for offset in OFFSETS:
                tried = _label(axes, op, at, offset)
                box = extent(tried)
                inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
                covers = (dots > (box.x0, box.y0)) & (dots < (box.x1, box.y1))
                cost = 50 * sum(map(box.overlaps, taken)) + 10 * covers.all(axis=1).sum()
                cost += 1000 * (not inside) + abs(offset[0]) / 9 + abs(offset[1]) / 9
                if cost < least:
                    tried, text, least = text, tried, cost
                if tried is not None:
                    tried.remove()
        assert text is not None
        taken.append(extent(text))


def _label(axes: Any, text: str, at: tuple[float, float], offset: tuple[int, int]) -> Any:
    dx, dy = offset
    return axes.annotate(
        text, at, offset, textcoords="offset points", fontsize=7.5, color=INK, zorder=4,
        ha="center" if not dx else "left" if dx > 0 else "right",
        va="center" if not dy else "bottom" if dy > 0 else "top",
        arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.6, "shrinkA": 0, "shrinkB": 2},
    )  # fmt: skip


def sizes(results: Results, rows: list[Row], path: Path) -> Path | None:
    """GFLOP/s of square products against their size, a panel for each op, a line for each
    contestant; bars from the lower to the upper quartile of all passes.

    None where no op was timed at two sizes or more.
    """
    timed = [row for row in rows
             if row["suite"] == "kernel" and row["size"] and row["gflops"]]  # fmt: skip
    ops = [op for op in dict.fromkeys(row["op"] for row in timed)
           if len({row["size"] for row in timed if row["op"] == op}) > 1]  # fmt: skip
    if not ops:
        return None
    drawn = [row for row in timed if row["op"] in ops]
    figure = new_figure(max(620, 360 * len(ops)), 420)
    hues, shapes, names = colours(results), markers(results), contestants(results, drawn)
    lines: dict[str, Any] = {}
    for i, op in enumerate(ops, 1):
        axes = panel(figure, (1, len(ops), i), op, "rows = columns", "GFLOP/s" if i == 1 else "")
        axes.set_xscale("log", base=2)
        for name in names:
            own = sorted((row for row in drawn if (row["op"], row["contestant"]) == (op, name)),
                         key=lambda row: int(row["size"]))  # fmt: skip
            if own:
                lines[name] = _line(axes, own, hues[name], shapes[name])
        at = sorted({row["size"] for row in drawn})
        axes.set_xticks(at, [str(size) for size in at])
        axes.minorticks_off()
        axes.margins(x=0.08)
        ceilings(axes.axhline, results, drawn)
        axes.set_ylim(bottom=0)
    extra = "vertical bars: lower to upper quartile; dotted: largest GEMM of the run"
    return finish(figure, path, results, drawn, legend=lines, extra=extra)


def _line(axes: Any, rows: list[Row], colour: str, marker: str) -> Any:
    size = [row["size"] for row in rows]
    speed = np.array([row["gflops"] for row in rows])
    low = [row["flops"] / max(run["q3"] for run in row["runs"]) / 1e9 for row in rows]
    high = [row["flops"] / min(run["q1"] for run in row["runs"]) / 1e9 for row in rows]
    axes.vlines(size, low, high, color=colour, lw=1, alpha=0.7)
    return axes.plot(size, speed, color=colour, marker=marker, ms=4.5, lw=1.5)[0]
