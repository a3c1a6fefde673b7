"""Counter-based random numbers: the i-th number of a stream is a function of i alone.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011) turns a 128-bit counter and a 64-bit key into four random words. No state is
carried from number to number, so every backend, thread count and resumed run draws the same.

``state`` is uint32 (4,): [key 0, key 1, stream, step]. Word j of a stream is word j % 4 of
the block with counter (j // 4 low, j // 4 high, stream, step). On the CPU a fifth number may say
from which block on the stream is read, so that a process draws its rows of a minibatch alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
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

Array = NDArray[Any]
Words = NDArray[np.uint32]

CHUNK = 16384  # blocks at a time, so that the temporaries stay in cache


def philox(counter: NDArray[Any], key: tuple[int, int]) -> Words:
    """One Philox4x32-10 block per row: counter (n, 4) uint32 -> words (n, 4) uint32."""
    c0, c1, c2, c3 = (counter[:, i].astype(np.uint64) for i in range(4))
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    k0, k1 = key
    for _ in range(PHILOX_ROUNDS):
        product0 = c0 * np.uint64(PHILOX_MULTIPLIERS[0])
        product1 = c2 * np.uint64(PHILOX_MULTIPLIERS[1])
        c0 = (product1 >> half) ^ c1 ^ np.uint64(k0)
        c2 = (product0 >> half) ^ c3 ^ np.uint64(k1)
        c1 = product1 & low
        c3 = product0 & low
        k0 = (k0 + PHILOX_WEYL[0]) & 0xFFFFFFFF
        k1 = (k1 + PHILOX_WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def _words(state: Words, first_block: int, n_blocks: int, counter1: int = 0) -> Words:
    """Words of blocks first_block, first_block + 1, ... of the stream, (n_blocks, 4)."""
    first_block += int(state[4]) if state.size > 4 else 0
    blocks = np.arange(first_block, first_block + n_blocks, dtype=np.uint64)
    counter = np.empty((n_blocks, 4), np.uint32)
    counter[:, 0] = blocks & np.uint64(0xFFFFFFFF)
    counter[:, 1] = (blocks >> np.uint64(32)) + np.uint64(counter1)
    counter[:, 2:] = state[2:4]
    return philox(counter, (int(state[0]), int(state[1])))


def _chunks(state: Words, out: Array, per_block: int) -> Iterator[tuple[Array, Words]]:
    """The parts of ``out``, flat, each with the words of its blocks, which make ``per_block``."""
    flat = out.reshape(-1)
    for start in range(0, flat.size, per_block * CHUNK):
        part = flat[start : start + per_block * CHUNK]
        yield part, _words(state, start // per_block, -(-part.size // per_block))


def random_bits(state: Words, out: Words) -> None:
    """out = the stream's words, uint32."""
    for part, words in _chunks(state, out, 4):
        part[:] = words.reshape(-1)[: part.size]


