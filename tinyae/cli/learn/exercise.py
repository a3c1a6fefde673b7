"""``tinyae exercise``: a course of twelve stations."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...learn.exercises.course import STATIONS, check, read_progress, state, write
from ...learn.exercises.judge import Mistake
from ...learn.exercises.station import Station
from ..options import UsageError, command
from ..output import table

EPILOG = """\
Each station is a function to be written, with ten lines of theory above it. --check compares it
with finite differences and with the reference, says what is wrong, and when it is right shows
the package's own solution and where in tinyae the real thing is.

examples:
  tinyae exercise              the twelve stations, and what is done
  tinyae exercise 1            writes exercise_01.py
  tinyae exercise 1 --check    judges it
"""


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "exercise", _exercise, "learn backpropagation in twelve exercises", epilog=EPILOG
    )
    parser.add_argument("number", metavar="N", nargs="?", type=int, help="1 to 12; without it, "
                        "lists them", choices=range(1, len(STATIONS) + 1))  # fmt: skip
    parser.add_argument("--check", action="store_true", help="judge what was written")
    parser.option("--folder", ".", "where the files are", metavar="DIR", type=Path)
    parser.add_argument("--force", action="store_true", help="begin again: write over the file "
                        "that is there, and what you wrote in it is lost")  # fmt: skip


def _exercise(given: argparse.Namespace) -> None:
    """Raises ArithmeticError, with the word for the mistake, for a solution that is wrong."""
    folder: Path = given.folder
    if not folder.is_dir():
        raise UsageError(f"--folder {folder}: there is no such folder")
    if given.number is None:
        if given.check or given.force:
            raise UsageError("say which exercise, such as 'tinyae exercise 1 --check'")
        _list(folder)
        return
    station = STATIONS[given.number - 1]
    path = folder / station.file
    if given.check:
        _check(station, folder, path)
        return
    if path.exists() and not given.force:
        raise UsageError(
            f"{path} is there already, and stays as it is: 'tinyae exercise {given.number} "
            "--check' judges it, --force begins again"
        )
    write(station, folder)
    print(f"{path}: {station.title}. Fill in {station.function}, then: tinyae exercise "
          f"{given.number} --check")  # fmt: skip


def _list(folder: Path) -> None:
    done = read_progress(folder)
    states = [state(station, folder, done) for station in STATIONS]
    rows = [(s.number, s.title, found) for s, found in zip(STATIONS, states, strict=True)]
    print(table(("", "station", ""), rows))
    left = [s.number for s, found in zip(STATIONS, states, strict=True) if found != "done"]
    print(f"\n{states.count('done')} of {len(STATIONS)} done"
          + (f"; next: tinyae exercise {left[0]}" if left else ""))  # fmt: skip


def _check(station: Station, folder: Path, path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"there is no {path} yet: 'tinyae exercise {station.number}' writes it")
    try:
        check(station, folder)
    except Mistake as error:
        raise ArithmeticError(f"{path.name}: {error}") from error
    print(f"{path.name}: right\n\nthe package's own solution:\n")
    print("\n".join(f"    {line}".rstrip() for line in station.solution().splitlines()))
    print(f"\nthe real thing: {station.home}")
    if station.number < len(STATIONS):
        print(f"next: tinyae exercise {station.number + 1}")
