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


def roofline(results: Results, rows: list[Row], path: Path) -> Path | None:
    """GFLOP/s over flops per byte, on logarithmic axes, under the ceilings of the one device.

    Each op is named once, at its fastest point. None where no kernel with flops has a time or a
    ceiling is missing.
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
        above = "above the roof: data that stay in a cache, or products faster than the largest"
        extra = f"{above}\n{extra}"
    _name_ops(axes, points, intensity, speed)
    return finish(figure, path, results, points, legend=legend, extra=extra)


def _draw_roofs(
    axes: Any, roofs: dict[str, float], gbs: float, intensity: np.ndarray, speed: np.ndarray
) -> None:
    top = max(roofs.values())
    left, right = intensity.min() / 2, max(intensity.max(), top / gbs) * 2
    axes.set(xlim=(left, right), ylim=(speed.min() / 2, max(top, speed.max()) * 3))
    axes.plot([left, top / gbs], [gbs * left, top], color=INK, lw=1.2)
    for dtype, roof in roofs.items():
        axes.plot([roof / gbs, right], [roof, roof], color=INK, lw=1.2)
        axes.annotate(f"largest GEMM, {dtype}: {significant(roof)} GFLOP/s", (roof / gbs, roof),
                      (24, 4), textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
    axes.annotate(f"largest copy: {significant(gbs)} GB/s", (left, gbs * left), (6, 9),
                  textcoords="offset points", fontsize=8, color=INK, rotation_mode="anchor",
                  rotation=45, transform_rotates_text=True)  # fmt: skip


def _name_ops(axes: Any, points: list[Row], intensity: np.ndarray, speed: np.ndarray) -> None:
    """The ops in a column at the right, the fastest at the top, each beside its fastest point."""
    fastest = {points[i]["op"]: i for i in np.argsort(speed)}  # the last of an op stays
    names = sorted(fastest, key=lambda op: -speed[fastest[op]])
    for op, place in zip(names, np.linspace(0.98, 0.02, len(names)), strict=True):
        i = fastest[op]
        axes.annotate(op, (intensity[i], speed[i]), (1.02, place), textcoords="axes fraction",
                      fontsize=7.5, color=INK, va="center", zorder=4,
                      arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.4})  # fmt: skip


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
