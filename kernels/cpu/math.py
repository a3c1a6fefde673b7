"""exp, log, sin and others as straight lines of arithmetic: loops of them vectorise.

A call into the C library costs 10 to 20 ns an element and keeps its loop scalar. Here nothing
branches and nothing is looked up. All of them reduce their argument and sum a Taylor series:

    exp     x = n ln 2 + r, |r| <= ln 2 / 2, then 2^n exp(r)
    expm1   2^n (exp(r) - 1) + (2^n - 1), for x <= 0
    log1p   log(1 + t) = 2 artanh(s), s = t / (2 + t) <= 1/3, for t in [0, 1]
    log     n ln 2 + log(1 + t), x = 2^n (1 + t), 1/2 <= (1 + t)^2 < 2, for normal x > 0
    cos2pi  cos(2 pi v) and
    sin2pi  sin(2 pi v), for v in [0, 1]: v = quarters / 4 + r, |r| <= 1/8, which is exact
    tanh    -e / (2 + e) with the sign of x, e = expm1(-2 |x|)
    sigmoid 1 / (1 + e) or, for x < 0, e / (1 + e), e = exp(-|x|): no overflow

None is off by more than 3 units in the last place (``tests/kernels/cpu/test_math.py``; numbers
below the smallest normal one apart). NaN comes out as NaN, but from log: a loss must not become
finite on its way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiling import inline, intrinsic, overload

Function = Callable[[Any], Any]

# ln 2 to twice the precision of float64
LN2 = (0.6931471805599453, 2.3190468138462996e-17)


def polynomial(*coefficients: float) -> Function:
    """x -> coefficients[0] x^n + ... + coefficients[n], in multiply-adds (Horner)."""

    @intrinsic
    def evaluate(_: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (value,) = arguments
            fma = fused_multiply_add(builder, value.type)
            total = ir.Constant(value.type, coefficients[0])
            for coefficient in coefficients[1:]:
                total = builder.call(fma, [total, value, ir.Constant(value.type, coefficient)])
            return total

        return x(x), generate

    return evaluate


def fused_multiply_add(builder: Any, kind: Any) -> Any:
    """LLVM's a * b + c for a real or vector type: fused where the processor can."""
    lanes, real = (
        (f"v{kind.count}", kind.element) if isinstance(kind, ir.VectorType) else ("", kind)
    )
    name = f"llvm.fmuladd.{lanes}{'f32' if isinstance(real, ir.FloatType) else 'f64'}"
    signature = ir.FunctionType(kind, [kind, kind, kind])
    return cgutils.get_or_insert_function(builder.module, signature, name)


