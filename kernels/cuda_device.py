"""The ``cupy`` runner: the .cu files, compiled by NVRTC and launched on the GPU by CuPy.

CuPy caches the compiled modules in memory and on disk. Kernels go to CuPy's current stream and
nothing here waits for them.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import cupy
import numpy as np

from .cuda_source import NVRTC_OPTIONS, defines, read_source

Array = Any


class DeviceRunner:
    """Compiles and launches kernels on CuPy arrays."""

    name = "cupy"
    array_type = cupy.ndarray

    def __init__(self) -> None:
        self._modules: dict[tuple[str, str], Any] = {}
        self._kernels: dict[tuple[str, str, str], Any] = {}
        self._local = threading.local()

    def launch(
        self, file: str, kernel: str, dtype: str, grid: tuple[int, int, int],
        block: tuple[int, int, int], args: tuple[Any, ...],
    ) -> None:  # fmt: skip
        """Sends ``kernel`` of ``file``, compiled for ``dtype``, to the current stream."""
        key = (file, kernel, dtype)
        function = self._kernels.get(key)
        if function is None:
            function = self._kernels[key] = self._module(file, dtype).get_function(kernel)
        function(grid, block, args)

    def scratch(self, shape: tuple[int, ...], dtype: str, slot: int = 0) -> Array:
        """Uninitialised memory, valid until the slot is asked for again on this device."""
        buffers: dict[tuple[int, int], Array] = self._local.__dict__.setdefault("buffers", {})
        key = (cupy.cuda.runtime.getDevice(), slot)
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        if key not in buffers or buffers[key].size < wanted:
            buffers[key] = cupy.empty((wanted,), np.uint8)
        return buffers[key][:wanted].view(dtype).reshape(shape)

    def _module(self, file: str, dtype: str) -> Any:
        if (file, dtype) not in self._modules:
            source = defines(dtype) + read_source(file)
            self._modules[file, dtype] = cupy.RawModule(code=source, options=NVRTC_OPTIONS)
        return self._modules[file, dtype]
