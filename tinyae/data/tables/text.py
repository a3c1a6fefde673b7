"""Tables of numbers in text: .csv, .tsv, .txt and .data, gzipped or not."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, takewhile
from pathlib import Path

import numpy as np

from ...storage.files import FileError
from ...storage.untrusted import brief, expect_memory
from ..formats import Array, Part
from ..reading import AS_IT_IS, Progress, Reading
from .coded import MISSING, TRUTH, Coder, Column, Numbers, Words, is_missing
from .columns import Layout, Line, find_layout
from .dialect import GROUPED, WORDS, Dialect, rows_of, tell_dialect
from .parts import table_part
from .schema import Schema

SUFFIXES = (".csv", ".tsv", ".txt", ".data")
LONGEST = 1 << 25  # characters of a line
HEAD = 100  # lines that tell how the table is written


def table_kind(path: Path) -> str:
    """.csv, .tsv, .txt or .data, whichever the file's name says; empty if it is no table."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    return suffix if suffix in SUFFIXES else ""


def read_table(
    path: Path, reading: Reading = AS_IT_IS, progress: Progress | None = None,
    schema: Schema | None = None,
) -> Part:  # fmt: skip
    """Samples float64 (n, columns), without the columns that are the label or dropped.

    ``reading`` decides what it says, the first lines the rest (see ``load_dataset``). Empty lines
    are skipped, and lines at the top that start with "#", but for a header just above the numbers.
    A last cell that is empty in every line is no column. Labels may be words. A missing cell
    (``coded.MISSING``) is NaN. A column of which fewer than half of the first cells are numbers
    is text: then the samples are the matrix of ``Part.schema``; a ``schema`` that was learnt from
    another table says what the columns are.
    Raises ValueError, with the line and column, for lines of different lengths, for cells of
    numbers that are no finite ones, and for columns that are not there; for a foreign encoding;
    and for other columns than the schema's.
    """
    text = _text(path, reading.encoding or "utf-8", progress)
    head, dialect = _head(text, reading)
    lines = _cells(path, dialect, chain(head, text))
    top = list(islice(lines, HEAD))
    if not top:
        raise ValueError(f"{path}: expected lines of numbers, got an empty file")
    layout = find_layout(path, top, dialect, reading, schema)
    number_of = float if dialect.decimal == "." else dialect.number
    coders = {i: Coder() for i in layout.words}
    reads = [coders[i].__getitem__ if i in coders else _or_missing(number_of)
             for i in layout.features]  # fmt: skip

    def one_by_one(cells: list[str]) -> Iterable[float]:
        return [read(cell) for read, cell in zip(reads, cells, strict=True)]

    convert = one_by_one if coders else partial(map, number_of)  # without missing cells
    values, numbers, labels = array("d"), array("q"), list[str]()
    for number, cells in islice(chain(top, lines), int(layout.header), None):
        layout.trim(cells)
        if len(cells) != layout.width:
            raise ValueError(
                f"{path}, line {number}: expected {layout.width} cells as in the first line, "
                f"got {len(cells)}. {_divided(dialect)}"
            )
        if layout.label is not None:
            labels.append(cells[layout.label].strip())
            if not labels[-1]:
                where = f"the label (cell {layout.label})"
                raise ValueError(f"{path}, line {number}: {where} is empty")
        chosen = layout.chosen(cells)
        try:
            values.extend(convert(chosen))
        except ValueError:
            del values[len(numbers) * len(chosen) :]
            try:
                values.extend(one_by_one(chosen))
            except ValueError:
                raise _bad_cell(path, number, cells, layout, dialect) from None
        numbers.append(number)
        if len(numbers) % 65536 == 0:  # few bytes of a gzip file may be many lines
            expect_memory(path, 8 * len(values))
    shape = len(numbers), len(layout.features)
    samples = (np.frombuffer(values, np.float64) if values else np.empty(0)).reshape(shape)
    _expect_finite(path, samples, numbers, layout)
    columns: list[tuple[str, Column]] = []
    for j, (i, title) in enumerate(zip(layout.features, layout.titles, strict=True)):
        column: Column = Numbers(samples[:, j])
        if i in coders:
            column = Words(samples[:, j].astype(np.int64), tuple(coders[i].levels), declared=True)
        columns.append((title, column))
    names = tuple(layout.names[i] for i in layout.features) if layout.names else None
    known = None
    if layout.label is not None:
        known = _labels(path, labels, numbers, layout, dialect)
    return table_part(path, samples, columns, known, names, schema)


def _or_missing(number_of: Callable[[str], float]) -> Callable[[str], float]:
    """``number_of``, but for cells that are missing, and for true and false."""

    def read(cell: str) -> float:
        try:
            return number_of(cell)
        except ValueError:
            if is_missing(cell):
                return math.nan
            if (truth := TRUTH.get(cell.strip().lower())) is not None:
                return truth
            raise

    return read


