"""What commands print and write: tables, JSON, arrays, and pictures where matplotlib is there."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..data.rows import Array
from ..estimator import Autoencoder
from ..storage.files import replacing, write_atomically
from ..storage.kinds import kind_of
from ..storage.locks import SUFFIX
from ..train.progress import Waiting
from .options import UsageError


class Stream:
    """A standard stream whose end is not that of the work: when a write fails, the rest is dropped.

    ``lost`` is the error. A stream that is closed from the start loses nothing that anyone wants.
    """

    def __init__(self, name: str) -> None:
        if getattr(sys, name) is None:  # else the next file to be opened would get its number
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        self._stream = getattr(sys, name)
        with suppress(AttributeError):  # of a letter that its encoding lacks, the number is shown
            self._stream.reconfigure(errors="backslashreplace")
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _attempt(self, do: Callable[[], object]) -> None:
        if self.lost is not None:
            return
        try:
            do()
        except OSError as error:
            self.lost = error
            # what is still in its buffer must not fail when the process ends
            with suppress(OSError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


# A JSON file by which a folder is known as tinyae's -> a key that it has.
MARKS = {
    "config.json": "tinyae", "sweep.json": "codes", "augment.json": "per_class",
    "results.json": "contestants", "outliers.json": "outliers",
}  # fmt: skip


def is_own(path: Path) -> bool:
    """Whether a file is there that tinyae wrote, or that is too damaged to say so."""
    if not path.is_file():
        return False
    if path.suffix != ".json":
        return kind_of(path, path.suffix).what.startswith("a tinyae")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return True
    return isinstance(found, dict) and MARKS[path.name] in found


def expect_own(folder: Path, *marks: str) -> None:
    """Raises UsageError unless the folder is new, empty or tinyae's: it holds one of the marks."""
    if os.path.lexists(folder) and not folder.is_dir():
        what = "file" if folder.exists() else "link that leads nowhere"
        raise UsageError(f"{folder} must be a folder, or a place for one: it is a {what}")
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    # what a killed process may have left is not somebody else's
    names = [n for n in names if not (n.startswith(".") and n.endswith((SUFFIX, ".tmp")))]
    marks = ("config.json", *marks)
    own = any(is_own(path) for mark in marks for path in folder.glob(mark))
    if names and not own and not replacing.get():
        raise UsageError(
            f"{folder} holds {names[0]} and no {' or '.join(marks)} that tinyae wrote, so it stays "
            "as it is: choose another folder, or --force"
        )


def has_bars(file: IO[str]) -> bool:
    """Whether a tqdm bar can be shown there."""
    return file.isatty() and importlib.util.find_spec("tqdm") is not None


def shortened(names: Sequence[str]) -> str:
    """The first ten of them, quoted."""
    shown = ", ".join(map(repr, names[:10])) or "none"
    return f"{shown}, ..." if len(names) > 10 else shown


def can_draw() -> bool:
    """Whether matplotlib is installed; says so where it is not."""
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    print('no picture without matplotlib: pip install "tinyae[plot]"', file=sys.stderr)
    return False


def to_draw(ae: Autoencoder, samples: Array, image_shape: tuple[int, ...] | None) -> Array:
    """Samples of a table on the net's scale, as it reads them: in their own units one column would
    hide the rest."""
    if image_shape is not None:
        return samples
    shown = samples if ae.scaling_ is None else ae.scaling_.apply(samples)
    return shown if ae.fill_ is None else np.where(np.isnan(shown), ae.fill_, shown)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def write_array(
    path: Path, array: NDArray[Any], what: str, names: Sequence[str] | None = None
) -> None:
    """.npy, or .csv with all digits of the dtype and the columns' names, where there are any; says
    what was written."""
    with Waiting(f"writing {path}") as report:
        if path.suffix == ".npy":
            write_atomically(path, lambda file: np.save(file, array))
        else:
            text = io.StringIO()
            if names is not None:
                csv.writer(text, lineterminator="\n").writerow(names)
            for start in range(0, len(array), 1000):
                part = array[start : start + 1000]
                if part.dtype == np.float32:
                    np.savetxt(text, part, fmt="%.9g", delimiter=",")
                else:
                    csv.writer(text, lineterminator="\n").writerows(map(_digits, part))
                report(min(start + 1000, len(array)), len(array))
            write_text(path, text.getvalue())
    print(f"{path}: {array.shape[0]:,} {what} of {array.shape[1]:,} numbers, {array.dtype}")


def write_samples(
    path: Path, ae: Autoencoder, samples: NDArray[Any], names: Sequence[str] | None
) -> None:
    """``write_array``; .csv of a table with categories is that table again."""
    if ae.schema_ is None or path.suffix == ".npy":
        write_array(path, samples, "samples", names)
        return
    columns = ae.schema_.back(samples)
    cells = [c if c.dtype == object else _digits(c) for c in columns.values()]
    with Waiting(f"writing {path}"):
        write_csv(path, [*columns], zip(*cells, strict=True))
    print(f"{path}: {len(samples):,} samples of {len(columns)} columns")


def _digits(numbers: NDArray[Any]) -> list[str]:
    """All digits of the dtype, but of float64 no more than it takes to read the same number:
    42.65, not 42.649999999999999."""
    if numbers.dtype == np.float32:
        return [f"{number:.9g}" for number in numbers.tolist()]
    return [str(number).removesuffix(".0") for number in numbers.tolist()]


def print_zero_units(
    ae: Autoencoder, counts: Mapping[str, int] | None, file: IO[str] | None = None
) -> None:
    """A line where there are any, by layer, and known."""
    widths = {spec.name: spec.n_out for spec in ae._network.architecture.dense}
    units = [f"{n:,} of the {widths[name]:,} of {name}" for name, n in (counts or {}).items()]
    if units:
        print(f"\nunits that are 0 for all training samples: {', '.join(units)}", file=file)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned: text to the left, numbers (six significant digits) to the right."""
    cells = [[_text(cell) for cell in row] for row in rows]
    columns = list(zip(header, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [list(header), ["-" * width for width in widths], *cells]
    ]
    return "\n".join(lines)


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.6g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
