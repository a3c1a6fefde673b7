"""Samples of normals, their derivative and their divergence, against formulas and differences."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference import (
    Array,
    assert_within,
    awkward_shapes,
    box_muller,
    call,
    eps,
    normals,
    poisoned,
    tiny,
)
from tinyae.kernels.backend import Backend

STATE = np.array([0x12345678, 0x9ABCDEF0, 3, 41], np.uint32)
BEFORE = 3.5  # in totals


def pairs(rng: np.random.Generator, shape: tuple[int, int], dtype: str) -> Array:
    """Means and log-variances, (batch, 2 n)."""
    batch, n = shape
    means, log_variances = normals(rng, shape, dtype), 3 * normals(rng, shape, dtype) - 1
    return np.hstack([means, log_variances]).astype(dtype).reshape(batch, 2 * n)


def halves(x: Array) -> tuple[Array, Array]:
    m, v = np.split(x.astype(np.float64), 2, axis=1)
    return m, v


def sample(backend: Backend, x: Array, state: Array | None = STATE) -> Array:
    out = poisoned((len(x), x.shape[1] // 2), x.dtype.name)
    return call(backend, "sample_normal", ("y",), state=state, x=x, y=out)[0]


def divergence(backend: Backend, x: Array, weight: float) -> tuple[Array, float]:
    """(gradient, what was added to totals[0]); totals[1] must stay."""
    gradient, totals = call(
        backend, "normal_divergence", ("gradient", "totals"), x=x, weight=np.array([weight]),
        gradient=poisoned(x.shape, x.dtype.name), totals=np.array([BEFORE, 2.0]),
    )  # fmt: skip
    assert totals[1] == 2
    return gradient, totals[0] - BEFORE


def test_sample_normal(backend: Backend, dtype: str) -> None:
    """mean + std g: g errs by 24 eps of its radius (test_random.py), std by 4 eps of an exp, then a
    product and a sum are rounded."""
    rng = np.random.default_rng(1)
    for shape in awkward_shapes(2, backend):
        x = pairs(rng, shape, dtype)
        y, n = sample(backend, x), shape[0] * shape[1]
        words = np.zeros(4 * (n // 2 + 1), np.uint32)  # enough for both dtypes, in whole blocks
        (words,) = call(backend, "random_bits", ("out",), state=STATE, out=words)
        g, radius = (a[:n].reshape(shape) for a in box_muller(words, dtype))
        m, v = halves(x)
        std = np.exp(v / 2)
        expected = m + std * g
        tolerance = eps(dtype) * (30 * std * radius + 2 * np.abs(expected))
        assert_within(y, expected, tolerance, shape)


def test_without_a_state_the_mean(backend: Backend, dtype: str) -> None:
    """Whatever the variance: to the bit, and not even looked at."""
    rng = np.random.default_rng(2)
    for shape in awkward_shapes(2, backend):
        x = pairs(rng, shape, dtype)
        x[:, shape[1] :] = np.nan
        np.testing.assert_array_equal(sample(backend, x, None), x[:, : shape[1]])


def test_sample_normal_backward(backend: Backend, dtype: str) -> None:
    """A difference and two products, then a sum with what was there: each rounded once, or
    flushed to 0."""
    rng = np.random.default_rng(3)
    for shape in awkward_shapes(2, backend):
        x, dx = (pairs(rng, shape, dtype) for _ in range(2))
        y, dy = (normals(rng, shape, dtype) for _ in range(2))
        (out,) = call(backend, "sample_normal_backward", ("dx",), x=x, y=y, dy=dy, dx=dx)
        m, _ = halves(x)
        by = dy.astype(np.float64)
        added = np.hstack([by, by * (y.astype(np.float64) - m) / 2]).reshape(dx.shape)
        tolerance = eps(dtype) * (2 * np.abs(added) + np.abs(dx + added)) + tiny(dtype)
        assert_within(out, dx + added, tolerance, shape)


def test_the_sample_s_derivative(backend: Backend) -> None:
    """Central differences of sum(dy y): rounding is 1e-15 / h = 1e-10, truncation (h / 2)^2 / 24
    of std g, below 1e-10."""
    rng, h = np.random.default_rng(4), 1e-5
    x, dy = pairs(rng, (3, 5), "float64"), rng.standard_normal((3, 5))
    (dx,) = call(backend, "sample_normal_backward", ("dx",), x=x, y=sample(backend, x), dy=dy,
                 dx=np.zeros_like(x))  # fmt: skip
    slope = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        up, down = (float((dy * sample(backend, x + s * step)).sum()) for s in (1, -1))
        slope[i] = (up - down) / (2 * h)
    assert_within(dx, slope, 1e-8)


@pytest.mark.parametrize("weight", (0.0, 1.0, 0.3))
def test_normal_divergence(backend: Backend, dtype: str, weight: float) -> None:
    """Against weight (m^2 + exp(v) - 1 - v) / 2.

    exp errs by 4 eps, and by one more as 1 is taken from it; what follows is rounded by eps of
    what was added. weight / batch, half of it and the product: 3 eps. Sums are float64.
    """
    rng = np.random.default_rng(5)
    for shape in awkward_shapes(2, backend):
        x = pairs(rng, shape, dtype)
        gradient, added = divergence(backend, x, weight)
        m, v = halves(x)
        each, off_exp = (m * m + np.exp(v) - 1 - v) / 2, 6 * (np.exp(v) + 1)
        slack = eps(dtype) * (m * m + off_exp / 2 + np.abs(v) + each)
        total = weight * each.sum()
        slack64 = (x.size + 8) * eps("float64") * (total + BEFORE)
        tolerance = weight * slack.sum() + slack64
        assert_within(np.array(added), total, tolerance, (shape, weight))
        scale = weight / max(shape[0], 1)
        slope = np.hstack([m, np.expm1(v) / 2]).reshape(x.shape) * scale
        off = np.hstack([0 * m, off_exp / 2]).reshape(x.shape) * scale
        assert_within(gradient, slope, eps(dtype) * (off + 4 * np.abs(slope)) + tiny(dtype), shape)


def test_a_standard_normal_has_no_divergence(backend: Backend, dtype: str) -> None:
    gradient, added = divergence(backend, np.zeros((3, 8), dtype), 2.0)
    assert added == 0 and not gradient.any()


def test_a_divergence_that_is_not_finite_is_seen(backend: Backend, dtype: str) -> None:
    for at, bad in ((0, np.nan), (0, np.inf), (1, np.nan), (1, 1e4), (1, -np.inf)):
        x = np.zeros((2, 2), dtype)
        x[1, at] = bad
        with np.errstate(all="ignore"):  # as in training
            assert not np.isfinite(divergence(backend, x, 1.0)[1])


def test_an_odd_number_of_columns_is_refused(backend: Backend, dtype: str) -> None:
    x = backend.to_device(np.zeros((2, 3), dtype))
    y, one, two = (backend.to_device(np.zeros(n)) for n in ((2, 1), 1, 2))
    for run in (
        lambda: backend.sample_normal(None, x, y),
        lambda: backend.sample_normal_backward(x, y, y, x),
        lambda: backend.normal_divergence(x, one, x, two),
    ):
        with pytest.raises(ValueError, match=r"x must have an even number of columns, got .*2, 3"):
            run()
