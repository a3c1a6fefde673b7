"""A minibatch: rows of the data by index, scaled into the net's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pieces import Kernel
from .threads import launch, threads_for

Array = NDArray[Any]

COST = 12  # of an element, in multiply-adds: it comes from far away


def gather(data: Array, indices: Array, scale: float, out: Array) -> None:
    """out[i] = data[indices[i]] * scale."""
    # a memory map is an array all the same
    launch(_gather, np.asarray(data), indices, scale, out, threads=threads_for(COST * out.size))


@Kernel
def _gather(at: Any, _: int, t: int, threads: int) -> None:
    data, indices, scale, out = at[0]
    real, batch = out.dtype.type, len(out)
    factor = real(scale)
    for i in range(batch * t // threads, batch * (t + 1) // threads):
        row, target = data[indices[i]], out[i]
        for j in range(target.size):
            target[j] = real(row[j]) * factor
