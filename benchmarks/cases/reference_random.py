"""What the operations on random numbers must give, in float64 from the stream's exact words.

The words themselves come from the NumPy column, whose Philox the tests hold against the published
vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyae.kernels.reference import random as random_numpy

Array = NDArray[Any]


def bits(state: Array, n: int) -> Array:
    words = np.empty(n, np.uint32)
    random_numpy.random_bits(state, words)
    return words


def units(state: Array, n: int) -> Array:
    """float64, exact multiples of 2^-24 in [0, 1): what a float32 uniform is made of."""
    return (bits(state, n) >> np.uint32(8)).astype(np.float64) * 2.0**-24


def uniform(state: Array, n: int, low: float, high: float) -> Array:
    return low + (high - low) * units(state, n)


def _pairs(state: Array, n: int) -> tuple[Array, Array]:
    """(radius, angle) of each pair of normals (Box and Muller 1958).

    The sum u + half a bit is rounded to float32, as it is defined.
    """
    u = units(state, n + n % 2).reshape(-1, 2)
    shifted = (u[:, 0] + 2.0**-25).astype(np.float32).astype(np.float64)
    return np.sqrt(-2 * np.log(shifted)), 2 * np.pi * u[:, 1]


def normal(state: Array, n: int) -> Array:
    radius, angle = _pairs(state, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:n]


def normal_tolerance(state: Array, n: int, eps: float) -> Array:
    """As tests/kernels/test_random.py derives it: 24 eps of the pair's radius."""
    radius, _ = _pairs(state, n)
    return 24 * eps * np.repeat(radius, 2)[:n]


def bernoulli(state: Array, n: int, probability: float) -> Array:
    return bits(state, n) < np.uint64(round(probability * 2**32))
