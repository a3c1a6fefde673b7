"""Losses in Numba CUDA: value and gradient in one pass over output and target (see loss.cu)."""

from __future__ import annotations

import math
from typing import Any

from ..conventions import HUBER_DELTA, LOSSES, PENALTIES, RATE_MARGIN
from ..grids import MAX_PARTS, THREADS, Array, blocks
from .activation import WARPS
from .memory import scratch
from .reduce import REDUCE_THREADS, block_sum, sum_parts
from .target import cuda, device, kernel, launch

MSE, BCE, L1, HUBER = range(len(LOSSES))


def loss(name: str, output: Array, target: Array, gradient: Array, totals: Array) -> None:
    """gradient of the batch mean; totals = [sum of losses, sum of squared errors], float64"""
    n_parts = max(1, min(blocks(len(output), WARPS[1]), MAX_PARTS))
    parts = scratch((2, n_parts), "float64")
    code = LOSSES.index(name)
    launch(loss_elements, (n_parts, 1, 1), WARPS, code, output, target, gradient, parts)
    launch(loss_totals, (1, 1, 1), THREADS, parts, totals)


def softmax_loss(
    output: Array, target: Array, bounds: Array, gradient: Array, totals: Array
) -> None:
    """gradient of the groups' columns; totals[0] += the cross-entropies"""
    n = len(output) * (len(bounds) - 1)
    if n > 0:
        n_parts = min(blocks(n, THREADS[0]), MAX_PARTS)
        parts = scratch((n_parts,), "float64")
        grid = (n_parts, 1, 1)
        launch(softmax_groups, grid, THREADS, output, target, bounds, gradient, parts)
        launch(added_total, (1, 1, 1), THREADS, parts, totals)


def normal_divergence(x: Array, weight: Array, gradient: Array, totals: Array) -> None:
    """gradient = weight / batch [m, (exp(v) - 1) / 2], x = [m, v]; totals[0] += the divergences"""
    if x.size:
        n_parts = min(blocks(len(x), WARPS[1]), MAX_PARTS)
        parts = scratch((n_parts,), "float64")
        launch(normal_divergences, (n_parts, 1, 1), WARPS, x, weight, gradient, parts)
        launch(added_total, (1, 1, 1), THREADS, parts, totals)


def activity_penalty(
    name: str, y: Array, weight: float, rate: float, gradient: Array, totals: Array
) -> None:
    """gradient = that of the batch mean; totals[0] += the penalty"""
    if y.size:
        n_parts = min(blocks(y.shape[1], THREADS[0]), MAX_PARTS)
        parts = scratch((n_parts,), "float64")
        args = PENALTIES.index(name), y, float(weight), float(rate), gradient, parts
        launch(penalties, (n_parts, 1, 1), THREADS, *args)
        launch(added_total, (1, 1, 1), THREADS, parts, totals)


def inner_product(x: Array, y: Array, weight: float, out: Array, totals: Array) -> None:
    """out = x * y; totals[0] += weight times its sum"""
    if x.size:
        n_parts = min(blocks(len(x), WARPS[1]), MAX_PARTS)
        parts = scratch((n_parts,), "float64")
        launch(inner_products, (n_parts, 1, 1), WARPS, x, y, float(weight), out, parts)
        launch(added_total, (1, 1, 1), THREADS, parts, totals)


@device
def loss_term(loss: int, output: Any, target: Any, real: Any) -> Any:
    """(value, d value / d output, reconstruction - target) of one element.

    output is the reconstruction, for bce its logit.
    """
    zero, one, two = real(0), real(1), real(2)
    if math.isnan(target):  # a missing value
        return zero, zero, zero
    error = output - target
    if loss == BCE:
        # -t log p - (1 - t) log(1 - p) = max(z, 0) - z t + log(1 + exp(-|z|)), p = sigmoid(z)
        z, e = output, math.exp(-abs(output))
        p = (one if z >= zero else e) / (one + e)
        value = (zero if z < zero else z) - z * target + math.log1p(e)
        return value, p - target, p - target
    if loss == L1:
        sign = one if error > zero else -one if error < zero else error  # NaN passes
        return abs(error), sign, error
    if loss == HUBER:
        # with c the error clipped to [-delta, delta]: loss = c (error - c / 2), slope = c
        delta = real(HUBER_DELTA)
        c = -delta if error < -delta else delta if error > delta else error
        return c * (error - c / two), c, error
    return error * error, two * error, error


@kernel
def loss_elements(loss: int, output: Array, target: Array, gradient: Array, parts: Array) -> None:
    """gradient = slope / batch; parts[:, block] = sums of losses and of squared errors"""
    shared_value = cuda.shared.array(REDUCE_THREADS, "float64")
    shared_square = cuda.shared.array(REDUCE_THREADS, "float64")
    real = output.dtype.type
    rows, columns = output.shape
    scale = real(1.0 / max(rows, 1))
    value, square = 0.0, 0.0
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
            of_one, slope, error = loss_term(loss, output[i, j], target[i, j], real)
            gradient[i, j] = slope * scale
            value += of_one
            square += error * error
    t = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    value = block_sum(value, t, shared_value)
    square = block_sum(square, t, shared_square)
    if t == 0:
        parts[0, cuda.blockIdx.x] = value
        parts[1, cuda.blockIdx.x] = square


