"""Two benchmark runs, row by row: what changed beyond the noise.

    python benchmarks/reports/compare.py OLD.json NEW.json

Noise: a row's interval reaches from the least to the greatest median of its passes, widened on
both sides by the distance between the quartiles, the larger one of its passes. The medians of the
passes differ by what drifts during a run; the quartiles by what disturbs single rounds. A row
changed beyond the noise where the intervals of the two runs do not overlap. First steps are not
compared: each is timed once, and what is compiled for it may lie in a cache.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.reports.rows import (
    Key,
    Results,
    Row,
    case_name,
    day,
    load,
    measured,
    significant,
    subject,
    time_text,
)

NOISE = "Noise: " + str(__doc__).partition("Noise: ")[2].rstrip()
SHOWN = 20  # rows of a list: a run of a selection lacks most of what a whole one has
MOMENTARY = ("clock_mhz", "gpu_clock_mhz")  # of the machine: no two runs have the same


def interval(row: Row) -> tuple[float, float]:
    """Seconds: where another run of the same code on the same machine is to be expected."""
    medians = [run["median"] for run in row["runs"]]
    width = max(run["q3"] - run["q1"] for run in row["runs"])
    return min(medians) - width, max(medians) + width


def changed(old: Row, new: Row) -> bool:
    """Beyond the noise."""
    (low, high), (new_low, new_high) = interval(old), interval(new)
    return new_low > high or new_high < low


def hides_doubling(row: Row) -> bool:
    """Is the interval so wide that twice the time would lie within it?"""
    low, high = interval(row)
    return 2 * low <= high


def render(old: Results, new: Results) -> str:
    """Warnings, faster and slower rows by ratio, and how many rows agree, vanished or are new."""
    before, after = _by_key(old), _by_key(new)
    both = [(before[key], after[key]) for key in after if key in before]
    timed = [(a, b) for a, b in both if measured([a]) and measured([b]) and b["suite"] != "compile"]
    moved = [(b["median"] / a["median"], a, b) for a, b in timed if changed(a, b)]
    parts = [
        f"old: {day(old)}, {old['command']}\nnew: {day(new)}, {new['command']}",
        _warnings(old, new),
        NOISE,
        _listed("Slower", [item for item in moved if item[0] > 1]),
        _listed("Faster", [item for item in moved if item[0] < 1]),
        _outcomes("Had a time and has none now", [b for a, b in both if _lost(a, b)]),
        _outcomes("Had no time and has one now", [b for a, b in both if _lost(b, a)]),
        _outcomes("Vanished", [row for key, row in before.items() if key not in after]),
        _outcomes("New", [row for key, row in after.items() if key not in before]),
        f"{len(timed) - len(moved)} of {len(timed)} rows timed in both runs agree within the noise",
    ]
    if blind := sum(hides_doubling(a) or hides_doubling(b) for a, b in timed):
        parts.append(f"!!! {blind} of these {len(timed)} rows are so noisy that even twice the "
                     "time would not show: measure again on a quiet machine")  # fmt: skip
    return "\n\n".join(filter(None, parts))


def _by_key(results: Results) -> dict[Key, Row]:
    return {(*subject(row), row["contestant"]): row for row in results["rows"]}


def _lost(before: Row, after: Row) -> bool:
    return bool(measured([before])) and not measured([after])


def _listed(title: str, moved: list[tuple[float, Row, Row]]) -> str:
    """The greatest change first."""
    moved = sorted(moved, key=lambda item: max(item[0], 1 / item[0]), reverse=True)
    lines = [
        f"  {significant(max(ratio, 1 / ratio))} times  {_name(new)}: "
        f"{time_text(old['median'])} -> {time_text(new['median'])}"
        for ratio, old, new in moved
    ]
    return "\n".join([f"{title} beyond the noise: {len(moved)}", *lines])


def _outcomes(title: str, rows: list[Row]) -> str:
    lines = [f"  {_name(row)}{': ' if row['error'] else ''}{row['error']}" for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        lines.append(f"  and {len(rows) - SHOWN} more")
    return "\n".join([f"{title}: {len(rows)}", *lines]) if rows else ""


def _name(row: Row) -> str:
    return f"{row['contestant']}, {row['suite']} {row['op']}, {case_name(row)}"


def _warnings(old: Results, new: Results) -> str:
    """Loud, as times from two machines or two versions are no measure of the code."""
    found = _differences("machine", old["machine"], new["machine"])
    found += _differences("version of", old["versions"], new["versions"])
    threads, new_threads = _threads(old), _threads(new)
    found += [f"threads of {name}: {threads[name]} -> {n}" for name, n in new_threads.items()
              if n != threads.get(name, n)]  # another's absence shows in the rows  # fmt: skip
    if old["quick"] != new["quick"]:
        quick = {True: "quick", False: "full"}
        found.append(f"the old run is {quick[old['quick']]}, the new one {quick[new['quick']]}")
    if not found:
        return ""
    title = (
        "!!! WARNING: the runs were not made alike; what changed may be none of the code's doing"
    )
    return "\n".join([title, *(f"!!!   {line}" for line in found)])


def _differences(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**old, **new} if name not in MOMENTARY]
    return [f"{what} {name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
            for name in names if old.get(name) != new.get(name)]  # fmt: skip


def _threads(results: Results) -> dict[str, Any]:
    """Of those who took part."""
    return {name: facts["threads"] for name, facts in results["contestants"].items()
            if facts["available"]}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("old", "new"):
        parser.add_argument(name, help=f"results.json of the {name} run")
    given = parser.parse_args()
    try:
        print(render(load(given.old), load(given.new)))
    except (OSError, ValueError) as error:
        parser.error(str(error))
