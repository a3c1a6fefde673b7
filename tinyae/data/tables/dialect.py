"""How a table writes its cells: told by its first lines where the options do not say."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

STRONG = ";\t|"  # seldom part of a text or of a number
# with thousands separators, or with the other decimal sign
GROUPED = re.compile(r"[-+]?(\d{1,3}([.,'\s]\d{3})+([.,]\d+)?|\d+[.,]\d+)")
_THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(,\d{3})+(\.\d*)?\s*")
BLANKS = " "  # any run of blanks and tabs
WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "'|'", BLANKS: "blanks"}
COMMA_TO_POINT = str.maketrans(",.", ".?")  # a point beside it can only be of thousands


@dataclass(frozen=True)
class Dialect:
    separator: str
    decimal: str

    def number(self, cell: str) -> float:
        """Raises ValueError for what is no number."""
        return float(cell) if self.decimal == "." else float(cell.translate(COMMA_TO_POINT))

    def is_number(self, cell: str) -> bool:
        try:
            self.number(cell)
        except ValueError:
            return False
        return True

    def cells(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """(line number, cells) of every line that is not blank; raises csv.Error."""
        # a blank line is no cell, but "" is one, which is missing
        lines = ("\n" if line.isspace() else line for line in lines)
        if self.separator == BLANKS:
            lines = (line.rstrip().replace("\t", " ") for line in lines)
        reader = csv.reader(lines, delimiter=self.separator, skipinitialspace=True)
        return ((reader.line_num, cells) for cells in reader if cells)


def tell_dialect(head: list[str], separator: str | None, decimal: str | None) -> Dialect:
    """The dialect of these first lines of a table, where it is not given.

    A semicolon, tab or bar that divides all lines alike is the separator, else what leaves most
    numbers. A comma is the decimal sign where it makes more cells numbers than a point does.
    """
    if separator is None:
        quoted = any('"' in line for line in head)  # there a comma may be both
        known = [s for s in WORDS if s != decimal or quoted]
        separator = max(known, key=lambda s: _fit(head, s, decimal))
    if decimal is None:
        rows = rows_of(head, separator)
        if separator == ",":  # in quotes it is a decimal sign, or parts thousands
            inside = [cell for row in rows[1:] for cell in row if "," in cell]
            rows = [] if all(map(_THOUSANDS.fullmatch, inside)) else rows
        decimal = max(".,", key=lambda sign: _numbers(rows, Dialect(separator, sign)))
    return Dialect(separator, decimal)


def _fit(head: list[str], separator: str, decimal: str | None) -> tuple[bool, float, int]:
    rows = rows_of(head, separator)
    width, alike = max(Counter(map(len, rows)).items(), key=lambda item: item[1], default=(1, 0))
    if width == 1:
        alike = 0
    signs = decimal or ("." if separator == "," else ".,")
    share = max(_numbers(rows, Dialect(separator, sign)) for sign in signs)
    if separator == BLANKS and share < 0.5 and any("," in cell for row in rows for cell in row):
        share = -1.0  # the blanks are parts of a text
    return separator in STRONG and alike == len(rows) > 0, share, alike


def rows_of(head: list[str], separator: str) -> list[list[str]]:
    """The cells of each line that is not blank, up to one that cannot be read."""
    rows: list[list[str]] = []
    with suppress(csv.Error):  # told when the line is read
        rows.extend(cells for _, cells in Dialect(separator, ".").cells(head))
    return rows


def _numbers(rows: list[list[str]], dialect: Dialect) -> float:
    """The share of numbers among the cells that are not empty, without a header.

    "7," is none, but a cell and a comma.
    """
    cells = [cell for row in rows[1:9] or rows for cell in row if cell.strip()]
    return sum(dialect.is_number(c) and c[-1] != "," for c in cells) / max(len(cells), 1)