def _text(path: Path, encoding: str, progress: Progress | None) -> Iterator[str]:
    """The lines, unpacked and decoded."""
    import gzip
    import io
    import zlib

    number, size = 0, path.stat().st_size
    try:
        with open(path, "rb") as raw:
            # by content, not by name: browsers unpack downloads and leave them their name
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            binary = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(binary, encoding, newline="") as file:
                for number, line in enumerate(iter(partial(file.readline, LONGEST), ""), start=1):
                    if len(line) == LONGEST:
                        raise FileError(
                            f"{path}, line {number}: longer than {LONGEST:,} characters"
                        )
                    if "\0" in line:
                        raise UnicodeError("there are zero bytes, as in UTF-16")
                    if progress is not None and number % 1024 == 0:
                        progress(raw.tell(), size)
                    yield line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeError as error:
        raise ValueError(
            f"{path}, after line {number}: cannot be read as {table_kind(path)} file in "
            f"{encoding}: {error}. --encoding (in Python: encoding=) names another, such as "
            "latin-1 or utf-16"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated gzip file: {error}") from error


def _head(text: Iterator[str], reading: Reading) -> tuple[list[str], Dialect]:
    """The first lines, with comments at the top blank so that all keep their numbers."""
    head = list(islice(text, HEAD))
    written = [i for i, line in enumerate(head) if not line.isspace()]
    comments = [*takewhile(lambda i: head[i].startswith("#"), written)]
    title, below = "", written[len(comments) : len(comments) + 1]
    for i in comments if below else ():  # all lines: a column of colours, #00ff00
        title, head[i] = head[i].lstrip("# "), "\n"
    dialect = tell_dialect(head, reading.separator, reading.decimal)
    rows = rows_of([title, *(head[i] for i in below)], dialect.separator) if title else []
    if len(rows) == 2 and len(rows[0]) == len(rows[1]) and not any(map(dialect.is_number, rows[0])):
        head[comments[-1]] = title  # names of the columns
    return head, dialect


def _cells(path: Path, dialect: Dialect, text: Iterator[str]) -> Iterator[Line]:
    number = 0
    try:
        for number, cells in dialect.cells(text):
            yield number, cells
    except csv.Error as error:
        where = f"after line {number}"
        raise ValueError(f"{path}, {where}: cannot be read as .csv file: {error}") from error


def _divided(dialect: Dialect) -> str:
    words = WORDS.get(dialect.separator, repr(dialect.separator))
    return f"Cells are separated by {words} (--separator names another)"


def _bad_cell(
    path: Path, number: int, cells: list[str], layout: Layout, dialect: Dialect
) -> ValueError:
    fine = {*TRUTH, *MISSING}
    numbers = (i for i in layout.features
               if i not in layout.words and cells[i].strip().lower() not in fine)  # fmt: skip
    at = next(i for i in numbers if not dialect.is_number(cells[i]))
    if GROUPED.fullmatch(cells[at].strip()):
        other = "," if dialect.decimal == "." else "."
        hint = (
            f"Numbers are read with the decimal sign {dialect.decimal!r} (--decimal {other} names "
            "the other) and without thousands separators: remove these first"
        )
    else:
        hint = (
            f"{_divided(dialect)}; by its first lines this is no column of text, unless it is the "
            f"label (--label {brief(str(layout.naming(at)))}); {layout.dropping(at)} leaves it out"
        )
    return ValueError(
        f"{path}, line {number}: expected a number in {layout.column(at)}, "
        f"got {cells[at][:60]!r}. {hint}"
    )


def _expect_finite(path: Path, samples: Array, numbers: array[int], layout: Layout) -> None:
    bad = np.isinf(samples)
    if bad.any():
        row, feature = divmod(int(np.argmax(bad)), samples.shape[1])
        raise ValueError(
            f"{path}, line {numbers[row]}: expected a finite number in "
            f"{layout.column(layout.features[feature])}, got {samples[row, feature]}: fill it in, "
            "or leave out the line, or the column with "
            f"{layout.dropping(layout.features[feature])}"
        )


def _labels(
    path: Path, labels: list[str], numbers: array[int], layout: Layout, dialect: Dialect
) -> Array:
    """Labels as integers if all are, else as float64 if all are whole numbers, else as words."""
    try:
        return np.array([int(text) for text in labels], np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        values = np.array([dialect.number(text) for text in labels])
    except ValueError:
        return np.array(labels)
    fraction = np.floor(values) != values
    if fraction.any():
        at = int(np.argmax(fraction))
        assert layout.label is not None
        raise ValueError(
            f"{path}, line {numbers[at]}: labels must be whole numbers or words, "
            f"{layout.column(layout.label)} holds {brief(labels[at])!r}; a column that is no class "
            f"is left out with {layout.dropping(layout.label)} in place of the label"
        )
    return values
