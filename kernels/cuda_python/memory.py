"""Memory of the ``numba-cuda`` column: the current GPU's, allocated by Numba."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .target import SIMULATED, adopted, cuda

Array = Any
HostArray = NDArray[Any]

_local = threading.local()


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    return cuda.device_array(shape, dtype)


def to_device(host: HostArray) -> Array:
    return cuda.to_device(np.array(host, order="C"))


def to_host(array: Array) -> HostArray:
    """Waits for the default stream."""
    host: HostArray = adopted(array).copy_to_host()
    return host


def write(host: HostArray, out: Array) -> None:
    """The driver has read ``host`` when this returns."""
    if out.size:
        adopted(out).copy_to_device(np.asarray(host, order="C"))


def synchronize() -> None:
    cuda.synchronize()


def scratch(shape: tuple[int, ...], dtype: str, slot: int = 0) -> Array:
    """Uninitialised memory, valid until the slot is asked for again on this GPU and thread.

    It is allocated only to grow. Views are kept, as they take Numba longer than a launch.
    """
    slots = _local.__dict__.setdefault("slots", {})
    views = slots.setdefault((_current_gpu(), slot), {})
    if (shape, dtype) not in views:
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        if "buffer" not in views or views["buffer"].size < wanted:
            views.clear()
            views["buffer"] = cuda.device_array((wanted,), "uint8")
        views[shape, dtype] = views["buffer"][:wanted].view(dtype).reshape(shape)
    return views[shape, dtype]


def _current_gpu() -> int:
    return 0 if SIMULATED else cuda.current_context().device.id
