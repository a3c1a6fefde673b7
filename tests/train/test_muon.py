"""Muon's algebra: what the iteration does to singular values, and what it leaves alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinyae.kernels.backend import Backend
from tinyae.kernels.columns import get_backend
from tinyae.net.parameters import Parameters
from tinyae.train.muon import COEFFICIENTS, ITERATIONS, RMS, Muon

SHAPES = {"wide": (5, 12), "tall": (12, 5), "square": (7, 7), "row": (1, 4), "bias": (3,)}
A, B, C = COEFFICIENTS


def polynomial(x: np.ndarray) -> np.ndarray:
    return A * x + B * x**3 + C * x**5


def iterated(x: np.ndarray) -> np.ndarray:
    for _ in range(ITERATIONS):
        x = polynomial(x)
    return x


def moved(gradients: dict[str, np.ndarray], backend: Backend, dtype: str) -> dict[str, np.ndarray]:
    """What one update with a learning rate of 1 subtracts from weights of 0, without the scale."""
    parameters = Parameters(backend, {k: g.shape for k, g in gradients.items()}, dtype)
    parameters.set({k: np.zeros(g.shape) for k, g in gradients.items()})
    flat = np.empty(parameters.size, dtype)
    for name, view in parameters.split(flat).items():
        view[...] = gradients[name]
    backend.write(flat, parameters.gradients)
    optimizer = Muon(parameters, momentum=0.0)
    optimizer.apply(backend, optimizer.next_numbers(1.0), backend.to_device(np.zeros(2)))
    found = {k: v.astype(float) for k, v in parameters.to_host().items()}
    return {k: -v / (RMS * math.sqrt(max(v.shape))) for k, v in found.items() if v.ndim == 2}


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_singular_values_are_those_of_the_polynomial(
    backend: Backend, dtype: str, size: float
) -> None:
    """U S V' becomes U p(p(p(p(p(S / |S|))))) V', whatever its size."""
    rng = np.random.default_rng(0)
    gradients = {k: size * rng.normal(size=shape) for k, shape in SHAPES.items()}
    # each iteration's three sums of at most 12 terms, and the polynomial's steepest slope A each
    tolerance = 3 * 12 * ITERATIONS * A**ITERATIONS * np.finfo(dtype).eps
    for name, found in moved(gradients, backend, dtype).items():
        u, s, v = np.linalg.svd(gradients[name], full_matrices=False)
        expected = (u * iterated(s / np.linalg.norm(s))) @ v
        np.testing.assert_allclose(found, expected, atol=tolerance, err_msg=name)


def test_what_is_not_near_0_ends_near_1() -> None:
    """p' = 0 where x^2 = (-3 b +- sqrt(9 b^2 - 20 a c)) / (10 c): a maximum of 1.2024 and a minimum
    of 0.6822 of p, which maps what lies between these two to the same range. Below the maximum p
    rises, so five iterations take there all that is above the fifth preimage of the minimum."""
    root = math.sqrt(9 * B * B - 20 * A * C)
    high, low = (polynomial(math.sqrt((-3 * B + sign * root) / (10 * C))) for sign in (-1, 1))
    x = np.linspace(low, high, 100_001)
    assert low - 1e-12 <= polynomial(x).min() and polynomial(x).max() <= high + 1e-12
    least = low
    for _ in range(ITERATIONS):
        least = min(
            r.real for r in np.roots([C, 0, B, 0, A, -least]) if abs(r.imag) < 1e-12 < r.real
        )
    values = np.geomspace(1e-2, 1, 40)
    assert least <= values[0] / np.linalg.norm(values)
    rng = np.random.default_rng(1)
    (u, _), (v, _) = (np.linalg.qr(rng.normal(size=(n, 40))) for n in (60, 50))
    found = moved({"w": (u * values) @ v.T}, get_backend("numpy"), "float64")["w"]
    s = np.linalg.svd(found, compute_uv=False)
    assert low - 1e-9 <= s[39] and s[0] <= high + 1e-9
    assert s[40:].max() < 1e-9  # what has no direction gets none
