"""Compiled pieces that call each other by address, so that each is compiled once, by itself.

Numba copies what a function calls into each caller, and compiles it there again: seconds. Here a
function is ``linked`` or, where there is one for each of some numbers, chosen when a program runs
(an activation, a loss, an optimiser), one of ``variants``: of these only those are compiled that
are used. ``link`` compiles for arguments of some types, or loads from disk.

A ``kernel`` is what a number of threads do together. It finds its arguments in memory, so that one
compiled loop (``run``) starts them all, whatever their types: each parallel loop takes Numba half a
second.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from llvmlite.binding import add_symbol
from numba import prange, typeof, types
from numba.core import cgutils
from numba.np import numpy_support
from numpy.typing import NDArray

from .compiling import digest, intrinsic, jit

Array = NDArray[Any]

_NOTHING = ctypes.c_char * 0
_REAL = struct.Struct("d")
KEPT = 64  # jobs that a kernel remembers: 2 KiB each


def linked(function: Callable[..., None]) -> tuple[Any, Any]:
    """(call, link): link(*arguments) must have been called before compiled code that calls
    call(*arguments) is compiled or loaded."""
    link = _Link(function)
    first = inspect.Parameter("_", inspect.Parameter.POSITIONAL_OR_KEYWORD)

    def call(_: Any, *kinds: Any) -> Any:
        plain = tuple(map(_plain, kinds))

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = context.call_conv.get_function_type(types.none, plain)
            there = cgutils.get_or_insert_function(builder.module, kind, link.symbol(plain))
            return _call(context, builder, there, plain, arguments)

        return types.none(*_passed(kinds, plain)), generate

    call.__signature__ = _signature(function, first)  # type: ignore[attr-defined]
    return intrinsic(call), link


def variants(make: Callable[[int], Callable[..., None]]) -> tuple[Any, Any]:
    """(call, link) of the functions make(number): address = link(number, *arguments), and in
    compiled code call(address, *arguments)."""
    link_of = functools.cache(lambda number: _Link(make(number)))

    def link(number: int, *arguments: Any) -> int:
        return link_of(number)(*arguments)

    def call(_: Any, address: Any, *kinds: Any) -> Any:
        plain = tuple(map(_plain, kinds))

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            there = _at(context, builder, arguments[0], plain)
            return _call(context, builder, there, plain, arguments[1:])

        return types.none(types.intp, *_passed(kinds, plain)), generate

    names = (inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("_", "at"))
    call.__signature__ = _signature(make(0), *names)  # type: ignore[attr-defined]
    return intrinsic(call), link


class _Link:
    """The addresses of a function's compiled code, by types of arguments."""

    def __init__(self, function: Callable[..., None]) -> None:
        self._function = function
        self._compiled: Any = jit(from_python=False)(function)
        self._addresses: dict[tuple[Any, ...], int] = {}

    def __call__(self, *arguments: Any) -> int:
        return self.of(tuple(_plain(typeof(argument)) for argument in arguments))

    def of(self, kinds: tuple[Any, ...]) -> int:
        if kinds not in self._addresses:
            self._compiled.compile(kinds)
            made = self._compiled.overloads[kinds]
            address = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
            add_symbol(self.symbol(kinds), address)
            self._addresses[kinds] = address
        return self._addresses[kinds]

    def symbol(self, kinds: tuple[Any, ...]) -> str:
        name = f"{self._function.__module__}.{self._function.__qualname__}"
        return f"tinyae_{self._function.__name__}_{digest(repr((name, kinds))).hex()}"


def _signature(function: Callable[..., None], *first: inspect.Parameter) -> inspect.Signature:
    own = inspect.signature(function)
    return own.replace(parameters=[*first, *own.parameters.values()])


def _plain(kind: Any) -> Any:
    """The type that stands for all that are passed alike."""
    if isinstance(kind, types.Array):
        return types.Array(kind.dtype, kind.ndim, "C")
    if isinstance(kind, types.Boolean):
        return types.boolean
    return types.float64 if isinstance(kind, types.Float) else types.intp


def _passed(kinds: Iterable[Any], plain: Iterable[Any]) -> Iterable[Any]:
    """A read-only array is passed as any other."""
    return (k if isinstance(k, types.Array) else p for k, p in zip(kinds, plain, strict=True))


def _at(context: Any, builder: Any, address: Any, kinds: tuple[Any, ...]) -> Any:
    """The function of no result that lies at an address."""
    kind = context.call_conv.get_function_type(types.none, kinds)
    return builder.inttoptr(address, kind.as_pointer())


