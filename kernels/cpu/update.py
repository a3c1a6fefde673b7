"""Optimiser updates over the flat arrays of all parameters: every number is read once.

``hyper``, ``n_decayed`` and ``guard`` are those of ``reference.update``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conventions import OPTIMIZERS
from ..scratch import borrow
from .compiling import jit
from .pieces import Kernel, variants
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
        _update, update_at(name, w.dtype), w, grad, m, v, hyper, n_decayed, guard,
        threads=threads_for(COST * w.size),
    )  # fmt: skip


def moments_of(w: Array, moments: tuple[Array, ...]) -> tuple[Array, Array]:
    """(m, v), empty where the optimiser has none."""
    m, v = (w[:0], w[:0], *moments)[-2:]
    return m, v


@Kernel
def _update(at: Any, _: int, t: int, threads: int) -> None:
    rule, w, grad, m, v, hyper, n_decayed, guard = at[0]
    if math.isfinite(guard[0]):
        first, last = w.size * t // threads, w.size * (t + 1) // threads
        update_part(rule, w, grad, first, m, v, hyper, n_decayed, first, last)


def _update_of(code: int) -> Callable[..., None]:
    def update_part(
        ws: Array, gradient: Array, g_start: int, ms: Array, vs: Array, hyper: Array,
        n_decayed: int, first: int, last: int,
    ) -> None:  # fmt: skip
        """Parameters first .. last - 1, on one thread; the first one's gradient is at g_start.

        Moments are empty where the optimiser has none.
        """
        real = ws.dtype.type
        middle = min(max(n_decayed, first), last)
        for low, high, weight_decay in ((first, middle, hyper[1]), (middle, last, 0.0)):
            w, m, v = ws[low:high], ms[low:high], vs[low:high]
            grad = gradient[g_start + low - first : g_start + high - first]
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
                # ``mean`` is not read from m: after the store to v that would be a load that waits
                # for the store to m, which, across a cache line, takes as long as all the rest
                for i in range(n):
                    g = grad[i] + decay * w[i]
                    m[i] = mean = beta1 * m[i] + rest1 * g
                    v[i] = beta2 * v[i] + rest2 * (g * g)
                    root = np.sqrt(v[i] * per_correction2) + eps
                    w[i] = keep * w[i] - corrected_rate * mean / root

    return update_part


update_part, _link = variants(_update_of)


@functools.cache
def update_at(optimizer: str, dtype: Any) -> int:
    """The address that ``update_part`` wants for numbers of a dtype."""
    numbers = np.empty(0, dtype)
    hyper = np.empty(0)
    return int(
        _link(OPTIMIZERS.index(optimizer), numbers, numbers, 0, numbers, numbers, hyper, 0, 0, 0)
    )


def clip_by_norm(grad: Array, max_norm: float, norm: Array) -> None:
    """Scales grad so that its norm is at most max_norm or not finite; norm[0] = the norm before."""
    threads = threads_for(COST * grad.size)
    squares = borrow((threads,), np.float64)
    launch(_squares, grad, squares, threads=threads)
    total = 0.0
    for square in squares.tolist():
        total += square
    norm[0] = math.sqrt(total)
    if max_norm < norm[0] < np.inf:
        launch(_scaled, grad, float(max_norm / norm[0]), threads=threads)


def unit_rows(w: Array) -> None:
    """Divides each row by its Euclidean norm; one whose norm is 0 or not finite stays."""
    launch(_unit_rows, w, threads=threads_for(COST * w.size))


@Kernel
def _unit_rows(at: Any, _: int, t: int, threads: int) -> None:
    (w,) = at[0]
    for i in range(len(w) * t // threads, len(w) * (t + 1) // threads):
        square = sum_of_squares(w[i])
        if 0 < square < math.inf:
            scale(w[i], 1 / math.sqrt(square))


@Kernel
def _squares(at: Any, _: int, t: int, threads: int) -> None:
    grad, squares = at[0]
    squares[t] = sum_of_squares(grad[grad.size * t // threads : grad.size * (t + 1) // threads])


@Kernel
def _scaled(at: Any, _: int, t: int, threads: int) -> None:
    grad, factor = at[0]
    scale(grad[grad.size * t // threads : grad.size * (t + 1) // threads], factor)


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
