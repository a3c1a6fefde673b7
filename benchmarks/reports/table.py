"""The results of a benchmark run as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.reports.rows import (
    SECONDS,
    SUITES,
    Results,
    Row,
    best_rival,
    case_name,
    contestants,
    grouped,
    is_backend,
    matmul_of,
    measured,
    rate,
    rate_unit,
    rounds_text,
    significant,
    spread_text,
    time_unit,
)

LEGEND = """\
Each cell: time, spread of the passes in %, rate, share of the ceiling in %; a backend's cell ends
with the time of its best rival over its own (2.00 = twice as fast), - where it has no rival. Time
is the mean of the passes' medians; the spread is their difference over it. A share may exceed 100:
caches are faster than the largest copy, and a smaller product may be faster than the largest."""


def render(results: Results) -> str:
    """The head, a table for each suite, and what has no time and why."""
    parts = ["\n".join(f"{name + ':':14}{value}" for name, value in head(results)), LEGEND]
    for suite, title in SUITES.items():
        for device in ("cpu", "gpu"):
            rows = [row for row in results["rows"]
                    if (row["suite"], row["device"]) == (suite, device)]  # fmt: skip
            if rows:
                parts.append(f"{title} ({device.upper()})\n\n{_suite(results, rows)}")
    parts += ["\n  ".join([title, *lines]) for title, lines in (
        ("Errors of products against float64, root mean square of |c - c64| / (|a| |b|):",
         _accuracy(results)),
        ("Without a time:", errors(results)),
        ("Absent:", absent(results)),
    ) if lines]  # fmt: skip
    return "\n\n".join(parts)


def head(results: Results) -> list[tuple[str, str]]:
    """How the figures were made: (name, value)."""
    machine = results["machine"]
    present = [(name, of) for name, of in results["contestants"].items() if of["available"]]
    hardware = [f"{machine['cpu']}, {machine['cores']} cores"]
    hardware += [f"{machine['memory_gib']:.3g} GiB"] if machine.get("memory_gib") else []
    hardware += [f"{machine['clock_mhz']:.0f} MHz"] if machine.get("clock_mhz") else []
    lines = [
        ("date", results["date"]),
        ("command", results["command"] + (" (quick)" if results["quick"] else "")),
        *((("interrupted", results["interrupted"]),) if results.get("interrupted") else ()),
        ("machine", ", ".join([*hardware, machine["os"]])),
    ]
    if machine.get("environment"):
        lines.append(("environment", machine["environment"]))
    if machine.get("gpu"):
        facts = {key: value for key, value in machine.items() if key.startswith(("gpu_", "driver"))}
        text = "".join(f", {key} {value}" for key, value in facts.items() if value is not None)
        lines.append(("GPU", machine["gpu"] + text))
    return [
        *lines,
        ("versions", ", ".join(f"{name} {v}" for name, v in results["versions"].items())),
        ("contestants", "; ".join(_contestant(name, facts) for name, facts in present)),
        *((f"{device.upper()} ceilings", _ceiling(c)) for device, c in results["ceilings"].items()),
        ("figures", rounds_text(results["rows"])),
        ("spread", spread_text(results["rows"])),
    ]


def _contestant(name: str, facts: dict[str, Any]) -> str:
    threads = facts["threads"]
    counted = f"{threads} thread{'' if threads == 1 else 's'}" if threads else ""
    return f"{name} ({', '.join(filter(None, (counted, facts['note'])))})"


def _ceiling(ceiling: dict[str, Any]) -> str:
    rates = [f"{dtype} {significant(rate)} GFLOP/s" for dtype, rate in ceiling["gflops"].items()]
    return f"{', '.join([*rates, significant(ceiling['gbs'])])} GB/s ({ceiling['note']})"


def _suite(results: Results, rows: list[Row]) -> str:
    """Two lines of header, then a line for each subject; the contestants side by side."""
    groups = list(grouped(rows).values())
    blocks = [_block("", ["op", "case", "time in", "rate in"], [_labels(of) for of in groups])]
    for name in contestants(results, rows):
        head = ["time", "+-%", "rate", "%", *["x"] * is_backend(results, name)]
        blocks.append(_block(name, head, [_cells(results, name, of) for of in groups]))
    lines = ["  ".join(parts).rstrip() for parts in zip(*blocks, strict=True)]
    return "\n".join([*lines[:2], "-" * max(map(len, lines)), *lines[2:]])


def _labels(of: dict[str, Row]) -> list[str]:
    """One subject: op, case, the unit that fits the fastest, and that of the rates."""
    timed, some = measured(of.values()), next(iter(of.values()))
    rated = next((row for row in timed if rate(row) is not None), None)
    return [some["op"], case_name(some), _unit(timed), rate_unit(rated) if rated else ""]


def _unit(timed: list[Row]) -> str:
    return time_unit(min(row["median"] for row in timed)) if timed else ""


def _cells(results: Results, name: str, of: dict[str, Row]) -> list[str]:
    """One contestant's time, spread, rate and share, and how many times its best rival takes."""
    row, timed = of.get(name), measured(of.values())
    if row is None or row not in timed:
        return ["error" if row else "", "", "", "", ""]
    value, share, spread, rival = rate(row), row["share"], row["spread"], None
    if row["suite"] != "compile":
        rival = best_rival(results, timed, matmul_of(results, name))
    return [
        significant(row["median"] / SECONDS[_unit(timed)]),
        "" if spread is None else f"{100 * spread:.{0 if spread >= 0.0995 else 1}f}",
        "" if value is None else significant(value),
        "" if share is None else f"{100 * share:.0f}",
        f"{rival['median'] / row['median']:.2f}" if rival else "-",
    ]


def _block(name: str, head: list[str], body: list[list[str]]) -> list[str]:
    """Columns under a contestant's name, those that hold anything; without a name, the labels."""
    columns = zip(head, *(line[: len(head)] for line in body), strict=True)
    kept = [column for column in columns if {*column[1:]} - {"", "-"}]
    align = str.rjust if name else str.ljust
    aligned = [[align(cell, max(map(len, column))) for cell in column] for column in kept]
    lines = ["  ".join(line) for line in zip(*aligned, strict=True)]
    width = max(len(lines[0]), len(name))
    title = name.center(width, "-") if name and len(kept) > 1 else name.rjust(width)
    return [title, *(align(line, width) for line in lines)]


def _accuracy(results: Results) -> list[str]:
    """Of the products by themselves, which not all of the contestants multiply alike."""
    rows = [row for row in measured(results["rows"])
            if row["suite"] == "kernel" and row.get("rms_error") is not None]  # fmt: skip
    lines = []
    for of in grouped(rows).values():
        some = next(iter(of.values()))
        found = ", ".join(f"{name} {row['rms_error']:.2g}" for name, row in of.items())
        lines.append(f"{some['op']}, {case_name(some)}: {found}")
    return lines


def markdown(head: Sequence[str], body: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table of a README, its first columns aligned to the left, the others to the right."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    lines = (f"| {' | '.join(cells)} |" for cells in (head, rule, *body))
    return "\n".join(line.replace("|  |", "| |") for line in lines)


def errors(results: Results) -> list[str]:
    """A line for each case that has no time."""
    return [f"{row['contestant']}: {row['op']}, {case_name(row)}: {row['error']}"
            for row in results["rows"] if row["error"]]  # fmt: skip


def absent(results: Results) -> list[str]:
    """A line for each reason why contestants could not take part."""
    who: dict[str, list[str]] = {}
    for name, facts in results["contestants"].items():
        if not facts["available"] and facts["reason"]:
            who.setdefault(facts["reason"], []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in who.items()]
