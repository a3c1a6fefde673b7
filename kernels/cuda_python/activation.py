"""Activations and their derivatives in Numba CUDA (see activation.cu and activation.cuh).

``real`` is the type that a kernel computes in, REAL of the .cu files. Numba takes a bare 1 or 0.5
for a number of 64 bits and would widen all that it meets: hence real(1).
"""

from __future__ import annotations

import math
from typing import Any

from ..conventions import ACTIVATIONS, GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from ..grids import MAX_BLOCKS, SELECT_THREADS, Array, Dim, blocks
from .target import adopted, bounded, cuda, device, kernel, launch

IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS, SILU, GELU = range(len(ACTIVATIONS))

# A block of an elementwise kernel: a warp takes 32 neighbours of a row, eight warps eight rows.
WARPS: Dim = (32, 8, 1)


def grid_of_rows(rows: int) -> Dim:
    return (max(1, min(blocks(rows, WARPS[1]), MAX_BLOCKS)), 1, 1)


def activation_forward(x: Array, activation: str, y: Array) -> None:
    """y = act(x); y may be x"""
    if x.size:
        code = ACTIVATIONS.index(activation)
        launch(forward_kernel, grid_of_rows(len(x)), WARPS, code, x, y)


def activation_backward(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act'(saved); dx may be dy"""
    if dy.size:
        code = ACTIVATIONS.index(activation)
        launch(backward_kernel, grid_of_rows(len(dy)), WARPS, code, dy, saved, dx)


def activation_curvature(dy: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = dy * act''(saved); dx may be dy"""
    if dy.size:
        code = ACTIVATIONS.index(activation)
        launch(curvature_kernel, grid_of_rows(len(dy)), WARPS, code, dy, saved, dx)


def add(x: Array, y: Array, out: Array) -> None:
    """out = x + y; y of x's shape or one row for all; out may be x, and y of its shape"""
    if x.size:
        rows = adopted(y).reshape((y.size // x.shape[1], x.shape[1]))
        launch(add_kernel, grid_of_rows(len(x)), WARPS, x, rows, out)


@device
def sigmoid_of(x: Any, real: Any) -> Any:
    e = math.exp(-abs(x))  # never overflows
    return (real(1) if x >= real(0) else e) / (real(1) + e)


@device
def gelu_tanh(x: Any, real: Any) -> Any:
    return math.tanh(real(GELU_SCALE) * x * (real(1) + real(GELU_CUBIC) * x * x))


@device
def activate(activation: int, x: Any, real: Any) -> Any:
    """y = act(x)"""
    zero, one, half = real(0), real(1), real(0.5)
    if activation == RELU:
        return zero if x < zero else x  # NaN passes
    if activation == LEAKY_RELU:
        return real(LEAKY_SLOPE) * x if x < zero else x
    if activation == ELU:
        return math.expm1(x) if x < zero else x
    if activation == SIGMOID:
        return sigmoid_of(x, real)
    if activation == TANH:
        return math.tanh(x)
    if activation == SOFTPLUS:
        return (zero if x < zero else x) + math.log1p(math.exp(-abs(x)))
    if activation == SILU:
        return x * sigmoid_of(x, real)
    if activation == GELU:
        return x * (one + gelu_tanh(x, real)) * half
    return x


@device
def activation_slope(activation: int, saved: Any, real: Any) -> Any:
    """act' from the output y, or for silu and gelu from the input x"""
    zero, one, half = real(0), real(1), real(0.5)
    x = y = saved
    if activation == RELU:
        return one if y > zero else zero
    if activation == LEAKY_RELU:
        return one if y > zero else real(LEAKY_SLOPE)
    if activation == ELU:
        return one if y > zero else y + one
    if activation == SIGMOID:
        return y * (one - y)
    if activation == TANH:
        return one - y * y
    if activation == SOFTPLUS:
        return -math.expm1(-y)
    if activation == SILU:
        s = sigmoid_of(x, real)
        return s * (one + x * (one - s))
    if activation == GELU:
        t = gelu_tanh(x, real)
        inner = real(GELU_SCALE) * (one + real(3 * GELU_CUBIC) * x * x)
        return (one + t + x * (one - t * t) * inner) * half
    return one


@device
def activation_bend(activation: int, saved: Any, real: Any) -> Any:
    """act'' from what activation_slope has; 0 at kinks"""
    zero, one, two = real(0), real(1), real(2)
    x = y = saved
    if activation == ELU:
        return y + one if y < zero else zero
    if activation == SIGMOID:
        return y * (one - y) * (one - two * y)
    if activation == TANH:
        return two * y * (y * y - one)
    if activation == SOFTPLUS:
        return -math.expm1(-y) * math.exp(-y)
    if activation == SILU:
        s = sigmoid_of(x, real)
        return s * (one - s) * (two + x * (one - two * s))
    if activation == GELU:
        t, more = gelu_tanh(x, real), real(3 * GELU_CUBIC) * x * x
        inner = real(GELU_SCALE) * (one + more)
        return (one - t * t) * (inner + (real(GELU_SCALE) * more - x * t * (inner * inner)))
    return zero


@kernel
def forward_kernel(activation: int, x: Array, y: Array) -> None:
    rows, columns = x.shape
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
            y[i, j] = activate(activation, x[i, j], x.dtype.type)


@kernel
def backward_kernel(activation: int, dy: Array, saved: Array, dx: Array) -> None:
    rows, columns = dy.shape
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
            dx[i, j] = dy[i, j] * activation_slope(activation, saved[i, j], dy.dtype.type)


@kernel
def curvature_kernel(activation: int, dy: Array, saved: Array, dx: Array) -> None:
    rows, columns = dy.shape
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
            dx[i, j] = dy[i, j] * activation_bend(activation, saved[i, j], dy.dtype.type)


@kernel
def add_kernel(x: Array, y: Array, out: Array) -> None:
    rows, columns = x.shape
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, columns, cuda.blockDim.x):
            out[i, j] = x[i, j] + y[i if len(y) > 1 else 0, j]


# ---- the k greatest of a row

SELECT = SELECT_THREADS[0]


def top_k(x: Array, k: int, y: Array, dropped: Array) -> None:
    """y = x where it is among the k greatest of its row, else 0; dropped = 0 there, else 1"""
    rows, columns = x.shape
    if x.size:
        bits = adopted(x).view(f"int{8 * x.dtype.itemsize}")
        grid = (min(rows, MAX_BLOCKS), 1, 1)
        launch(top_k_kernel, grid, SELECT_THREADS, x, bits, min(k, columns), y, dropped)


@device
def key_of(x: Any, bits: Any, most: Any, infinite: Any) -> Any:
    """Integers in the order of the numbers: 0 and -0 have one, and so have infinity and NaN."""
    if math.isnan(x):
        return infinite
    if x == 0:
        return 0
    return bits ^ most if bits < 0 else bits


@device
def chosen(key: Any, column: int, least: Any, stop: int) -> Any:
    return key > least or (key == least and column < stop)


@device
def count_chosen(
    x: Array, bits: Array, least: Any, stop: int, most: Any, infinite: Any, shared: Array
) -> Any:
    """How many columns of the row x are ``chosen``; every thread of the block gets the number."""
    count, total = 0, 0
    for j in range(cuda.threadIdx.x, x.size, SELECT):
        count += chosen(key_of(x[j], bits[j], most, infinite), j, least, stop)
    shared[cuda.threadIdx.x] = count
    cuda.syncthreads()
    for t in range(SELECT):
        total += shared[t]
    cuda.syncthreads()
    return total


@bounded(SELECT)
def top_k_kernel(x: Array, bits: Array, k: int, y: Array, dropped: Array) -> None:
    """The k-th greatest key bit by bit, then of those that equal it the first, see activation.cu"""
    shared = cuda.shared.array(SELECT, "int32")
    rows, columns = x.shape
    zero, one = x.dtype.type(0), x.dtype.type(1)
    double = x.itemsize == 8
    most = 0x7FFFFFFFFFFFFFFF if double else 0x7FFFFFFF
    infinite = 0x7FF0000000000000 if double else 0x7F800000
    for row in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
        least, candidate, step = -most - 1, 0, most // 2 + 1
        count, stop = columns, columns
        while count != k:
            more = count_chosen(x[row], bits[row], candidate, columns, most, infinite, shared)
            if more >= k:
                least, count = candidate, more
            if step == 0:
                break
            candidate = least + step
            step >>= 1
        if count > k:
            stop, some = 0, 1 << 30
            while some > 0:
                if some <= columns - stop:
                    more = count_chosen(
                        x[row], bits[row], least, stop + some, most, infinite, shared
                    )
                    if more <= k:
                        stop += some
                some >>= 1
        for j in range(cuda.threadIdx.x, columns, SELECT):
            value = x[row, j]
            kept = chosen(key_of(value, bits[row, j], most, infinite), j, least, stop)
            y[row, j] = value if kept else zero
            dropped[row, j] = zero if kept else one
