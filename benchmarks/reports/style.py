"""How the pictures of a benchmark run look: colours, markers, small print, paper.

Contestants have the colours of Okabe and Ito ("Color Universal Design", 2008), which the
colour-blind can tell apart; a contestant has the same colour in all pictures of a run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.reports.rows import Results, Row, contestants, is_backend, machine_text, rounds_text
from tinyae.plot.style import INK, MUTED, PLAIN, save, styled

KNOWN = {"numba": "#0072b2", "cupy": "#009e73", "numpy": "#7f7f7f", "blas": "#222222",
         "cublas": "#222222", "cupy-3xtf32": "#66c2a5", "cupy-tf32": "#b3de69",
         "cublas-tf32": "#a0a0a0"}  # fmt: skip
OTHERS = ("#e69f00", "#d55e00", "#cc79a7", "#56b4e9", "#882255", "#999933", "#5b3a29", "#f0e442")
PARTS = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#f0e442", "#7f7f7f")
MARKERS = "sDv^P*Xp"


def colours(results: Results) -> dict[str, str]:
    """contestant -> colour, for those that have rows."""
    rest = itertools.cycle(OTHERS)
    return {name: KNOWN.get(name) or next(rest) for name in contestants(results, results["rows"])}


def markers(results: Results) -> dict[str, str]:
    """contestant -> marker: round for backends, so that colour is not all that tells them."""
    rest = itertools.cycle(MARKERS)
    return {name: "o" if is_backend(results, name) else next(rest)
            for name in contestants(results, results["rows"])}  # fmt: skip


def patch(colour: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, lw=0)


def panel(figure: Any, place: tuple[int, int, int], title: str, x: str, y: str) -> Any:
    axes = styled(figure.add_subplot(*place), x, y)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    return axes


def bars_only(axes: Any, along: str) -> None:
    """The grid of a bar chart: only across its bars, which start at zero."""
    axes.grid(visible=False, axis="y" if along == "x" else "x")
    if along == "x":
        axes.set_xlim(left=0)
    else:
        axes.set_ylim(bottom=0)


def ceilings(line: Callable[..., Any], results: Results, rows: list[Row]) -> bool:
    """Draws the largest product of the rows' devices and precisions; False where none is known.

    ``line``: the method axhline or axvline of a panel.
    """
    found = {(row["device"], row["dtype"]) for row in rows}
    found |= {(row["device"], "tf32") for row in rows if row.get("matmul", "fp32") != "fp32"}
    known = [results["ceilings"].get(device, {}).get("gflops", {}).get(precision)
             for device, precision in sorted(found)]  # fmt: skip
    for gflops in filter(None, known):
        line(gflops, color=MUTED, lw=1, ls=":")
    return any(known)


def finish(
    figure: Any,
    path: Path,
    results: Results,
    rows: Iterable[Row],
    *,
    legend: dict[str, Any] | None = None,
    extra: str = "",
) -> Path:
    """Small print at the foot, a legend (label -> handle) over it, the panels over both; saved."""
    width, height = figure.bbox.width, figure.bbox.height
    print_ = f"{machine_text(results)}; {rounds_text(rows)}{'; quick run' * results['quick']}"
    text = "\n".join([print_, *extra.splitlines()])
    figure.text(10 / width, 7 / height, text, fontsize=7, color=MUTED, va="bottom", linespacing=1.4)
    foot = 15 + 14 * (text.count("\n") + 1)
    if legend:
        columns, lines = _columns(list(legend), int(width) - 20)
        figure.legend([*legend.values()], [*legend], loc="lower left", ncols=columns, borderpad=0,
                      bbox_to_anchor=(10 / width, foot / height), handlelength=1.4,
                      borderaxespad=0, columnspacing=1.4, **PLAIN)  # fmt: skip
        foot += 19 * lines + 4
    figure.tight_layout(pad=1.0, w_pad=2.2, h_pad=1.6, rect=(0, foot / height, 1, 1))
    save(figure, path)
    return path


def _columns(labels: list[str], room: int) -> tuple[int, int]:
    """How many columns of a legend fit into so many pixels, and how many lines that makes."""
    widths = [46 + 7 * len(label) for label in labels]
    columns = len(labels) if sum(widths) <= room else max(1, room // max(widths))
    return columns, -(-len(labels) // columns)
