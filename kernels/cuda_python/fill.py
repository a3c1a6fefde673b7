"""Missing values in Numba CUDA: NaN becomes a number of its column's own (see fill.cu)."""

from __future__ import annotations

import math

from ..grids import Array
from .activation import WARPS, grid_of_rows
from .target import cuda, kernel, launch


def fill(x: Array, values: Array, out: Array) -> None:
    """out[i, j] = x[i, j], or values[j] where that is NaN; out may be x"""
    if x.size:
        launch(fill_kernel, grid_of_rows(len(x)), WARPS, x, values, out)


@kernel
def fill_kernel(x: Array, values: Array, out: Array) -> None:
    rows, columns = x.shape
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
            x_ij = x[i, j]
            out[i, j] = values[j] if math.isnan(x_ij) else x_ij
