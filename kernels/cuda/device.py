"""The ``cupy`` runner: the .cu files, compiled by NVRTC and launched on the GPU by CuPy.

CuPy caches the compiled modules in memory and on disk. Kernels go to CuPy's current stream and
nothing here waits for them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from ..grids import THREADS, Dim
from .source import NVRTC_OPTIONS, defines, read_source

Array = Any

AHEAD = 64  # replays that may be queued twice over
COOPERATIVE_LAUNCH = 95  # the runtime's cudaDevAttrCooperativeLaunch


@contextmanager
def current(stream: Any) -> Iterator[None]:
    """Launches in this ``with`` block go to ``stream``, and those after it where they went before.

    CuPy's own ``with stream`` does not see a stream that somebody made current by ``use()``: after
    it the default stream is current, and what is launched or read there waits for nothing.
    """
    before = cupy.cuda.get_current_stream()
    stream.use()
    try:
        yield
    finally:
        before.use()


class Replay:
    """A CUDA graph, launched on the current stream at each call.

    The host may run ahead of the GPU, by at most 2 AHEAD launches: so progress stays true and an
    interrupt is soon heard, while the GPU always has work queued.
    """

    def __init__(self, graph: Any, kept: list[Array]) -> None:
        self.graph = graph
        self._kept = kept  # scratch memory: the graph has its addresses
        self._launches = 0
        self._milestone: Any = None

    def __call__(self) -> None:
        self.graph.launch()
        self._launches += 1
        if self._launches % AHEAD == 0:
            passed, self._milestone = self._milestone, cupy.cuda.Event(disable_timing=True)
            self._milestone.record()
            if passed is not None:
                passed.synchronize()


class Branches:
    """The streams that are captured: what either waits for becomes an edge of the graph."""

    def __init__(self, main: Any, side: Any) -> None:
        self.main, self.side = main, side
        self._forked = False
        self._events: list[Any] = []  # kept while capturing

    def fork(self) -> None:
        """What the side stream gets from now on comes after what the main stream has got."""
        self._edge(self.main, self.side)
        self._forked = True

    def join(self) -> None:
        """And the other way round."""
        if self._forked:
            self._edge(self.side, self.main)
            self._forked = False

    def _edge(self, before: Any, after: Any) -> None:
        self._events.append(before.record(cupy.cuda.Event(disable_timing=True)))
        after.wait_event(self._events[-1])


class DeviceRunner:
    """Compiles and launches kernels on CuPy arrays."""

    name = "cupy"
    array_type = cupy.ndarray
    branching = True  # switched off only to measure what it gains

    def __init__(self) -> None:
        self._modules: dict[tuple[str, str], Any] = {}
        self._kernels: dict[tuple[str, str, str], Any] = {}
        self._resident: dict[tuple[int, str, str, str], int] = {}
        self._local = threading.local()

    def launch(
        self, file: str, kernel: str, dtype: str, grid: Dim, block: Dim, args: tuple[Any, ...],
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        """Sends ``kernel`` of ``file``, compiled for ``dtype``, to the current stream."""
        function = self._function(file, kernel, dtype)
        if cooperative:  # CuPy's own switch, of a module, wants a library for its grid.sync()
            function.kernel(grid, block, args, enable_cooperative_groups=True)
        else:
            function(grid, block, args)

    def cooperative(self, file: str, kernel: str, dtype: str) -> int:
        """As many blocks as the GPU holds; 0 where its driver launches none cooperatively."""
        runtime = cupy.cuda.runtime
        able = runtime.deviceGetAttribute(COOPERATIVE_LAUNCH, runtime.getDevice())
        return self.resident(file, kernel, dtype) if able else 0

    def resident(self, file: str, kernel: str, dtype: str) -> int:
        """Blocks of THREADS that the GPU has room for at once, by the kernel's registers."""
        device = cupy.cuda.runtime.getDevice()
        key = (device, file, kernel, dtype)
        if key not in self._resident:
            pointer = self._function(file, kernel, dtype).kernel.ptr
            blocks = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
                pointer, THREADS[0], 0
            )
            properties = cupy.cuda.runtime.getDeviceProperties(device)
            self._resident[key] = blocks * properties["multiProcessorCount"]
        return self._resident[key]

    @property
    def compute_capability(self) -> int:
        """Of the current device, as NVRTC writes it: 90 for 9.0."""
        return int(cupy.cuda.Device().compute_capability)

    @property
    def device_name(self) -> str:
        """The current device's, as "NVIDIA H200"."""
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
        return str(properties["name"].decode())

    def scratch(self, shape: tuple[int, ...], dtype: str, slot: int = 0) -> Array:
        """Uninitialised memory, valid until the slot is asked for again on this device."""
        buffers: dict[tuple[int, int], Array] = self._local.__dict__.setdefault("buffers", {})
        key = (cupy.cuda.runtime.getDevice(), slot)
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        if key not in buffers or buffers[key].size < wanted:
            buffers[key] = cupy.empty((wanted,), np.uint8)
        return buffers[key][:wanted].view(dtype).reshape(shape)

    def tickets(self, n: int) -> Array:
        """At least n uint32, zero before each launch: kernels leave them as they were."""
        buffers: dict[tuple[int, int], Array] = self._local.__dict__.setdefault("buffers", {})
        key = (cupy.cuda.runtime.getDevice(), -1)
        if key not in buffers or buffers[key].size < n:
            buffers[key] = cupy.zeros((max(n, 1024),), np.uint32)
        return buffers[key]

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Captures the launches that ``work`` makes in a CUDA graph; the result launches it."""
        # the default stream cannot be captured
        stream, side = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
        with current(stream):
            stream.begin_capture()
            self._local.branches = Branches(stream, side) if self.branching else None
            try:
                work()
            finally:
                self.join()  # or no capture would end, not even that of an error
                self._local.branches = None
                graph = stream.end_capture()
        return Replay(graph, list(self._local.__dict__.get("buffers", {}).values()))

    def call(self, do: Callable[[], None]) -> None:
        """``do()``: what it sends to the current stream is captured with all else."""
        do()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While recording, launches in this ``with`` block are a branch of the graph, which may run
        beside what follows it, up to ``join``."""
        branches: Branches | None = getattr(self._local, "branches", None)
        if branches is None:
            yield
            return
        branches.fork()
        with current(branches.side):
            yield

    def join(self) -> None:
        """What was launched aside comes before what follows."""
        branches: Branches | None = getattr(self._local, "branches", None)
        if branches is not None:
            branches.join()

    def _function(self, file: str, kernel: str, dtype: str) -> Any:
        key = (file, kernel, dtype)
        function = self._kernels.get(key)
        if function is None:
            function = self._kernels[key] = self._module(file, dtype).get_function(kernel)
        return function

    def _module(self, file: str, dtype: str) -> Any:
        if (file, dtype) not in self._modules:
            source = defines(dtype) + read_source(file)
            self._modules[file, dtype] = cupy.RawModule(code=source, options=NVRTC_OPTIONS)
        return self._modules[file, dtype]
