"""Missing values: NaN becomes a number of its column's own."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from .pieces import Kernel
from .threads import launch, threads_for

Array = NDArray[Any]

COST = 4  # of an element, in multiply-adds


def fill(x: Array, values: Array, out: Array) -> None:
    """out[i, j] = x[i, j], or values[j] where that is NaN; out may be x itself."""
    launch(_fill, x, values, out, threads=threads_for(COST * x.size))


@Kernel
def _fill(at: Any, _: int, t: int, threads: int) -> None:
    x, values, out = at[0]
    batch = len(x)
    for i in range(batch * t // threads, batch * (t + 1) // threads):
        row, filled = x[i], out[i]
        for j in range(values.size):
            filled[j] = values[j] if math.isnan(row[j]) else row[j]
