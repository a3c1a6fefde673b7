"""Memory of the ``cupy`` column: the current GPU's."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

Array = Any
HostArray = NDArray[Any]


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    return cupy.empty(shape, dtype)


def to_device(host: HostArray) -> Array:
    return cupy.array(host, order="C")


def to_host(array: Array) -> HostArray:
    """Waits for the current stream."""
    host: HostArray = cupy.asnumpy(array)
    return host


def write(host: HostArray, out: Array) -> None:
    """Queued on the current stream; the driver has read ``host`` when this returns."""
    out.set(np.asarray(host, order="C"))  # ascontiguousarray gives shape () an axis


def synchronize() -> None:
    cupy.cuda.get_current_stream().synchronize()
