"""How many blocks and threads a CUDA kernel gets, in C and in Python alike."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
Dim = tuple[int, int, int]

THREADS: Dim = (256, 1, 1)
SELECT_THREADS: Dim = (64, 1, 1)  # of a block that selects in a row
MAX_BLOCKS = 4096  # where nobody asks the GPU: a grid-stride loop does the rest

# Of a sum that a single block ends. More would fill no GPU better and cost that block more time.
MAX_PARTS = 1024


def blocks(n: int, size: int) -> int:
    """How many blocks of ``size`` cover n."""
    return -(-n // size)


def grid_for(n: int, most: int = MAX_BLOCKS) -> Dim:
    """Blocks of THREADS that visit n elements, or work items, in a grid-stride loop."""
    return (max(1, min(blocks(n, THREADS[0]), most)), 1, 1)


def ints(*values: int) -> tuple[np.int32, ...]:
    return tuple(np.int32(value) for value in values)
