"""Losses: value and gradient in one pass, as ``reference.loss`` defines them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conventions import HUBER_DELTA, LOSSES, PENALTIES, RATE_MARGIN
from ..scratch import borrow
from .compiling import jit
from .math import exp, log1p, sigmoid
from .pieces import Kernel, variants
from .threads import launch, threads_for

Array = NDArray[Any]

MSE, BCE, L1, HUBER = range(len(LOSSES))
COST = 32  # of an element, in multiply-adds
CHUNK = 1024  # elements at a time: their values stay in the first-level cache


def loss(name: str, output: Array, target: Array, gradient: Array, totals: Array) -> None:
    """gradient = d(mean loss)/d(output); totals = [sum of losses, sum of squared errors]."""
    threads = threads_for(COST * output.size)
    work = borrow((threads, CHUNK), output.dtype)
    partial = borrow((threads, 2), np.float64, slot=1)
    launch(
        _loss, loss_at(name, output.dtype), output.reshape(-1), target.reshape(-1),
        max(len(output), 1), gradient.reshape(-1), work, partial, threads=threads,
    )  # fmt: skip
    np.sum(partial, axis=0, out=totals)


@Kernel
def _loss(at: Any, _: int, t: int, threads: int) -> None:
    loss, output, target, batch, gradient, work, partial = at[0]
    part = slice(output.size * t // threads, output.size * (t + 1) // threads)
    partial[t] = 0
    loss_part(loss, output[part], target[part], batch, gradient[part], work[t], partial[t])


def _loss_of(code: int) -> Callable[..., None]:
    def loss_part(
        outputs: Array, targets: Array, batch: int, gradient: Array, work: Array, totals: Array
    ) -> None:
        """Adds to totals; on one thread, all of one dimension. ``work`` has room for CHUNK."""
        real = outputs.dtype.type
        zero, half, delta, s = real(0), real(0.5), real(HUBER_DELTA), real(1.0 / batch)
        if code == MSE:
            s = real(2) * s
        for start in range(0, outputs.size, CHUNK):
            n = min(CHUNK, outputs.size - start)
            chunk = slice(start, start + n)
            output, target, error, values = (
                outputs[chunk],
                targets[chunk],
                gradient[chunk],
                work[:n],
            )
            # error = reconstruction - target; values = the loss of each, but for mse. Both are 0
            # where the target is NaN
            if code == BCE:
                # -t log p - (1 - t) log(1 - p) = max(z, 0) - z t + log(1 + exp(-|z|))
                for i in range(n):
                    z, t = output[i], target[i]
                    value = ((zero if z <= zero else z) - z * t) + log1p(exp(-abs(z)))
                    e = sigmoid(z) - t
                    values[i] = zero if math.isnan(t) else value
                    error[i] = zero if math.isnan(t) else e
            else:
                for i in range(n):
                    t = target[i]
                    e = output[i] - t
                    error[i] = zero if math.isnan(t) else e
            if code == L1:
                for i in range(n):
                    values[i] = abs(error[i])
            elif code == HUBER:
                # with c the error clipped to [-delta, delta]: loss = c (error - c / 2), slope = c
                for i in range(n):
                    e = error[i]
                    c = -delta if e < -delta else (delta if e > delta else e)
                    values[i] = c * (e - half * c)
            squared = _sum_of_squares(error)
            totals[0] += squared if code == MSE else _sum(values)
            totals[1] += squared
            # error becomes the gradient: d(loss)/d(output) / batch
            if code == L1:
                for i in range(n):
                    e = error[i]
                    error[i] = s if e > zero else (-s if e < zero else e)
            elif code == HUBER:
                for i in range(n):
                    e = error[i]
                    error[i] = s * (-delta if e < -delta else (delta if e > delta else e))
            else:  # 2 e, or p - t: the sigmoid's derivative has cancelled
                for i in range(n):
                    error[i] = s * error[i]

    return loss_part


loss_part, _link = variants(_loss_of)


@functools.cache
def loss_at(name: str, dtype: Any) -> int:
    """The address that ``loss_part`` wants for numbers of a dtype."""
    numbers = np.empty(0, dtype)
    return int(_link(LOSSES.index(name), numbers, numbers, 0, numbers, numbers, np.empty(2)))


def softmax_loss(
    output: Array, target: Array, bounds: Array, gradient: Array, totals: Array
) -> None:
    """Adds the cross-entropies of the groups to totals[0]; their columns of gradient = its slope.

    A group with a NaN among its targets is missing.
    """
    threads = threads_for(COST * output.size)
    partial = borrow((threads,), np.float64)
    launch(_softmax_loss, output, target, bounds, gradient, partial, threads=threads)
    totals[0] += partial.sum()


@Kernel
def _softmax_loss(at: Any, _: int, t: int, threads: int) -> None:
    output, target, bounds, gradient, partial = at[0]
    batch, value = len(output), 0.0
    for i in range(batch * t // threads, batch * (t + 1) // threads):
        for g in range(bounds.size - 1):
            group = slice(bounds[g], bounds[g + 1])
            value += _group(output[i, group], target[i, group], gradient[i, group], batch)
    partial[t] = value


@jit()
def _group(z: Array, t: Array, slope: Array, batch: int) -> float:
    """The cross-entropy of one sample's group, in float64; slope = its gradient / batch."""
    real = z.dtype.type
    top, weight, total, value = z[0], 0.0, 0.0, 0.0
    for j in range(z.size):
        top = z[j] if z[j] > top else top
        weight += np.float64(t[j])
    if math.isnan(weight):  # missing
        slope[:] = real(0)
        return value
    for j in range(z.size):
        slope[j] = exp(z[j] - top)
        total += np.float64(slope[j])
    high, scale, one = math.log(total), real(weight / total), real(1.0 / batch)
    for j in range(z.size):
        value += np.float64(t[j]) * (high - np.float64(z[j] - top))
        slope[j] = (slope[j] * scale - t[j]) * one
    return value


