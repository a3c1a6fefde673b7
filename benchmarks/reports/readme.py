"""README's benchmark section, written from the results: no figure in it is typed.

    python benchmarks/reports/readme.py            # exit code 1 where README is stale
    python benchmarks/reports/readme.py --write    # writes the section and draws its pictures

Without RESULTS.json it takes the newest results in benchmarks/results/, one file for the CPU and
one for the GPU where there is one.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.reports.plots import draw_all
from benchmarks.reports.rows import (
    Key,
    Results,
    Row,
    case_name,
    contestants,
    day,
    geometric_mean,
    grouped,
    load,
    measured,
    rate,
    rate_unit,
    rounds_text,
    significant,
    spread_text,
)
from tinyae.files import write_atomically

HERE = Path(__file__).parents[1]
README = HERE.parent / "README.md"
RESULTS, PICTURES = HERE / "results", HERE / "pictures"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
WIDTH = 140
OWN = {"cpu": "numba", "gpu": "cupy"}  # the backend that stands beside the rivals
PYTORCH = "torch"  # how its modes' names begin

INTRODUCTION = """\
## Benchmarks

```
pip install -e ".[bench]"     # in a clone: the suites are not in the wheel
tinyae bench --quick          # few and small cases: JSON, a table and pictures in runs/bench/
tinyae bench                  # everything
tinyae bench --only dense --backends numpy,numba,cupy --sizes 512,1024 --plot out.png
tinyae bench --out runs/after --compare runs/bench/results.json   # what changed beyond the noise
```
"""
METHOD = """\
Each contestant runs in a process of its own, one at a time, and each takes its turn twice. What an operation computes is checked against NumPy
in float64 first; what fails gets no time. Compilation and transfers are not in the times. Flops and bytes are counted from the shapes, the
ceilings are the largest matrix product and the largest copy of the same run. `python benchmarks/reports/readme.py --write` makes this
section from the results."""  # noqa: E501
MKL = "PyTorch's BLAS on a CPU, MKL, is at its best on Intel's processors; this is none."
NETS = "deep: 784-1000-500-250-30 and back; small: 784-128-32 and back."
NO_GPU = "There is no figure for a GPU: the suites have not run on one yet."
ALT = {
    "roofline": "every kernel's GFLOP/s over its flops per byte, under the measured ceilings",
    "sizes": "GFLOP/s of matrix products against their size",
    "ladder": "GFLOP/s of each rung of the ladder of matrix products",
    "split": "the time of a training step, split by operation",
    "step": "the speed of a training step beside the fastest rival's",
    "epoch": "the speed of an epoch beside the fastest rival's",
}


def section(files: dict[str, Path], pictures: Path) -> str:
    """The text between the marks. files: device -> results; pictures: the folder they lie in."""
    parts = [INTRODUCTION, _wrapped(METHOD)]
    parts += [_device(load(path), device, path, pictures) for device, path in files.items()]
    if "gpu" not in files:
        parts.append(NO_GPU)
    return "\n" + "\n\n".join(part.strip() for part in parts) + "\n\n"


def _device(results: Results, device: str, path: Path, pictures: Path) -> str:
    rows = _rows(results, device)
    machine = results["machine"]
    title = machine["gpu"] if device == "gpu" else f"{machine['cpu']}, {machine['cores']} cores"
    parts = [
        f"### {title}",
        _wrapped(_conditions(results, rows, device, path)),
        _epochs(results, rows, device),
        _kernels(results, rows, device),
        _shown(device, pictures),
    ]
    return "\n\n".join(part for part in parts if part)


def _rows(results: Results, device: str) -> list[Row]:
    return [row for row in measured(results["rows"]) if row["device"] == device]


def _conditions(results: Results, rows: list[Row], device: str, path: Path) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    notes: dict[str, list[str]] = {}  # what is to be said, of whom
    for name in contestants(results, rows):
        notes.setdefault(_facts(results["contestants"][name]), []).append(name)
    absent = [f"{name} ({fact['reason']})" for name, fact in results["contestants"].items()
              if not fact["available"] and fact["reason"] and fact["device"] == device]  # fmt: skip
    failed = dict.fromkeys(f"{row['contestant']} {row['op']}" for row in results["rows"]
                           if row["error"] and row["device"] == device)  # fmt: skip
    ceiling = results["ceilings"].get(device, {})
    peaks = [f"{significant(value)} GFLOP/s in {dtype}"
             for dtype, value in (ceiling.get("gflops") or {}).items()]  # fmt: skip
    peaks += [f"{significant(ceiling['gbs'])} GB/s"] if ceiling.get("gbs") else []
    sentences = [
        f"{day(results)}; {rounds_text(rows)}{', a quick run' if results['quick'] else ''}",
        f"Spread: {spread_text(rows)}",
        versions,
        "; ".join(f"{', '.join(names)}: {fact}" for fact, names in notes.items() if fact),
        f"Ceilings: {', '.join(peaks)}" if peaks else "",
        f"Without a time, as they failed: {', '.join(failed)}" if failed else "",
        f"Absent: {', '.join(absent)}" if absent else "",
        f"All figures: [`{path.name}`](benchmarks/results/{path.name})",
    ]
    return ". ".join(sentence for sentence in sentences if sentence) + "."


def _facts(contestant: dict[str, object]) -> str:
    threads = contestant["threads"]
    counted = f"{threads} thread{'' if threads == 1 else 's'}" if threads else ""
    return ", ".join(str(part) for part in (counted, contestant["note"]) if part)


def _epochs(results: Results, rows: list[Row], device: str) -> str:
    """The table of nets and batches: own time, and that of PyTorch's faster mode over it."""
    own = OWN[device]
    cells = _cells(rows, "epoch", own, PYTORCH)
    if not cells:
        return ""
    batches = sorted({batch for _, batch in cells})
    head = _line("", *(f"B = {batch}" for batch in batches))
    lines = [head, _line("---", *["---:"] * len(batches))]
    for net in dict.fromkeys(net for net, _ in cells):
        of = [cells.get((net, batch)) for batch in batches]
        times = (significant(1e3 * cell[0]["median"]) if cell else "-" for cell in of)
        ratios = (f"{_ratio(*cell):.2f}" if cell else "-" for cell in of)
        lines += [_line(f"{net} net: {own}, ms", *times), _line("PyTorch / " + own, *ratios)]
    timed = [row for row in rows if row["op"] == "epoch"]
    modes = [name for name in contestants(results, timed) if name.startswith(PYTORCH)]
    lengths = dict.fromkeys(mine["case"].partition(",")[0] for mine, _ in cells.values())
    mean = geometric_mean([_ratio(*cell) for cell in cells.values()])
    text = f"""Whole epochs ({" or ".join(lengths)}; shuffling, gathering and scaling of uint8
        pixels included; Adam, float32), beside the faster of PyTorch's modes
        ({", ".join(modes)}):"""
    after = [f"Geometric mean of the ratios: {mean:.2f}. {NETS}", _sklearn(rows, own)]
    if "AMD" in results["machine"]["cpu"] and device == "cpu":
        after.append(MKL)
    return "\n\n".join([_wrapped(text), "\n".join(lines), _wrapped(" ".join(after))])


