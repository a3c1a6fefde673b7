"""Losses: value and gradient in one pass.

Values are summed over features and over the batch (the caller divides by the number of
samples); gradients are those of the batch *mean*, so they carry the factor 1 / batch.
Where the target is NaN, a missing value, there is nothing to reconstruct: both are 0.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conventions import HUBER_DELTA, RATE_MARGIN
from ..scratch import borrow
from .activation import sigmoid

Array = NDArray[Any]


def loss(name: str, output: Array, target: Array, gradient: Array, totals: Array) -> None:
    """gradient = d(mean loss)/d(output); totals = [sum of losses, sum of squared errors].

    For ``bce`` the output is the logit of the reconstruction p = sigmoid(output); for the
    others it is the reconstruction itself. Sums are taken in float64.
    """
    work = borrow(output.shape, output.dtype, slot=2)
    missing = np.isnan(target, out=borrow(output.shape, np.bool_, slot=3))
    if name == "bce":
        # -t log p - (1 - t) log(1 - p) = max(z, 0) - z t + log(1 + exp(-|z|))
        np.abs(output, out=work)
        np.negative(work, out=work)
        np.exp(work, out=work)
        np.log1p(work, out=work)
        np.copyto(work, 0, where=missing)
        value = _sum(work)
        np.maximum(output, 0, out=work)
        np.multiply(output, target, out=gradient)
        work -= gradient
        np.copyto(work, 0, where=missing)
        value += _sum(work)
        sigmoid(output, gradient)
        gradient -= target  # p - t: the sigmoid's derivative has cancelled
        np.copyto(gradient, 0, where=missing)
        np.multiply(gradient, gradient, out=work)
        squared = _sum(work)
    else:
        error = np.subtract(output, target, out=gradient)
        np.copyto(error, 0, where=missing)
        np.multiply(error, error, out=work)
        squared = _sum(work)
        if name == "mse":
            value = squared
            gradient *= 2
        elif name == "l1":
            np.abs(error, out=work)
            value = _sum(work)
            np.sign(error, out=gradient)
        elif name == "huber":
            # with c the error clipped to [-delta, delta]: loss = c (error - c / 2), slope = c
            clipped = np.clip(error, -HUBER_DELTA, HUBER_DELTA, out=work)
            half = np.multiply(clipped, 0.5, out=borrow(output.shape, output.dtype))
            error -= half
            error *= clipped
            value = _sum(error)
            np.copyto(gradient, clipped)
        else:
            raise ValueError(f"loss {name!r} has no NumPy kernel")
    gradient *= 1 / max(len(output), 1)
    totals[0] = value
    totals[1] = squared


def softmax_loss(
    output: Array, target: Array, bounds: Array, gradient: Array, totals: Array
) -> None:
    """Adds the cross-entropies of the groups to totals[0]; their columns of gradient = its slope.

    Of logits z with target t: sum of t log(sum of exp z) - t z, from z less the largest of them.
    A group with a NaN among its targets counts as one whose targets are all 0.
    """
    for start, stop in pairwise(bounds.tolist()):
        slope, shape = gradient[:, start:stop], (len(output), stop - start)
        z, t = (borrow(shape, output.dtype, slot) for slot in (2, 1))
        np.copyto(t, target[:, start:stop])
        missing = np.isnan(t, out=borrow(shape, np.bool_, slot=3)).any(axis=1)
        t[missing] = 0
        np.subtract(output[:, start:stop], output[:, start:stop].max(axis=1, keepdims=True), out=z)
        p = np.exp(z, out=borrow(shape, output.dtype))
        total, weight = p.sum(axis=1, keepdims=True), t.sum(axis=1, keepdims=True)
        z -= np.log(total)
        z *= t
        z[missing] = 0
        totals[0] -= _sum(z)
        p *= weight / total
        np.subtract(p, t, out=slope)
        slope *= 1 / max(len(output), 1)
        slope[missing] = 0


def normal_divergence(x: Array, weight: Array, gradient: Array, totals: Array) -> None:
    """gradient = weight / batch [m, (exp(v) - 1) / 2] for x = [m, v], means and log-variances;
    totals[0] += weight times the sum of (m^2 + exp(v) - 1 - v) / 2.

    That is the Kullback-Leibler divergence of N(m, exp(v)) from N(0, 1) (Kingma and Welling 2014,
    appendix B).
    """
    m, v = np.split(x, 2, axis=1)
    slope_m, slope_v = np.split(gradient, 2, axis=1)
    np.expm1(v, out=slope_v)
    work = np.multiply(m, m, out=borrow(m.shape, m.dtype, slot=2))
    work += np.subtract(slope_v, v, out=borrow(m.shape, m.dtype))
    factor = float(weight[0])
    totals[0] += factor * (0.5 * _sum(work))
    scale = factor / max(len(x), 1)
    np.multiply(m, scale, out=slope_m)
    slope_v *= 0.5 * scale


def activity_penalty(
    name: str, y: Array, weight: float, rate: float, gradient: Array, totals: Array
) -> None:
    """l1: totals[0] += weight times the sum of |y|, gradient = weight / batch sign(y).

    kl: with m the mean of a column, totals[0] += weight times batch times the sum over columns of
    r log(r / m) + (1 - r) log((1 - r) / (1 - m)), r being the rate, and gradient = weight / batch
    ((1 - r) / (1 - m) - r / m) (Ng, "Sparse autoencoder", CS294A lecture notes, 2011).
    """
    batch = max(len(y), 1)
    if name == "l1":
        totals[0] += weight * _sum(np.abs(y, out=gradient))
        np.sign(y, out=gradient)
        gradient *= weight / batch
    elif name == "kl":
        m = np.clip(y.sum(axis=0, dtype=np.float64) / batch, RATE_MARGIN, 1 - RATE_MARGIN)
        divergence = rate * np.log(rate / m) + (1 - rate) * np.log((1 - rate) / (1 - m))
        totals[0] += weight * len(y) * _sum(divergence)
        np.copyto(gradient, weight / batch * ((1 - rate) / (1 - m) - rate / m), casting="same_kind")
    else:
        raise ValueError(f"penalty {name!r} has no NumPy kernel")


def _sum(values: Array) -> float:
    return float(values.sum(dtype=np.float64))


def inner_product(x: Array, y: Array, weight: float, out: Array, totals: Array) -> None:
    """out = x * y; adds weight times its sum, in float64, to totals[0]. out may be x or y."""
    np.multiply(x, y, out=out)
    totals[0] += weight * _sum(out)
