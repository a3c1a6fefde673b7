"""Missing values: NaN of any kind becomes the column's number, and nothing else changes a bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference import Array, awkward_shapes, call, normals, poisoned
from tinyae.kernels.backend import Backend


def with_holes(rng: np.random.Generator, shape: tuple[int, int], dtype: str) -> Array:
    """A third NaN, of both signs, some with bits of their own; infinities and zeros stay."""
    x = rng.choice([0.0, -0.0, np.inf, -np.inf, 1e-310, 3.0], shape) + normals(rng, shape, dtype)
    x = x.astype(dtype)
    bits = x.view("u4" if dtype == "float32" else "u8")
    holes = rng.random(shape) < 0.3
    bits[holes] = np.array([np.nan, -np.nan], dtype).view(bits.dtype)[rng.integers(0, 2)] + 1
    return x


def test_fill(backend: Backend, dtype: str) -> None:
    rng = np.random.default_rng(1)
    for shape in awkward_shapes(2, backend):
        x, values = with_holes(rng, shape, dtype), normals(rng, shape[1:], dtype)
        (out,) = call(backend, "fill", ("out",), x=x, values=values, out=poisoned(shape, dtype))
        expected = np.where(x != x, np.broadcast_to(values, shape), x)
        assert out.tobytes() == expected.tobytes(), shape


def test_in_place(backend: Backend, dtype: str) -> None:
    x, values = with_holes(np.random.default_rng(2), (70, 33), dtype), np.arange(33).astype(dtype)
    there = backend.to_device(x)
    backend.fill(there, backend.to_device(values), there)
    np.testing.assert_array_equal(backend.to_host(there), np.where(np.isnan(x), values, x))


@pytest.mark.parametrize("value", (np.nan, np.inf))
def test_a_column_may_be_filled_with_any_value(backend: Backend, value: float) -> None:
    x, out = np.array([[np.nan, 1.0]]), poisoned((1, 2), "float64")
    (out,) = call(backend, "fill", ("out",), x=x, values=np.array([value, 7.0]), out=out)
    np.testing.assert_array_equal(out, [[value, 1.0]])
