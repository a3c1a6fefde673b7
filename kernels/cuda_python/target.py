"""Numba's CUDA target, imported in one place: NVIDIA's package numba-cuda, or its simulator.

``kernel`` and ``device`` compile at the first launch, for the types of the arguments. In Numba's
simulator (NUMBA_ENABLE_CUDASIM=1: every CUDA thread is a Python thread, slow, but print and pdb
work in a kernel) the decorated functions are run as they are.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba_cuda  # noqa: F401  NVIDIA's package, which takes the place of numba.cuda
from numba import cuda as cuda  # noqa: PLC0414  for mypy: others take it from here
from numba.core import config

from ..grids import THREADS, Dim

F = TypeVar("F", bound=Callable[..., Any])

SIMULATED = bool(config.ENABLE_CUDASIM)


def kernel(function: F) -> F:
    """What the host launches, with at most THREADS threads in a block unless ``bounded`` says."""
    return bounded(math.prod(THREADS))(function)


def bounded(threads: int) -> Callable[[F], F]:
    """A kernel for blocks of so many threads: the compiler may give each its share of registers."""
    options = {} if SIMULATED else {"launch_bounds": threads}

    def compile_at_first_launch(function: F) -> F:
        compiled: F = cuda.jit(**options)(function)
        return compiled

    return compile_at_first_launch


def device(function: F) -> F:
    """A function that becomes part of the kernels that call it."""
    if SIMULATED and "cuda" not in function.__code__.co_names:
        return function  # the simulator has nothing to put in the place of ``cuda``: much faster
    options = {} if SIMULATED else {"forceinline": True}
    compiled: F = cuda.jit(device=True, **options)(function)
    return compiled


def unrolled(body: Any, n: int) -> Any:
    """A device function that calls body(0, ...) to body(n - 1, ...), each with a constant.

    Numba has no pragma to unroll a loop, and the compiler unrolls only short ones; but a thread's
    array lies in registers only where each index into it is a constant.
    """
    if SIMULATED:

        @device
        def loop(*args: Any) -> None:
            for i in range(n):
                body(i, *args)

        return loop
    last = n - 1
    if n == 1:

        @device
        def calls(*args: Any) -> None:
            body(last, *args)

    else:
        before = unrolled(body, last)

        @device
        def calls(*args: Any) -> None:
            before(*args)
            body(last, *args)

    return calls


# threadIdx.x, blockIdx.x, blockIdx.y
#
# In Python a negative index counts from the end, so Numba tests the sign of each, at several
# instructions per access, unless the compiler can tell. The masks tell it; they change no value.
# The simulator's threads are asked themselves: its own way takes a lock that all of them want.

if SIMULATED:

    def thread() -> Any:
        return threading.current_thread().threadIdx.x  # type: ignore[attr-defined]

    def block_x() -> Any:
        return threading.current_thread().blockIdx.x  # type: ignore[attr-defined]

    def block_y() -> Any:
        return threading.current_thread().blockIdx.y  # type: ignore[attr-defined]

else:

    @device
    def thread() -> Any:
        return cuda.threadIdx.x & 1023

    @device
    def block_x() -> Any:
        return cuda.blockIdx.x & 0x7FFFFFFF

    @device
    def block_y() -> Any:
        return cuda.blockIdx.y & 0xFFFF


class _OnTheGpu(type):
    def __instancecheck__(cls, value: Any) -> bool:
        kind = type(value)
        return hasattr(kind, "__cuda_ndarray__") or hasattr(kind, "__cuda_array_interface__")


class CudaArray(metaclass=_OnTheGpu):
    """What the column takes for an array: Numba's own, and any with a ``__cuda_array_interface__``,
    such as CuPy's."""


def adopted(value: Any) -> Any:
    """An array of somebody else as one of Numba's, not copied; anything else as it is."""
    # Numba's own first: to ask it for its interface is to have that made, at each launch
    if hasattr(value, "__cuda_ndarray__") or not hasattr(value, "__cuda_array_interface__"):
        return value
    return cuda.as_cuda_array(value, sync=False)


_configured: dict[tuple[Any, Dim, Dim], Callable[..., None]] = {}


def launch(kernel: Any, grid: Dim, block: Dim, *args: Any) -> None:
    """Sends the kernel to the default stream; nothing here waits for it.

    args: few, as each takes time: arrays, which bring their shapes along, and Python numbers.
    """
    ready = _configured.get((kernel, grid, block))
    if ready is None:
        with warnings.catch_warnings():  # Numba warns of grids that do not fill a GPU
            warnings.simplefilter("ignore")
            ready = kernel[grid, block]
        if not SIMULATED:  # there the configured kernel is the kernel
            _configured[kernel, grid, block] = ready
    ready(*map(adopted, args))


# ---- what Python's math lacks


def _calling_one(function: Any) -> Any:
    return lambda x: function(x)  # noqa: PLW0108


def _calling_two(function: Any) -> Any:
    return lambda a, b: function(a, b)  # noqa: PLW0108


def mul_rn(a: Any, b: Any) -> Any:
    """a * b, rounded: never the first half of a fused multiply-add"""
    return a * b


def sincospi(x: Any) -> Any:
    """sin(pi x), cos(pi x)"""
    return math.sin(math.pi * x), math.cos(math.pi * x)


if not SIMULATED:  # there the functions above are called, here CUDA's of the argument's type
    from numba.cuda import libdevice, types
    from numba.cuda.extending import overload

    # all lambdas: Numba compares the signatures, annotations included
    products = _calling_two(libdevice.fmul_rn), _calling_two(libdevice.dmul_rn)
    angles = _calling_one(libdevice.sincospif), _calling_one(libdevice.sincospi)
    overload(mul_rn)(lambda a, b: products[a != types.float32])
    overload(sincospi)(lambda x: angles[x != types.float32])