def _make(real: Any, integer: Any, terms: int, odd_terms: int) -> dict[str, Function]:
    """The functions for one dtype; so many terms of exp's and artanh's series are enough."""
    info = np.finfo(real)
    bits, bias = integer(info.nmant), integer(info.maxexp - 1)
    zero, quarter, half, one, two = map(real, (0, 0.25, 0.5, 1, 2))
    per_ln2 = real(1 / LN2[0])
    # n ln 2 = n high + n low; high is so short that n high is exact
    short = 2.0 ** (info.nmant - 11)
    high = real(math.floor(LN2[0] * short) / short)
    low = real(LN2[0] - float(high) + LN2[1])
    shifter = real(1.5 * 2.0**info.nmant)  # x + shifter - shifter: x rounded to an integer
    lowest = real(-LN2[0] * (info.maxexp + info.nmant + 1))  # exp is 0 from here on
    highest = real(LN2[0] * (info.maxexp + 1))  # and infinite from here on
    lowest_expm1 = real(-LN2[0] * (info.nmant + 3))  # expm1 is -1 from here on

    # exp(r) - 1 = r + r^2 (1/2! + r/3! + ...);  2 artanh(s) = 2 s + s^3 (2/3 + 2/5 s^2 + ...)
    tail = polynomial(*(1 / math.factorial(k) for k in range(terms, 1, -1)))
    odd_tail = polynomial(*(2 / (2 * k + 1) for k in range(odd_terms, 0, -1)))
    # sin(a) = a + a^3 (-1/3! + ...);  cos(a) = 1 + a^2 (-1/2! + ...)
    turns = range(terms // 2 + 2, 0, -1)
    sin_tail = polynomial(*((-1) ** k / math.factorial(2 * k + 1) for k in turns))
    cos_tail = polynomial(*((-1) ** k / math.factorial(2 * k) for k in turns))
    root_half = integer(real(math.sqrt(0.5)).view(integer))

    @inline
    def power_of_two(n: Any) -> Any:
        return integer((n + bias) << bits).view(real)

    @inline
    def reduced(x: Any) -> Any:
        """(n, r) with x = n ln 2 + r"""
        n = (x * per_ln2 + shifter) - shifter
        return integer(n), (x - n * high) - n * low

    @inline
    def exp(x: Any) -> Any:
        x = lowest if x < lowest else x
        x = highest if x > highest else x
        n, r = reduced(x)
        some = integer(n >> 1)  # 2^n itself may be out of range
        e = one + (r + r * r * tail(r))
        return (e * power_of_two(some)) * power_of_two(integer(n - some))

    @inline
    def expm1(x: Any) -> Any:
        x = lowest_expm1 if x < lowest_expm1 else x
        n, r = reduced(x)
        scale = power_of_two(n)
        return scale * (r + r * r * tail(r)) + (scale - one)

    @inline
    def log1p(t: Any) -> Any:
        s = t / (two + t)
        square = s * s
        return two * s + s * square * odd_tail(square)

    @inline
    def log(x: Any) -> Any:
        as_bits = real(x).view(integer)
        n = integer(integer(as_bits - root_half) >> bits)
        t = integer(as_bits - integer(n << bits)).view(real) - one
        s, exponent = t / (two + t), real(n)
        square = s * s
        return exponent * high + (two * s + (s * square * odd_tail(square) + exponent * low))

    @inline
    def turned(v: Any) -> Any:
        """(quarters, cos, sin) of the angle 2 pi r"""
        quarters = integer(real(4) * v + half)
        angle = real(2 * math.pi) * (v - quarter * real(quarters))
        square = angle * angle
        return (
            quarters,
            one + square * cos_tail(square),
            angle + angle * square * sin_tail(square),
        )

    @inline
    def cos2pi(v: Any) -> Any:
        quarters, c, s = turned(v)
        size = s if quarters & integer(1) else c
        return -size if (quarters + integer(1)) & integer(2) else size

    @inline
    def sin2pi(v: Any) -> Any:
        quarters, c, s = turned(v)
        size = c if quarters & integer(1) else s
        return -size if quarters & integer(2) else size

    @inline
    def tanh(x: Any) -> Any:
        size = -x if x < zero else x
        e = expm1(-two * size)
        y = -e / (two + e)
        return -y if x < zero else y

    @inline
    def sigmoid(x: Any) -> Any:
        e = exp(x if x < zero else -x)
        return (e if x < zero else one) / (one + e)

    return {
        "exp": exp, "expm1": expm1, "log1p": log1p, "log": log, "cos2pi": cos2pi,
        "sin2pi": sin2pi, "tanh": tanh, "sigmoid": sigmoid,
    }  # fmt: skip


_FUNCTIONS = {
    types.float32: _make(np.float32, np.int32, 7, 7),
    types.float64: _make(np.float64, np.int64, 13, 18),
}


def _by_type(name: str) -> Function:
    def function(x: Any) -> Any:
        raise TypeError(f"{name} is called from compiled code only")

    @overload(function)
    def choose(x: Any) -> Any:
        chosen = _FUNCTIONS[x][name]

        def implementation(x):  # type: ignore[no-untyped-def]
            return chosen(x)

        return implementation

    return function


exp, expm1, log1p, log = map(_by_type, ("exp", "expm1", "log1p", "log"))
cos2pi, sin2pi, tanh, sigmoid = map(_by_type, ("cos2pi", "sin2pi", "tanh", "sigmoid"))
