"""Codes to decode: a map of a code's plane, one unit at a time, and ways between two samples.

Plain NumPy on codes; ``Autoencoder.decode`` makes samples of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import choice, integer
from ..kernels.conventions import ACTIVATION_FACTS

Array = NDArray[Any]

TAIL = 0.01  # of the codes on either side lies outside of ``code_range``
SPACINGS = ("quantiles", "even")


def within_reach(codes: ArrayLike, activation: str) -> Array:
    """The codes, with what the code layer's activation cannot give moved to the nearest it can.

    The decoder was never trained beyond that. Clipping suits densities of such codes: where they
    reach over the edge, many codes lie on it (the zeros of relu, the saturated ends of tanh).
    """
    reach = ACTIVATION_FACTS[activation]
    return np.clip(codes, reach.low, reach.high)


def code_range(codes: ArrayLike) -> tuple[Array, Array]:
    """From where to where each unit of codes (n, k) goes, but for TAIL of them: two of (k,)."""
    low, high = np.quantile(_matrix(codes), [TAIL, 1 - TAIL], axis=0)
    return low, high


def code_grid(codes: ArrayLike, size: int, spacing: str = "quantiles") -> Array:
    """size x size codes over the range of codes (n, 2): (size^2, 2), row by row.

    Laid out as axes are: unit 1 grows to the right, unit 2 from the last row up. spacing
    "quantiles" puts equal shares of the codes between neighbouring values of a unit (as Kingma
    and Welling 2014 spread a prior's), so that no crowded region is a corner of the map; "even"
    keeps distances true. Raises ValueError for another spacing or codes that are not of two units.
    """
    integer("size", size, 1)
    z = _matrix(codes)
    if z.shape[1] != 2:
        raise ValueError(f"codes must have 2 units, to lie in a plane, got {z.shape[1]}")
    choice("spacing", spacing, SPACINGS)
    if spacing == "even":
        x, y = (_steps(low, high, size) for low, high in zip(*code_range(z), strict=True))
    else:
        x, y = np.quantile(z, _steps(TAIL, 1 - TAIL, size), axis=0).T
    return np.stack([np.tile(x, size), np.repeat(y[::-1], size)], axis=1)


def traversal(code: ArrayLike, low: ArrayLike, high: ArrayLike, steps: int) -> tuple[Array, Array]:
    """Each unit of a code (k,) in turn through its range, the others as they are.

    The values are evenly spaced from low[i] to high[i], but for the one nearest to the code's
    own: that gives way to it. Returns codes (k, steps, k) and where the code itself stands in
    each row, int64 (k,).
    """
    integer("steps", steps, 1)
    z = np.asarray(code)
    values = np.stack(
        [_steps(a, b, steps) for a, b in zip(np.asarray(low), np.asarray(high), strict=True)]
    )
    own = np.abs(values - z[:, None]).argmin(axis=1)
    units = np.arange(z.size)
    values[units, own] = z
    codes = np.tile(z, (z.size, steps, 1))
    codes[units, :, units] = values
    return codes, own


def blend(a: ArrayLike, b: ArrayLike, steps: int) -> Array:
    """Evenly from a (k,) to b (k,), both among the steps: (steps, k). Of pixels or of codes."""
    integer("steps", steps, 2)
    share = np.linspace(0, 1, steps)[:, None]
    way: Array = (1 - share) * np.asarray(a) + share * np.asarray(b)
    return way


def _steps(low: float, high: float, n: int) -> Array:
    """Evenly from low to high; a single one lies in the middle."""
    return np.linspace(low, high, n) if n > 1 else np.array([(low + high) / 2])


def _matrix(codes: ArrayLike) -> Array:
    z = np.asarray(codes)
    if z.ndim != 2 or len(z) == 0:
        raise ValueError(f"codes must have shape (n, k), n >= 1, got {z.shape}")
    return z
