"""Scratch memory for kernels that need a temporary array but may not allocate.

A kernel borrows a buffer by slot; the buffer is made (or grown) at the first
use and reused by every later kernel of the same thread. What a kernel leaves in
it means nothing to the next one.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_local = threading.local()


def borrow(shape: tuple[int, ...], dtype: DTypeLike, slot: int = 0) -> NDArray[Any]:
    """An uninitialised C-contiguous array; valid until the same slot is borrowed again."""
    buffers: dict[int, NDArray[np.uint8]] = _local.__dict__.setdefault("buffers", {})
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = buffers.get(slot)
    if buffer is None or buffer.size < n_bytes:
        buffer = buffers[slot] = np.empty(n_bytes, np.uint8)
    return buffer[:n_bytes].view(dtype).reshape(shape)
