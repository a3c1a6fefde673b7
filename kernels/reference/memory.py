"""Memory of the NumPy column: its device is the host, its arrays are NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    return np.empty(shape, dtype)


def to_device(host: Array) -> Array:
    return np.array(host, order="C")


def to_host(array: Array) -> Array:
    return array.copy()


def write(host: Array, out: Array) -> None:
    np.copyto(out, host)


def synchronize() -> None:
    """NumPy's operations have ended when they return."""