def random_uniform(state: Words, low: float, high: float, out: Array) -> None:
    """out = low + (high - low) u, u uniform in [0, 1) with 24 (float32) or 53 (float64) bits.

    A float32 number takes one word, a float64 number two. Product and sum are rounded one after
    the other, never fused, so that the bits are the same everywhere; the sum may round up to
    ``high`` where low is far from zero.
    """
    for part, words in _chunks(state, out, 16 // out.itemsize):
        part[:] = _unit(words, out.dtype).reshape(-1)[: part.size]
        part *= high - low
        part += low


def _unit(words: Words, dtype: np.dtype[Any]) -> Array:
    """Uniforms in [0, 1): (n, 4) float32 or (n, 2) float64, exact multiples of the last bit."""
    if dtype == np.float32:
        return (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    high = (words[:, 0::2] >> np.uint32(5)).astype(np.float64)
    low = (words[:, 1::2] >> np.uint32(6)).astype(np.float64)
    return (high * 2**26 + low) * 2**-53


def random_normal(state: Words, mean: float, std: float, out: Array) -> None:
    """out = mean + std g, g standard normal (Box and Muller 1958: two uniforms, two normals).

    Equal on all backends to rounding: log, sqrt, sin and cos differ in their last bits.
    """
    half_bit = out.dtype.type(2**-25 if out.dtype == np.float32 else 2**-54)
    for part, words in _chunks(state, out, 16 // out.itemsize):
        unit = _unit(words, out.dtype)
        radius = np.sqrt(-2 * np.log(unit[:, 0::2] + half_bit))  # never log(0)
        angle = out.dtype.type(2 * np.pi) * unit[:, 1::2]
        unit[:, 0::2] = radius * np.cos(angle)
        unit[:, 1::2] = radius * np.sin(angle)
        part[:] = unit.reshape(-1)[: part.size]
        part *= std
        part += mean


def add_normal(state: Words, std: Array, x: Array, out: Array) -> None:
    """out = x + std[0] g; std lies in the backend's memory, as the learning rate does."""
    noise = borrow(x.shape, x.dtype)
    random_normal(state, 0.0, float(std[0]), noise)
    np.add(x, noise, out=out)


def sample_normal(state: Words | None, x: Array, y: Array) -> None:
    """y = mean + exp(log_variance / 2) g, x being [mean, log_variance] side by side.

    The sample as a function of mean and variance, by which a loss can be differentiated (Kingma
    and Welling 2014, section 2.4). y = mean where state is None.
    """
    mean, log_variance = np.split(x, 2, axis=1)
    if state is None:
        np.copyto(y, mean)
        return
    std = np.multiply(log_variance, 0.5, out=borrow(y.shape, y.dtype))
    np.exp(std, out=std)
    random_normal(state, 0.0, 1.0, y)
    y *= std
    y += mean


def sample_normal_backward(x: Array, y: Array, dy: Array, dx: Array) -> None:
    """dx += [dy, dy (y - mean) / 2]: what y has beyond the mean is exp(log_variance / 2) g, whose
    derivative by the logarithm of the variance is half of itself."""
    code = y.shape[1]
    noise = np.subtract(y, x[:, :code], out=borrow(y.shape, y.dtype))
    noise *= 0.5
    noise *= dy
    dx[:, :code] += dy
    dx[:, code:] += noise


def random_bernoulli(state: Words, probability: float, out: Array) -> None:
    """out = 1 with the given probability, else 0: where word < probability 2^32."""
    threshold = np.uint64(round(probability * 2**32))
    for part, words in _chunks(state, out, 4):
        part[:] = words.reshape(-1)[: part.size] < threshold


def random_permutation(state: Words, n: int, start: int, out: NDArray[np.int64]) -> None:
    """out[i] = p(start + i), p a permutation of 0 .. n - 1 keyed by state; needs no table.

    A Feistel network (Luby and Rackoff 1988) permutes the 2^(2 bits) numbers of which n is
    a part; whoever falls outside [0, n) walks on through the network until it is inside
    (Black and Rogaway 2002). As the walk follows a cycle of a permutation, no two meet.
    """
    keys = _words(state, 0, FEISTEL_ROUNDS // 4, FEISTEL_STREAM).reshape(-1).tolist()
    bits = feistel_bits(n)
    out[:] = np.arange(start, start + out.size, dtype=np.int64)
    walking = np.arange(out.size)
    values = out.astype(np.uint64)
    while walking.size:
        values = _feistel(values, bits, keys)
        inside = values < np.uint64(n)
        out[walking[inside]] = values[inside]
        walking, values = walking[~inside], values[~inside]


def _feistel(values: NDArray[np.uint64], bits: int, keys: list[int]) -> NDArray[np.uint64]:
    """(left, right) -> (right, left ^ hash(right, key)), once per key."""
    half = np.uint64(bits)
    mask = np.uint64((1 << bits) - 1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right, key) & mask)
    return (left << half) | right


def _mix(values: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """A 32-bit hash: MurmurHash3's finaliser (Appleby 2011) of values ^ key."""
    low = np.uint64(0xFFFFFFFF)
    h = values ^ np.uint64(key)
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & low
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & low
    return h ^ (h >> np.uint64(16))
