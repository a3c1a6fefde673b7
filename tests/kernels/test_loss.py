"""Losses: value, squared error and gradient against the textbook and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from tests import reference as ref
from tests.reference import EXTREMES, Array, assert_within, awkward_shapes, call, normals, poisoned
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import LOSSES

every_loss = pytest.mark.parametrize("name", LOSSES)


def run(backend: Backend, name: str, output: Array, target: Array) -> tuple[Array, ...]:
    """(gradient, totals)"""
    return call(
        backend, "loss", ("gradient", "totals"),
        name=name, output=output, target=target,
        gradient=poisoned(output.shape, output.dtype), totals=poisoned((2,), "float64"),
    )  # fmt: skip


def check(backend: Backend, name: str, output: Array, target: Array, dtype: str) -> None:
    gradient, totals = run(backend, name, output, target)
    ref.assert_loss(name, output, target, gradient, totals, dtype)


@every_loss
def test_loss(backend: Backend, name: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    for shape in awkward_shapes(2, backend):
        output = 2 * normals(rng, shape, dtype)
        check(backend, name, output, rng.random(shape).astype(dtype), dtype)


@every_loss
@pytest.mark.parametrize("where", ("cells", "row", "column", "everywhere"))
def test_a_missing_target_adds_nothing(backend: Backend, name: str, dtype: str, where: str) -> None:
    """Whatever the output is there: infinite, NaN, or so large that its square is."""
    rng = np.random.default_rng(3)
    for shape in awkward_shapes(2, backend):
        output, target = 2 * normals(rng, shape, dtype), rng.random(shape).astype(dtype)
        missing = {
            "cells": rng.random(shape) < 0.3, "row": np.arange(shape[0])[:, None] % 3 == 1,
            "column": np.arange(shape[1]) % 3 == 0, "everywhere": np.array(True),
        }[where] & np.ones(shape, bool)  # fmt: skip
        target[missing] = np.nan
        check(backend, name, output, target, dtype)
        output[missing] = rng.choice([np.nan, np.inf, -np.inf, np.finfo(dtype).max], missing.sum())
        check(backend, name, output, target, dtype)


@every_loss
@pytest.mark.parametrize("target", (0.0, 0.25, 1.0))
def test_loss_of_extreme_outputs(backend: Backend, name: str, dtype: str, target: float) -> None:
    """No overflow (a warning is an error here) and no NaN; one by one, so that none hides."""
    for value in EXTREMES:
        output = np.full((1, 1), value, dtype)
        check(backend, name, output, np.full_like(output, target), dtype)


def test_sums_are_taken_in_float64(backend: Backend) -> None:
    """Errors that are odd integers: squares fit into 24 bits, their sums do not."""
    output = np.arange(-1999, 2001, 2, dtype=np.float32).reshape(-1, 10).repeat(11, axis=1)
    e = output.astype(np.float64)
    values = {"mse": e**2, "l1": np.abs(e), "huber": np.abs(e) - 0.5}
    for name, value in values.items():
        _, totals = run(backend, name, output, np.zeros_like(output))
        assert value.sum() > 2**24
        np.testing.assert_array_equal(totals, [value.sum(), (e**2).sum()], name)


@every_loss
def test_a_perfect_reconstruction_has_no_slope(backend: Backend, name: str, dtype: str) -> None:
    output = np.zeros((3, 5), dtype)
    target = np.full_like(output, 0.5 if name == "bce" else 0)
    gradient, totals = run(backend, name, output, target)
    assert not gradient.any()
    assert totals[1] == 0
    assert totals[0] == pytest.approx(
        15 * np.log(2) if name == "bce" else 0, rel=8 * ref.eps(dtype)
    )


@every_loss
@pytest.mark.parametrize("missing", (0, 5))
def test_gradient_is_the_slope_of_the_mean_value(backend: Backend, name: str, missing: int) -> None:
    """Central differences; the value is below 100, so rounding is 100 eps / h = 2e-9, truncation
    h^2 |loss'''| / 6 < 1e-10; the kinks (0 of l1, +-1 of huber) are out of reach of h."""
    h = 1e-5
    rng = np.random.default_rng(2)
    output, target = 3 * rng.standard_normal((4, 3)), rng.random((4, 3))
    distance = np.abs(np.abs(output - target)[..., None] - [0, 1]).min(axis=-1)
    assert (distance > h).all()
    target.reshape(-1)[rng.permutation(12)[:missing]] = np.nan

    def value(output: Array) -> float:
        return float(run(backend, name, output, target)[1][0]) / len(output)

    slope = np.empty(output.shape)
    for i in np.ndindex(output.shape):
        step = np.zeros(output.shape)
        step[i] = h
        slope[i] = (value(output + step) - value(output - step)) / (2 * h)
    assert_within(run(backend, name, output, target)[0], slope, 1e-8, name)


def test_inner_product(backend: Backend, dtype: str) -> None:
    """Each product is rounded once. The sum, in float64 but for partial sums of at most 1,024, is
    off by no more than n eps of float64 of the products' sizes, and each product by eps."""
    rng = np.random.default_rng(9)
    for shape in awkward_shapes(2, backend):
        x, y = (normals(rng, shape, dtype) for _ in range(2))
        for weight in (0.7, 0.0):
            out, totals = call(
                backend, "inner_product", ("out", "totals"), x=x, y=y, weight=weight,
                out=poisoned(shape, dtype), totals=np.array([3.5, 2.0]),
            )  # fmt: skip
            np.testing.assert_array_equal(out, x * y)
            sizes = np.abs(x.astype(np.float64) * y).sum()
            slack = (ref.eps(dtype) + x.size * ref.eps("float64")) * sizes + 4e-15
            expected = 3.5 + weight * (x.astype(np.float64) * y).sum()
            assert abs(totals[0] - expected) <= slack and totals[1] == 2, shape


def test_inner_product_in_place(backend: Backend, dtype: str) -> None:
    x = normals(np.random.default_rng(10), (33, 65), dtype)
    device, totals = backend.to_device(x), backend.to_device(np.zeros(2))
    backend.inner_product(device, device, 1.0, device, totals)
    np.testing.assert_array_equal(backend.to_host(device), x * x)
