"""What commands print and write: tables, JSON, arrays, and pictures where matplotlib is there."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..estimator import Autoencoder
from ..files import write_atomically


def can_draw() -> bool:
    """Whether matplotlib is installed; says so where it is not."""
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    print('no picture without matplotlib: pip install "tinyae[plot]"', file=sys.stderr)
    return False


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def write_array(path: Path, array: NDArray[Any], what: str) -> None:
    """.npy, or .csv with all digits of the dtype; says what was written."""
    if path.suffix == ".npy":
        write_atomically(path, lambda file: np.save(file, array))
    else:
        text = io.StringIO()
        digits = "%.9g" if array.dtype == np.float32 else "%.17g"
        np.savetxt(text, array, fmt=digits, delimiter=",")
        write_text(path, text.getvalue())
    print(f"{path}: {array.shape[0]:,} {what} of {array.shape[1]:,} numbers, {array.dtype}")


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
