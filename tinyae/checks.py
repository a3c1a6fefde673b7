"""Checks of single values: the error names the argument, what was expected and what came."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

WIDEST = 1 << 28  # features or units of a layer: the bytes of a few layers' weights fit into int64


def integer(name: str, value: Any, least: int, most: float = math.inf) -> None:
    """Raises TypeError for what is no integer, ValueError below ``least`` and above ``most``."""
    message = f"{name} must be an integer >= {least}, got {value!r}"
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(message)
    if value < least:
        raise ValueError(message)
    if value > most:
        raise ValueError(f"{name} must be an integer <= {most}, got {value!r}")


def number(
    name: str,
    value: Any,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    """Raises TypeError for what is no real number, ValueError out of range or for NaN."""
    bounds = [f">= {least:g}"] if least > -math.inf else []
    bounds += [f"> {above:g}"] if above > -math.inf else []
    bounds += [f"< {below:g}"] if below < math.inf else []
    bounds += [f"<= {most:g}"] if most < math.inf else []
    message = f"{name} must be a number {' and '.join(bounds)}, got {value!r}"
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(message)
    try:
        real = float(value)
    except OverflowError:  # of an integer
        real = math.nan
    if not (least <= real <= most and above < real < below):  # NaN fails as well
        raise ValueError(message)


def choice(name: str, value: Any, known: Sequence[str]) -> None:
    """Raises ValueError for what is none of ``known``."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")


def unmasked(name: str, value: Any) -> None:
    """Raises TypeError for masked arrays, whose masks NumPy's functions drop, and for np.matrix."""
    for part in (value, *value) if isinstance(value, (tuple, list)) else (value,):
        if isinstance(part, np.ma.MaskedArray):
            raise TypeError(
                f"{name} must be an array without a mask, got a masked array, which may hold "
                "anything under its mask: fill it with .filled(value)"
            )
        if isinstance(part, np.matrix):
            raise TypeError(f"{name} must be an array, got np.matrix: convert it with np.asarray")
