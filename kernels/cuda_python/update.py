"""Optimiser updates in Numba CUDA: one launch moves all parameters (see update.cu).

Element i of the first n_decayed, the weights, decays; a bias does not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..conventions import HYPER
from ..grids import MAX_BLOCKS, MAX_PARTS, THREADS, Array, grid_for
from .memory import scratch
from .reduce import REDUCE_THREADS, block_sum, sum_parts
from .target import cuda, device, kernel, launch

float64 = np.float64

LEARNING_RATE, WEIGHT_DECAY, MOMENTUM, BETA1, BETA2, EPS, CORRECTION1, CORRECTION2 = range(
    len(HYPER)
)


def update(
    name: str, w: Array, grad: Array, moments: tuple[Array, ...], hyper: Array, n_decayed: int,
    guard: Array,
) -> None:  # fmt: skip
    """One step of the optimiser ``name``"""
    launch(KERNELS[name], grid_for(w.size), THREADS, w, grad, *moments, hyper, n_decayed, guard)


def clip_by_norm(grad: Array, max_norm: float, norm: Array) -> None:
    """grad scaled to a Euclidean norm of at most max_norm; norm[0] = what it was"""
    grid = grid_for(grad.size, MAX_PARTS)
    parts = scratch((grid[0],), "float64")
    launch(norm_parts, grid, THREADS, grad, parts)
    launch(norm_total, (1, 1, 1), THREADS, parts, norm)
    launch(clip_to_norm, grid_for(grad.size), THREADS, grad, float(max_norm), norm)


def unit_rows(w: Array) -> None:
    """Divides each row by its Euclidean norm; one whose norm is 0 or not finite stays"""
    if w.size:
        launch(unit_rows_kernel, (min(len(w), MAX_BLOCKS), 1, 1), THREADS, w)


@device
def decayed(g: Any, w: Any, decay: Any, decays: bool) -> Any:
    return g + decay * w if decays else g


@kernel
def sgd_kernel(w: Array, grad: Array, hyper: Array, n_decayed: int, guard: Array) -> None:
    """w -= lr g"""
    if not math.isfinite(guard[0]):
        return
    real = w.dtype.type
    rate, decay = real(hyper[LEARNING_RATE]), real(hyper[WEIGHT_DECAY])
    for i in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        g = decayed(grad[i], w[i], decay, i < n_decayed)
        w[i] -= rate * g


@kernel
def momentum_kernel(
    w: Array, grad: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
) -> None:
    """v = mu v + g, w -= lr v"""
    if not math.isfinite(guard[0]):
        return
    real = w.dtype.type
    rate, decay, mu = real(hyper[LEARNING_RATE]), real(hyper[WEIGHT_DECAY]), real(hyper[MOMENTUM])
    for i in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        g = decayed(grad[i], w[i], decay, i < n_decayed)
        v[i] = mu * v[i] + g
        w[i] -= rate * v[i]


@kernel
def nesterov_kernel(
    w: Array, grad: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
) -> None:
    """v = mu v + g, w -= lr (g + mu v)"""
    if not math.isfinite(guard[0]):
        return
    real = w.dtype.type
    rate, decay, mu = real(hyper[LEARNING_RATE]), real(hyper[WEIGHT_DECAY]), real(hyper[MOMENTUM])
    for i in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        g = decayed(grad[i], w[i], decay, i < n_decayed)
        v[i] = mu * v[i] + g
        w[i] -= rate * (g + mu * v[i])


@device
def adam_numbers(hyper: Array, real: Any) -> Any:
    """What adam and adamw need of the step's numbers, computed once and not for each parameter."""
    step = hyper[LEARNING_RATE] / hyper[CORRECTION1]
    return (
        real(hyper[BETA1]), real(1.0 - hyper[BETA1]), real(hyper[BETA2]), real(1.0 - hyper[BETA2]),
        real(step), real(hyper[CORRECTION2]), real(hyper[EPS]),
    )  # fmt: skip


