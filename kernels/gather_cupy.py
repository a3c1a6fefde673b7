"""Launches gather.cu."""

from __future__ import annotations

import numpy as np

from .conventions import DATA
from .cuda_runner import MAX_BLOCKS, THREADS, Array, Runner, ints


class GatherKernels:
    """gather on a runner. A row that does not exist becomes NaN: looking would stall a GPU."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def gather(self, data: Array, indices: Array, scale: float, out: Array) -> None:
        if data.dtype.name not in DATA:
            raise TypeError(
                f"data must have dtype {', '.join(DATA)}, got {data.dtype}: "
                "convert them with .astype(...)"
            )
        if out.size:
            (n, features), batch = data.shape, len(indices)
            args = (
                data, np.int32(DATA.index(data.dtype.name)), np.int64(n), indices,
                out.dtype.type(scale), out, *ints(batch, features),
            )  # fmt: skip
            grid = (min(batch, MAX_BLOCKS), 1, 1)
            self.runner.launch("gather.cu", "gather", out.dtype.name, grid, THREADS, args)
