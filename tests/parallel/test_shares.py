"""Shares of a minibatch, and their noise: together they are the whole."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.reference import poisoned
from tinyae.kernels.columns import available_backends, get_backend
from tinyae.net import streams
from tinyae.parallel.shares import GRAIN, Place, share


@pytest.mark.parametrize("grain", (1, GRAIN))
@pytest.mark.parametrize("size", (1, 2, 3, 5, 8))
@pytest.mark.parametrize("n", (1, 3, 4, 7, 32, 50))
def test_shares_follow_on_one_another(n: int, size: int, grain: int) -> None:
    parts = [share(n, rank, size, grain) for rank in range(size)]
    assert parts[0][0] == 0
    assert parts[-1][1] == n
    assert all(a[1] == b[0] for a, b in pairwise(parts))
    assert all(first % grain == 0 or first == n for first, _ in parts)
    sizes = [last - first for first, last in parts]
    assert max(sizes) - min(sizes) <= grain


@pytest.mark.parametrize("backend", [b for b in ("numpy", "numba") if b in available_backends()])
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("width", (1, 5, 12))
@pytest.mark.parametrize("size", (2, 3))
def test_noise_of_shares_is_that_of_the_whole(
    backend: str, dtype: str, width: int, size: int
) -> None:
    """To the last bit: a number of a stream is a function of its place alone."""
    ops, n = get_backend(backend), 23
    state, std = streams.state(2**40 + 7, streams.NOISE, 3), np.array([0.5])
    x = np.random.default_rng(0).random((n, 2 * width)).astype(dtype)
    code = np.ascontiguousarray(x[:, :width])
    whole = {
        name: poisoned((n, width), dtype) for name in ("normal", "sample", "bernoulli", "uniform")
    }
    ops.add_normal(state, std, code, whole["normal"])
    ops.sample_normal(state, x, whole["sample"])
    ops.random_bernoulli(state, 0.4, whole["bernoulli"])
    ops.random_uniform(state, 0.0, 1.0, whole["uniform"])
    place = Place()
    here = place.at_home(ops)
    for rank in range(size):
        place.first, last = share(n, rank, size, GRAIN)
        rows = slice(place.first, last)
        part = {name: poisoned((last - place.first, width), dtype) for name in whole}
        here.add_normal(state, std, code[rows], part["normal"])
        here.sample_normal(state, x[rows], part["sample"])
        here.random_bernoulli(state, 0.4, part["bernoulli"])
        here.random_uniform(state, 0.0, 1.0, part["uniform"])
        for name, found in part.items():
            np.testing.assert_array_equal(found, whole[name][rows], err_msg=f"{name}, rank {rank}")
    assert state.shape == (4,)
    no_draw = poisoned((n, width), dtype)
    here.sample_normal(None, x, no_draw)
    np.testing.assert_array_equal(no_draw, code)
