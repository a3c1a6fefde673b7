"""What the operations on random numbers must give, in float64 from the stream's exact words.

The words themselves come from the NumPy column, whose Philox the tests hold against the published
vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.reference import box_muller, eps, units
from tinyae.kernels.reference import random as random_numpy

Array = NDArray[Any]


def bits(state: Array, n: int) -> Array:
    words = np.empty(n, np.uint32)
    random_numpy.random_bits(state, words)
    return words


def uniform(state: Array, n: int, low: float, high: float) -> Array:
    return low + (high - low) * units(bits(state, n), "float32")


def normal(state: Array, n: int) -> tuple[Array, Array]:
    """(normals, their tolerances: 24 eps of the radius, as tests/kernels/test_random.py has it)"""
    g, radius = box_muller(bits(state, n + n % 2), "float32")
    return g[:n], 24 * eps("float32") * radius[:n]


def bernoulli(state: Array, n: int, probability: float) -> Array:
    return bits(state, n) < np.uint64(round(probability * 2**32))