@kernel
def loss_totals(parts: Array, totals: Array) -> None:
    """totals = the sum of each of the two rows of parts; one block"""
    shared_value = cuda.shared.array(REDUCE_THREADS, "float64")
    shared_square = cuda.shared.array(REDUCE_THREADS, "float64")
    t = cuda.threadIdx.x
    value = sum_parts(parts[0], t, shared_value)
    square = sum_parts(parts[1], t, shared_square)
    if t == 0:
        totals[0] = value
        totals[1] = square


@kernel
def softmax_groups(
    output: Array, target: Array, bounds: Array, gradient: Array, parts: Array
) -> None:
    """A thread for each group of a sample, see loss.cu; parts[block] = sums"""
    shared = cuda.shared.array(REDUCE_THREADS, "float64")
    real = output.dtype.type
    rows, columns = output.shape
    groups = bounds.size - 1
    scale, value = real(1.0 / rows), 0.0
    first = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    for n in range(first, rows * groups, cuda.gridDim.x * cuda.blockDim.x):
        i, start, stop = n // groups, bounds[n % groups], bounds[n % groups + 1]
        if start < 0 or start >= stop or stop > columns:  # no group: the loss shows it
            value = math.nan
            continue
        top, weight, total = output[i, start], real(0), real(0)
        for j in range(start, stop):
            z = output[i, j]
            top = z if z > top else top
            weight += target[i, j]
        missing = math.isnan(weight)  # a target is NaN
        for j in range(start, stop):
            total += math.exp(output[i, j] - top)
        high, times = math.log(total), weight / total
        for j in range(start, stop):
            z, t = output[i, j] - top, target[i, j]
            value += real(0) if missing else t * (high - z)
            gradient[i, j] = real(0) if missing else (math.exp(z) * times - t) * scale
    value = block_sum(value, cuda.threadIdx.x, shared)
    if cuda.threadIdx.x == 0:
        parts[cuda.blockIdx.x] = value


@kernel
def normal_divergences(x: Array, weight: Array, gradient: Array, parts: Array) -> None:
    """A warp for each row, see loss.cu; parts[block] = sums of weight (m^2 + exp(v) - 1 - v) / 2"""
    shared = cuda.shared.array(REDUCE_THREADS, "float64")
    real = x.dtype.type
    rows, code = x.shape[0], x.shape[1] // 2
    scale, half, value = real(weight[0] / rows), real(0.5), 0.0
    top = real(709.0)  # beyond it Python's expm1, which the simulator takes, raises
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, code, cuda.blockDim.x):
            m, v = x[i, j], x[i, code + j]
            e = math.expm1(top if v > top else v)
            e = e * e if v > top else e  # infinite
            gradient[i, j] = m * scale
            gradient[i, code + j] = e * (half * scale)
            value += m * m + (e - v)
    t = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    value = block_sum(value, t, shared)
    if t == 0:
        parts[cuda.blockIdx.x] = 0.5 * weight[0] * value


@kernel
def penalties(kl: int, y: Array, weight: float, rate: float, gradient: Array, parts: Array) -> None:
    """A thread for each column, see loss.cu; parts[block] = weight times the sums"""
    shared = cuda.shared.array(REDUCE_THREADS, "float64")
    real = y.dtype.type
    batch, columns = y.shape
    zero, one, margin, r = real(0), real(1), real(RATE_MARGIN), real(rate)
    scale, rest, value = real(weight / batch), one - r, 0.0
    first = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    for j in range(first, columns, cuda.gridDim.x * cuda.blockDim.x):
        total = 0.0
        if kl == 0:
            for i in range(batch):
                y_i = y[i, j]
                gradient[i, j] = scale if y_i > zero else -scale if y_i < zero else scale * y_i
                total += abs(y_i)
            value += total
            continue
        for i in range(batch):
            total += y[i, j]
        m = real(total / batch)
        m = margin if m < margin else one - margin if m > one - margin else m
        value += batch * float(r * math.log(r / m) + rest * math.log(rest / (one - m)))
        slope = scale * (rest / (one - m) - r / m)
        for i in range(batch):
            gradient[i, j] = slope
    value = block_sum(value, cuda.threadIdx.x, shared)
    if cuda.threadIdx.x == 0:
        parts[cuda.blockIdx.x] = weight * value


@kernel
def inner_products(x: Array, y: Array, weight: float, out: Array, parts: Array) -> None:
    """out = x * y; parts[block] = sums of weight * x * y"""
    shared = cuda.shared.array(REDUCE_THREADS, "float64")
    rows, columns = x.shape
    value = 0.0
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
            product = x[i, j] * y[i, j]
            out[i, j] = product
            value += product
    t = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    value = block_sum(value, t, shared)
    if t == 0:
        parts[cuda.blockIdx.x] = weight * value


@kernel
def added_total(parts: Array, totals: Array) -> None:
    """totals[0] += the sum of parts; one block"""
    shared = cuda.shared.array(REDUCE_THREADS, "float64")
    value = sum_parts(parts, cuda.threadIdx.x, shared)
    if cuda.threadIdx.x == 0:
        totals[0] += value