@device
def move(g: Any, i: int, m: Array, v: Array, numbers: Any) -> Any:
    """Advances moments i by g; returns lr m^ / (sqrt(v^) + eps): what adam and adamw share."""
    beta1, one_minus_beta1, beta2, one_minus_beta2, step, correction2, eps = numbers
    m[i] = beta1 * m[i] + one_minus_beta1 * g
    v[i] = beta2 * v[i] + one_minus_beta2 * (g * g)
    return step * m[i] / (math.sqrt(v[i] / correction2) + eps)


@kernel
def adam_kernel(
    w: Array, grad: Array, m: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
) -> None:
    """m, v = moving means of g and g^2; w -= lr m^ / (sqrt(v^) + eps)"""
    if not math.isfinite(guard[0]):
        return
    real = w.dtype.type
    decay, numbers = real(hyper[WEIGHT_DECAY]), adam_numbers(hyper, real)
    for i in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        g = decayed(grad[i], w[i], decay, i < n_decayed)
        w[i] -= move(g, i, m, v, numbers)


@kernel
def adamw_kernel(
    w: Array, grad: Array, m: Array, v: Array, hyper: Array, n_decayed: int, guard: Array
) -> None:
    """w *= 1 - lr decay, then adam without decay in g"""
    if not math.isfinite(guard[0]):
        return
    real = w.dtype.type
    keep = real(1.0 - hyper[LEARNING_RATE] * hyper[WEIGHT_DECAY])
    numbers = adam_numbers(hyper, real)
    for i in range(cuda.grid(1), w.size, cuda.gridsize(1)):
        shrunk = keep * w[i] if i < n_decayed else w[i]
        w[i] = shrunk - move(grad[i], i, m, v, numbers)


KERNELS = {
    "sgd": sgd_kernel,
    "momentum": momentum_kernel,
    "nesterov": nesterov_kernel,
    "adam": adam_kernel,
    "adamw": adamw_kernel,
}


# ---- clipping by the norm of the whole gradient: two stages for the norm, one for the scale


@kernel
def norm_parts(grad: Array, parts: Array) -> None:
    """parts[block] = sum of squares"""
    shared = cuda.shared.array(REDUCE_THREADS, "float64")
    total = 0.0
    for i in range(cuda.grid(1), grad.size, cuda.gridsize(1)):
        g = float64(grad[i])  # float() would leave it as it is
        total += g * g
    total = block_sum(total, cuda.threadIdx.x, shared)
    if cuda.threadIdx.x == 0:
        parts[cuda.blockIdx.x] = total


@kernel
def norm_total(parts: Array, norm: Array) -> None:
    """norm[0] = sqrt(sum of parts); one block"""
    shared = cuda.shared.array(REDUCE_THREADS, "float64")
    total = sum_parts(parts, cuda.threadIdx.x, shared)
    if cuda.threadIdx.x == 0:
        norm[0] = math.sqrt(total)


@kernel
def clip_to_norm(grad: Array, max_norm: float, norm: Array) -> None:
    """grad *= max_norm / norm where the norm is larger, and finite"""
    if not (norm[0] > max_norm and math.isfinite(norm[0])):
        return
    scale = grad.dtype.type(max_norm / norm[0])
    for i in range(cuda.grid(1), grad.size, cuda.gridsize(1)):
        grad[i] *= scale


@kernel
def unit_rows_kernel(w: Array) -> None:
    """Divides each row by its norm, unless that is 0 or not finite: a block for a row at a time"""
    shared = cuda.shared.array(REDUCE_THREADS, "float64")
    rows, columns = w.shape
    for row in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
        total = 0.0
        for j in range(cuda.threadIdx.x, columns, REDUCE_THREADS):
            x = float64(w[row, j])
            total += x * x
        block_sum(total, cuda.threadIdx.x, shared)
        square = shared[0]
        cuda.syncthreads()  # before the next row writes there
        if square > 0.0 and math.isfinite(square):
            scale = w.dtype.type(1.0 / math.sqrt(square))
            for j in range(cuda.threadIdx.x, columns, REDUCE_THREADS):
                w[row, j] *= scale
