"""The driver behind ``tinyae bench``: every contestant in a process of its own, twice.

First all contestants, then all of them again, so that a drift of the machine shows as the spread
between the passes. Their rows are merged into results.json, after each of them: what was measured
before an interruption is kept, and marked as such.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases.cases import QUICK_SECONDS, SECONDS, SUITES, Options
from benchmarks.contestants.contestants import Contestant, cases_of, chosen, why_absent
from benchmarks.machine import machine, versions
from benchmarks.reports import compare as bench_compare
from benchmarks.reports import plots as bench_plots
from benchmarks.reports import rows as bench_rows
from benchmarks.reports import table as bench_table
from benchmarks.reports.merging import Row, merge
from tinyae.cli.options import UsageError
from tinyae.cli.output import expect_own, write_text
from tinyae.train.progress import clock

FOLDER = Path(__file__).resolve().parent
Save = Callable[[dict[str, Any]], None]

PASSES = 2
ROWS = "rows.json"
FILES = {"kernel": "bench_kernels.py", "ladder": "bench_ladder.py", "step": "bench_step.py",
         "epoch": "bench_epoch.py", "transfer": "bench_transfer.py",
         "latency": "bench_latency.py"}  # fmt: skip


def run(given: argparse.Namespace) -> None:
    """Measures what the options of ``tinyae bench`` ask for; writes and shows it."""
    try:
        usual = QUICK_SECONDS if given.quick else SECONDS
        options = Options(
            given.only, given.sizes, given.batches, given.nets, given.quick,
            usual if given.seconds is None else given.seconds,
        )  # fmt: skip
        contestants = chosen(given.backends, given.rivals)
        absent = {c.name: why_absent(c, given.quick) for c in contestants}
    except ValueError as error:
        raise UsageError(str(error)) from error
    # what is wrong with these is said now, and not after half an hour
    old = _read(given.compare) if given.compare else None
    if given.plot and Path(given.plot).suffix != ".png":
        raise UsageError(f"--plot must end in .png, got {given.plot!r}")
    out = Path(given.out)
    expect_own(out, "results.json")
    for folder in (out, Path(given.plot).parent if given.plot else out):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} must be a folder, or a place for one: {error}") from error
    saved = False

    def save(results: dict[str, Any]) -> None:
        nonlocal saved
        write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
        saved = True

    try:
        results = measure(options, contestants, absent, save)
    except KeyboardInterrupt:
        kept = f"what was measured is in {out / 'results.json'}" if saved else "nothing measured"
        raise KeyboardInterrupt(f"interrupted; {kept}") from None
    table = bench_table.render(results)
    write_text(out / "table.txt", table + "\n")
    print(table)
    pictures = bench_plots.draw_all(results, out)
    if given.plot:
        bench_plots.draw_selection(results, Path(given.plot))
        pictures = [*pictures, Path(given.plot)]
    if old is not None:
        print("\n" + bench_compare.render(old, results))
    names = ["results.json", "table.txt", *(path.name for path in pictures)]
    print(f"\n{out}: " + ", ".join(names))


def _read(path: str) -> bench_rows.Results:
    try:
        return bench_rows.load(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--compare {path}: {error}") from error


def measure(
    options: Options, contestants: Sequence[Contestant], absent: dict[str, str], save: Save
) -> dict[str, Any]:
    """The content of results.json; ``save`` is given what there is of it after each contestant.

    At Ctrl-C the rows of the one at work are saved too, and KeyboardInterrupt is raised.
    """
    run = Run(options, contestants, absent)
    if not run.work:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in absent.items() if reason)
        raise UsageError(
            f"nothing to measure: {reasons or 'nobody takes part in what --only names'}"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            for number in range(PASSES):
                run.take_turns(f"pass {number + 1} of {PASSES}", folder, save)
        except KeyboardInterrupt:
            begun = _written(folder)
            if not begun.get("complete"):  # or it is among what was found
                run.add(begun)
            if run.has_rows:
                save(run.results(f"by Ctrl-C, at {run.progress.label}"))
            raise
    run.progress.end()
    results = run.results()
    save(results)
    return results


class Run:
    """What a run has found so far, and who is still to be measured."""

    def __init__(
        self, options: Options, contestants: Sequence[Contestant], absent: dict[str, str]
    ) -> None:
        self.options = options
        self.started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        self.about = {c.name: c.about(absent[c.name]) | {"available": False} for c in contestants}
        self.work = {}  # contestant -> the files that hold its cases
        total = 0
        for c in contestants:
            cases = {s: len(cases_of(c, options, s)) for s in SUITES} if not absent[c.name] else {}
            if any(cases.values()):
                self.work[c.name] = [FILES[suite] for suite, n in cases.items() if n]
                total += sum(cases.values())
        self.devices = ",".join(dict.fromkeys(self.about[name]["device"] for name in self.work))
        self.progress = Progress(PASSES * total)
        self.found: list[Row] = []

    def take_turns(self, now: str, folder: Path, save: Save) -> None:
        """One pass: the ceilings, then each contestant."""
        options, progress = self.options, self.progress
        progress.say(f"{now}: ceilings")
        who = ("--ceilings", self.devices)
        self.add(_child(options, ["bench_ceilings.py"], who, folder, progress))
        for name, files in list(self.work.items()):
            progress.say(f"{now}: {name}")
            try:
                self.add(_child(options, files, ("--contestants", name), folder, progress))
            except RuntimeError as error:  # it died: the others' figures are kept
                self.found = [row for row in self.found if row["contestant"] != name]
                reason = " ".join(str(error).split())[-200:]
                self.about[name] |= {"available": False, "reason": reason}
            if self.about[name]["reason"]:  # it cannot be loaded
                del self.work[name]
            if self.has_rows:
                save(self.results(f"in {now}, after {name}"))

    def add(self, result: dict[str, Any]) -> None:
        """Of one process."""
        self.found += result.get("rows", [])
        self.about |= result.get("contestants", {})

    @property
    def has_rows(self) -> bool:
        return any(row["suite"] != "ceiling" for row in self.found)

    def results(self, interrupted: str = "") -> dict[str, Any]:
        """The content of results.json, with a mark if more was to come."""
        rows, ceilings = merge(self.found)
        mark = {"interrupted": interrupted} if interrupted else {}
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        return {
            "date": self.started, "command": command, "quick": self.options.quick, **mark,
            "machine": machine(), "versions": versions(), "contestants": self.about,
            "ceilings": ceilings, "rows": rows,
        }  # fmt: skip


def _child(
    options: Options, files: Sequence[str], who: Sequence[str], folder: Path, progress: Progress
) -> dict[str, Any]:
    """Runs pytest on these files in a process of its own; the rows that it writes.

    ``folder`` keeps, for one run, the float64 results that take long. Raises RuntimeError where
    the process ends before its work does.
    """
    rows = folder / ROWS
    rows.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "pytest", *(str(FOLDER / "suites" / file) for file in files),
        "-q", "-s", "--no-header", "--tb=short", "--benchmark-columns=median", *who,
        "--seconds", str(options.seconds), "--rows", str(rows), "--references", str(folder),
    ]  # fmt: skip
    for name in ("only", "sizes", "batches", "nets"):
        if values := getattr(options, name):
            command += [f"--{name}", ",".join(map(str, values))]
    command += ["--quick"] if options.quick else []
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=FOLDER.parent
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line)
                if match := re.match(r"@bench \S+::\S+?\[(.*)\]", line):
                    progress.done(match[1])
        except BaseException:
            process.terminate()
            raise
    result = _written(folder)
    if not result.get("complete"):
        raise RuntimeError("the benchmarks did not run:\n" + "".join(said[-30:]).strip())
    return result


def _written(folder: Path) -> dict[str, Any]:
    """What a process has written so far; nothing before its first row."""
    path = folder / ROWS
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


class Progress:
    """One line on the standard error: what is measured, how long it took, how long it will."""

    def __init__(self, total: int) -> None:
        self.total, self.count = total, 0
        self.started = time.perf_counter()
        self.label = ""
        self.live = sys.stderr.isatty()

    def say(self, label: str) -> None:
        self.label = label
        self._show("" if self.live else "\n")

    def done(self, case: str) -> None:
        self.count += not case.startswith(("cpu-", "gpu-"))  # ceilings
        if self.live:
            self._show("", case)

    def _show(self, end: str, case: str = "") -> None:
        elapsed = time.perf_counter() - self.started
        left = elapsed / self.count * (self.total - self.count) if self.count else None
        text = f"{self.label}  {self.count}/{self.total}  {clock(elapsed)}"
        text += f", about {clock(left)} left" if left is not None else ""
        text = f"{text}  {case}"[:110]
        print(f"\r\x1b[K{text}" if self.live else text, end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        self.say("measured")
        if self.live:
            print(file=sys.stderr)
