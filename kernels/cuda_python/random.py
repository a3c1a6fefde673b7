"""Random numbers in Numba CUDA: each a function of its position alone (see random.cu, philox.cuh).

A thread turns a Philox block of four words into its numbers: four of 32 bits or two of 64. Words
are held in uint64, as Numba computes in 64 bits whatever it is given, and all that meets them is
uint64 too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..conventions import (
    FEISTEL_ROUNDS,
    FEISTEL_STREAM,
    PHILOX_MULTIPLIERS,
    PHILOX_ROUNDS,
    PHILOX_WEYL,
    feistel_bits,
)
from ..grids import THREADS, Array, Dim, blocks, grid_for
from .activation import WARPS, grid_of_rows
from .target import cuda, device, kernel, launch, mul_rn, sincospi

uint64 = np.uint64

LOW, HALF = uint64(0xFFFFFFFF), uint64(32)
MULTIPLIER0, MULTIPLIER1 = map(uint64, PHILOX_MULTIPLIERS)
WEYL0, WEYL1 = map(uint64, PHILOX_WEYL)


def random_bits(state: Array, out: Array) -> None:
    """out = the stream's words, uint32"""
    _fill(bits_kernel, 4, out, state)


def random_uniform(state: Array, low: float, high: float, out: Array) -> None:
    """out = low + (high - low) u"""
    _fill(uniform_kernel, 16 // out.dtype.itemsize, out, state, float(low), float(high - low))


def random_normal(state: Array, mean: float, std: float, out: Array) -> None:
    """out = mean + std g"""
    _fill(normal_kernel, 16 // out.dtype.itemsize, out, state, float(mean), float(std))


def add_normal(state: Array, std: Array, x: Array, out: Array) -> None:
    """out = x + std[0] g; out may be x"""
    _fill(add_normal_kernel, 16 // out.dtype.itemsize, out, state, std, x.reshape(x.size))


def sample_normal(state: Array | None, x: Array, y: Array) -> None:
    """y = mean + exp(log_variance / 2) g, or the mean where state is None"""
    if state is not None:
        per_block = 16 // y.dtype.itemsize
        if y.size:
            grid: Dim = grid_for(blocks(y.size, per_block))
            launch(sample_normal_kernel, grid, THREADS, state, x, y)
    elif y.size:
        launch(take_means, grid_of_rows(len(y)), WARPS, x, y)


def sample_normal_backward(x: Array, y: Array, dy: Array, dx: Array) -> None:
    """dx += [dy, dy (y - mean) / 2]"""
    if y.size:
        launch(sample_normal_backward_kernel, grid_of_rows(len(y)), WARPS, x, y, dy, dx)


def random_bernoulli(state: Array, probability: float, out: Array) -> None:
    """out = 1 where word < probability 2^32, else 0"""
    _fill(bernoulli_kernel, 4, out, state, round(probability * 2**32))


def random_permutation(state: Array, n: int, start: int, out: Array) -> None:
    """out[i] = p(start + i), p a permutation of 0 .. n - 1"""
    if out.size:
        grid = grid_for(out.size)
        launch(permutation_kernel, grid, THREADS, state, int(n), int(start), feistel_bits(n), out)


def _fill(filling: Any, per_block: int, out: Array, *args: Any) -> None:
    """A thread per Philox block."""
    if out.size:
        grid: Dim = grid_for(blocks(out.size, per_block))
        launch(filling, grid, THREADS, *args, out.reshape(out.size))


@device
def stream_words(state: Array, block: int, counter1: int) -> Any:
    """Words 4 block .. 4 block + 3 of a stream; state = [key 0, key 1, stream, step]"""
    c0, c1 = uint64(block) & LOW, (uint64(block) >> HALF) + uint64(counter1)
    c2, c3 = uint64(state[2]), uint64(state[3])
    k0, k1 = uint64(state[0]), uint64(state[1])
    for _ in range(PHILOX_ROUNDS):
        product0, product1 = MULTIPLIER0 * c0, MULTIPLIER1 * c2
        c0, c1 = (product1 >> HALF) ^ c1 ^ k0, product1 & LOW
        c2, c3 = (product0 >> HALF) ^ c3 ^ k1, product0 & LOW
        k0, k1 = (k0 + WEYL0) & LOW, (k1 + WEYL1) & LOW
    return c0, c1, c2, c3


@kernel
def bits_kernel(state: Array, out: Array) -> None:
    n = out.size
    for block in range(cuda.grid(1), (n + 3) // 4, cuda.gridsize(1)):
        words = stream_words(state, block, 0)
        for i in range(4):
            if 4 * block + i < n:
                out[4 * block + i] = words[i]


@device
def unit_uniforms(state: Array, block: int, out: Array) -> Any:
    """A block's uniforms in [0, 1), exact: four of 24 bits, or two of 53 (and two that are 0)"""
    real = out.dtype.type
    a, b, c, d = stream_words(state, block, 0)
    if out.itemsize == 4:
        eight, unit = uint64(8), real(2.0**-24)
        return (
            real(a >> eight) * unit, real(b >> eight) * unit,
            real(c >> eight) * unit, real(d >> eight) * unit,
        )  # fmt: skip
    five, six, shift, unit = uint64(5), uint64(6), real(2.0**26), real(2.0**-53)
    return (
        (real(a >> five) * shift + real(b >> six)) * unit,
        (real(c >> five) * shift + real(d >> six)) * unit,
        real(0), real(0),
    )  # fmt: skip


@device
def unit_normals(state: Array, block: int, out: Array) -> Any:
    """A block's standard normals: two uniforms make two of them (Box and Muller 1958)"""
    real = out.dtype.type
    half_bit = real(2.0**-25 if out.itemsize == 4 else 2.0**-54)  # never log(0)
    a, b, c, d = unit_uniforms(state, block, out)
    radius0 = math.sqrt(real(-2) * math.log(a + half_bit))
    radius1 = math.sqrt(real(-2) * math.log(c + half_bit))
    sine0, cosine0 = sincospi(real(2) * b)  # the angle in units of pi is exact
    sine1, cosine1 = sincospi(real(2) * d)
    return radius0 * cosine0, radius0 * sine0, radius1 * cosine1, radius1 * sine1


def filling(numbers: Any, name: str) -> Any:
    """A kernel: out = shift + scale times ``numbers`` of a block, unit_uniforms or unit_normals"""

    @kernel
    def fill(state: Array, shift: float, scale: float, out: Array) -> None:
        real = out.dtype.type
        n, per_block = out.size, 16 // out.itemsize
        for block in range(cuda.grid(1), (n + per_block - 1) // per_block, cuda.gridsize(1)):
            units = numbers(state, block, out)
            for i in range(4):
                at = per_block * block + i
                if i < per_block and at < n:
                    # rounded one after the other, never fused: the bits are the same everywhere
                    out[at] = mul_rn(units[i], real(scale)) + real(shift)

    fill.__name__ = name
    return fill


uniform_kernel = filling(unit_uniforms, "uniform_kernel")
normal_kernel = filling(unit_normals, "normal_kernel")


@kernel
def add_normal_kernel(state: Array, std: Array, x: Array, out: Array) -> None:
    """out = x + std g; std lies in device memory: see add_normal in random.cu"""
    real = out.dtype.type
    n, per_block = out.size, 16 // out.itemsize
    for block in range(cuda.grid(1), (n + per_block - 1) // per_block, cuda.gridsize(1)):
        normal = unit_normals(state, block, out)
        for i in range(4):
            at = per_block * block + i
            if i < per_block and at < n:
                out[at] = mul_rn(normal[i], real(std[0])) + x[at]


@kernel
def sample_normal_kernel(state: Array, x: Array, y: Array) -> None:
    """y = mean + exp(log_variance / 2) g; see sample_normal in random.cu"""
    real, code = y.dtype.type, y.shape[1]
    n, per_block = y.size, 16 // y.itemsize
    for block in range(cuda.grid(1), (n + per_block - 1) // per_block, cuda.gridsize(1)):
        normal = unit_normals(state, block, y)
        for k in range(4):
            at = per_block * block + k
            if k < per_block and at < n:
                i, j = at // code, at % code
                power = real(0.5) * x[i, code + j]
                # beyond 709 Python's exp, which the simulator takes, raises
                std = math.exp(real(709.0) if power > real(709.0) else power)
                y[i, j] = mul_rn(normal[k], std) + x[i, j]


@kernel
def take_means(x: Array, y: Array) -> None:
    """y = mean"""
    rows, code = y.shape
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, code, cuda.blockDim.x):
            y[i, j] = x[i, j]


@kernel
def sample_normal_backward_kernel(x: Array, y: Array, dy: Array, dx: Array) -> None:
    """dx += [dy, dy (y - mean) / 2]"""
    real = y.dtype.type
    rows, code = y.shape
    first = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    for i in range(first, rows, cuda.gridDim.x * cuda.blockDim.y):
        for j in range(cuda.threadIdx.x, code, cuda.blockDim.x):
            dx[i, j] += dy[i, j]
            dx[i, code + j] += dy[i, j] * (real(0.5) * (y[i, j] - x[i, j]))


@kernel
def bernoulli_kernel(state: Array, threshold: int, out: Array) -> None:
    """out = 1 where word < threshold, else 0"""
    real, n = out.dtype.type, out.size
    for block in range(cuda.grid(1), (n + 3) // 4, cuda.gridsize(1)):
        words = stream_words(state, block, 0)
        for i in range(4):
            if 4 * block + i < n:
                out[4 * block + i] = real(1) if words[i] < uint64(threshold) else real(0)


@device
def mix(value: Any, key: Any) -> Any:
    """MurmurHash3's finaliser (Appleby 2011) of value ^ key"""
    h = value ^ key
    h ^= h >> uint64(16)
    h = (h * uint64(0x85EBCA6B)) & LOW
    h ^= h >> uint64(13)
    h = (h * uint64(0xC2B2AE35)) & LOW
    return h ^ (h >> uint64(16))


@kernel
def permutation_kernel(state: Array, n: int, start: int, bits: int, out: Array) -> None:
    """out[i] = p(start + i): a Feistel network over two halves of ``bits`` bits, walked until it
    comes out below n"""
    keys = cuda.shared.array(FEISTEL_ROUNDS, "uint64")
    t = cuda.threadIdx.x
    if t < FEISTEL_ROUNDS // 4:
        words = stream_words(state, t, FEISTEL_STREAM)
        for i in range(4):
            keys[4 * t + i] = words[i]
    cuda.syncthreads()
    half, mask = uint64(bits), (uint64(1) << uint64(bits)) - uint64(1)
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        value = uint64(start + i)
        while True:
            left, right = value >> half, value & mask
            for r in range(FEISTEL_ROUNDS):
                left, right = right, left ^ (mix(right, keys[r]) & mask)
            value = (left << half) | right
            if value < uint64(n):
                break
        out[i] = value
