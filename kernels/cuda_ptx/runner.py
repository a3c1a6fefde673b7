"""The ``cuda-ptx`` runner: the .cu files, compiled to PTX by NVRTC and executed with NumPy.

For tests and learners: every access is checked, and a launch takes seconds where a GPU takes
microseconds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..cuda.source import NVRTC_OPTIONS, defines, read_source
from ..grids import Dim
from ..recording import Recording
from .counts import Counts
from .machine import GLOBAL_BASE, Machine
from .memory import GAP, WRITTEN, Space
from .nvrtc import compile_ptx, compiler
from .parse import Kernel, parse

Array = Any


class PtxRunner(Recording):
    """Compiles for a compute capability, 90 for 9.0, and launches on NumPy arrays.

    order: of the warps between two barriers, see ``machine.Machine``. Raises NvrtcMissing.
    """

    name = "cuda-ptx"
    array_type = np.ndarray

    def __init__(self, capability: int = 90, order: str | int | None = None) -> None:
        super().__init__()
        compiler()
        self.capability, self.order = capability, order
        self.limit = 10_000_000  # instructions of a launch
        self.counts: dict[str, Counts] | None = None  # {}: to gather them here, by kernel
        self.kernels: dict[tuple[str, str], dict[str, Kernel]] = {}

    def run(
        self, file: str, kernel: str, dtype: str, grid: Dim, block: Dim, args: tuple[Any, ...],
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        """Raises PtxError with the kernel, the line of its PTX, block and thread for the first
        wrong access."""
        entry = self.ptx(file, dtype)[kernel]
        roots = {id(root): root for root in (_root(a) for a in args if isinstance(a, np.ndarray))}
        room = sum(root.nbytes + 3 * GAP for root in roots.values())
        room += sum(v.size + 3 * GAP for v in entry.variables.values())
        memory = Space("global", 1, room + 2 * GAP, GLOBAL_BASE)
        places = {key: memory.allocate(root.nbytes, GAP) for key, root in roots.items()}
        unwritten = self._local.__dict__.setdefault("unwritten", {})
        for key, root in roots.items():
            data, state = memory.bytes_at(places[key], root.nbytes)
            data[:] = _bytes(root)
            state[:] = unwritten.get(key, WRITTEN)
        values = [_raw(arg, places) for arg in args]
        counts = None if self.counts is None else self.counts.setdefault(kernel, Counts())
        Machine(
            entry, grid, block, memory, values, self.order, limit=self.limit, counts=counts
        ).run()
        for key, root in roots.items():
            data, state = memory.bytes_at(places[key], root.nbytes)
            if root.flags.writeable:
                _bytes(root)[:] = data
            if key in unwritten:
                unwritten[key][:] = state

    def ptx(self, file: str, dtype: str) -> dict[str, Kernel]:
        """The file's kernels; a test may change them."""
        if (file, dtype) not in self.kernels:
            options = (*NVRTC_OPTIONS, "-ftz=true", f"-arch=compute_{self.capability}")
            text = compile_ptx(defines(dtype) + read_source(file), file, options)
            self.kernels[file, dtype] = parse(text)
        return self.kernels[file, dtype]

    def scratch(self, shape: tuple[int, ...], dtype: str, slot: int = 0) -> Array:
        """Memory that must be written before it is read, until the slot is asked for again."""
        buffers: dict[int, Array] = self._local.__dict__.setdefault("buffers", {})
        unwritten = self._local.__dict__.setdefault("unwritten", {})
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if slot not in buffers or buffers[slot].size < size:
            if slot in buffers:
                del unwritten[id(buffers[slot])]
            buffers[slot] = np.empty(size, np.uint8)
        unwritten[id(buffers[slot])] = np.ones(buffers[slot].size, np.uint8)  # memory.EMPTY
        return buffers[slot][:size].view(dtype).reshape(shape)


def _root(array: Array) -> Array:
    """The array that owns the memory, or the outermost view that is an array."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _bytes(root: Array) -> Array:
    if not root.flags.c_contiguous:
        raise ValueError("kernel arguments must be views of C-contiguous arrays")
    return root.reshape(-1).view(np.uint8)


def _raw(arg: Any, places: dict[int, int]) -> bytes:
    """The argument's bytes; an array's are its address on the machine."""
    if isinstance(arg, np.ndarray):
        root = _root(arg)
        offset = arg.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return np.uint64(places[id(root)] + offset).tobytes()
    if not isinstance(arg, np.generic):
        raise TypeError(f"kernel arguments are arrays and NumPy scalars, got {type(arg).__name__}")
    return arg.tobytes()