def normal_divergence(x: Array, weight: Array, gradient: Array, totals: Array) -> None:
    """Adds weight times the divergences of N(m, exp(v)) from N(0, 1), for x = [m, v]; gradient =
    weight / batch [m, (exp(v) - 1) / 2]."""
    threads = threads_for(COST * x.size)
    partial = borrow((threads,), np.float64)
    scale = float(weight[0]) / max(len(x), 1)
    launch(_normal_divergence, x, scale, gradient, partial, threads=threads)
    totals[0] += weight[0] * (0.5 * partial.sum())


@Kernel
def _normal_divergence(at: Any, _: int, t: int, threads: int) -> None:
    x, scale, gradient, partial = at[0]
    batch, value = len(x), 0.0
    for i in range(batch * t // threads, batch * (t + 1) // threads):
        value += _divergence(x[i], scale, gradient[i])
    partial[t] = value


@jit()
def _divergence(x: Array, scale: float, slope: Array) -> float:
    """Twice the divergence of one sample, in float64; slope = its gradient, times scale."""
    real, n = x.dtype.type, x.size // 2
    one, s, half = real(1), real(scale), real(0.5 * scale)
    total = 0.0
    for j in range(n):
        m, v = x[j], x[n + j]
        e = exp(v) - one
        slope[j], slope[n + j] = s * m, half * e
        total += np.float64(m * m + (e - v))
    return total


def activity_penalty(
    name: str, y: Array, weight: float, rate: float, gradient: Array, totals: Array
) -> None:
    """Adds the penalty to totals[0]; gradient = that of the batch mean. Columns by threads."""
    kl, threads = PENALTIES.index(name), threads_for(COST * y.size)
    partial, sums = borrow((threads,), np.float64), borrow((y.shape[1],), np.float64, slot=1)
    launch(_penalty, kl, y, weight / max(len(y), 1), rate, gradient, sums, partial, threads=threads)
    totals[0] += weight * partial.sum()


@Kernel
def _penalty(at: Any, _: int, t: int, threads: int) -> None:
    kl, y, scale, rate, gradient, sums, partial = at[0]
    n = y.shape[1]
    part = slice(n * t // threads, n * (t + 1) // threads)
    if kl:
        partial[t] = _rates(y[:, part], scale, rate, gradient[:, part], sums[part])
    else:
        value = 0.0
        for i in range(len(y)):
            value += _absolute(y[i, part], scale, gradient[i, part])
        partial[t] = value


@jit()
def _rates(y: Array, scale: float, rate: float, gradient: Array, sums: Array) -> float:
    """batch times the divergences of these columns; gradient = its slope times scale."""
    batch, value, real = len(y), 0.0, y.dtype.type
    sums[:] = 0.0
    for i in range(batch):
        for j in range(sums.size):
            sums[j] += np.float64(y[i, j])
    for j in range(sums.size):
        m = min(max(sums[j] / max(batch, 1), RATE_MARGIN), 1 - RATE_MARGIN)
        if math.isnan(sums[j]):
            m = sums[j]
        rest = 1 - rate
        value += rate * math.log(rate / m) + rest * math.log(rest / (1 - m))
        sums[j] = scale * (rest / (1 - m) - rate / m)
    for i in range(batch):
        for j in range(sums.size):
            gradient[i, j] = real(sums[j])
    return value * batch


@jit()
def _absolute(y: Array, scale: float, slope: Array) -> float:
    """The sum of |y|; slope = scale sign(y), NaN where y is."""
    real = y.dtype.type
    zero, s, total = real(0), real(scale), 0.0
    for j in range(y.size):
        slope[j] = s if y[j] > zero else -s if y[j] < zero else s * y[j]
        total += np.float64(abs(y[j]))
    return total


def inner_product(x: Array, y: Array, weight: float, out: Array, totals: Array) -> None:
    """out = x * y; adds weight times its sum to totals[0]. out may be x or y."""
    threads = threads_for(x.size)
    partial = borrow((threads,), np.float64)
    launch(_inner_product, x.reshape(-1), y.reshape(-1), out.reshape(-1), partial, threads=threads)
    totals[0] += weight * partial.sum()


@Kernel
def _inner_product(at: Any, _: int, t: int, threads: int) -> None:
    x, y, out, partial = at[0]
    part = slice(x.size * t // threads, x.size * (t + 1) // threads)
    _multiply(x[part], y[part], out[part])
    partial[t] = _sum(out[part])


@jit()
def _multiply(x: Array, y: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = x[i] * y[i]


@jit(reassociate=True)
def _sum(values: Array) -> float:
    total = 0.0
    for i in range(values.size):
        total += np.float64(values[i])
    return total


@jit(reassociate=True)
def _sum_of_squares(values: Array) -> float:
    """The squares themselves in their dtype: where they overflow, training has diverged."""
    total = 0.0
    for i in range(values.size):
        total += np.float64(values[i] * values[i])
    return total