def _sklearn(rows: list[Row], own: str) -> str:
    cells = _cells(rows, "epoch_mse", own, "sklearn")
    ratios = [f"{_ratio(*cell):.3g} ({net}, B = {batch})" for (net, batch), cell in cells.items()]
    text = "Epochs of scikit-learn's MLPRegressor (squared error) take so many times as long as "
    return f"{text}{own}'s: {', '.join(ratios)}." if ratios else ""


def _ratio(mine: Row, other: Row) -> float:
    return float(other["median"] / mine["median"])


def _cells(
    rows: list[Row], op: str, own: str, rival: str
) -> dict[tuple[str, int], tuple[Row, Row]]:
    """(net, batch) -> own row and the fastest of a rival's modes, whose names begin with it."""
    cells = {}
    for of in grouped(row for row in rows if (row["suite"], row["op"]) == ("epoch", op)).values():
        modes = [row for name, row in of.items() if name.startswith(rival)]
        if own in of and modes:
            fastest = min(modes, key=lambda row: float(row["median"]))
            cells[of[own]["net"], of[own]["batch"]] = (of[own], fastest)
    return cells


def _kernels(results: Results, rows: list[Row], device: str) -> str:
    """A line for each op: its largest case, of those that most contestants have."""
    own = OWN[device]
    chosen: dict[str, tuple[tuple[int, float], dict[str, Row]]] = {}
    groups: dict[Key, dict[str, Row]] = grouped(row for row in rows if row["suite"] == "kernel")
    for of in groups.values():
        some = next(iter(of.values()))
        rank = (len(of), float(some["bytes"] or 0))
        if (
            own in of
            and rate(some) is not None
            and rank > chosen.get(some["op"], ((0, 0.0), {}))[0]
        ):
            chosen[some["op"]] = (rank, of)
    if not chosen:
        return ""
    present = contestants(results, [row for _, of in chosen.values() for row in of.values()])
    names = [own, *(name for name in present if name != own)]
    lines = [_line("operation", "case", "unit", *names),
             _line("---", "---", "---", *["---:"] * len(names))]  # fmt: skip
    for op, (_, of) in chosen.items():
        unit = rate_unit(of[own])
        cells = (_rate(of.get(name), unit) for name in names)
        lines.append(_line(f"`{op}`", case_name(of[own]), unit, *cells))
    text = (
        "Operations by themselves, the largest case of each, with the share of the ceiling.\n"
        "Where it exceeds 100 %, the data stay in a cache, which is faster than the largest copy:"
    )
    return text + "\n\n" + "\n".join(lines)


