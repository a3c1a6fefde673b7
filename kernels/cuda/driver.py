"""Asks the NVIDIA driver whether there is a GPU: through ctypes, so that no library is needed."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


@cache
def missing_gpu() -> str:
    """Why no GPU can be used, "" if one can."""
    try:
        driver: Any = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver on this machine"
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the NVIDIA driver finds no GPU"
    return ""
