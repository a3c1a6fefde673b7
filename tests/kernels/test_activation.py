"""Activations and their derivatives against the textbook, and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from tests import reference as ref
from tests.reference import EXTREMES, assert_within, awkward_shapes, call, normals, poisoned
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATION_FACTS, ACTIVATIONS, NEEDS_INPUT

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)


def forward(backend: Backend, name: str, x: np.ndarray) -> np.ndarray:
    y = poisoned(x.shape, x.dtype)
    return call(backend, "activation_forward", ("y",), x=x, activation=name, y=y)[0]


def backward(backend: Backend, name: str, dy: np.ndarray, saved: np.ndarray) -> np.ndarray:
    dx = poisoned(dy.shape, dy.dtype)
    given = {"dy": dy, "activation": name, "saved": saved, "dx": dx}
    return call(backend, "activation_backward", ("dx",), **given)[0]


def check_forward(backend: Backend, name: str, x: np.ndarray, dtype: str) -> None:
    tolerance = ref.activation_tolerance(name, x, dtype)
    what = (name, x.shape)
    assert_within(forward(backend, name, x), ref.activation(name, x), tolerance, what)


def check_backward(backend: Backend, name: str, x: np.ndarray, dy: np.ndarray, dtype: str) -> None:
    """The derivative's error and the product's rounding, scaled by dy."""
    dx = backward(backend, name, dy, ref.saved_for_backward(name, x, dtype))
    slope = ref.derivative(name, x)
    slack = ref.derivative_tolerance(name, x, dtype) + ref.eps(dtype) * np.abs(slope)
    assert_within(dx, dy * slope, np.abs(dy.astype(np.float64)) * slack, (name, x.shape))


@every_activation
def test_forward(backend: Backend, name: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    for shape in awkward_shapes(2, backend):
        check_forward(backend, name, 4 * normals(rng, shape, dtype), dtype)


@every_activation
def test_forward_in_place(backend: Backend, name: str, dtype: str) -> None:
    x = 4 * normals(np.random.default_rng(2), (33, 65), dtype)
    y = backend.to_device(x)
    backend.activation_forward(y, name, y)
    np.testing.assert_array_equal(backend.to_host(y), forward(backend, name, x))


@every_activation
def test_forward_of_extreme_inputs(backend: Backend, name: str, dtype: str) -> None:
    """No overflow (a warning is an error here), no NaN, and right to the last digits."""
    check_forward(backend, name, np.array([EXTREMES], dtype), dtype)


@every_activation
def test_backward(backend: Backend, name: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    for shape in awkward_shapes(2, backend):
        x, dy = 4 * normals(rng, shape, dtype), normals(rng, shape, dtype)
        check_backward(backend, name, x, dy, dtype)


@every_activation
def test_backward_in_place(backend: Backend, name: str, dtype: str) -> None:
    rng = np.random.default_rng(4)
    x, dy = 4 * normals(rng, (33, 65), dtype), normals(rng, (33, 65), dtype)
    saved = ref.saved_for_backward(name, x, dtype)
    dx = backend.to_device(dy)
    backend.activation_backward(dx, name, backend.to_device(saved), dx)
    np.testing.assert_array_equal(backend.to_host(dx), backward(backend, name, dy, saved))


@every_activation
def test_backward_of_extreme_inputs(backend: Backend, name: str, dtype: str) -> None:
    """+-0 too: there relu and leaky_relu have the slope of the left side, elu has 1."""
    x = np.array([EXTREMES], dtype)
    check_backward(backend, name, x, np.full(x.shape, -3, dtype), dtype)


@every_activation
def test_backward_is_the_slope_of_forward(backend: Backend, name: str) -> None:
    """Central differences: h^2 |act'''| / 6 <= 1e-10 / 2 and 4 eps |act| / h <= 5e-10."""
    h = 1e-5
    rng = np.random.default_rng(5)
    x = rng.uniform(-5, 5, (17, 31))
    x[np.abs(x) < 0.01] = 0.5  # kinks
    above, at, below = (forward(backend, name, point) for point in (x + h, x, x - h))
    dy = rng.standard_normal(x.shape)
    dx = backward(backend, name, dy, x if name in NEEDS_INPUT else at)
    assert_within(dx, dy * (above - below) / (2 * h), 1e-9 * np.abs(dy), name)


@every_activation
def test_the_odd_part_is_the_fact_that_is_stated(name: str) -> None:
    """c x where ``odd`` says c, and no multiple of x where it says nothing."""
    x = np.linspace(0.1, 5, 50)
    ratio = (ref.activation(name, x) - ref.activation(name, -x)) / x
    odd = ACTIVATION_FACTS[name].odd
    if odd:
        np.testing.assert_allclose(ratio, odd, rtol=1e-12)
    else:
        assert name == "identity" or np.ptp(ratio) > 0.1


# ---- the second derivative


def bent(backend: Backend, name: str, dy: np.ndarray, saved: np.ndarray) -> np.ndarray:
    dx = poisoned(dy.shape, dy.dtype)
    given = {"dy": dy, "activation": name, "saved": saved, "dx": dx}
    return call(backend, "activation_curvature", ("dx",), **given)[0]


@every_activation
def test_curvature(backend: Backend, name: str, dtype: str) -> None:
    rng = np.random.default_rng(6)
    for shape in (*awkward_shapes(2, backend), (1, len(EXTREMES))):
        x, dy = 4 * normals(rng, shape, dtype), normals(rng, shape, dtype)
        if shape[1] == len(EXTREMES):
            x = np.array([EXTREMES] * shape[0], dtype).reshape(shape)
        found = bent(backend, name, dy, ref.saved_for_backward(name, x, dtype))
        expected = ref.curvature(name, x)
        slack = ref.curvature_tolerance(name, x, dtype) + ref.eps(dtype) * np.abs(expected)
        assert_within(found, dy * expected, np.abs(dy.astype(np.float64)) * slack, (name, shape))


@every_activation
def test_curvature_in_place(backend: Backend, name: str, dtype: str) -> None:
    rng = np.random.default_rng(7)
    x, dy = 4 * normals(rng, (33, 65), dtype), normals(rng, (33, 65), dtype)
    saved = ref.saved_for_backward(name, x, dtype)
    dx = backend.to_device(dy)
    backend.activation_curvature(dx, name, backend.to_device(saved), dx)
    np.testing.assert_array_equal(backend.to_host(dx), bent(backend, name, dy, saved))


@every_activation
def test_curvature_is_the_slope_of_backward(backend: Backend, name: str) -> None:
    """Central differences, as of ``test_backward_is_the_slope_of_forward``; a derivative that is
    had from an output of about 1 is off by 10 eps of 1: 10 eps / h = 2e-10 more."""
    h, rng = 1e-5, np.random.default_rng(8)
    x = rng.uniform(-5, 5, (17, 31))
    x[np.abs(x) < 0.01] = 0.5  # kinks
    dy = np.ones_like(x)
    above, below = (
        backward(backend, name, dy, ref.saved_for_backward(name, point, "float64"))
        for point in (x + h, x - h)
    )
    found = bent(backend, name, dy, ref.saved_for_backward(name, x, "float64"))
    assert_within(found, (above - below) / (2 * h), 2e-9 * dy, name)


@pytest.mark.parametrize("rows", ("all", "one"))
def test_add(backend: Backend, dtype: str, rows: str) -> None:
    """Each sum is rounded once."""
    rng = np.random.default_rng(5)
    for shape in awkward_shapes(2, backend):
        x = normals(rng, shape, dtype)
        y = normals(rng, shape if rows == "all" else shape[1:], dtype)
        (out,) = call(backend, "add", ("out",), x=x, y=y, out=poisoned(shape, dtype))
        np.testing.assert_array_equal(out, x + y, str(shape))


def test_add_in_place(backend: Backend, dtype: str) -> None:
    rng = np.random.default_rng(6)
    x, y, row = (normals(rng, shape, dtype) for shape in ((65, 129), (65, 129), (129,)))
    left, right = backend.to_device(x), backend.to_device(y)
    backend.add(left, backend.to_device(row), left)
    backend.add(left, right, right)
    np.testing.assert_array_equal(backend.to_host(right), (x + row) + y)
    backend.add(right, right, right)
    np.testing.assert_array_equal(backend.to_host(right), 2 * ((x + row) + y))


def test_add_of_another_row_is_refused(backend: Backend, dtype: str) -> None:
    x, row = (backend.to_device(np.zeros(shape, dtype)) for shape in ((2, 3), (2,)))
    with pytest.raises(ValueError, match=r"^y must have shape \(3,\), got \(2,\)"):
        backend.add(x, row, x)