def _rate(row: Row | None, unit: str) -> str:
    if row is None:
        return "-"
    value = row["gflops"] if unit == "GFLOP/s" else row["gbs"]
    share = "" if row["share"] is None else f" ({100 * row['share']:.0f} %)"
    return significant(value) + share


def _shown(device: str, pictures: Path) -> str:
    """The pictures that are there, in the order of ALT."""
    files = [(text, f"bench-{name}-{device}.png") for name, text in ALT.items()]
    return "\n\n".join(f"![{text}](benchmarks/pictures/{file})"
                       for text, file in files if (pictures / file).is_file())  # fmt: skip


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip


def replaced(readme: str, text: str) -> str:
    """The README with this text between the marks. Raises ValueError where a mark is missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README must hold {BEGIN} and after it {END}")
    return before + BEGIN + text + END + after


def newest(folder: Path) -> dict[str, Path]:
    """device -> the newest results for it; a file with a GPU's times counts for the GPU alone, and
    an interrupted run for nothing."""
    found: dict[str, tuple[str, Path]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            results = load(path)
        except ValueError:
            continue  # the results of other commands lie there too
        if results.get("interrupted"):
            continue
        device = device_of(results)
        found[device] = max(found.get(device, ("", path)), (str(results["date"]), path))
    return {device: found[device][1] for device in ("cpu", "gpu") if device in found}


def device_of(results: Results) -> str:
    return "gpu" if _rows(results, "gpu") else "cpu"


def draw(files: dict[str, Path], pictures: Path) -> None:
    """Draws the pictures of each device anew and removes those that are no longer made."""
    for device, path in files.items():
        results = load(path)
        made = draw_all(results | {"rows": _rows(results, device)}, pictures)
        for old in set(pictures.glob(f"bench-*-{device}.png")) - set(made):
            old.unlink()


def main(
    arguments: Sequence[str] | None = None, readme: Path = README, pictures: Path = PICTURES,
    folder: Path = RESULTS,
) -> int:  # fmt: skip
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the section, draw the pictures")
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULTS.json")
    given = parser.parse_args(arguments)
    files = {device_of(load(path)): path for path in given.results} or newest(folder)
    if not files:
        print(f"there are no results in {folder}: run tinyae bench", file=sys.stderr)
        return 1
    if given.write:
        draw(files, pictures)
    old = readme.read_text(encoding="utf-8")
    new = replaced(old, section(files, pictures))
    if given.write:
        write_atomically(readme, lambda file: file.write(new.encode()))
    elif new != old:
        print("README is stale: python benchmarks/reports/readme.py --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
