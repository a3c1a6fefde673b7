"""Pictures with bars: the ladders, a step split by op, speed beside the best rival, plain times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.reports.rows import (
    SECONDS,
    Results,
    Row,
    best_rival,
    case_name,
    contestants,
    grouped,
    significant,
    time_unit,
)
from benchmarks.reports.style import PARTS, bars_only, ceilings, colours, finish, panel, patch
from tinyae.plot.style import INK, MUTED, new_figure

MOST = 24  # panels of a picture
GAP = 0.25  # of the room of a group of bars
LETTERS: dict[str, Any] = {"fontsize": 7.5, "color": MUTED}


def ladder(results: Results, rows: list[Row], path: Path) -> Path | None:
    """GFLOP/s of each rung, from the first at the top to the last, a panel for each product.

    None where no rung has a time.
    """
    rungs = [row for row in rows if row["suite"] == "ladder" and row["gflops"]]
    panels: dict[tuple[str, ...], list[Row]] = {}
    for row in rungs:
        panels.setdefault((row["case"], row["dtype"], row["device"]), []).append(row)
    if not panels:
        return None
    figure = new_figure(700, 95 + 26 * len(rungs) + 60 * len(panels))
    hues, dotted = colours(results), False
    for i, ((case, dtype, _), bars) in enumerate(panels.items(), 1):
        axes = panel(figure, (len(panels), 1, i), f"{case}, {dtype}", "GFLOP/s", "")
        _lie(axes, bars, [row["gflops"] for row in bars], "op", hues)
        dotted |= ceilings(axes.axvline, results, bars)
        axes.margins(x=0.1)
        bars_only(axes, "x")
    extra = "dotted: largest GEMM of the run" * dotted
    return finish(figure, path, results, rungs, legend=_legend(results, rungs), extra=extra)


def split(results: Results, rows: list[Row], path: Path) -> Path | None:
    """Where the time of a training step goes: per sample of the batch, stacked by op.

    A black line marks the time of the whole step as measured by itself; a contestant whose parts
    were not measured is an empty bar of that height. None where no step was split.
    """
    steps = [row for row in rows if row["suite"] == "step" and row["batch"]]
    parts = [row for row in steps if row["op"].startswith("step/")]
    nets = list(dict.fromkeys(row["net"] for row in parts))
    if not parts:
        return None
    hues = dict(zip(dict.fromkeys(row["op"] for row in parts), PARTS, strict=False))
    names = contestants(results, [row for row in steps if row["net"] in nets])
    batches = sorted({row["batch"] for row in parts})
    figure = new_figure(max(900, 150 + 34 * len(names) * len(batches)), 90 + 310 * len(nets))
    for i, net in enumerate(nets, 1):
        axes = panel(figure, (len(nets), 1, i), f"a training step, {net} net", "", "")
        _draw_split(axes, [row for row in steps if row["net"] == net], names, batches, hues)
    legend = {op.removeprefix("step/"): patch(hue) for op, hue in hues.items()}
    extra = "black line: the whole step, by itself; empty: parts not measured; no line: parts alone"
    return finish(figure, path, results, steps, legend=legend, extra=extra)


def _draw_split(
    axes: Any, rows: list[Row], names: list[str], batches: list[int], hues: dict[str, str]
) -> None:
    width, ticks, marks, top = (1 - GAP) / len(names), [], [], 0.0
    unit = time_unit(max(row["median"] / row["batch"] for row in rows))
    for j, batch in enumerate(batches):
        for k, name in enumerate(names):
            own = {row["op"]: row["median"] / batch / SECONDS[unit] for row in rows
                   if (row["contestant"], row["batch"]) == (name, batch)}  # fmt: skip
            if not own:
                continue
            x, bottom = j + (k - (len(names) - 1) / 2) * width, 0.0
            whole = own.pop("step", None)
            for op in filter(own.get, hues):
                look = {"color": hues[op], "edgecolor": "white", "lw": 0.4}
                axes.bar(x, own[op], width * 0.86, bottom, **look)
                bottom += own[op]
            if whole is not None and not own:
                axes.bar(x, whole, width * 0.86, fill=False, edgecolor=MUTED, lw=0.8)
            if whole is not None:
                axes.hlines(whole, x - width / 2, x + width / 2, color=INK, lw=1.8)
            top = max(top, bottom, whole or 0.0)
            ticks.append(x)
            marks.append(name)
        axes.text(j, 1, f"B = {batch}", transform=axes.get_xaxis_transform(), ha="center",
                  va="top", fontsize=9, color=MUTED)  # fmt: skip
    axes.set_xticks(ticks, marks, rotation=90)
    axes.tick_params(axis="x", length=0, labelsize=7)
    axes.set_ylabel(f"{unit} per sample")
    axes.set_xlim(-0.5, len(batches) - 0.5)
    bars_only(axes, "y")
    axes.set_ylim(0, 1.14 * top)


def relative(results: Results, rows: list[Row], path: Path, suite: str) -> Path | None:
    """Steps or epochs: the fastest rival's time over each contestant's, a panel for each net.

    None where no case was timed both for a rival and for another contestant.
    """
    whole = [row for row in rows if row["suite"] == row["op"] == suite]
    speeds: dict[tuple[str, int, str], float] = {}
    for of in grouped(whole).values():
        rival = best_rival(results, of.values())
        if rival and len(of) > 1:
            for name, row in of.items():
                speeds[row["net"], row["batch"], name] = rival["median"] / row["median"]
    if not speeds:
        return None
    nets = list(dict.fromkeys(net for net, _, _ in speeds))
    drawn = [row for row in whole if (row["net"], row["batch"], row["contestant"]) in speeds]
    names, hues = contestants(results, drawn), colours(results)
    figure = new_figure(max(700, 480 * len(nets)), 400)
    width = (1 - GAP) / len(names)
    for i, net in enumerate(nets, 1):
        batches = sorted({batch for n, batch, _ in speeds if n == net})
        axes = panel(figure, (1, len(nets), i), f"{suite}, {net} net", "samples in a batch",
                     "fastest rival's time / own" if i == 1 else "")  # fmt: skip
        for k, name in enumerate(names):
            at = [j for j, batch in enumerate(batches) if (net, batch, name) in speeds]
            height = [speeds[net, batches[j], name] for j in at]
            x = [j + (k - (len(names) - 1) / 2) * width for j in at]
            bars = axes.bar(x, height, width * 0.9, color=hues[name])
            axes.bar_label(bars, [significant(h, 2) for h in height], padding=1, rotation=90,
                           fontsize=6.5, color=MUTED)  # fmt: skip
        axes.axhline(1, color=INK, lw=1, ls=":")
        axes.set_xticks(range(len(batches)), [str(batch) for batch in batches])
        axes.tick_params(axis="x", length=0)
        axes.margins(y=0.12)
        bars_only(axes, "y")
    extra = "higher is faster; dotted: the fastest rival of that batch"
    return finish(figure, path, results, drawn, legend=_legend(results, drawn), extra=extra)


def times(results: Results, rows: list[Row], path: Path) -> Path | None:
    """Times, a panel with an axis of its own for each case. None where nothing was timed."""
    groups = [list(of.values()) for of in grouped(rows).values()]
    if not groups:
        return None
    extra = f"the first {MOST} of {len(groups)} cases" * (len(groups) > MOST)
    groups = groups[:MOST]
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    most = max(map(len, groups))
    figure = new_figure(470 * columns, 60 + lines * (85 + 20 * most))
    hues = colours(results)
    for i, bars in enumerate(groups, 1):
        unit = time_unit(min(row["median"] for row in bars))
        axes = panel(
            figure, (lines, columns, i), f"{bars[0]['op']}, {case_name(bars[0])}", unit, ""
        )
        length = [row["median"] / SECONDS[unit] for row in bars]
        _lie(axes, bars, length, "contestant", hues)
        axes.margins(x=0.14)
        bars_only(axes, "x")
    return finish(figure, path, results, [row for bars in groups for row in bars], extra=extra)


def _lie(axes: Any, bars: list[Row], length: list[float], named: str, hues: dict[str, str]) -> None:
    """Bars that lie, the first at the top, each with its length behind it."""
    drawn = axes.barh(range(len(bars)), length, height=0.7,
                      color=[hues[row["contestant"]] for row in bars])  # fmt: skip
    axes.bar_label(drawn, [significant(value) for value in length], padding=4, **LETTERS)
    axes.set_yticks(range(len(bars)), [row[named] for row in bars])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)


def _legend(results: Results, rows: list[Row]) -> dict[str, Any]:
    hues = colours(results)
    return {name: patch(hues[name]) for name in contestants(results, rows)}
