"""Activations and their derivatives.

Backward takes the activation's *output* y wherever the derivative can be had from it.
Only silu and gelu are not monotonic, so two inputs may share one output: they keep
their input instead (``conventions.NEEDS_INPUT``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conventions import ACTIVATION_FACTS, GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from ..scratch import borrow

Array = NDArray[Any]

# NumPy takes half a microsecond to convert a Python number
ZERO, ONE = ({char: np.array(number, char) for char in "fd"} for number in (0, 1))
IN_CACHE = 1 << 17  # numbers
FEW = 4096  # numbers: np.sign is no vector code, but has no conversion to begin with


def activation_forward(x: Array, activation: str, y: Array) -> None:
    """y = act(x), elementwise; y may be x itself."""
    if activation == "identity":
        if y is not x:
            np.copyto(y, x)
    elif activation == "relu":
        np.maximum(x, ZERO[x.dtype.char], out=y)
    elif activation == "leaky_relu":  # max(x, 0.01 x)
        scaled = np.multiply(x, LEAKY_SLOPE, out=borrow(x.shape, x.dtype))
        np.maximum(x, scaled, out=y)
    elif activation == "elu":  # max(x, 0) + exp(min(x, 0)) - 1
        negative = np.minimum(x, 0, out=borrow(x.shape, x.dtype))
        np.expm1(negative, out=negative)
        np.maximum(x, 0, out=y)
        y += negative
    elif activation == "sigmoid":
        sigmoid(x, y)
    elif activation == "tanh":
        np.tanh(x, out=y)
    elif activation == "softplus":  # log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
        tail = np.abs(x, out=borrow(x.shape, x.dtype))
        np.negative(tail, out=tail)
        np.exp(tail, out=tail)
        np.log1p(tail, out=tail)
        np.maximum(x, 0, out=y)
        y += tail
    elif activation == "silu":  # x sigmoid(x)
        s = borrow(x.shape, x.dtype, slot=1)
        sigmoid(x, s)
        np.multiply(x, s, out=y)
    elif activation == "gelu":  # x (1 + tanh(inner(x))) / 2
        t = _gelu_tanh(x)
        t += 1
        t *= 0.5
        np.multiply(x, t, out=y)
    else:
        raise ValueError(f"activation {activation!r} has no NumPy kernel")


def activation_backward(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act'(...), elementwise; dx may be dy itself.

    ``saved`` is the output y of ``activation_forward``, or for silu and gelu its input x.
    """
    y = x = saved
    if activation == "identity":
        if dx is not dy:
            np.copyto(dx, dy)
        return
    slope = borrow(saved.shape, saved.dtype)
    if activation == "relu":  # 1 where y > 0, else 0
        np.greater(y, 0, out=slope)
    elif activation == "leaky_relu":  # 1 where y > 0, else 0.01
        np.greater(y, 0, out=slope)
        slope *= 1 - LEAKY_SLOPE
        slope += LEAKY_SLOPE
    elif activation == "elu":  # 1 where y > 0, else exp(x) = y + 1
        np.minimum(y, 0, out=slope)
        slope += 1
    elif activation == "sigmoid":  # y (1 - y)
        np.subtract(1, y, out=slope)
        slope *= y
    elif activation == "tanh":  # 1 - y^2
        np.multiply(y, y, out=slope)
        np.subtract(1, slope, out=slope)
    elif activation == "softplus":  # sigmoid(x) = 1 - exp(-y)
        np.negative(y, out=slope)
        np.expm1(slope, out=slope)
        np.negative(slope, out=slope)
    elif activation == "silu":  # s + x s (1 - s), s = sigmoid(x)
        s = borrow(x.shape, x.dtype, slot=1)
        sigmoid(x, s)
        np.subtract(1, s, out=slope)
        slope *= x
        slope += 1
        slope *= s
    elif activation == "gelu":  # (1 + t) / 2 + x (1 - t^2) inner'(x) / 2, t = tanh(inner(x))
        t = _gelu_tanh(x)
        inner = borrow(x.shape, x.dtype, slot=2)  # inner'(x) = scale (1 + 3 cubic x^2)
        np.multiply(x, x, out=inner)
        inner *= 3 * GELU_CUBIC
        inner += 1
        inner *= GELU_SCALE
        np.multiply(t, t, out=slope)
        np.subtract(1, slope, out=slope)
        slope *= inner
        slope *= x
        slope += t
        slope += 1
        slope *= 0.5
    else:
        raise ValueError(f"activation {activation!r} has no NumPy kernel")
    np.multiply(dy, slope, out=dx)


