"""Activations and their derivatives: one pass over the data, every loop vectorised.

Comparisons are written so that NaN passes through them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conventions import ACTIVATIONS, GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from .math import exp, expm1, log1p, sigmoid, tanh
from .pieces import Kernel, variants
from .threads import launch, threads_for

Array = NDArray[Any]

IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS, SILU, GELU = range(len(ACTIVATIONS))
COST = 16  # of an element, in multiply-adds


def activation_forward(x: Array, activation: str, y: Array) -> None:
    """y = act(x), elementwise; y may be x itself."""
    act, threads = forward_at(activation, x.dtype), threads_for(COST * x.size)
    launch(_forward, act, x.reshape(-1), y.reshape(-1), threads=threads)


def activation_backward(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act'(saved), elementwise; dx may be dy itself."""
    act, threads = backward_at(activation, dy.dtype), threads_for(COST * dy.size)
    launch(_backward, act, dy.reshape(-1), saved.reshape(-1), dx.reshape(-1), threads=threads)


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


def _forward_of(code: int) -> Callable[..., None]:
    def forward(x: Array, y: Array) -> None:
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

    return forward


def _backward_of(code: int) -> Callable[..., None]:
    def backward(dy: Array, saved: Array, dx: Array) -> None:
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

    return backward


forward, _link_forward = variants(_forward_of)
backward, _link_backward = variants(_backward_of)


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
