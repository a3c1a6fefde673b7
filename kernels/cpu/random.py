"""Counter-based random numbers, those of ``reference.random``: Philox4x32-10, in vectors.

Each thread takes BLOCKS of them through loops that vectorise: words, a row for each of a block's
four; numbers of them, in rows too; the rows mixed into the order of the stream. What lies in
between stays in the first-level cache.

Words and uniforms have the same bits on every backend, so nothing is fused here
(``contract=False``) where real numbers come into it.
"""

from __future__ import annotations

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
from .math import cos2pi, exp, log, sin2pi
from .threads import launch, threads_for

Array = NDArray[Any]
Words = NDArray[np.uint32]

COST = 32  # of a number, in multiply-adds
BLOCKS = 128  # of Philox, drawn at a time
UNIFORM, NORMAL, BERNOULLI = range(3)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
MULTIPLIER0, MULTIPLIER1 = map(np.uint64, PHILOX_MULTIPLIERS)
WEYL0, WEYL1 = map(np.uint64, PHILOX_WEYL)


def random_bits(state: Words, out: Words) -> None:
    """out = the stream's words, uint32."""
    threads = threads_for(COST * out.size)
    launch(_bits, state, out.reshape(-1), *_room(threads, out.dtype), threads=threads)


def random_uniform(state: Words, low: float, high: float, out: Array) -> None:
    """out = low + (high - low) u, u uniform in [0, 1); product and sum are rounded one by one."""
    _fill(UNIFORM, state, 0, _alone(low, out), high - low, out)


def random_normal(state: Words, mean: float, std: float, out: Array) -> None:
    """out = mean + std g, g standard normal."""
    _fill(NORMAL, state, 0, _alone(mean, out), std, out)


def add_normal(state: Words, std: Array, x: Array, out: Array) -> None:
    """out = x + std[0] g, g the numbers of ``random_normal`` with mean 0; out may be x."""
    _fill(NORMAL, state, 0, x.reshape(-1), float(std[0]), out)


def sample_normal(state: Words | None, x: Array, y: Array) -> None:
    """y = mean + exp(log_variance / 2) g, or the mean where state is None."""
    if state is None:
        y[:] = x[:, : y.shape[1]]
    else:
        threads = threads_for(COST * y.size)
        launch(_samples, state, x, y, *_room(threads, y.dtype), threads=threads)


def sample_normal_backward(x: Array, y: Array, dy: Array, dx: Array) -> None:
    """dx += [dy, dy (y - mean) / 2]"""
    launch(_samples_backward, x, y, dy, dx, threads=threads_for(4 * y.size))


def random_bernoulli(state: Words, probability: float, out: Array) -> None:
    """out = 1 with the given probability, else 0: where word < probability 2^32."""
    _fill(BERNOULLI, state, round(probability * 2**32), _alone(0, out), 1.0, out)


def random_permutation(state: Words, n: int, start: int, out: NDArray[np.int64]) -> None:
    """out[i] = p(start + i), p a permutation of 0 .. n - 1 keyed by state: see reference.random."""
    keys, threads = borrow((FEISTEL_ROUNDS,), np.uint64), threads_for(COST * out.size)
    words, _ = _room(1, np.dtype(np.uint32))
    launch(_permutation, state, n, feistel_bits(n), start, keys, words[0], out, threads=threads)


def _alone(number: float, like: Array) -> Array:
    """An array of one number."""
    array = borrow((1,), like.dtype)
    array[0] = number
    return array


def _room(threads: int, dtype: np.dtype[Any]) -> tuple[Words, Array]:
    """Memory for BLOCKS: their words, and their numbers twice, in rows and in a row."""
    words = borrow((threads, 4, BLOCKS), np.uint32, slot=1)
    return words, borrow((threads, 2, 4 * BLOCKS), dtype, slot=2)


def _fill(kind: int, state: Words, threshold: int, shift: Array, scale: float, out: Array) -> None:
    threads = threads_for(COST * out.size)
    room, flat = _room(threads, out.dtype), out.reshape(-1)
    launch(_reals, kind, state, threshold, shift, scale, flat, *room, threads=threads)


