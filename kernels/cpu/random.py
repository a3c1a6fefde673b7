"""Counter-based random numbers, those of ``reference.random``: Philox4x32-10, one block at a time.

Words and uniforms have the same bits on every backend, so nothing is fused here
(``contract=False``) where real numbers come into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..conventions import (
    FEISTEL_ROUNDS,
    FEISTEL_STREAM,
    PHILOX_MULTIPLIERS,
    PHILOX_ROUNDS,
    PHILOX_WEYL,
    feistel_bits,
)
from ..scratch import borrow
from .compiling import jit
from .threads import launch, threads_for

Array = NDArray[Any]
Words = NDArray[np.uint32]

COST = 32  # of a number, in multiply-adds
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
MULTIPLIER0, MULTIPLIER1 = map(np.uint64, PHILOX_MULTIPLIERS)
WEYL0, WEYL1 = map(np.uint64, PHILOX_WEYL)


@jit(contract=False)
def philox(state: Words, block: Any, counter1: int) -> tuple[Any, Any, Any, Any]:
    """The four words of one block of a stream, each as uint64."""
    if state.size > 4:  # the stream is read from this block on
        block += state[4]
    c0, c1 = np.uint64(block) & LOW, (np.uint64(block) >> HALF) + np.uint64(counter1)
    c2, c3 = np.uint64(state[2]), np.uint64(state[3])
    k0, k1 = np.uint64(state[0]), np.uint64(state[1])
    for _ in range(PHILOX_ROUNDS):
        product0, product1 = c0 * MULTIPLIER0, c2 * MULTIPLIER1
        c0, c1 = (product1 >> HALF) ^ c1 ^ k0, product1 & LOW
        c2, c3 = (product0 >> HALF) ^ c3 ^ k1, product0 & LOW
        k0, k1 = (k0 + WEYL0) & LOW, (k1 + WEYL1) & LOW
    return c0, c1, c2, c3


def random_bits(state: Words, out: Words) -> None:
    """out = the stream's words, uint32."""
    _fill(_bits, out, state)


def random_uniform(state: Words, low: float, high: float, out: Array) -> None:
    """out = low + (high - low) u, u uniform in [0, 1); product and sum are rounded one by one."""
    _fill(_reals, out, False, state, _alone(low, out), high - low)


def random_normal(state: Words, mean: float, std: float, out: Array) -> None:
    """out = mean + std g, g standard normal."""
    _fill(_reals, out, True, state, _alone(mean, out), std)


def add_normal(state: Words, std: Array, x: Array, out: Array) -> None:
    """out = x + std[0] g, g the numbers of ``random_normal`` with mean 0; out may be x."""
    _fill(_reals, out, True, state, x.reshape(-1), float(std[0]))


def sample_normal(state: Words | None, x: Array, y: Array) -> None:
    """y = mean + exp(log_variance / 2) g, or the mean where state is None."""
    if state is None:
        y[:] = x[:, : y.shape[1]]
    else:
        launch(_samples, state, x, y, threads=threads_for(COST * y.size))


def sample_normal_backward(x: Array, y: Array, dy: Array, dx: Array) -> None:
    """dx += [dy, dy (y - mean) / 2]"""
    launch(_samples_backward, x, y, dy, dx, threads=threads_for(4 * y.size))


def random_bernoulli(state: Words, probability: float, out: Array) -> None:
    """out = 1 with the given probability, else 0: where word < probability 2^32."""
    _fill(_bernoulli, out, state, round(probability * 2**32))


def random_permutation(state: Words, n: int, start: int, out: NDArray[np.int64]) -> None:
    """out[i] = p(start + i), p a permutation of 0 .. n - 1 keyed by state: see reference.random."""
    _fill(_permutation, out, state, n, feistel_bits(n), start, borrow((FEISTEL_ROUNDS,), np.uint64))


def _alone(number: float, like: Array) -> Array:
    """An array of one number."""
    array = borrow((1,), like.dtype)
    array[0] = number
    return array


def _fill(kernel: Callable[..., None], out: Array, *arguments: Any) -> None:
    launch(kernel, *arguments, out.reshape(-1), threads=threads_for(COST * out.size))