def activation_curvature(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act''(...), elementwise, of what ``activation_backward`` has; dx may be dy itself.

    At the kinks of relu, leaky_relu and elu it is 0.
    """
    y = x = saved
    if ACTIVATION_FACTS[activation].straight:
        np.multiply(dy, 0, out=dx)
        return
    bend, s = borrow(saved.shape, saved.dtype), borrow(saved.shape, saved.dtype, slot=1)
    if activation == "elu":  # exp(x) = y + 1 where y < 0, else 0
        np.add(y, 1, out=bend)
        np.less(y, 0, out=s)
        bend *= s
    elif activation == "sigmoid":  # y (1 - y) (1 - 2 y)
        np.subtract(1, y, out=bend)
        bend *= y
        np.multiply(y, -2, out=s)
        s += 1
        bend *= s
    elif activation == "tanh":  # -2 y (1 - y^2)
        np.multiply(y, y, out=bend)
        bend -= 1
        bend *= y
        bend *= 2
    elif activation == "softplus":  # s (1 - s), 1 - s = exp(-y)
        np.negative(y, out=s)
        np.expm1(s, out=bend)
        np.exp(s, out=s)
        bend *= s
        np.negative(bend, out=bend)
    elif activation == "silu":  # s (1 - s) (2 + x (1 - 2 s)), s = sigmoid(x)
        sigmoid(x, s)
        np.multiply(s, -2, out=bend)
        bend += 1
        bend *= x
        bend += 2
        bend *= s
        np.subtract(1, s, out=s)
        bend *= s
    elif activation == "gelu":
        # (1 - t^2) (i + x (i' / 2 - t i^2)), t = tanh(inner(x)), i = inner'(x)
        t, inner = _gelu_tanh(x), borrow(x.shape, x.dtype, slot=2)
        np.multiply(x, x, out=inner)
        inner *= 3 * GELU_CUBIC
        inner += 1
        inner *= GELU_SCALE
        np.multiply(inner, inner, out=bend)
        bend *= t
        bend *= x
        np.subtract(inner, bend, out=bend)
        np.multiply(x, x, out=inner)
        inner *= 3 * GELU_CUBIC * GELU_SCALE
        bend += inner
        np.multiply(t, t, out=t)
        np.subtract(1, t, out=t)
        bend *= t
    else:
        raise ValueError(f"activation {activation!r} has no NumPy kernel")
    np.multiply(dy, bend, out=dx)


def add(x: Array, y: Array, out: Array) -> None:
    """out = x + y, elementwise, y of x's shape or one row for all; out may be x or y itself."""
    np.add(x, y, out=out)


def top_k(x: Array, k: int, y: Array, dropped: Array) -> None:
    """y = x where it is among the k greatest of its row, else 0; dropped = 0 there, else 1.

    (Makhzani and Frey, "k-sparse autoencoders", ICLR 2014.) A partial sort tells the k-th greatest
    number of each row. Where more than k are no less than it, the last of those that equal it go.
    """
    n = x.shape[1]
    if k >= n or k == 0:
        np.copyto(y, x if k else 0)
        dropped.fill(0 if k else 1)
        return
    values = borrow(x.shape, x.dtype)
    np.copyto(values, x)
    np.copyto(values, np.inf, where=np.isnan(x, out=borrow(x.shape, np.bool_, slot=3)))
    ordered = borrow(x.shape, x.dtype, slot=1)
    np.copyto(ordered, values)
    ordered.partition(n - k, axis=1)
    least = ordered[:, n - k, None]
    gone = np.less(values, least, out=borrow(x.shape, np.bool_, slot=3))
    for row in np.flatnonzero(n - np.count_nonzero(gone, axis=1) > k):
        equal = np.flatnonzero(values[row] == least[row])
        gone[row, equal[len(equal) - (n - np.count_nonzero(gone[row]) - k) :]] = True
    np.copyto(y, x)
    np.copyto(y, 0, where=gone)
    np.copyto(dropped, gone)


def sigmoid(x: Array, y: Array) -> None:
    """y = 1 / (1 + exp(-x)), where x < 0 as e / (1 + e), e = exp(-|x|), which never overflows."""
    if x.size > IN_CACHE and len(x) > 1:  # seven times through memory would take longer
        half = len(x) // 2
        sigmoid(x[:half], y[:half])
        sigmoid(x[half:], y[half:])
        return
    e = np.abs(x, out=borrow(x.shape, x.dtype))
    np.negative(e, out=e)
    np.exp(e, out=e)
    # 1 where x > 0, where x < 0 less than e; where x = 0, e = 1. Of few the sign takes less time.
    if x.size < FEW:
        np.sign(x, out=y)
    else:
        np.greater_equal(x, 0, out=y)
    np.maximum(y, e, out=y)
    e += ONE[x.dtype.char]
    y /= e


def _gelu_tanh(x: Array) -> Array:
    """tanh(sqrt(2 / pi) (x + 0.044715 x^3)) in scratch slot 1 (Hendrycks and Gimpel 2016)."""
    t: Array = borrow(x.shape, x.dtype, slot=1)
    np.multiply(x, x, out=t)
    t *= GELU_CUBIC
    t += 1
    t *= x
    t *= GELU_SCALE
    np.tanh(t, out=t)
    return t
