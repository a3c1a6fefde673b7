"""A minibatch: rows of the data by index, scaled into the net's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiling import jit
from .pieces import Kernel
from .threads import GRAIN, launch, threads_for

Array = NDArray[Any]

COST = 12  # of an element, in multiply-adds: it comes from far away


def gather(data: Array, indices: Array, scale: float, out: Array) -> None:
    """out[i] = data[indices[i]] * scale."""
    rows = np.asarray(data)  # a memory map is an array of a type that Numba does not know
    work = COST * out.size
    if work < 2 * GRAIN:  # without a word to the threads: that takes as long as 32 rows
        _rows(rows, indices, scale, out, 0, len(indices))
    else:
        launch(_gather, rows, indices, scale, out, threads=threads_for(work))


@Kernel
def _gather(at: Any, _: int, t: int, threads: int) -> None:
    data, indices, scale, out = at[0]
    batch = len(out)
    _rows(data, indices, scale, out, batch * t // threads, batch * (t + 1) // threads)


@jit()
def _rows(data: Array, indices: Array, scale: float, out: Array, first: int, last: int) -> None:
    real = out.dtype.type
    factor = real(scale)
    if out.shape[1] == 1:  # a third of the time
        for i in range(first, last):
            out[i, 0] = real(data[indices[i], 0]) * factor
        return
    for i in range(first, last):
        row, target = data[indices[i]], out[i]
        for j in range(target.size):
            target[j] = real(row[j]) * factor
