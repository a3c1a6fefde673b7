"""The results of a benchmark run as text."""

from __future__ import annotations

from collections.abc import Sequence

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
            rows = [row for row in results["rows"] if _place(row) == (suite, device)]
            if rows:
                name = "CPU" if device == "cpu" else "GPU"
                parts.append(f"{title} ({name})\n\n{_suite(results, rows)}")
    parts += ["\n  ".join([title, *lines]) for title, lines in (
        ("Errors of products against float64, root mean square of |c - c64| / (|a| |b|):",
         _accuracy(results)),
        ("Without a time:", errors(results)),
        ("Absent:", absent(results)),
    ) if lines]  # fmt: skip
    return "\n\n".join(parts)


def _place(row: Row) -> tuple[str, str]:
    return row["suite"], row["device"]


def head(results: Results) -> list[tuple[str, str]]:
    """How the figures were made: (name, value)."""
    machine, present = results["machine"], _present(results)
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
    lines += [
        ("versions", ", ".join(f"{name} {v}" for name, v in results["versions"].items())),
        ("contestants", "; ".join(_contestant(name, facts) for name, facts in present.items())),
        *((f"{device.upper()} ceilings", _ceiling(c)) for device, c in results["ceilings"].items()),
        ("figures", rounds_text(results["rows"])),
        ("spread", spread_text(results["rows"])),
    ]
    return lines


def _present(results: Results) -> dict[str, dict[str, object]]:
    return {name: facts for name, facts in results["contestants"].items() if facts["available"]}


def _contestant(name: str, facts: dict[str, object]) -> str:
    threads = facts["threads"]
    counted = f"{threads} thread{'' if threads == 1 else 's'}" if threads else ""
    return f"{name} ({', '.join(str(part) for part in (counted, facts['note']) if part)})"


def _ceiling(ceiling: dict[str, object]) -> str:
    gflops = ceiling.get("gflops")
    texts = [f"{dtype} {significant(value)} GFLOP/s"
             for dtype, value in (gflops if isinstance(gflops, dict) else {}).items()]  # fmt: skip
    if isinstance(gbs := ceiling.get("gbs"), float):
        texts.append(f"{significant(gbs)} GB/s")
    note = f" ({ceiling['note']})" if ceiling.get("note") else ""
    return ", ".join(texts) + note


def _suite(results: Results, rows: list[Row]) -> str:
    names = contestants(results, rows)
    groups = grouped(rows)
    titles, body = [["", "", "", ""]], [["op", "case", "time in", "rate in"]]
    for name in names:
        titles[0] += [name, "", "", ""]
        body[0] += ["time", "+-%", "rate", "%"]
        if is_backend(results, name):
            titles[0].append("")
            body[0].append("x")
    body += [_line(results, names, of) for of in groups.values()]
    return _aligned(results, names, titles + body)


def _line(results: Results, names: Sequence[str], of: dict[str, Row]) -> list[str]:
    """One subject: the contestants' cells in the unit that fits the fastest."""
    timed, some = measured(of.values()), next(iter(of.values()))
    unit = time_unit(min(row["median"] for row in timed)) if timed else ""
    rated = next((row for row in timed if rate(row) is not None), None)
    dtype = "" if some["dtype"] == "float32" else f" {some['dtype']}"
    line = [some["op"] + dtype, case_name(some), unit, rate_unit(rated) if rated else ""]
    for name in names:
        row = of.get(name)
        backend = is_backend(results, name)
        if row is None:
            line += ["", "", "", ""] + [""] * backend
        elif row not in timed:
            line += ["error", "", "", ""] + [""] * backend
        else:
            rival = None
            if some["suite"] != "compile":
                rival = best_rival(results, timed, matmul_of(results, name))
            line += _cell(row, unit)
            line += [f"{rival['median'] / row['median']:.2f}" if rival else "-"] * backend
    return line


def _cell(row: Row, unit: str) -> list[str]:
    value, share, spread = rate(row), row["share"], row["spread"]
    return [
        significant(row["median"] / SECONDS[unit]),
        "" if spread is None else f"{100 * spread:.{0 if spread >= 0.0995 else 1}f}",
        "" if value is None else significant(value),
        "" if share is None else f"{100 * share:.0f}",
    ]


def _aligned(results: Results, names: Sequence[str], lines: list[list[str]]) -> str:
    """Two lines of header; a contestant's columns, those that hold anything, under its name."""
    starts: dict[str, range] = {}  # contestant -> its columns
    at = 4
    for name in names:
        starts[name] = range(at, at := at + 4 + is_backend(results, name))
    bodies = lines[2:]
    kept = [i for i in range(at) if i < 2 or any(line[i] not in ("", "-") for line in bodies)]
    widths = {i: max(len(line[i]) for line in lines[1:]) for i in kept}
    for columns in starts.values():  # a name may be longer than its columns
        own = [i for i in columns if i in widths]
        room = sum(widths[i] for i in own) + 2 * (len(own) - 1)
        widths[own[0]] += max(0, len(lines[0][columns[0]]) - room)
    first = [" " * (sum(widths[i] for i in kept if i < 4) + 2 * sum(i < 4 for i in kept) - 2)]
    for name, columns in starts.items():
        own = [i for i in columns if i in widths]
        room = sum(widths[i] for i in own) + 2 * (len(own) - 1)
        first.append(name.center(room, "-") if len(own) > 1 else name.rjust(room))
    text = ["  ".join(first).rstrip()]
    for line in lines[1:]:
        cells = (line[i].ljust(widths[i]) if i < 4 else line[i].rjust(widths[i]) for i in kept)
        text.append("  ".join(cells).rstrip())
    text.insert(2, "-" * max(map(len, text)))
    return "\n".join(text)


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
