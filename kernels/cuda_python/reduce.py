"""Sums over a block, always in the same order: two runs give the same bits (see reduce.cuh)."""

from __future__ import annotations

from typing import Any

from ..grids import Array
from .target import cuda, device

REDUCE_THREADS = 256


@device
def block_sum(value: Any, t: int, shared: Array) -> Any:
    """The sum of all threads' values, in thread t = 0; shared (REDUCE_THREADS,) float64."""
    shared[t] = value
    cuda.syncthreads()
    half = REDUCE_THREADS // 2
    while half > 0:
        if t < half:
            shared[t] += shared[t + half]
        cuda.syncthreads()
        half //= 2
    return shared[0]


@device
def sum_parts(parts: Array, t: int, shared: Array) -> Any:
    """The sum of parts, in thread 0: the second stage, run by a single block."""
    total = 0.0
    for i in range(t, parts.size, REDUCE_THREADS):
        total += parts[i]
    return block_sum(total, t, shared)