@jit(contract=False)
def philox(state: Words, first: Any, counter1: int, words: Words) -> None:
    """words[j, i] = word j of block first + i of a stream; (4, blocks)."""
    a, b, c, d = words[0], words[1], words[2], words[3]
    if state.size > 4:  # the stream is read from this block on
        first += np.int64(state[4])
    for i in range(a.size):
        block = np.uint64(first + i)
        c0, c1 = block & LOW, (block >> HALF) + np.uint64(counter1)
        c2, c3 = np.uint64(state[2]), np.uint64(state[3])
        k0, k1 = np.uint64(state[0]), np.uint64(state[1])
        for _ in range(PHILOX_ROUNDS):
            product0, product1 = c0 * MULTIPLIER0, c2 * MULTIPLIER1
            c0, c1 = (product1 >> HALF) ^ c1 ^ k0, product1 & LOW
            c2, c3 = (product0 >> HALF) ^ c3 ^ k1, product0 & LOW
            k0, k1 = (k0 + WEYL0) & LOW, (k1 + WEYL1) & LOW
        a[i], b[i], c[i], d[i] = c0, c1, c2, c3


@jit(contract=False)
def _units(words: Words, out: Array) -> None:
    """out[j, i] = number j of block i, uniform in [0, 1): four of 24 bits, or two of 53.

    A vector of int32 can be converted, one of uint64 cannot.
    """
    real = out.dtype.type
    for j in range(len(out)):
        numbers = out[j]
        if out.itemsize == 4:
            bits = words[j]
            for i in range(numbers.size):
                numbers[i] = real(np.int32(bits[i] >> 8)) * real(2.0**-24)
        else:
            high, low = words[2 * j], words[2 * j + 1]
            for i in range(numbers.size):
                a, b = real(np.int32(high[i] >> 5)), real(np.int32(low[i] >> 6))
                numbers[i] = (a * real(2.0**26) + b) * real(2.0**-53)


@jit(contract=False)
def _box_muller(a: Array, b: Array) -> None:
    """Pairs of uniforms become pairs of normals."""
    real = a.dtype.type
    half_bit = real(2.0**-25 if a.itemsize == 4 else 2.0**-54)  # never log(0)
    for i in range(a.size):
        radius, turn = np.sqrt(real(-2) * log(a[i] + half_bit)), b[i]
        a[i], b[i] = radius * cos2pi(turn), radius * sin2pi(turn)


@jit(contract=False)
def _mixed(rows: Array, out: Array) -> None:
    """out = rows[0, 0], rows[1, 0], ..., rows[0, 1], ..."""
    each = len(rows)
    if each == 4:
        a, b, c, d = rows[0], rows[1], rows[2], rows[3]
        for i in range(a.size):
            out[4 * i], out[4 * i + 1], out[4 * i + 2], out[4 * i + 3] = a[i], b[i], c[i], d[i]
    else:
        a, b = rows[0], rows[1]
        for i in range(a.size):
            out[2 * i], out[2 * i + 1] = a[i], b[i]


@jit(contract=False)
def _below(words: Words, threshold: int, out: Array) -> None:
    """1 where a word is below the threshold, of up to 2^32, else 0."""
    last, one = np.uint32(max(threshold, 1) - 1), out.dtype.type(threshold > 0)
    for j in range(len(out)):
        bits, numbers = words[j], out[j]
        for i in range(numbers.size):
            numbers[i] = one if bits[i] <= last else out.dtype.type(0)


@jit(contract=False)
def _draw(
    kind: int, state: Words, first: int, threshold: int, words: Words, rows: Array, out: Array
) -> None:  # fmt: skip
    """out = the numbers of the blocks from ``first`` on."""
    philox(state, first, 0, words)
    if kind == BERNOULLI:
        _below(words, threshold, rows)
    else:
        _units(words, rows)
    if kind == NORMAL:
        for j in range(0, len(rows), 2):
            _box_muller(rows[j], rows[j + 1])
    _mixed(rows, out)