@jit(parallel=True, contract=False)
def _bits(state: Words, out: Words, threads: int) -> None:
    blocks = (out.size + 3) // 4
    for t in prange(threads):
        for block in range(blocks * t // threads, blocks * (t + 1) // threads):
            words = philox(state, block, 0)
            for i in range(min(4, out.size - 4 * block)):
                out[4 * block + i] = words[i]


@jit(contract=False)
def _units(state: Words, block: int, out: Array) -> tuple[Any, Any, Any, Any]:
    """A block's uniforms in [0, 1): four of 24 bits, or two of 53 (and two zeros)."""
    real = out.dtype.type
    a, b, c, d = philox(state, block, 0)
    if out.itemsize == 4:
        eight, unit = np.uint64(8), real(2.0**-24)
        return (
            real(a >> eight) * unit, real(b >> eight) * unit,
            real(c >> eight) * unit, real(d >> eight) * unit,
        )  # fmt: skip
    five, six, shift, unit = np.uint64(5), np.uint64(6), real(2.0**26), real(2.0**-53)
    return (
        (real(a >> five) * shift + real(b >> six)) * unit,
        (real(c >> five) * shift + real(d >> six)) * unit,
        real(0),
        real(0),
    )


@jit(contract=False)
def normals(state: Words, block: int, out: Array) -> tuple[Any, Any, Any, Any]:
    """A block's normals: four of float32, or two of float64 (and two that mean nothing)."""
    real = out.dtype.type
    half_bit = real(2.0**-25 if out.itemsize == 4 else 2.0**-54)  # never log(0)
    a, b, c, d = _units(state, block, out)
    radius0, angle0 = math.sqrt(real(-2) * math.log(a + half_bit)), real(2 * math.pi) * b
    radius1, angle1 = math.sqrt(real(-2) * math.log(c + half_bit)), real(2 * math.pi) * d
    return (
        radius0 * math.cos(angle0), radius0 * math.sin(angle0),
        radius1 * math.cos(angle1), radius1 * math.sin(angle1),
    )  # fmt: skip


@jit(parallel=True, contract=False)
def _reals(
    normal: bool, state: Words, shift: Array, scale: float, out: Array, threads: int
) -> None:
    """out = shift + scale times normals or uniforms; shift has one number, or as many as out."""
    real = out.dtype.type
    each = 16 // out.itemsize  # numbers of a block
    blocks, one_each = (out.size + each - 1) // each, shift.size == out.size
    for t in prange(threads):
        for block in range(blocks * t // threads, blocks * (t + 1) // threads):
            numbers = normals(state, block, out) if normal else _units(state, block, out)
            for i in range(min(each, out.size - each * block)):
                place = each * block + i
                out[place] = shift[place if one_each else 0] + real(scale) * numbers[i]


@jit(parallel=True, contract=False)
def _samples(state: Words, x: Array, y: Array, threads: int) -> None:
    real, flat, code = y.dtype.type, y.reshape(-1), y.shape[1]
    each = 16 // y.itemsize  # numbers of a block
    blocks, half = (y.size + each - 1) // each, real(0.5)
    for t in prange(threads):
        for block in range(blocks * t // threads, blocks * (t + 1) // threads):
            numbers = normals(state, block, y)
            for k in range(min(each, y.size - each * block)):
                place = each * block + k
                i, j = place // code, place % code
                flat[place] = x[i, j] + math.exp(half * x[i, code + j]) * numbers[k]


@jit(parallel=True)
def _samples_backward(x: Array, y: Array, dy: Array, dx: Array, threads: int) -> None:
    (batch, code), half = y.shape, y.dtype.type(0.5)
    for t in prange(threads):
        for i in range(batch * t // threads, batch * (t + 1) // threads):
            for j in range(code):
                dx[i, j] += dy[i, j]
                dx[i, code + j] += dy[i, j] * (half * (y[i, j] - x[i, j]))


@jit(parallel=True, contract=False)
def _bernoulli(state: Words, threshold: int, out: Array, threads: int) -> None:
    blocks = (out.size + 3) // 4
    for t in prange(threads):
        for block in range(blocks * t // threads, blocks * (t + 1) // threads):
            words = philox(state, block, 0)
            for i in range(min(4, out.size - 4 * block)):
                out[4 * block + i] = words[i] < np.uint64(threshold)


@jit(parallel=True, contract=False)
def _permutation(
    state: Words, n: int, bits: int, start: int, keys: Array, out: Array, threads: int
) -> None:
    for block in range(FEISTEL_ROUNDS // 4):
        words = philox(state, block, FEISTEL_STREAM)
        for i in range(4):
            keys[4 * block + i] = words[i]
    half, mask = np.uint64(bits), (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    for t in prange(threads):
        for i in range(out.size * t // threads, out.size * (t + 1) // threads):
            value = np.uint64(start + i)
            while True:
                left, right = value >> half, value & mask
                for key in keys:
                    left, right = right, left ^ (_mix(right, key) & mask)
                value = (left << half) | right
                if value < np.uint64(n):
                    break
            out[i] = value


@jit(contract=False)
def _mix(value: Any, key: Any) -> Any:
    """A 32-bit hash: MurmurHash3's finaliser (Appleby 2011) of value ^ key."""
    h = value ^ key
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & LOW
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & LOW
    return h ^ (h >> np.uint64(16))
