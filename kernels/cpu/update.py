"""Optimiser updates over the flat arrays of all parameters: every number is read once.

``hyper``, ``n_decayed`` and ``guard`` are those of ``reference.update``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..conventions import OPTIMIZERS
from ..scratch import borrow
from .compiling import jit
from .threads import launch, threads_for

Array = NDArray[Any]

SGD, MOMENTUM, NESTEROV, ADAM, ADAMW = range(len(OPTIMIZERS))
COST = 16  # of a parameter, in multiply-adds


def update(
    name: str, w: Array, grad: Array, moments: tuple[Array, ...], hyper: Array, n_decayed: int,
    guard: Array,
) -> None:  # fmt: skip
    """One step of the optimiser ``name``; the formulas stand in ``_rule``."""
    m, v = moments_of(w, moments)
    launch(
        _update, OPTIMIZERS.index(name), w, grad, m, v, hyper, n_decayed, guard,
        threads=threads_for(COST * w.size),
    )  # fmt: skip


def moments_of(w: Array, moments: tuple[Array, ...]) -> tuple[Array, Array]:
    """(m, v), empty where the optimiser has none."""
    m, v = (w[:0], w[:0], *moments)[-2:]
    return m, v


@jit(parallel=True)
def _update(
    code: int, w: Array, grad: Array, m: Array, v: Array, hyper: Array, n_decayed: int,
    guard: Array, threads: int,
) -> None:  # fmt: skip
    if math.isfinite(guard[0]):
        for t in prange(threads):
            first, last = w.size * t // threads, w.size * (t + 1) // threads
            update_part(code, w, grad, first, m, v, hyper, n_decayed, first, last)


@jit()
def update_part(
    code: int, w: Array, grad: Array, g_start: int, m: Array, v: Array, hyper: Array,
    n_decayed: int, first: int, last: int,
) -> None:  # fmt: skip
    """Parameters first .. last - 1, on one thread; the gradient of ``first`` is grad[g_start]...

    ``m`` and ``v`` are empty where the optimiser has none.
    """
    middle = min(max(n_decayed, first), last)
    for low, high, decay in ((first, middle, hyper[1]), (middle, last, 0.0)):
        g = grad[g_start + low - first : g_start + high - first]
        _rule(code, w[low:high], g, m[low:high], v[low:high], hyper, decay)


@jit()
def _rule(
    code: int, w: Array, grad: Array, m: Array, v: Array, hyper: Array, weight_decay: float
) -> None:
    """One optimiser's formula, for each parameter."""
    real = w.dtype.type
    rate, decay, mu = real(hyper[0]), real(weight_decay), real(hyper[2])
    n = w.size
    if code == SGD:
        for i in range(n):
            w[i] -= rate * (grad[i] + decay * w[i])
    elif code == MOMENTUM:
        for i in range(n):
            v[i] = mu * v[i] + (grad[i] + decay * w[i])
            w[i] -= rate * v[i]
    elif code == NESTEROV:
        for i in range(n):
            g = grad[i] + decay * w[i]
            v[i] = mu * v[i] + g
            w[i] -= rate * (g + mu * v[i])
    else:
        # m^ = m / correction1 and v^ = v / correction2, where correction = 1 - beta^t
        beta1, beta2, eps = real(hyper[3]), real(hyper[4]), real(hyper[5])
        rest1, rest2 = real(1 - hyper[3]), real(1 - hyper[4])
        corrected_rate, per_correction2 = real(hyper[0] / hyper[6]), real(1 / hyper[7])
        keep = real(1)
        if code == ADAMW:  # the decay acts on w itself
            keep, decay = real(1 - hyper[0] * weight_decay), real(0)
        for i in range(n):
            g = grad[i] + decay * w[i]
            m[i] = beta1 * m[i] + rest1 * g
            v[i] = beta2 * v[i] + rest2 * (g * g)
            root = np.sqrt(v[i] * per_correction2) + eps
            w[i] = keep * w[i] - corrected_rate * m[i] / root


def clip_by_norm(grad: Array, max_norm: float, norm: Array) -> None:
    """Scales grad so that its norm is at most max_norm or not finite; norm[0] = the norm before."""
    threads = threads_for(COST * grad.size)
    launch(_clip, grad, max_norm, norm, borrow((threads,), np.float64), threads=threads)


@jit(parallel=True)
def _clip(grad: Array, max_norm: float, norm: Array, squares: Array, threads: int) -> None:
    n = grad.size
    for t in prange(threads):
        squares[t] = sum_of_squares(grad[n * t // threads : n * (t + 1) // threads])
    total = 0.0
    for t in range(threads):
        total += squares[t]
    norm[0] = math.sqrt(total)
    if max_norm < norm[0] < np.inf:
        for t in prange(threads):
            scale(grad[n * t // threads : n * (t + 1) // threads], max_norm / norm[0])


@jit(reassociate=True)
def sum_of_squares(values: Array) -> float:
    """In float64."""
    total = 0.0
    for i in range(values.size):
        total += np.float64(values[i]) * np.float64(values[i])
    return total


@jit()
def scale(values: Array, factor: float) -> None:
    factor = values.dtype.type(factor)
    for i in range(values.size):
        values[i] *= factor
