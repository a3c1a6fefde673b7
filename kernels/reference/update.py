"""Optimiser updates over the flat arrays of all parameters.

``hyper`` is a float64 array of the step's numbers, in the order of ``conventions.HYPER``; it lies
in the backend's memory so that a recorded GPU step can be replayed with new values in it.
``guard`` holds the step's loss: where ``guard[0]`` is not finite nothing is changed, so the
last good weights stay without the host having to look. Weights lie before the biases, and
weight decay acts on the first ``n_decayed`` elements only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conventions import Hyper
from ..scratch import borrow

Array = NDArray[Any]

# Elements per pass: its five arrays (at most) stay in the second-level cache.
BLOCK = 16384


def update(
    name: str, w: Array, grad: Array, moments: tuple[Array, ...], hyper: Array, n_decayed: int,
    guard: Array,
) -> None:  # fmt: skip
    """w -= step, with the step of the optimiser ``name``; its moments go one step on.

    w, grad and each of the moments (n,) are float32 or float64; hyper (8,) and guard (2,) float64.
    """
    if not np.isfinite(guard[0]):
        return
    step, numbers = STEPS[name], Hyper(*hyper.tolist())
    room = borrow((2, BLOCK), w.dtype)
    for part, decay in _parts(w.size, n_decayed, numbers.weight_decay):
        g, work = room[:, : part.stop - part.start]
        if decay == 0:
            g[:] = grad[part]
        elif name == "adamw":  # decays w itself (Loshchilov and Hutter 2019)
            g[:] = grad[part]
            w[part] *= 1 - numbers.learning_rate * decay
        else:
            np.multiply(w[part], decay, out=g)
            g += grad[part]
        step(g, work, numbers, *[moment[part] for moment in moments])
        w[part] -= g


# Each turns g, the gradient with its decay, into what is subtracted from w; ``work`` is like g.


def _sgd(g: Array, work: Array, hyper: Hyper) -> None:
    """step = lr g"""
    g *= hyper.learning_rate


def _momentum(g: Array, work: Array, hyper: Hyper, v: Array) -> None:
    """v = mu v + g, step = lr v (Polyak 1964, as PyTorch writes it)"""
    v *= hyper.momentum
    v += g
    np.multiply(v, hyper.learning_rate, out=g)


def _nesterov(g: Array, work: Array, hyper: Hyper, v: Array) -> None:
    """v = mu v + g, step = lr (g + mu v) (Sutskever et al. 2013, as PyTorch writes it)"""
    v *= hyper.momentum
    v += g
    g += np.multiply(v, hyper.momentum, out=work)
    g *= hyper.learning_rate


def _adam(g: Array, work: Array, hyper: Hyper, m: Array, v: Array) -> None:
    """m, v = moving means of g and g^2, step = lr m^ / (sqrt(v^) + eps) (Kingma and Ba 2015)

    m^ = m / correction1 and v^ = v / correction2, where correction = 1 - beta^t.
    """
    np.multiply(g, g, out=work)
    work *= 1 - hyper.beta2
    v *= hyper.beta2
    v += work
    g *= 1 - hyper.beta1
    m *= hyper.beta1
    m += g
    root = np.divide(v, hyper.correction2, out=work)
    np.sqrt(root, out=root)
    root += hyper.eps
    np.multiply(m, hyper.learning_rate / hyper.correction1, out=g)
    g /= root


STEPS: dict[str, Callable[..., None]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adam": _adam,
    "adamw": _adam,
}


def clip_by_norm(grad: Array, max_norm: float, norm: Array) -> None:
    """Scales grad so that its Euclidean norm is at most max_norm; norm[0] = the norm before.

    A norm that is not finite leaves grad as it is (Pascanu et al. 2013).
    """
    square = 0.0
    for part, _ in _parts(grad.size, 0, 0.0):
        work = borrow(grad[part].shape, np.float64)
        np.copyto(work, grad[part])
        square += float(np.dot(work, work))
    norm[0] = np.sqrt(square)
    if max_norm < norm[0] < np.inf:
        grad *= max_norm / float(norm[0])


def unit_rows(w: Array) -> None:
    """Divides each row by its Euclidean norm; one whose norm is 0 or not finite stays."""
    work = borrow(w.shape, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(w, w, out=work, dtype=np.float64)
        lengths = np.sqrt(work.sum(axis=1))
    lengths[~((lengths > 0) & (lengths < np.inf))] = 1
    w *= (1 / lengths).astype(w.dtype)[:, None]


def _parts(n: int, n_decayed: int, decay: float) -> list[tuple[slice, float]]:
    """Slices of at most BLOCK elements that cover [0, n), each with its weight decay."""
    return [
        (slice(start, min(start + BLOCK, last)), lam)
        for first, last, lam in ((0, n_decayed, decay), (n_decayed, n, 0.0))
        for start in range(first, last, BLOCK)
    ]
