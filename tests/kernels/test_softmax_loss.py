"""Cross-entropy of groups of columns against the textbook and finite differences."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.reference import EXTREMES, Array, assert_within, awkward_shapes, call, eps, normals, tiny
from tinyae.kernels.backend import Backend

BEFORE = 3.5  # in totals


def run(backend: Backend, output: Array, target: Array, bounds: list[int]) -> tuple[Array, float]:
    """(gradient, what was added to totals[0]); gradient was 9 and totals[1] must stay."""
    gradient, totals = call(
        backend, "softmax_loss", ("gradient", "totals"),
        output=output, target=target, bounds=np.array(bounds),
        gradient=np.full_like(output, 9), totals=np.array([BEFORE, 2.0]),
    )  # fmt: skip
    assert totals[1] == 2
    return gradient, totals[0] - BEFORE


def check(backend: Backend, output: Array, target: Array, bounds: list[int], dtype: str) -> None:
    """Against sum of t (log sum of exp z - z), and softmax - t.

    z less the largest errs by eps / 2 of itself, at most D, and so do exp and the log of the sum,
    with 4 eps of exp and n of the sum besides; beyond 750 exp is 0. The target's sum adds n eps.
    """
    gradient, added = run(backend, output, target, bounds)
    expected, tolerance = np.full(output.shape, 9.0), np.zeros(output.shape)
    value, slack = 0.0, 0.0
    for first, last in pairwise(bounds):
        z, t = (a[:, first:last].astype(np.float64) for a in (output, target))
        there = ~np.isnan(t).any(axis=1, keepdims=True)
        t = np.where(there, t, 0)
        high = np.logaddexp.reduce(z, axis=1, keepdims=True)
        p, weight = np.exp(z - high), t.sum(axis=1, keepdims=True)
        below = z.max(axis=1, keepdims=True) - z
        relative = eps(dtype) * (2 * np.minimum(below.max(axis=1, keepdims=True), 750)
                                 + 2 * (last - first) + 10)  # fmt: skip
        value += float((t * (high - z)).sum())
        slack += float((t * (relative + eps(dtype) * below)).sum())
        expected[:, first:last] = (p * weight - t) / max(len(output), 1)
        tolerance[:, first:last] = (p * weight * relative + 2 * eps(dtype) * t
                                    + there * tiny(dtype)) / max(len(output), 1)  # fmt: skip
    slack += output.size * eps("float64") * (value + BEFORE)
    what = (output.shape, bounds)
    assert_within(np.array(added), value, slack + 4 * eps("float64") * BEFORE, what)
    assert_within(gradient, expected, tolerance, what)


def one_hot(rng: np.random.Generator, shape: tuple[int, int], bounds: list[int]) -> Array:
    target = np.zeros(shape)
    for first, last in pairwise(bounds):
        target[np.arange(shape[0]), rng.integers(first, last, shape[0])] = 1
    return target


def some_bounds(rng: np.random.Generator, columns: int) -> list[int]:
    """Groups of any widths, that may leave out columns at both ends; none where there are none."""
    inner = rng.permutation(columns + 1)[: int(rng.integers(0, columns + 2))]
    return sorted(map(int, inner)) or [0]


@pytest.mark.parametrize("missing", (0.0, 0.3, 1.0))
def test_softmax_loss(backend: Backend, dtype: str, missing: float) -> None:
    rng = np.random.default_rng(1)
    for shape in awkward_shapes(2, backend):
        bounds = some_bounds(rng, shape[1])
        output, target = 3 * normals(rng, shape, dtype), one_hot(rng, shape, bounds).astype(dtype)
        for first, last in pairwise(bounds):
            without = np.flatnonzero(rng.random(shape[0]) < missing)
            target[without, rng.integers(first, last, without.size)] = np.nan  # one of them
        check(backend, output, target, bounds, dtype)


def test_any_weights(backend: Backend, dtype: str) -> None:
    rng = np.random.default_rng(2)
    output = normals(rng, (40, 12), dtype)
    check(backend, output, rng.random((40, 12)).astype(dtype), [1, 4, 12], dtype)
    check(backend, output, np.zeros((40, 12), dtype), [0, 5, 11], dtype)


@pytest.mark.parametrize("right", (0, 1, 2))
def test_extreme_logits(backend: Backend, dtype: str, right: int) -> None:
    """No overflow (a warning is an error here) and no NaN."""
    for value in EXTREMES:
        output = np.array([[value, 0, -value]], dtype)
        check(backend, output, np.eye(3, dtype=dtype)[right : right + 1], [0, 3], dtype)


def test_a_missing_group_adds_nothing_whatever_its_outputs(backend: Backend, dtype: str) -> None:
    output = np.array([[np.nan, 1, np.inf, np.inf], [-np.inf, -np.inf, 1, 2]], dtype)
    target = np.array([[np.nan, np.nan, np.nan, 0], [0, np.nan, 0, 1]], dtype)
    with np.errstate(invalid="ignore"):  # as in training
        gradient, added = run(backend, output, target, [0, 2, 4])
    assert added == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-6)
    assert not gradient[:, :2].any() and not gradient[0, 2:].any() and gradient[1, 2:].all()


def test_what_is_not_finite_is_seen(backend: Backend) -> None:
    for bad in (np.nan, np.inf):
        with np.errstate(invalid="ignore"):
            _, added = run(backend, np.array([[bad, 0.0]]), np.array([[0.0, 1.0]]), [0, 2])
        assert not np.isfinite(added)


def test_gradient_is_the_slope_of_the_mean_value(backend: Backend) -> None:
    """Central differences: rounding is 20 eps / h = 5e-10, truncation h^2 / 6 < 1e-10."""
    h, rng, bounds = 1e-5, np.random.default_rng(3), [1, 3, 6]
    output, target = rng.standard_normal((4, 7)), one_hot(rng, (4, 7), bounds)
    target[2, 1] = np.nan
    slope = np.full(output.shape, 9.0)
    for i in np.ndindex(output.shape):
        step = np.zeros(output.shape)
        step[i] = h
        if 1 <= i[1] < 6:
            up, down = (run(backend, output + s * step, target, bounds)[1] for s in (1, -1))
            slope[i] = (up - down) / (2 * h) / 4
    assert_within(run(backend, output, target, bounds)[0], slope, 2e-9)
