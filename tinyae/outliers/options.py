"""The arguments of ``OutlierDetector``: one table, as ``tinyae.arguments`` has it."""

from __future__ import annotations

from typing import Any

from .. import checks
from ..arguments import FLOAT_ABOVE_0, SEED, Argument, Kind


def _check_contamination(name: str, value: Any) -> None:
    message = f"{name} must be 'auto' or a number in (0, 0.5], got {value!r}"
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(message)
        return
    checks.number(name, value, above=0)
    if value > 0.5:
        raise ValueError(message)


def _read_contamination(text: str) -> Any:
    value = text if text == "auto" else float(text)
    _check_contamination("contamination", value)
    return value


_read_contamination.__name__ = "'auto' or number in (0, 0.5]"


def _integer(least: int, most: int) -> Kind:
    return Kind(lambda name, value: checks.integer(name, value, least, most), int, "N")


MOST = 1 << 20  # members, rows, neighbours, updates

TABLE = (
    Argument("members", _integer(1, MOST), 100, "small autoencoders in the ensemble; more agree "
             "better from seed to seed"),
    Argument("rows", _integer(2, MOST), 64, "rows that each member knows, drawn at random, at most "
             "half of all: in so few there are hardly ever two outliers alike"),
    Argument("neighbours", _integer(1, MOST), 5, "nearest codes that a row's distance is measured "
             "to"),
    Argument("code", _integer(1, checks.WIDEST), None, "units of a member's code (default: three "
             "quarters of the columns)"),
    Argument("updates", _integer(0, MOST), 0, "training steps of the members; without any they are "
             "PCA of their rows, which on plain tables finds outliers as well"),
    Argument("learning_rate", FLOAT_ABOVE_0, 1e-3, "of these steps, by Adam"),
    Argument("contamination", Kind(_check_contamination, _read_contamination, "F"), "auto",
             "the share of the training rows that count as outliers, in (0, 0.5]; auto: those with "
             "a logarithmic score above the third quartile by more than 1.5 times the "
             "interquartile range, which may be none"),
    Argument("random_state", SEED, None, "seed of all choices; the same seed gives the "
             "same scores"),
)  # fmt: skip
OPTIONS = {argument.name: argument for argument in TABLE}
