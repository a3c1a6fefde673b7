"""A minibatch: rows of the data by index, scaled into the net's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .numba_compile import jit
from .threads_numba import launch, threads_for

Array = NDArray[Any]

COST = 4  # of an element, in multiply-adds


def gather(data: Array, indices: Array, scale: float, out: Array) -> None:
    """out[i] = data[indices[i]] * scale.

    data (n, features) of any real dtype, uint8 pictures and memory maps included;
    indices (batch,) int64 in [0, n); out (batch, features) float32 or float64.
    """
    # a memory map is an array of a type that Numba does not know
    rows, threads = np.asarray(data), threads_for(COST * out.size)
    launch(_gather, rows, indices, scale, out, threads=threads)


@jit(parallel=True)
def _gather(data: Array, indices: Array, scale: float, out: Array, threads: int) -> None:
    batch, n_features = out.shape
    real = out.dtype.type
    factor = real(scale)
    for t in prange(threads):
        for i in range(batch * t // threads, batch * (t + 1) // threads):
            row, target = data[indices[i]], out[i]
            for j in range(n_features):
                target[j] = real(row[j]) * factor
