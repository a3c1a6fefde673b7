"""How a source is read: what its content does not tell, or tells wrongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..checks import integer

# Called now and then with (done, all), in bytes of a table or in pictures.
Progress = Callable[[int, int], object]


def silent(done: int, total: int) -> None:
    """A ``Progress`` that says nothing."""


TABLES = frozenset(("label", "drop", "header", "index", "separator", "decimal", "encoding"))
ARROWS = frozenset(("label", "drop", "index"))
PICTURES = frozenset(("size", "skip_bad"))

_WORDS = {"tab": "\t", "\\t": "\t", "space": " "}


def _column(what: str, column: Any) -> str | int:
    if not isinstance(column, (str, int, np.integer)) or isinstance(column, bool):
        raise TypeError(f"{what} must be a column's name or index, got {column!r}")
    return column if isinstance(column, str) else int(column)


@dataclass(frozen=True)
class Reading:
    """The options of ``load_dataset``, which explains them. None: told by the data themselves.

    Raises ValueError, TypeError for values that cannot be meant.
    """

    label: str | int | None = None
    drop: Sequence[str | int] = ()
    header: bool | None = None
    index: bool | None = None
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    size: tuple[int, int] | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        single = isinstance(self.drop, (str, int, np.integer))
        drop = tuple(_column("drop", c) for c in ((self.drop,) if single else self.drop))
        separator = self.separator
        if isinstance(separator, str):
            separator = _WORDS.get(separator, separator)
        object.__setattr__(self, "drop", drop)
        object.__setattr__(self, "separator", separator)
        if self.label is not None:
            object.__setattr__(self, "label", _column("label", self.label))
        for name in ("header", "index", "skip_bad"):
            if getattr(self, name) not in (None, True, False):
                got = getattr(self, name)
                raise TypeError(f"{name} must be True or False, or None for itself, got {got!r}")
        if self.size is not None:
            if np.shape(self.size) != (2,):
                raise ValueError(f"size must be (width, height), got {self.size!r}")
            for length in self.size:
                integer("size", length, 1)
            object.__setattr__(self, "size", tuple(map(int, self.size)))
        if separator is not None and (
            not isinstance(separator, str)
            or len(separator) != 1
            or separator.isalnum()
            or separator in '"\r\n.+-'
        ):
            raise ValueError(
                "separator must be one character, neither a letter nor of a number nor a quote, "
                f"or 'tab' or 'space' (any run of blanks), got {separator!r}"
            )
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"decimal must be '.' or ',', got {self.decimal!r}")
        for name in [n for n in (self.label, *drop) if isinstance(n, str)][:1]:
            if self.header is False:
                raise ValueError(f"header=False leaves no names, but {name!r} names a column")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                raise ValueError(
                    f"encoding must be one that Python knows, such as latin-1, cp1252 or utf-16, "
                    f"got {self.encoding!r}"
                ) from None

    def expect_only(self, used: frozenset[str], what: str) -> None:
        """Raises ValueError for an option that ``what`` has no use for."""
        for option in fields(self):
            value: Any = getattr(self, option.name)
            if option.name not in used and value != option.default:
                use = "a folder of pictures" if option.name in PICTURES else "a .csv file or table"
                raise ValueError(f"{option.name}={value!r} is for {use}, but got {what}")


AS_IT_IS = Reading()