def _call(context: Any, builder: Any, there: Any, kinds: tuple[Any, ...], arguments: Any) -> Any:
    context.call_conv.call_function(builder, there, types.none, kinds, arguments)
    return context.get_dummy_value()


class Job:
    """Arguments of kernels in memory, as compiled code reads a tuple, or a named one, of them.

    Integers are int64 there, real numbers float64. The arrays must live while the job is used.
    """

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        keys = tuple(map(_key, arguments))
        self.kind, form = _form(keys, type(arguments) if hasattr(arguments, "_fields") else None)
        self._memory = np.empty(form.size // 8, np.int64)
        self._first: struct.Struct | None = None
        self.address = _place(self._memory)
        form.pack_into(self._memory.data, 0, *_words(arguments))

    def change(self, first: tuple[Any, ...]) -> None:
        """Other values of the first arguments, of the same types."""
        if self._first is None:
            _, self._first = _form(tuple(map(_key, first)), None)
        self._first.pack_into(self._memory.data, 0, *_words(first))


def _key(argument: Any) -> Any:
    """What of an argument decides on its type."""
    if isinstance(argument, np.ndarray):
        flags = argument.flags
        return argument.dtype, argument.ndim, flags.c_contiguous and flags.aligned
    return float if isinstance(argument, float) else int


@functools.cache
def _form(keys: tuple[Any, ...], named: Any) -> tuple[Any, struct.Struct]:
    """(pointer to the tuple, its layout)"""
    kinds, words = [], ""
    for key in keys:
        if isinstance(key, tuple):
            dtype, ndim, plain = key
            number = numpy_support.from_dtype(dtype)
            kinds.append(types.Array(number, ndim, "C" if plain else "A", aligned=plain))
            words += "q" * (5 + 2 * ndim)
        else:
            kinds.append(types.float64 if key is float else types.intp)
            words += "d" if key is float else "q"
    kind = types.NamedTuple(kinds, named) if named else types.Tuple(kinds)
    return types.CPointer(kind), struct.Struct(words)


def _words(arguments: tuple[Any, ...]) -> list[Any]:
    words: list[Any] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            # what keeps it alive (nothing, twice), size, bytes of a number, place, shape, strides
            words += 0, 0, argument.size, argument.itemsize, _place(argument)
            words += argument.shape + argument.strides
        else:
            words.append(argument)
    return words


def _place(array: Array) -> int:
    try:
        # takes a fifth of the time
        return ctypes.addressof(_NOTHING.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only, or not contiguous
        place: int = array.__array_interface__["data"][0]
        return place


class Kernel:
    """function(at, i, t, threads): thread t's part of turn i; its arguments are those of a Job, the
    tuple at[0]."""

    def __init__(self, function: Callable[..., None]) -> None:
        self._link = _Link(function)
        self._alone: dict[tuple[Any, ...], tuple[Array, Job]] = {}

    def address(self, job: Job) -> int:
        return self._link.of((job.kind, types.intp, types.intp, types.intp))

    def alone(self, arguments: tuple[Any, ...]) -> tuple[Array, Job]:
        """(turns, job) of this kernel by itself, for ``run``. They are kept: training has the same
        arrays at every step, and to look at them takes a fifth of the time."""
        key = tuple(map(_identity, arguments))
        known = self._alone.get(key)
        if known is None:
            job = Job(arguments)
            known = np.array([[self.address(job), 0]]), job
            if len(self._alone) >= KEPT:
                self._alone.clear()
            self._alone[key] = known
        return known


def _identity(argument: Any) -> Any:
    """Equal where the words and the types are."""
    if isinstance(argument, np.ndarray):
        return _place(argument), argument.dtype, argument.shape, argument.strides
    return _REAL.pack(argument) if isinstance(argument, float) else argument  # 0 is not -0


@jit()
def run_alone(turns: Array, job: int) -> None:
    """``run`` on one thread, without the pool of threads."""
    for k in range(len(turns)):
        _start(turns[k, 0], job, turns[k, 1], 0, 1)


@jit(parallel=True)
def run(turns: Array, job: int, threads: int) -> None:
    """Kernels one after the other, each on all threads: turns (n, 2) are addresses, and i."""
    for k in range(len(turns)):
        for t in prange(threads):
            _start(turns[k, 0], job, turns[k, 1], t, threads)


@intrinsic
def _start(_: Any, address: Any, job: Any, i: Any, t: Any, threads: Any) -> Any:
    kinds = (types.voidptr, types.intp, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, job, *numbers = arguments
        job = builder.inttoptr(job, context.get_value_type(types.voidptr))
        there = _at(context, builder, address, kinds)
        return _call(context, builder, there, kinds, [job, *numbers])

    return types.none(*[types.intp] * 5), generate
