"""Missing values: NaN becomes a number of its column's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scratch import borrow

Array = NDArray[Any]


def fill(x: Array, values: Array, out: Array) -> None:
    """out[i, j] = x[i, j], or values[j] where that is NaN; out may be x itself."""
    missing = np.isnan(x, out=borrow(x.shape, np.bool_))
    if out is not x:
        np.copyto(out, x)
    np.copyto(out, values, where=missing)
