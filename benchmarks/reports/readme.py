"""The tables of benchmarks/README.md, made from results: no figure in them is typed.

    python benchmarks/reports/readme.py            # exit code 1 where the page is stale
    python benchmarks/reports/readme.py --write    # writes the tables and draws the pictures

The text of the page is written by hand. A table stands between two marks. The first names the
table and the file in benchmarks/results/ from which it is made:

    <!-- table: epochs bench-cpu.json -->
    <!-- end -->
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import geometric_mean

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.reports import visit
from benchmarks.reports.plots import draw_all
from benchmarks.reports.rows import (
    Results,
    Row,
    case_name,
    contestants,
    grouped,
    load,
    machine_text,
    measured,
    rate,
    rate_unit,
    significant,
)
from benchmarks.reports.table import absent, errors, head, markdown
from tinyae.cli.output import write_text

FOLDER = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- table: (\S+) (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
OWN = {"cpu": "numba", "gpu": "cupy"}  # the backend that stands beside the rivals


def conditions(results: Results) -> str:
    """Machine, date, versions, contestants, ceilings; who is absent or has failed, and why."""
    lines = [f"{name}: {value}" for name, value in head(results)]
    lines += [f"without a time: {line}" for line in errors(results)]
    lines += [f"absent: {line}" for line in absent(results)]
    return "\n".join(f"- {line}" for line in lines)


def epochs(results: Results) -> str:
    """Own time of an epoch for each net and batch size, and the rivals' over it."""
    rows = _rows(results)
    own = OWN[rows[0]["device"]]
    torch = _pairs(rows, "epoch", "torch", own)
    sklearn = _pairs(rows, "epoch_mse", "sklearn", own)
    batches = sorted({batch for _, batch in torch})
    lines: list[tuple[str, ...]] = []
    for net in dict.fromkeys(net for net, _ in torch):
        of = [(net, batch) for batch in batches]
        lines += [
            (f"{net} net: {own}, ms",
             *(significant(1e3 * torch[at][0]) if at in torch else "-" for at in of)),
            (f"PyTorch / {own}", *(_ratio(torch.get(at)) for at in of)),
            (f"scikit-learn / {own}", *(_ratio(sklearn.get(at)) for at in of)),
        ]  # fmt: skip
    mean = geometric_mean([other / mine for mine, other in torch.values()])
    table = markdown(["", *(f"B = {batch}" for batch in batches)], lines)
    return f"{table}\n\nGeometric mean of PyTorch / {own}: {mean:.2f}."


def operations(results: Results) -> str:
    """A line for each operation: its largest case, of those that most contestants have."""
    rows = _rows(results)
    own = OWN[rows[0]["device"]]

    def rank(of: dict[str, Row]) -> tuple[int, float]:
        return len(of), max((row["bytes"] or 0 for row in of.values()), default=0)

    chosen: dict[str, dict[str, Row]] = {}
    for of in grouped(row for row in rows if row["suite"] == "kernel").values():
        if own in of and rate(of[own]) is not None:
            op = of[own]["op"]
            chosen[op] = max(chosen.get(op, {}), of, key=rank)
    timed = [row for of in chosen.values() for row in of.values()]
    names = [own, *(name for name in contestants(results, timed) if name != own)]
    lines = []
    for op, of in chosen.items():
        unit = rate_unit(of[own])
        cells = (_rate(of.get(name), unit) for name in names)
        lines.append((f"`{op}`", case_name(of[own]), unit, *cells))
    return markdown(["operation", "case", "unit", *names], lines, left=3)


def latency(results: Results) -> str:
    """Microseconds for each net and number of samples; machine, day, versions, notes."""
    rows = [row for row in measured(results["rows"]) if row["suite"] == "latency"]
    names = contestants(results, rows)
    lines = []
    for of in grouped(rows).values():
        some = next(iter(of.values()))
        cells = (significant(1e6 * of[name]["median"]) if name in of else "-" for name in names)
        lines.append((f"{some['op']}, {some['net']} net, {some['case']}", *cells))
    notes = [(name, results["contestants"][name]["note"]) for name in names]
    said = [machine_text(results), *(f"{name} {v}" for name, v in results["versions"].items()),
            *(f"{name}: {note}" for name, note in notes if note)]  # fmt: skip
    return f"{markdown(['µs', *names], lines)}\n\n{'; '.join(said)}."


TABLES: dict[str, Callable[[Results], str]] = {
    "conditions": conditions, "epochs": epochs, "operations": operations,
    "latency": latency,
}  # fmt: skip


def _rows(results: Results) -> list[Row]:
    """Those with a time; of a run on a GPU, the GPU's alone."""
    rows = measured(results["rows"])
    return [row for row in rows if row["device"] == "gpu"] or rows


def _pairs(
    rows: list[Row], op: str, rival: str, own: str
) -> dict[tuple[str, int], tuple[float, float]]:
    """(net, batch) -> seconds of its own and of the rival's fastest mode, named rival..."""
    pairs = {}
    for of in grouped(row for row in rows if (row["suite"], row["op"]) == ("epoch", op)).values():
        modes = [row["median"] for name, row in of.items() if name.startswith(rival)]
        if own in of and modes:
            pairs[of[own]["net"], of[own]["batch"]] = of[own]["median"], min(modes)
    return pairs


def _ratio(pair: tuple[float, float] | None) -> str:
    return f"{pair[1] / pair[0]:.2f}" if pair else "-"


def _rate(row: Row | None, unit: str) -> str:
    if row is None:
        return "-"
    value = row["gflops"] if unit == "GFLOP/s" else row["gbs"]
    share = "" if row["share"] is None else f" ({100 * row['share']:.0f} %)"
    return significant(value) + share


def render(page: str, folder: Path) -> str:
    """The page with its tables as the results in ``folder`` have them.

    Raises ValueError where a mark names no table of ours, or the results of an interrupted run.
    """

    def made(mark: re.Match[str]) -> str:
        begin, table, file, _, end = mark.groups()
        if table in visit.TABLES:
            return f"{begin}\n{visit.TABLES[table](visit.load(folder / file))}\n\n{end}"
        results = load(folder / file)
        if table not in TABLES:
            known = ", ".join([*TABLES, *visit.TABLES])
            raise ValueError(f"a table must be of {known}, got {table!r}")
        if results.get("interrupted"):
            raise ValueError(f"{file} must be of a whole run, got one interrupted")
        return f"{begin}\n{TABLES[table](results)}\n\n{end}"

    return MARKED.sub(made, page)


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """``folder`` holds README.md, results/ and pictures/."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write tables, draw pictures")
    given = parser.parse_args(arguments)
    path = folder / "README.md"
    old = path.read_text(encoding="utf-8")
    new = render(old, folder / "results")
    if given.write:
        files = dict.fromkeys(m[3] for m in MARKED.finditer(old) if m[2] in TABLES)
        for file in files:
            results = load(folder / "results" / file)
            draw_all(results | {"rows": _rows(results)}, folder / "pictures")
        write_text(path, new)
    elif new != old:
        print(f"{path} is stale: python benchmarks/reports/readme.py --write", file=sys.stderr)
    return int(new != old and not given.write)


if __name__ == "__main__":
    sys.exit(main())
