"""Minibatch rows by index in Numba CUDA: out[i][j] = data[indices[i]][j] * scale (see gather.cu).

A block copies whole rows.
"""

from __future__ import annotations

import math

from ..conventions import DATA
from ..grids import MAX_BLOCKS, THREADS, Array
from .target import cuda, kernel, launch


def gather(data: Array, indices: Array, scale: float, out: Array) -> None:
    """out[i] = data[indices[i]] * scale; a row that does not exist becomes NaN"""
    if data.dtype.name not in DATA:
        raise TypeError(
            f"data must have dtype {', '.join(DATA)}, got {data.dtype}: "
            "convert them with .astype(...)"
        )
    if out.size:
        grid = (min(len(indices), MAX_BLOCKS), 1, 1)
        launch(gather_kernel, grid, THREADS, data, indices, float(scale), out)


@kernel
def gather_kernel(data: Array, indices: Array, scale: float, out: Array) -> None:
    real = out.dtype.type
    batch, features = out.shape
    for i in range(cuda.blockIdx.x, batch, cuda.gridDim.x):
        index = indices[i]
        inside = 0 <= index < data.shape[0]
        for j in range(cuda.threadIdx.x, features, cuda.blockDim.x):
            out[i, j] = real(data[index, j]) * real(scale) if inside else real(math.nan)
