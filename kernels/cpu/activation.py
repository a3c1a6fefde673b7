"""Activations and their derivatives: one pass over the data, every loop vectorised. The k greatest
of a row.

Comparisons are written so that NaN passes through them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import cgutils
from numpy.typing import NDArray

from ..conventions import ACTIVATIONS, GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from ..scratch import borrow
from .compiling import intrinsic, jit
from .math import exp, expm1, log1p, sigmoid, tanh
from .pieces import Kernel, variants
from .threads import launch, threads_for

Array = NDArray[Any]

IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS, SILU, GELU = range(len(ACTIVATIONS))
COST = 16  # of an element, in multiply-adds
CHUNK = 1024  # numbers that are copied at a time


def activation_forward(x: Array, activation: str, y: Array) -> None:
    """y = act(x), elementwise; y may be x itself."""
    act, threads = forward_at(activation, x.dtype), threads_for(COST * x.size)
    launch(_forward, act, x.reshape(-1), y.reshape(-1), threads=threads)


def activation_backward(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act'(saved), elementwise; dx may be dy itself."""
    act, threads = backward_at(activation, dy.dtype), threads_for(COST * dy.size)
    launch(_backward, act, dy.reshape(-1), saved.reshape(-1), dx.reshape(-1), threads=threads)


def activation_curvature(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act''(saved), elementwise; dx may be dy itself."""
    numbers, threads = np.empty(0, dy.dtype), threads_for(COST * dy.size)
    bend = _link_curvature(ACTIVATIONS.index(activation), numbers, numbers, numbers)
    launch(_backward, bend, dy.reshape(-1), saved.reshape(-1), dx.reshape(-1), threads=threads)


@Kernel
def _forward(at: Any, _: int, t: int, threads: int) -> None:
    act, x, y = at[0]
    part = slice(x.size * t // threads, x.size * (t + 1) // threads)
    forward(act, x[part], y[part])


@Kernel
def _backward(at: Any, _: int, t: int, threads: int) -> None:
    act, dy, saved, dx = at[0]
    part = slice(dy.size * t // threads, dy.size * (t + 1) // threads)
    backward(act, dy[part], saved[part], dx[part])


@jit(from_python=False)
def forward(act: int, x: Array, y: Array) -> None:
    """y = act(x) on one thread, all of one dimension; y may be x itself."""
    for start in range(0, x.size, CHUNK):
        part = slice(start, min(start + CHUNK, x.size))
        _forward_apart(act, _copied(x[part]), y[part])


@jit(from_python=False)
def backward(act: int, dy: Array, saved: Array, dx: Array) -> None:
    """dx = dy act'(saved) on one thread, all of one dimension; dx may be dy itself."""
    for start in range(0, dy.size, CHUNK):
        part = slice(start, min(start + CHUNK, dy.size))
        _backward_apart(act, _copied(dy[part]), saved[part], dx[part])


@intrinsic
def _copied(_: Any, x: Any) -> Any:
    """Up to CHUNK numbers, where no other array is. A loop from one array to another asks first
    whether they overlap: where they are the same array it is one that is not vectorised."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(x)(context, builder, arguments[0])
        here = cgutils.alloca_once(builder, context.get_value_type(x.dtype), size=CHUNK)
        cgutils.raw_memcpy(builder, here, array.data, array.nitems, array.itemsize)
        array.data, array.meminfo = here, cgutils.get_null_value(array.meminfo.type)
        return array._getvalue()

    return x(x), generate


def _forward_of(code: int) -> Callable[..., None]:
    def forward(x: Array, y: Array) -> None:
        """y = act(x) of arrays that do not overlap."""
        real = x.dtype.type
        zero, one, half, leaky = real(0), real(1), real(0.5), real(LEAKY_SLOPE)
        scale, cubic = real(GELU_SCALE), real(GELU_CUBIC)
        n = x.size
        if code == IDENTITY:
            for i in range(n):
                y[i] = x[i]
        elif code == RELU:
            for i in range(n):
                y[i] = zero if x[i] <= zero else x[i]
        elif code == LEAKY_RELU:
            for i in range(n):
                y[i] = leaky * x[i] if x[i] <= zero else x[i]
        elif code == ELU:
            for i in range(n):
                e = expm1(zero if x[i] > zero else x[i])
                y[i] = x[i] if x[i] > zero else e
        elif code == SIGMOID:
            for i in range(n):
                y[i] = sigmoid(x[i])
        elif code == TANH:
            for i in range(n):
                y[i] = tanh(x[i])
        elif code == SOFTPLUS:  # log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
            for i in range(n):
                y[i] = (zero if x[i] <= zero else x[i]) + log1p(exp(-abs(x[i])))
        elif code == SILU:  # x sigmoid(x)
            for i in range(n):
                y[i] = x[i] * sigmoid(x[i])
        elif code == GELU:  # x (1 + tanh(inner(x))) / 2, inner(x) = scale (x + cubic x^3)
            for i in range(n):
                t = tanh(scale * (x[i] * (one + cubic * x[i] * x[i])))
                y[i] = x[i] * (half * (one + t))

    return forward


def _backward_of(code: int) -> Callable[..., None]:
    def backward(dy: Array, saved: Array, dx: Array) -> None:
        """dx = dy act'(saved) of arrays that do not overlap."""
        real = dy.dtype.type
        zero, one, half, leaky = real(0), real(1), real(0.5), real(LEAKY_SLOPE)
        scale, cubic, three_cubic = real(GELU_SCALE), real(GELU_CUBIC), real(3 * GELU_CUBIC)
        n = dy.size
        x = y = saved
        if code == IDENTITY:
            for i in range(n):
                dx[i] = dy[i]
        elif code == RELU:
            for i in range(n):
                dx[i] = dy[i] * (one if y[i] > zero else zero)
        elif code == LEAKY_RELU:
            for i in range(n):
                dx[i] = dy[i] * (one if y[i] > zero else leaky)
        elif code == ELU:  # 1 where y > 0, else exp(x) = y + 1
            for i in range(n):
                dx[i] = dy[i] * (one + (zero if y[i] > zero else y[i]))
        elif code == SIGMOID:
            for i in range(n):
                dx[i] = dy[i] * (y[i] * (one - y[i]))
        elif code == TANH:
            for i in range(n):
                dx[i] = dy[i] * (one - y[i] * y[i])
        elif code == SOFTPLUS:  # sigmoid(x) = 1 - exp(-y)
            for i in range(n):
                dx[i] = dy[i] * -expm1(-y[i])
        elif code == SILU:  # s + x s (1 - s), s = sigmoid(x)
            for i in range(n):
                s = sigmoid(x[i])
                dx[i] = dy[i] * (s * (one + x[i] * (one - s)))
        elif code == GELU:  # (1 + t) / 2 + x (1 - t^2) inner'(x) / 2, t = tanh(inner(x))
            for i in range(n):
                t = tanh(scale * (x[i] * (one + cubic * x[i] * x[i])))
                inner = scale * (one + three_cubic * x[i] * x[i])
                dx[i] = dy[i] * (half * (one + t + x[i] * (one - t * t) * inner))

    return backward


def _curvature_of(code: int) -> Callable[..., None]:
    def curvature(dy: Array, saved: Array, dx: Array) -> None:
        """dx = dy act''(saved) of arrays that do not overlap; 0 at kinks."""
        real = dy.dtype.type
        zero, one, two = real(0), real(1), real(2)
        scale, cubic, three_cubic = real(GELU_SCALE), real(GELU_CUBIC), real(3 * GELU_CUBIC)
        n = dy.size
        x = y = saved
        if code == ELU:  # exp(x) = y + 1 where y < 0
            for i in range(n):
                dx[i] = dy[i] * (one + y[i] if y[i] < zero else zero)
        elif code == SIGMOID:
            for i in range(n):
                dx[i] = dy[i] * (y[i] * (one - y[i]) * (one - two * y[i]))
        elif code == TANH:
            for i in range(n):
                dx[i] = dy[i] * (two * y[i] * (y[i] * y[i] - one))
        elif code == SOFTPLUS:  # s (1 - s), 1 - s = exp(-y)
            for i in range(n):
                dx[i] = dy[i] * (-expm1(-y[i]) * exp(-y[i]))
        elif code == SILU:  # s (1 - s) (2 + x (1 - 2 s))
            for i in range(n):
                s = sigmoid(x[i])
                dx[i] = dy[i] * (s * (one - s) * (two + x[i] * (one - two * s)))
        elif code == GELU:  # (1 - t^2) (i + x (i' / 2 - t i^2)), t = tanh(inner(x)), i = inner'(x)
            for i in range(n):
                t = tanh(scale * (x[i] * (one + cubic * x[i] * x[i])))
                inner = scale * (one + three_cubic * x[i] * x[i])
                more = scale * three_cubic * x[i] * x[i] - x[i] * t * (inner * inner)
                dx[i] = dy[i] * ((one - t * t) * (inner + more))
        else:
            for i in range(n):
                dx[i] = dy[i] * zero

    return curvature


_forward_apart, _link_forward = variants(_forward_of)
_backward_apart, _link_backward = variants(_backward_of)
_, _link_curvature = variants(_curvature_of)


@functools.cache
def forward_at(activation: str, dtype: Any) -> int:
    """The address that ``forward`` wants for numbers of a dtype."""
    numbers = np.empty(0, dtype)
    return int(_link_forward(ACTIVATIONS.index(activation), numbers, numbers))


@functools.cache
def backward_at(activation: str, dtype: Any) -> int:
    """The address that ``backward`` wants."""
    numbers = np.empty(0, dtype)
    return int(_link_backward(ACTIVATIONS.index(activation), numbers, numbers, numbers))


def in_place_at(activation: str, dtype: Any) -> int:
    """The address that ``forward`` wants where y is x, or 0: nothing is to be done."""
    return 0 if activation == "identity" else forward_at(activation, dtype)


def slope_at(activation: str, dtype: Any) -> int:
    """The address that ``backward`` wants where dx is dy, or 0: the derivative is 1."""
    return 0 if activation == "identity" else backward_at(activation, dtype)


def add(x: Array, y: Array, out: Array) -> None:
    """out = x + y, elementwise, y of x's shape or one row for all; out may be x or y itself."""
    flat = x.reshape(-1), y.reshape(-1), out.reshape(-1)
    launch(_add, *flat, threads=threads_for(x.size))


@Kernel
def _add(at: Any, _: int, t: int, threads: int) -> None:
    x, y, out = at[0]
    i, stop = x.size * t // threads, x.size * (t + 1) // threads
    while i < stop:  # to the end of y, then from its beginning
        j = i % y.size
        n = min(y.size - j, stop - i, CHUNK)
        _sum(_copied(x[i : i + n]), y[j : j + n], out[i : i + n])
        i += n


@jit()
def _sum(x: Array, y: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = x[i] + y[i]


def top_k(x: Array, k: int, y: Array, dropped: Array) -> None:
    """y = x where it is among the k greatest of its row, else 0; dropped = 0 there, else 1."""
    k, threads = min(k, x.shape[1]), threads_for(COST * x.size)
    launch(_top_k, x, k, y, dropped, borrow((threads, x.shape[1]), x.dtype), threads=threads)


@Kernel
def _top_k(at: Any, _: int, t: int, threads: int) -> None:
    x, k, y, dropped, works = at[0]
    for i in range(len(x) * t // threads, len(x) * (t + 1) // threads):
        _select(x[i], k, y[i], dropped[i], works[t])


@jit()
def _select(x: Array, k: int, y: Array, dropped: Array, work: Array) -> None:
    """One row. ``work`` is as long."""
    real = x.dtype.type
    zero, one = real(0), real(1)
    least = _kth(x, k, work) if k > 0 else real(math.inf)
    n = 0
    for j in range(x.size):
        kept = _ordered(x[j]) >= least
        y[j] = x[j] if kept else zero
        dropped[j] = zero if kept else one
        n += kept
    j = x.size
    while n > k:  # of those that equal the least, the last go
        j -= 1
        if _ordered(x[j]) == least:
            y[j], dropped[j] = zero, one
            n -= 1


@jit()
def _kth(x: Array, k: int, work: Array) -> Any:
    """The k-th greatest number of a row.

    No less than the k-th greatest of groups' maxima, which are 2 k or some more, and found faster:
    few numbers are left to be sorted.
    """
    real = x.dtype.type
    groups = (2 * k + 15) // 16 * 16
    least = real(-math.inf)
    if 4 * groups <= x.size:
        for j in range(groups):
            work[j] = _ordered(x[j])
        for start in range(groups, x.size, groups):
            for j in range(min(groups, x.size - start)):
                value = _ordered(x[start + j])
                work[j] = value if value > work[j] else work[j]
        least = _in_order(work[:groups], groups - k)
    n = 0
    for j in range(x.size):
        value = _ordered(x[j])
        work[n] = value
        n += value >= least
    return _in_order(work[:n], n - k)


@jit()
def _ordered(x: Any) -> Any:
    return type(x)(math.inf) if math.isnan(x) else x


@jit()
def _in_order(v: Array, at: int) -> Any:
    """What v[at] were if v were sorted (Hoare, "Algorithm 65: find", 1961); moves its numbers."""
    low, high = 0, v.size - 1
    while low < high:
        pivot, i, j = v[(low + high) // 2], low, high
        while i <= j:
            while v[i] < pivot:
                i += 1
            while v[j] > pivot:
                j -= 1
            if i <= j:
                v[i], v[j] = v[j], v[i]
                i, j = i + 1, j - 1
        if at <= j:
            high = j
        elif at >= i:
            low = i
        else:
            break
    return v[at]
