"""The dense layer's three products against float64 sums, and against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests import reference as ref
from tests.reference import Array, assert_within, awkward_shapes, call, dense, normals, poisoned
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATIONS, NEEDS_INPUT

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)


def forward_tolerance(x: Array, w: Array, b: Array, dtype: str) -> Array:
    bias = (x.shape[1] + 1) * ref.eps(dtype) * np.abs(b.astype(np.float64))
    return ref.product_tolerance(x, w, dtype) + bias


def backward_input(backend: Backend, dz: Array, w: Array, name: str, saved: Array) -> Array:
    given = {"dz": dz, "w": w, "activation": name, "saved": saved}
    dx = poisoned(saved.shape, saved.dtype)
    return call(backend, "dense_backward_input", ("dx",), **given, dx=dx)[0]


def backward_weights(backend: Backend, x: Array, dz: Array, **to: Any) -> tuple[Array, ...]:
    """(dw, db), of poisoned arrays unless ``to`` says what they hold and whether to add to it."""
    n_in, n_out = x.shape[1], dz.shape[1]
    given = {"dw": poisoned((n_in, n_out), x.dtype), "db": poisoned((n_out,), x.dtype), **to}
    return call(backend, "dense_backward_weights", ("dw", "db"), x=x, dz=dz, **given)


@every_activation
@pytest.mark.parametrize("keep_pre", (False, True))
def test_forward(backend: Backend, name: str, dtype: str, keep_pre: bool) -> None:
    if name in NEEDS_INPUT and not keep_pre:
        return  # test_contract.py: it is refused
    rng = np.random.default_rng(1)
    for batch, n_in, n_out in awkward_shapes(3, backend):
        x = normals(rng, (batch, n_in), dtype)
        w = normals(rng, (n_in, n_out), dtype) / np.sqrt(n_in + 1, dtype=dtype)
        b = normals(rng, (n_out,), dtype)
        y, *rest = call(
            backend, "dense_forward", ("y", "pre") if keep_pre else ("y",),
            x=x, w=w, b=b, activation=name, y=poisoned((batch, n_out), dtype),
            pre=poisoned((batch, n_out), dtype) if keep_pre else None,
        )  # fmt: skip
        z = dense(x, w, b)
        slack = forward_tolerance(x, w, b, dtype)
        what = (batch, n_in, n_out)
        for pre in rest:
            assert_within(pre, z, slack, what)
        tolerance = ref.STEEPEST * slack + ref.activation_tolerance(name, np.abs(z) + slack, dtype)
        assert_within(y, ref.activation(name, z), tolerance, what)


@every_activation
def test_backward_input(backend: Backend, name: str, dtype: str) -> None:
    rng = np.random.default_rng(2)
    for batch, n_in, n_out in awkward_shapes(3, backend):
        dz = normals(rng, (batch, n_out), dtype)
        w = normals(rng, (n_in, n_out), dtype)
        z_below = 2 * normals(rng, (batch, n_in), dtype)
        dx = backward_input(backend, dz, w, name, ref.saved_for_backward(name, z_below, dtype))
        dy = dense(dz, w.T, np.zeros(n_in))
        slope = ref.derivative(name, z_below)
        tolerance = ref.product_tolerance(dz, w.T, dtype) * ref.STEEPEST + np.abs(dy) * (
            ref.derivative_tolerance(name, z_below, dtype) + ref.eps(dtype) * np.abs(slope)
        )
        assert_within(dx, dy * slope, tolerance, (batch, n_in, n_out))


def test_backward_weights(backend: Backend, dtype: str) -> None:
    rng = np.random.default_rng(3)
    for batch, n_in, n_out in awkward_shapes(3, backend):
        x, dz = normals(rng, (batch, n_in), dtype), normals(rng, (batch, n_out), dtype)
        dw, db = backward_weights(backend, x, dz)
        what = (batch, n_in, n_out)
        assert_within(
            dw, dense(x.T, dz, np.zeros(n_out)), ref.product_tolerance(x.T, dz, dtype), what
        )
        ones = np.ones((1, batch))
        expected = [sum(float(value) for value in column) for column in dz.T]
        assert_within(db, expected, ref.product_tolerance(ones, dz, dtype)[0], what)


def test_backward_weights_are_added(backend: Backend, dtype: str) -> None:
    """What dw and db hold is one more term of each sum, anywhere in its order."""
    rng = np.random.default_rng(6)
    for batch, n_in, n_out in awkward_shapes(3, backend):
        x, dz = normals(rng, (batch, n_in), dtype), normals(rng, (batch, n_out), dtype)
        held = normals(rng, (n_in, n_out), dtype), normals(rng, (1, n_out), dtype)
        added = backward_weights(backend, x, dz, dw=held[0], db=held[1][0], add=True)
        for before, after, factor in zip(held, added, (x.T, np.ones((1, batch))), strict=True):
            a, b = np.abs(factor.astype(np.float64)), np.abs(dz.astype(np.float64))
            tolerance = (batch + 2) * ref.eps(dtype) * (a @ b + np.abs(before))
            exact = before + dense(factor, dz, np.zeros(n_out))
            after = after.reshape(before.shape)
            assert_within(after, exact, tolerance, (batch, n_in, n_out))


# ---- finite differences, in float64 and through the kernels' own forward pass

H = 1e-5


def central_differences(value: Callable[[Array], float], at: Array) -> Array:
    slope = np.empty(at.shape)
    for i in np.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[i] += H
        below[i] -= H
        slope[i] = (value(above) - value(below)) / (2 * H)
    return slope


def forward(backend: Backend, x: Array, w: Array, b: Array, name: str) -> tuple[Array, ...]:
    shape = (len(x), w.shape[1])
    return call(
        backend, "dense_forward", ("y", "pre"),
        x=x, w=w, b=b, activation=name,
        y=poisoned(shape, "float64"), pre=poisoned(shape, "float64"),
    )  # fmt: skip


# Sums of 12 terms below 10: rounding 12 * 10 eps / H = 3e-9; truncation H^2 |f'''| / 6 < 1e-9.
DIFFERENCES_TOLERANCE = 1e-8


@every_activation
def test_backward_input_is_the_slope_of_forward(backend: Backend, name: str) -> None:
    """Two layers: c . ((act(z)) @ w + b) as a function of z, the pre-activation below."""
    rng = np.random.default_rng(4)
    z, w, c = rng.uniform(-3, 3, (3, 5)), rng.standard_normal((5, 4)), rng.standard_normal((3, 4))
    z[np.abs(z) < 0.01] = 0.5  # kinks

    def below(z: Array) -> tuple[Array, ...]:
        return forward(backend, z, np.eye(5), np.zeros(5), name)

    def value(z: Array) -> float:
        y, _ = forward(backend, below(z)[0], w, np.ones(4), "identity")
        return float((c * y).sum())

    dz = backward_input(backend, c, w, name, below(z)[1 if name in NEEDS_INPUT else 0])
    assert_within(dz, central_differences(value, z), DIFFERENCES_TOLERANCE, name)


def test_backward_weights_is_the_slope_of_forward(backend: Backend) -> None:
    rng = np.random.default_rng(5)
    x, w, b, c = (rng.standard_normal(shape) for shape in ((3, 5), (5, 4), (4,), (3, 4)))
    dw, db = backward_weights(backend, x, c)

    def value(w: Array, b: Array) -> float:
        return float((c * forward(backend, x, w, b, "identity")[0]).sum())

    by_w = central_differences(lambda w: value(w, b), w)
    by_b = central_differences(lambda b: value(w, b), b)
    assert_within(dw, by_w, DIFFERENCES_TOLERANCE)
    assert_within(db, by_b, DIFFERENCES_TOLERANCE)