@jit(contract=False)
def _scaled(numbers: Array, shift: Array, scale: float, out: Array) -> None:
    """out = shift + scale numbers, by way of ``numbers``: out may be shift."""
    factor = numbers.dtype.type(scale)
    if shift.size == 1:
        for i in range(numbers.size):
            numbers[i] = shift[0] + factor * numbers[i]
    else:
        for i in range(numbers.size):
            numbers[i] = shift[i] + factor * numbers[i]
    for i in range(numbers.size):
        out[i] = numbers[i]


@jit(contract=False)
def _sampled(mean: Array, log_variance: Array, numbers: Array, out: Array) -> None:
    half = out.dtype.type(0.5)
    for i in range(out.size):
        out[i] = mean[i] + exp(half * log_variance[i]) * numbers[i]


@jit(parallel=True, contract=False)
def _bits(state: Words, out: Words, words: Array, room: Array, threads: int) -> None:
    each = 4 * BLOCKS
    chunks = (out.size + each - 1) // each
    for t in prange(threads):
        for chunk in range(chunks * t // threads, chunks * (t + 1) // threads):
            part = out[each * chunk : each * (chunk + 1)]
            philox(state, BLOCKS * chunk, 0, words[t])
            _mixed(words[t], room[t, 0])
            part[:] = room[t, 0, : part.size]


@jit(parallel=True, contract=False)
def _reals(
    kind: int, state: Words, threshold: int, shift: Array, scale: float, out: Array, words: Words,
    room: Array, threads: int,
) -> None:  # fmt: skip
    """out = shift + scale numbers of this kind; shift has one number, or as many as out."""
    of_a_block = 4 if kind == BERNOULLI else 16 // out.itemsize
    each = BLOCKS * of_a_block
    chunks, one_each = (out.size + each - 1) // each, shift.size == out.size
    for t in prange(threads):
        rows, mixed = room[t, 0, :each].reshape((of_a_block, BLOCKS)), room[t, 1, :each]
        for chunk in range(chunks * t // threads, chunks * (t + 1) // threads):
            _draw(kind, state, BLOCKS * chunk, threshold, words[t], rows, mixed)
            part = slice(each * chunk, min(each * (chunk + 1), out.size))
            target = out[part]
            _scaled(mixed[: target.size], shift[part] if one_each else shift, scale, target)


@jit(parallel=True, contract=False)
def _samples(state: Words, x: Array, y: Array, words: Words, room: Array, threads: int) -> None:
    of_a_block, code = 16 // y.itemsize, y.shape[1]
    each = BLOCKS * of_a_block
    chunks = (y.size + each - 1) // each
    for t in prange(threads):
        rows, mixed = room[t, 0, :each].reshape((of_a_block, BLOCKS)), room[t, 1, :each]
        for chunk in range(chunks * t // threads, chunks * (t + 1) // threads):
            _draw(NORMAL, state, BLOCKS * chunk, 0, words[t], rows, mixed)
            place, stop = each * chunk, min(each * (chunk + 1), y.size)
            while place < stop:  # the part of a row of y
                i, j, at = place // code, place % code, place - each * chunk
                n = min(code - j, stop - place)
                means, log_variances = x[i, j : j + n], x[i, code + j : code + j + n]
                _sampled(means, log_variances, mixed[at : at + n], y[i, j : j + n])
                place += n


@jit(parallel=True)
def _samples_backward(x: Array, y: Array, dy: Array, dx: Array, threads: int) -> None:
    (batch, code), half = y.shape, y.dtype.type(0.5)
    for t in prange(threads):
        for i in range(batch * t // threads, batch * (t + 1) // threads):
            for j in range(code):
                dx[i, j] += dy[i, j]
                dx[i, code + j] += dy[i, j] * (half * (y[i, j] - x[i, j]))


@jit(parallel=True, contract=False)
def _permutation(
    state: Words, n: int, bits: int, start: int, keys: Array, words: Words, out: Array,
    threads: int,
) -> None:  # fmt: skip
    philox(state, 0, FEISTEL_STREAM, words)
    for i in range(keys.size):
        keys[i] = words[i % 4, i // 4]
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
