"""Optimiser updates over the flat arrays of all parameters.

``hyper`` is a float64 array of the step's numbers, in the order of
``conventions.HYPER``; it lies in the
backend's memory so that a recorded GPU step can be replayed with new values in it.
``guard`` holds the step's loss: where ``guard[0]`` is not finite nothing is changed, so the
last good weights stay without the host having to look. Weights lie before the biases, and
weight decay acts on the first ``n_decayed`` elements only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scratch import borrow

Array = NDArray[Any]

# Elements per pass: its five arrays (at most) stay in the second-level cache.
BLOCK = 16384


def sgd(w: Array, grad: Array, hyper: Array, n_decayed: int, guard: Array) -> None:
    """w -= lr g"""
    if not np.isfinite(guard[0]):
        return
    rate, decay, *_ = hyper.tolist()
    for part, lam in _parts(w.size, n_decayed, decay):
        g = _with_decay(grad[part], w[part], lam)
        g *= rate
        w[part] -= g


def momentum(w: Array, grad: Array, v: Array, hyper: Array, n_decayed: int, guard: Array) -> None:
    """v = mu v + g, w -= lr v (Polyak 1964, as PyTorch writes it)"""
    if not np.isfinite(guard[0]):
        return
    rate, decay, mu, *_ = hyper.tolist()
    for part, lam in _parts(w.size, n_decayed, decay):
        g = _with_decay(grad[part], w[part], lam)
        v[part] *= mu
        v[part] += g
        np.multiply(v[part], rate, out=g)
        w[part] -= g


def nesterov(w: Array, grad: Array, v: Array, hyper: Array, n_decayed: int, guard: Array) -> None:
    """v = mu v + g, w -= lr (g + mu v) (Sutskever et al. 2013, as PyTorch writes it)"""
    if not np.isfinite(guard[0]):
        return
    rate, decay, mu, *_ = hyper.tolist()
    for part, lam in _parts(w.size, n_decayed, decay):
        g = _with_decay(grad[part], w[part], lam)
        v[part] *= mu
        v[part] += g
        ahead = np.multiply(v[part], mu, out=borrow(g.shape, g.dtype, slot=1))
        ahead += g
        ahead *= rate
        w[part] -= ahead


def adam(
    w: Array, grad: Array, m: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
) -> None:
    """m, v = moving means of g and g^2; w -= lr m^ / (sqrt(v^) + eps) (Kingma and Ba 2015)"""
    if not np.isfinite(guard[0]):
        return
    rate, decay, _, *moments = hyper.tolist()
    for part, lam in _parts(w.size, n_decayed, decay):
        g = _with_decay(grad[part], w[part], lam)
        w[part] -= _adam_step(g, m[part], v[part], rate, *moments)


def adamw(
    w: Array, grad: Array, m: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
) -> None:
    """w *= 1 - lr decay, then adam without decay in g (Loshchilov and Hutter 2019)"""
    if not np.isfinite(guard[0]):
        return
    rate, decay, _, *moments = hyper.tolist()
    for part, lam in _parts(w.size, n_decayed, decay):
        g = _with_decay(grad[part], w[part], 0)
        w[part] *= 1 - rate * lam
        w[part] -= _adam_step(g, m[part], v[part], rate, *moments)


def _adam_step(
    g: Array, m: Array, v: Array, rate: float,
    beta1: float, beta2: float, eps: float, correction1: float, correction2: float,
) -> Array:  # fmt: skip
    """Advances the moments; returns lr m^ / (sqrt(v^) + eps). g is used up.

    m^ = m / correction1 and v^ = v / correction2, where correction = 1 - beta^t.
    """
    root = np.multiply(g, g, out=borrow(g.shape, g.dtype, slot=1))
    root *= 1 - beta2
    v *= beta2
    v += root
    g *= 1 - beta1
    m *= beta1
    m += g
    np.divide(v, correction2, out=root)
    np.sqrt(root, out=root)
    root += eps
    np.multiply(m, rate / correction1, out=g)
    g /= root
    return g


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


def _parts(n: int, n_decayed: int, decay: float) -> Iterator[tuple[slice, float]]:
    """Slices of at most BLOCK elements that cover [0, n), each with its weight decay."""
    for first, last, lam in ((0, n_decayed, decay), (n_decayed, n, 0.0)):
        for start in range(first, last, BLOCK):
            yield slice(start, min(start + BLOCK, last)), lam


def _with_decay(grad: Array, w: Array, decay: float) -> Array:
    """grad + decay * w in scratch slot 0, the caller's to use up."""
    g = borrow(grad.shape, grad.dtype)
    if decay == 0:
        np.copyto(g, grad)
    else:
        np.multiply(w, decay, out=g)
        g += grad
    return g
