"""The members' nets: PCA at first, exact gradients, and each alone as among others."""

from __future__ import annotations

import numpy as np

from tinyae.data.pca import fit_pca
from tinyae.outliers import nets

X = np.random.default_rng(0).normal(size=(3, 12, 5)) * (3, 2, 1, 0.5, 0.2)
X -= X.mean(axis=1, keepdims=True)
V = nets.directions(X, 2)


def output(layers: list[nets.Layer], x: np.ndarray) -> np.ndarray:
    for number, layer in enumerate(layers):
        x = nets.active(number, nets.affine(x, layer))
    return x


def test_before_the_first_update_a_net_is_pca_of_its_rows() -> None:
    found = output(nets.trained(X, V, 0, 1e-3), X)
    for x, reconstruction in zip(X, found, strict=True):
        pca = fit_pca(x, 2)
        np.testing.assert_allclose(reconstruction, pca.decode(pca.encode(x)), atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    layers = nets.trained(X, V, 3, 0.05)
    slopes = [(np.empty_like(weight), np.empty_like(bias)) for weight, bias in layers]
    nets._backward(X, layers, slopes)
    again = [(np.empty_like(weight), np.empty_like(bias)) for weight, bias in layers]
    rng, step = np.random.default_rng(1), 1e-6
    for layer, slope in zip(layers, slopes, strict=True):
        for values, gradient in zip(layer, slope, strict=True):
            direction = rng.normal(size=values.shape)
            values += step * direction
            above = nets._backward(X, layers, again)
            values -= 2 * step * direction
            below = nets._backward(X, layers, again)
            values += step * direction
            expected = np.vdot(gradient, direction)
            np.testing.assert_allclose((above - below) / (2 * step), expected, rtol=1e-6)


def test_training_lowers_the_error_and_members_do_not_touch_each_other() -> None:
    together = nets.trained(X, V, 200, 3e-3)
    before, after = (
        ((output(nets.trained(X, V, n, 3e-3), X) - X) ** 2).sum((1, 2)) for n in (0, 200)
    )
    assert (after < 0.9 * before).all()
    for m in range(3):
        alone = nets.trained(X[m : m + 1], V[m : m + 1], 200, 3e-3)
        for (weight, bias), (w, b) in zip(together, alone, strict=True):
            np.testing.assert_allclose(weight[m], w[0], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(bias[m], b[0], rtol=1e-9, atol=1e-12)
