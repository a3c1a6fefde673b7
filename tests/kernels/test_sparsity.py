"""The k greatest of a row, and penalties on activities, against sorting and textbook formulas."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference import Array, assert_within, awkward_shapes, call, eps, normals, poisoned
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import PENALTIES, RATE_MARGIN

BEFORE = 3.5  # in totals


def top_k(backend: Backend, x: Array, k: int) -> tuple[Array, Array]:
    """(y, dropped)"""
    y, dropped = (poisoned(x.shape, x.dtype.name) for _ in range(2))
    y, dropped = call(backend, "top_k", ("y", "dropped"), x=x, k=k, y=y, dropped=dropped)
    return y, dropped


def check_top_k(backend: Backend, x: Array, k: int) -> None:
    """To the bit: a stable sort by falling numbers has the lower of equal columns first."""
    y, dropped = top_k(backend, x, k)
    order = np.argsort(-np.where(np.isnan(x), np.inf, x), axis=1, kind="stable")
    gone = np.ones(x.shape, bool)
    np.put_along_axis(gone, order[:, :k], False, axis=1)
    np.testing.assert_array_equal(dropped, gone.astype(x.dtype), str((x.shape, k)))
    assert y.tobytes() == np.where(gone, 0, x).astype(x.dtype).tobytes(), (x.shape, k)


def test_top_k(backend: Backend, dtype: str) -> None:
    """Numbers that differ, and few that are all the same: of every awkward shape, for k = 0, 1, a
    prime, all but one, all, and more."""
    rng = np.random.default_rng(1)
    for i, shape in enumerate(awkward_shapes(2, backend)):
        n = shape[1]
        x = normals(rng, shape, dtype)
        if i % 2:
            x = np.round(x).astype(dtype)  # -0 and 0 too, which are equal
        for k in {0, 1, 7, n - 1, n, n + 3} if i % 5 == 0 else {n // 2}:
            if k >= 0:
                check_top_k(backend, x, k)
    x = normals(rng, (4, 300), dtype)  # wide rows, of which few stay
    x[2:] = np.round(x[2:])
    for k in (1, 7, 8, 9, 32, 33, 40):
        check_top_k(backend, x, k)


def test_top_k_of_extreme_numbers(backend: Backend, dtype: str) -> None:
    largest = np.finfo(dtype).max
    row = [np.inf, largest, 1.0, np.nan, -0.0, 0.0, -1.0, -largest, -np.inf, -np.nan, np.inf, 0.0]
    x = np.array([row, row[::-1], [0.0] * 12, [-0.0] * 12, [np.nan] * 12], dtype)
    for k in range(13):
        check_top_k(backend, x, k)


def penalty(
    backend: Backend, name: str, y: Array, weight: float, rate: float
) -> tuple[Array, float]:
    """(gradient, what was added to totals[0]); totals[1] must stay."""
    gradient, totals = call(
        backend, "activity_penalty", ("gradient", "totals"), name=name, y=y, weight=weight,
        rate=rate, gradient=poisoned(y.shape, y.dtype.name), totals=np.array([BEFORE, 2.0]),
    )  # fmt: skip
    assert totals[1] == 2
    return gradient, totals[0] - BEFORE


def test_l1(backend: Backend, dtype: str) -> None:
    """Signs, times a number that is rounded twice; sums are float64."""
    rng = np.random.default_rng(2)
    for shape in awkward_shapes(2, backend):
        y = normals(rng, shape, dtype)
        y[rng.random(shape) < 0.3] = 0
        gradient, added = penalty(backend, "l1", y, 0.3, 0.5)
        total = 0.3 * np.abs(y.astype(np.float64)).sum()
        assert_within(np.array(added), total, (y.size + 8) * eps("float64") * (total + BEFORE))
        slope = 0.3 / max(shape[0], 1) * np.sign(y.astype(np.float64))
        assert_within(gradient, slope, 2 * eps(dtype) * np.abs(slope), shape)


@pytest.mark.parametrize("rate", (0.05, 0.5))
def test_kl(backend: Backend, dtype: str, rate: float) -> None:
    """m and 1 - m err by eps, r and 1 - r too; so the two quotients by 4 eps of themselves, their
    logarithms by 4 eps and 4 more of an own, and the slope, a product with a number that errs by
    eps, by 6 eps of the sum of both."""
    rng = np.random.default_rng(3)
    for shape in awkward_shapes(2, backend):
        y = rng.random(shape).astype(dtype) ** 3
        gradient, added = penalty(backend, "kl", y, 0.7, rate)
        batch, n = shape
        m = np.clip(y.astype(np.float64).sum(axis=0) / max(batch, 1), RATE_MARGIN, 1 - RATE_MARGIN)
        logs = rate * np.log(rate / m), (1 - rate) * np.log((1 - rate) / (1 - m))
        total = 0.7 * batch * (logs[0] + logs[1]).sum()
        off = 0.7 * batch * (n * 4 + 4 * np.abs(logs).sum()) * eps(dtype)
        slack = (y.size + 8) * eps("float64") * (abs(total) + BEFORE)
        assert_within(np.array(added), total, off + slack, shape)
        less, more = rate / m, (1 - rate) / (1 - m)
        slope = np.broadcast_to(0.7 / max(batch, 1) * (more - less), shape)
        tolerance = 6 * eps(dtype) * 0.7 / max(batch, 1) * (more + less)
        assert_within(gradient, slope, np.broadcast_to(tolerance, shape), shape)


def test_kl_of_units_that_are_always_on_or_off(backend: Backend, dtype: str) -> None:
    """The divergence is infinite there; a margin keeps value and slope finite."""
    y = np.array([[0.0, 1.0, 0.25], [0.0, 1.0, 0.25]], dtype)
    gradient, added = penalty(backend, "kl", y, 1.0, 0.25)
    expected = 2 * sum(
        0.25 * np.log(0.25 / m) + 0.75 * np.log(0.75 / (1 - m))
        for m in (RATE_MARGIN, 1 - RATE_MARGIN)
    )
    # 1 - 1e-6 is rounded to eps / 2, and the rest, 1e-6, errs by so much
    off = eps(dtype) / RATE_MARGIN
    assert added == pytest.approx(expected, rel=2 * off)
    for j, m in ((0, RATE_MARGIN), (1, 1 - RATE_MARGIN)):
        slope = (0.75 / (1 - m) - 0.25 / m) / 2
        assert gradient[0, j] == pytest.approx(slope, rel=2 * off)
    assert abs(gradient[0, 2]) <= 8 * eps(dtype)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_s_derivative(backend: Backend, name: str) -> None:
    """Central differences of value / batch: rounding is 1e-15 / h = 1e-10, truncation h^2 / 6 of a
    third derivative, of kl below 2 / 0.2^3."""
    rng, h = np.random.default_rng(4), 1e-5
    y = 0.2 + 0.6 * rng.random((3, 4))
    gradient, _ = penalty(backend, name, y, 0.9, 0.3)
    slope = np.zeros_like(y)
    for i in np.ndindex(y.shape):
        step = np.zeros_like(y)
        step[i] = h
        up, down = (penalty(backend, name, y + s * step, 0.9, 0.3)[1] for s in (1, -1))
        slope[i] = (up - down) / (2 * h) / 3
    assert_within(gradient, slope, 1e-8)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_that_is_not_finite_is_seen(backend: Backend, dtype: str, name: str) -> None:
    y = np.full((2, 2), 0.5, dtype)
    y[1, 1] = np.nan
    with np.errstate(all="ignore"):  # as in training
        gradient, added = penalty(backend, name, y, 1.0, 0.5)
    assert np.isnan(added) and np.isnan(gradient[1, 1])
