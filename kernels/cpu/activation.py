"""Activations and their derivatives: one pass over the data, every loop vectorised. The k greatest
of a row.

Comparisons are written so that NaN passes through them.
"""

from __future__ import annotations

import math
from typing import Any

from numba import prange
from numpy.typing import NDArray

from ..conventions import ACTIVATIONS, GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from ..scratch import borrow
from .compiling import jit
from .math import exp, expm1, log1p, sigmoid, tanh
from .threads import launch, threads_for

Array = NDArray[Any]

IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS, SILU, GELU = range(len(ACTIVATIONS))
COST = 16  # of an element, in multiply-adds


def activation_forward(x: Array, activation: str, y: Array) -> None:
    """y = act(x), elementwise; y may be x itself."""
    code, threads = ACTIVATIONS.index(activation), threads_for(COST * x.size)
    launch(_forward, code, x.reshape(-1), y.reshape(-1), threads=threads)


def activation_backward(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act'(saved), elementwise; dx may be dy itself."""
    code, threads = ACTIVATIONS.index(activation), threads_for(COST * dy.size)
    launch(_backward, code, dy.reshape(-1), saved.reshape(-1), dx.reshape(-1), threads=threads)


@jit(parallel=True)
def _forward(code: int, x: Array, y: Array, threads: int) -> None:
    for t in prange(threads):
        part = slice(x.size * t // threads, x.size * (t + 1) // threads)
        forward(code, x[part], y[part])


@jit(parallel=True)
def _backward(code: int, dy: Array, saved: Array, dx: Array, threads: int) -> None:
    for t in prange(threads):
        part = slice(dy.size * t // threads, dy.size * (t + 1) // threads)
        backward(code, dy[part], saved[part], dx[part])


@jit()
def forward(code: int, x: Array, y: Array) -> None:
    """y = act(x) on one thread, all of one dimension."""
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


@jit()
def backward(code: int, dy: Array, saved: Array, dx: Array) -> None:
    """dx = dy act'(saved) on one thread, all of one dimension."""
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


def top_k(x: Array, k: int, y: Array, dropped: Array) -> None:
    """y = x where it is among the k greatest of its row, else 0; dropped = 0 there, else 1."""
    k, threads = min(k, x.shape[1]), threads_for(COST * x.size)
    launch(_top_k, x, k, y, dropped, borrow((threads, x.shape[1]), x.dtype), threads=threads)


@jit(parallel=True)
def _top_k(x: Array, k: int, y: Array, dropped: Array, works: Array, threads: int) -> None:
    batch = len(x)
    for t in prange(threads):
        for i in range(batch * t // threads, batch * (t + 1) // threads):
            _select(x[i], k, y[i], dropped[i], works[t])


@jit()
def _select(x: Array, k: int, y: Array, dropped: Array, work: Array) -> None:
    """One row. ``work`` is as long."""
    real = x.dtype.type
    zero, one, least = real(0), real(1), real(math.inf)
    if k > 0:
        for j in range(x.size):
            work[j] = _ordered(x[j])
        least = _in_order(work, x.size - k)
    room = k  # for those that equal the least
    for j in range(x.size):
        room -= _ordered(x[j]) > least
    for j in range(x.size):
        value = _ordered(x[j])
        kept = value > least
        if value == least and room > 0:
            kept, room = True, room - 1
        y[j] = x[j] if kept else zero
        dropped[j] = zero if kept else one


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
