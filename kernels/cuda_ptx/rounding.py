"""Sums and products rounded once, as the hardware rounds them; NumPy has no fused multiply-add."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

_SMALLEST = np.float32(np.finfo(np.float32).tiny)
_SPLIT = np.float64(2**27 + 1)


def flushed(x: Array) -> Array:
    """``.ftz``: what is smaller than the smallest normal float32 becomes zero of the same sign."""
    small = np.abs(x) < _SMALLEST
    return np.where(small, np.copysign(np.float32(0), x), x) if small.any() else x


def to_odd(a: Array, b: Array) -> Array:
    """a + b in float64, where it is inexact the neighbour with an odd last bit.

    Rounded on to float32 it gives what a + b itself, rounded once, would.
    """
    total = a + b
    part = total - a
    error = (a - (total - part)) + (b - part)
    change = (error != 0) & ((total.view(np.int64) & 1) == 0) & np.isfinite(total)
    if not change.any():
        return total
    return np.where(change, np.nextafter(total, np.copysign(np.inf, error)), total)


def narrow(exact: Array, rounding: str) -> Array:
    """float64 -> float32, rounded to nearest (rn), towards zero (rz), down (rm) or up (rp)."""
    near = exact.astype(np.float32)
    if rounding == "rn":
        return near
    wide = near.astype(np.float64)
    if rounding == "rz":
        wrong, towards = np.abs(wide) > np.abs(exact), np.float32(0)
    elif rounding == "rm":
        wrong, towards = wide > exact, np.float32(-np.inf)
    else:
        wrong, towards = wide < exact, np.float32(np.inf)
    return np.where(wrong, np.nextafter(near, towards), near)


def fused32(a: Array, b: Array, c: Array, rounding: str) -> Array:
    """a b + c of float32, rounded once: the product is exact in float64."""
    product = a.astype(np.float64) * b.astype(np.float64)
    return narrow(to_odd(product, c.astype(np.float64)), rounding)


def fused64(a: Array, b: Array, c: Array) -> Array:
    """a b + c of float64: with the errors of product and sum, so within one unit in the last
    place of the sum even where the terms cancel."""
    product = a * b
    high_a, low_a = _halves(a)
    high_b, low_b = _halves(b)
    lost = ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    result = total + (error + lost)
    return np.where(np.isfinite(result), result, total)  # huge numbers cannot be split


def _halves(x: Array) -> tuple[Array, Array]:
    scaled = x * _SPLIT
    high = scaled - (scaled - x)
    return high, x - high
