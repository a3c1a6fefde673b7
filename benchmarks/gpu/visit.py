"""The first minutes on a GPU, or the next ones: correctness, products, steps, epochs, counters.

    python benchmarks/gpu/visit.py --minutes 9 --out DIR             what is missing in DIR
    python benchmarks/gpu/visit.py --only products,steps --out DIR   these parts
    python benchmarks/gpu/visit.py --backend cuda-host --out DIR     a rehearsal on tiny sizes

GPU time is short, so the parts come in the order of their worth. Each is a process of its own with
a time limit, and each row is written as soon as it is measured, a line of DIR/visit.jsonl: a visit
that is cut off keeps what it has, and the next one goes on with what is missing. A part that is
tried again begins anew: its earlier rows count no more. DIR/summary.md tells what was found.

Works from the source tree, with CuPy, pytest and (for the rivals) PyTorch; Nsight Compute and
compute-sanitizer are used where they are on the PATH; what is absent is a row that says so. Times
are medians of CUDA events around graphs of launches; a result is checked against float64 before
it is timed. MNIST's files are looked for in --mnist.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.machine import machine, versions
from benchmarks.reports.visit import load, summary
from tinyae.cli.output import write_text

ROOT = Path(__file__).resolve().parents[2]

# part -> (module of this folder, function that makes its rows, seconds at most), best first
PARTS = {
    "correct": ("tools", "correct", 60),
    "curve": ("training", "loss_curve", 40),
    "products": ("operations", "products", 60),
    "steps": ("training", "steps", 60),
    "torch-steps": ("training", "torch_steps", 100),
    "counters": ("tools", "counters", 60),
    "tests": ("tools", "tests", 150),
    "epochs": ("training", "epochs", 40),
    "kernels": ("operations", "kernels", 40),
    "sanitizer": ("tools", "sanitizer", 150),
    "numba-cuda": ("tools", "numba_cuda", 200),
    "shapes": ("operations", "shapes", 100),
    "tune": ("operations", "tune", 100),
    "one-launch": ("training", "one_launch", 40),
    "mnist": ("training", "mnist", 60),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9, metavar="M", help="in all (default 9)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for what is found")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS),
                        metavar="PART,...", help="of " + ", ".join(PARTS))  # fmt: skip
    parser.add_argument("--backend", default="cupy", help="cuda-host rehearses on tiny sizes")
    parser.add_argument("--mnist", type=Path, default=ROOT / ".mnist", metavar="DIR")
    parser.add_argument("--kernels", type=Path, metavar="DIR",
                        help=".cu and .cuh files to measure instead of the package's")  # fmt: skip
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    unknown = set(given.only) - set(PARTS)
    if unknown:
        parser.error(f"--only must be of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part:
        run_part(given)
    else:
        visit(given)
    return 0


def visit(given: argparse.Namespace) -> None:
    """Runs the parts that are asked for and missing, each in a process of its own."""
    path = given.out / "visit.jsonl"
    rows = _whole_rows(path) if path.exists() else []
    done = {row["part"] for row in rows if row.get("done")}
    if not done:
        _write(path, {"part": "machine", "date": time.strftime("%F %T"), "machine": machine(),
                      "versions": versions(), "commit": _commit()})  # fmt: skip
    end = time.monotonic() + 60 * given.minutes
    for part in (part for part in PARTS if part in given.only and part not in done):
        slower = 1 if given.backend == "cupy" else 5
        left = min(slower * PARTS[part][2], end - time.monotonic())
        if left < 5:
            print(f"{part}: no time left", flush=True)
            continue
        command = [sys.executable, __file__, "--part", part, "--out", str(given.out), "--backend",
                   given.backend, "--mnist", str(given.mnist), "--seconds", str(left)]  # fmt: skip
        command += ["--kernels", str(given.kernels)] if given.kernels else []
        _write(path, {"part": part, "begun": time.strftime("%F %T")})
        started = time.monotonic()
        with (given.out / "log.txt").open("a") as log:
            print(f"== {part}", file=log, flush=True)
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                code: int | str = process.wait(left)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)  # and what it has started
                process.wait(None)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise  # the visit itself is ended: its part must not keep the GPU
                code = f"cut off after {left:.0f} s"
        took = round(time.monotonic() - started, 1)
        _write(path, {"part": part, "done": code == 0, "ended": code, "seconds": took})
        print(f"{part}: {'done' if code == 0 else f'ended with {code}'}, {took} s", flush=True)
        write_text(given.out / "summary.md", summary(load(path)))


def run_part(given: argparse.Namespace) -> None:
    """Writes a part's rows as they come."""
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    if given.kernels:
        from tinyae.kernels.cuda import source

        source.FOLDER = given.kernels.resolve()
    module, function, _ = PARTS.get(given.part, ("tools", given.part, 0))
    for row in getattr(importlib.import_module(f"benchmarks.gpu.{module}"), function)(given):
        if row:
            _write(given.out / "visit.jsonl", {"part": given.part, **row})


def _end_with(parent: int) -> None:
    """A visit that is killed outright can end nothing, and its part must not keep the GPU."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def _commit() -> str | None:
    """Of the source tree, where it has one; "-dirty" where it was changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.check_output(
            command, cwd=ROOT, text=True, stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _whole_rows(path: Path) -> list[dict[str, Any]]:
    """The rows; a last line that was cut off is removed, or the next row would join it."""
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def _write(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
