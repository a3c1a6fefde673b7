"""The results of a benchmark run, as its table, pictures, comparison and README section read them.

A run is one JSON object (``run_bench.py`` writes it); a row of it is one contestant's time for
one case, or the reason why it has none.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Results = dict[str, Any]
Row = dict[str, Any]
Key = tuple[Any, ...]

SUITES = {
    "kernel": "Kernels",
    "ladder": "The ladder of matrix products, rung by rung",
    "step": "A training step",
    "epoch": "An epoch of training",
    "transfer": "Transfers between host and GPU",
    "latency": "A trained net, for one sample, for a few and for many",
    "compile": "The first step of the first pass, with whatever is compiled and not on disk yet",
}
WIDE = 0.1  # a spread that makes a row's third digit worthless
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def load(path: str | os.PathLike[str]) -> Results:
    """The results in a file. Raises FileNotFoundError, or ValueError for any other file."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is no JSON: {error}") from error
    if not is_results(found):
        raise ValueError(f"{os.fspath(path)} holds no results of 'tinyae bench'")
    return dict(found)


def is_results(found: object) -> bool:
    """Has it all that two runs are compared by?"""
    parts = {"date", "command", "quick", "machine", "versions", "contestants", "ceilings", "rows"}
    try:
        return (
            isinstance(found, dict)
            and parts <= set(found)
            and {type(found[part]) for part in ("machine", "versions", "contestants")} == {dict}
            and isinstance(found["quick"], bool)
            and all({"available", "threads"} <= set(c) for c in found["contestants"].values())
            and all(map(_is_row, found["rows"]))
        )
    except (TypeError, KeyError, AttributeError):
        return False


def _is_row(row: Row) -> bool:
    texts = [row[part] for part in ("suite", "op", "case", "dtype", "contestant", "error")]
    times = [run[part] for run in row["runs"] for part in ("median", "q1", "q3")]
    times += [row["median"]] * (row["median"] is not None)
    hash(subject(row))
    return (
        all(isinstance(text, str) for text in (*texts, row["net"] or ""))
        and all(isinstance(time, float) and 0 < time < math.inf for time in times)
        and (row["median"] is None or len(row["runs"]) > 0)
    )


def subject(row: Row) -> Key:
    """What a row measures, without who: rows with the same subject compete."""
    return tuple(row[part] for part in ("suite", "op", "case", "net", "batch", "device", "dtype"))


def measured(rows: Iterable[Row]) -> list[Row]:
    """Those that have a time."""
    return [row for row in rows if row["median"] is not None and not row["error"]]


def contestants(results: Results, rows: Iterable[Row]) -> list[str]:
    """Who appears in the rows, in the order of the run."""
    present = {row["contestant"] for row in rows}
    return [name for name in results["contestants"] if name in present]


def is_backend(results: Results, name: str) -> bool:
    return bool(results["contestants"][name]["kind"] == "backend")


def matmul_of(results: Results, name: str) -> str:
    """How a contestant multiplies; results from before there was a choice do not say."""
    return str(results["contestants"][name].get("matmul", "fp32"))


def best_rival(results: Results, rows: Iterable[Row], matmul: str = "fp32") -> Row | None:
    """The fastest row of a rival; ``rows`` have one subject.

    ``matmul``: how the one multiplies that it stands beside; TF32's errors count for no other.
    """
    rivals = [row for row in measured(rows) if not is_backend(results, row["contestant"])]
    rivals = [row for row in rivals
              if matmul_of(results, row["contestant"]) in ("fp32", matmul)]  # fmt: skip
    return min(rivals, key=lambda row: float(row["median"]), default=None)


def grouped(rows: Iterable[Row]) -> dict[Key, dict[str, Row]]:
    """subject -> contestant -> row, in the order of the rows."""
    groups: dict[Key, dict[str, Row]] = {}
    for row in rows:
        groups.setdefault(subject(row), {})[row["contestant"]] = row
    return groups


def case_name(row: Row) -> str:
    """The case, after the net that it belongs to."""
    return " ".join(filter(None, (row["net"], row["case"])))


def rate(row: Row) -> float | None:
    """GFLOP/s or GB/s, as ``rate_unit`` says; None where neither flops nor bytes are counted."""
    value = row["gflops"] if rate_unit(row) == "GFLOP/s" else row["gbs"]
    return None if value is None else float(value)


def rate_unit(row: Row) -> str:
    """GFLOP/s where arithmetic bounds the row, or bytes are not counted; else GB/s."""
    return "GFLOP/s" if row["bound"] == "compute" or row["gbs"] is None else "GB/s"


def time_unit(seconds: float) -> str:
    """The largest unit in which it is at least 1."""
    return next((name for name, least in SECONDS.items() if seconds >= least), "ns")


def time_text(seconds: float) -> str:
    unit = time_unit(seconds)
    return f"{significant(seconds / SECONDS[unit])} {unit}"


def significant(value: float, digits: int = 3) -> str:
    """So many digits, never an exponent: 0.0123, 1.23, 123, 12345."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def spread_text(rows: Iterable[Row]) -> str:
    """How far the passes lie apart: what the machine's unrest did to this run."""
    spreads = sorted(row["spread"] for row in measured(rows)
                     if row["suite"] != "compile" and len(row["runs"]) > 1)  # fmt: skip
    if not spreads:
        return "not known, there was one pass"
    wide = sum(spread > WIDE for spread in spreads)
    return (f"{100 * spreads[len(spreads) // 2]:.1f} % between the passes in the median, more than "
            f"{100 * WIDE:.0f} % in {wide} of {len(spreads)} rows")  # fmt: skip


def machine_text(results: Results) -> str:
    """The machine and the day in one line."""
    machine = results["machine"]
    parts = [f"{machine['cpu']}, {machine['cores']} cores"]
    if machine.get("gpu"):
        parts.append(str(machine["gpu"]))
    return "; ".join([*parts, day(results)])


def day(results: Results) -> str:
    return str(results["date"])[:10]


def rounds_text(rows: Iterable[Row]) -> str:
    """How many rounds the medians are of, and how many passes there were."""
    runs = [row["runs"] for row in measured(rows) if row["suite"] != "compile"]
    rounds = sorted({run["rounds"] for passes in runs for run in passes})
    if not rounds:
        return "nothing was timed"
    span = f"{rounds[0]}" if rounds[0] == rounds[-1] else f"{rounds[0]} to {rounds[-1]}"
    passes = sorted({len(each) for each in runs})
    times = " or ".join({1: "one pass", 2: "two passes"}.get(n, f"{n} passes") for n in passes)
    return f"median of {span} rounds, {times}"
