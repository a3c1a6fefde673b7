"""The twelve stations, their files, and what is done."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import linecache
import re
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...storage.files import FileError, write_atomically
from ...storage.untrusted import read_json
from . import kernels, layers, losses, updates
from .judge import Mistake, judge
from .station import Station

STATIONS: tuple[Station, ...] = (
    layers.FORWARD, layers.BACKWARD, layers.RELU, losses.MSE, losses.BCE, losses.CHAIN,
    updates.MOMENTUM, updates.ADAM, updates.HE, updates.NOISE, kernels.NUMBA, kernels.CUDA,
)  # fmt: skip
PROGRESS = "exercises.json"
# Of an error of NumPy's: (a pattern of its text, the word for the mistake, what to do)
HINTS = (
    ("matmul|not aligned", "transposition", "a @ b needs as many columns in a as b has rows: "
     "transpose one of them, or exchange the two"),
    ("could not be broadcast", "shape", "NumPy lines shapes up from their last axis, where lengths "
     "must be equal or 1: a bias (n_out,) fits the rows of (n, n_out) as it is"),
    ("truth value of an array", "array", "max, min, if and 'and' take one number: of the elements "
     "of an array use np.maximum(a, b), np.minimum(a, b), np.where(a > 0, b, c)"),
)  # fmt: skip


def write(station: Station, folder: Path) -> Path:
    """Writes the file that a station begins with, over one that is there."""
    path = folder / station.file
    text = station.beginning(len(STATIONS))
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def check(station: Station, folder: Path) -> None:
    """Judges the station's file in ``folder``, and notes there that it is done.

    Raises Mistake for what is wrong with it, RuntimeError for an error of its own, with its line,
    ImportError or CompilerMissing where the station needs what is not installed.
    """
    path = folder / station.file
    needs(station)
    if path.suffix == ".cu":
        judge(station, station.adapt(path, None))
    else:
        function = _own(path, lambda: _load(path)).get(station.function)
        if not callable(function):
            raise Mistake("name", f"{path.name} must define the function {station.function}")
        adapted = station.adapt(path, function)
        judge(station, lambda *args: _own(path, lambda: adapted(*args)))
    done = read_progress(folder)
    done[str(station.number)] = _digest(path)
    text = json.dumps({"tinyae_exercises": done}, indent=2) + "\n"
    write_atomically(folder / PROGRESS, lambda file: file.write(text.encode()))


def needs(station: Station) -> None:
    """Raises ImportError where Numba is missing and the station needs it."""
    if station is kernels.NUMBA and importlib.util.find_spec("numba") is None:
        raise ImportError(
            f'exercise {station.number} needs Numba, which is not installed: pip install '
            '"tinyae[numba]"'
        )  # fmt: skip


def state(station: Station, folder: Path, done: dict[str, str]) -> str:
    """ "done", "begun", or "changed" for a file that was accepted and is another now."""
    path = folder / station.file
    if not path.is_file():
        return ""
    if str(station.number) not in done:
        return "begun"
    return "done" if done[str(station.number)] == _digest(path) else "changed"


def read_progress(folder: Path) -> dict[str, str]:
    """The digests of the files that were accepted, by number.

    Raises FileError where the file of progress is another's, or broken.
    """
    path = folder / PROGRESS
    if not path.exists():
        return {}
    found = read_json(path, "broken")
    done = found.get("tinyae_exercises") if isinstance(found, dict) else None
    if not isinstance(done, dict):
        raise FileError(f"{path} is not the progress of exercises that tinyae wrote: choose "
                        "another --folder")  # fmt: skip
    return {str(number): str(digest) for number, digest in done.items()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _load(path: Path) -> dict[str, Any]:
    """What the user's file defines; nothing is left behind beside it."""
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    return module.__dict__


def _own(path: Path, work: Callable[[], Any]) -> Any:
    """What ``work`` gives; its errors are the user's, and are told with the line of their file."""
    try:
        return work()
    except Mistake:
        raise
    except SyntaxError as error:
        raise RuntimeError(f"{path.name}, line {error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        where, shapes = path.name, ""
        for frame, number in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename == str(path):
                name = frame.f_code.co_name
                where = f"{path.name}, line {number}"
                where += "" if name == "<module>" else f", in {name}"
                shapes = _shapes(frame, number)
        if isinstance(error, NotImplementedError) and not str(error):
            where = where.removeprefix(f"{path.name}, ")
            raise Mistake("unwritten", f"{where} still says raise NotImplementedError") from None
        lines = [line for line in str(error).splitlines() if line.strip()]
        said = " ".join(lines[:2])
        for sign, word, hint in HINTS if isinstance(error, ValueError) else ():
            if re.search(sign, said):
                where = where.removeprefix(f"{path.name}, ")
                raise Mistake(word, f"{where}{shapes}: {hint} ({said})") from None
        raise RuntimeError(
            f"{where}: {type(error).__name__}{f': {said}' if said else ''}"
        ) from None


def _shapes(frame: types.FrameType, number: int) -> str:
    """Those of the arrays that this line of the frame's file names."""
    linecache.checkcache(frame.f_code.co_filename)
    names = re.findall(r"\w+", linecache.getline(frame.f_code.co_filename, number))
    arrays = [(name, frame.f_locals.get(name)) for name in dict.fromkeys(names)]
    shapes = [f"{name} {array.shape}" for name, array in arrays if isinstance(array, np.ndarray)]
    return ", with " + ", ".join(shapes) if shapes else ""
