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

VIEWS = 64  # kept by a thread: as many as its kernels ask for again and again


class Scratch:
    """Buffers, by slot, and views of them."""

    def __init__(self) -> None:
        self.buffers: dict[int, NDArray[np.uint8]] = {}
        self.views: dict[tuple[tuple[int, ...], DTypeLike, int], NDArray[Any]] = {}


class _Local(threading.local):
    def __init__(self) -> None:
        self.scratch = Scratch()


_local = _Local()


def exchange(scratch: Scratch) -> Scratch:
    """From now on this thread's kernels borrow from ``scratch``; returns what they borrowed from.

    Whoever may interrupt a kernel, as a signal handler does, must not write into its memory.
    """
    before, _local.scratch = _local.scratch, scratch
    return before


def borrow(shape: tuple[int, ...], dtype: DTypeLike, slot: int = 0) -> NDArray[Any]:
    """An uninitialised C-contiguous array; valid until the same slot is borrowed again."""
    scratch, key = _local.scratch, (shape, dtype, slot)
    views = scratch.views
    if (view := views.get(key)) is not None:
        return view
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = scratch.buffers.get(slot)
    if buffer is None or buffer.size < n_bytes:
        buffer = scratch.buffers[slot] = np.empty(n_bytes, np.uint8)
        views.clear()  # they would keep smaller buffers
    elif len(views) >= VIEWS:
        views.clear()
    view = views[key] = buffer[:n_bytes].view(dtype).reshape(shape)
    return view
