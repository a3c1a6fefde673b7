"""Activations and their derivatives: one pass over the data, every loop vectorised.

Comparisons are written so that NaN passes through them.
"""

from __future__ import annotations

from typing import Any

from numba import prange
from numpy.typing import NDArray

from ..conventions import ACTIVATIONS, GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
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


def activation_curvature(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act''(saved), elementwise; dx may be dy itself."""
    code, threads = ACTIVATIONS.index(activation), threads_for(COST * dy.size)
    launch(_curvature, code, dy.reshape(-1), saved.reshape(-1), dx.reshape(-1), threads=threads)


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


@jit(parallel=True)
def _curvature(code: int, dy: Array, saved: Array, dx: Array, threads: int) -> None:
    for t in prange(threads):
        part = slice(dy.size * t // threads, dy.size * (t + 1) // threads)
        curvature(code, dy[part], saved[part], dx[part])


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


@jit()
def curvature(code: int, dy: Array, saved: Array, dx: Array) -> None:
    """dx = dy act''(saved) on one thread, all of one dimension; 0 at kinks."""
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
