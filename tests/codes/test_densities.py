"""Densities against sums written out, integrals, and what is known of the draws' moments."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest

import tinyae.codes.densities
from tinyae.codes.densities import (
    FLOOR,
    Frame,
    Mixture,
    _pick,
    em_rounds,
    fit_gaussian,
    fit_kernel,
    fit_mixture,
)

Fit = Callable[[np.ndarray], Mixture]

FITS: dict[str, Fit] = {
    "gaussian": fit_gaussian,
    "mixture": lambda codes: fit_mixture(codes, 3),
    "kernel": fit_kernel,
}


@pytest.fixture(params=FITS)
def fit(request: pytest.FixtureRequest) -> Fit:
    return FITS[request.param]


def clusters(n: int = 300, k: int = 2, seed: int = 0) -> np.ndarray:
    """Three clouds, well apart, each longer than it is wide; units of different scales."""
    rng = np.random.default_rng(seed)
    centres = np.array([[-6.0, 0.0], [0.0, 5.0], [6.0, -1.0]])[np.arange(n) % 3]
    mixing = rng.normal(size=(3, k, k))[np.arange(n) % 3]
    codes = np.pad(centres, ((0, 0), (0, max(0, k - 2))))[:, :k]
    codes = codes + (mixing @ rng.normal(size=(n, k, 1)))[:, :, 0]
    return codes * 10.0 ** np.arange(k)


def normal(z: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The density as the textbook writes it."""
    away = z - mean
    power = -0.5 * (away * np.linalg.solve(covariance, away.T).T).sum(axis=1)
    return np.exp(power) / np.sqrt(np.linalg.det(2 * np.pi * covariance))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_gaussian_has_the_codes_moments(k: int) -> None:
    codes = clusters(k=k)
    density = fit_gaussian(codes)
    np.testing.assert_allclose(density.means, [codes.mean(axis=0)], rtol=1e-12)
    covariance = np.cov(codes.T, ddof=0).reshape(k, k)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose((density.covariances[0] - covariance) / scale, 0, atol=1e-13)
    np.testing.assert_array_equal(density.weights, [1])
    expected = np.log(normal(codes, codes.mean(axis=0), covariance))
    np.testing.assert_allclose(density.log_density(codes), expected, rtol=1e-9)


def test_log_density_is_the_sum_of_its_normals(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = clusters(60)
    density = fit(codes)
    z = np.concatenate([codes[:20], codes[:20] + 1.5])
    shared = [*density.covariances] * (len(density.means) // len(density.covariances))
    expected = sum(
        w * normal(z, mean, c)
        for w, mean, c in zip(density.weights, density.means, shared, strict=True)
    )
    # the kernel's squared distances, up to 1e4, are differences of products
    np.testing.assert_allclose(density.log_density(z), np.log(expected), atol=1e-9)
    whole = density.log_density(z)
    monkeypatch.setattr(tinyae.codes.densities, "CHUNK", 7 * len(density.means))
    np.testing.assert_allclose(density.log_density(z), whole, rtol=1e-12)


def test_density_integrates_to_one(fit: Fit) -> None:
    density = fit(clusters())
    x, y = np.linspace(-20, 20, 201), np.linspace(-200, 200, 201)
    z = np.stack(np.meshgrid(x, y), axis=2).reshape(-1, 2)
    total = np.exp(density.log_density(z)).sum() * (x[1] - x[0]) * (y[1] - y[0])
    assert total == pytest.approx(1, abs=1e-3)


def test_far_away_nothing_overflows(fit: Fit) -> None:
    density = fit(clusters())
    values = density.log_density(np.array([[1e9, -1e9], [-1e150, 0.0]]))
    assert np.isfinite(values).all() and (values < -1e10).all()


def test_samples_have_the_densitys_moments(fit: Fit) -> None:
    density = fit(clusters())
    n = 40_000
    drawn = density.sample(n, seed=3)
    assert drawn.shape == (n, 2) and drawn.dtype == np.float64
    mean = density.weights @ density.means
    away = density.means - mean
    covariance = (density.weights[:, None] * away).T @ away
    weights = density.weights if len(density.roots) > 1 else np.ones(1)
    covariance += np.einsum("m,mij->ij", weights, density.covariances)
    deviation = np.sqrt(np.diag(covariance))
    # five standard errors; those of a second moment are at most sqrt(2) as large for these clouds
    np.testing.assert_allclose((drawn.mean(axis=0) - mean) / deviation, 0, atol=5 / n**0.5)
    off = (np.cov(drawn.T) - covariance) / np.outer(deviation, deviation)
    np.testing.assert_allclose(off, 0, atol=5 * 2**0.5 / n**0.5)


def test_same_seed_same_samples(fit: Fit) -> None:
    density, again = fit(clusters()), fit(clusters())
    a, b = density.sample(50, seed=1), again.sample(50, seed=1)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(density.sample(7, seed=1), a[:7], rtol=1e-12)
    assert (density.sample(50, seed=2**63) != a).all()
    assert density.sample(0).shape == (0, 2)


def test_components_are_drawn_by_their_weights() -> None:
    density = Mixture(
        np.array([0.2, 0.0, 0.8]), np.array([[0.0], [1.0], [2.0]]), np.zeros((3, 1, 1))
    )
    drawn = density.sample(10_000)[:, 0]
    assert set(drawn) == {0.0, 2.0}
    assert (drawn == 2).mean() == pytest.approx(0.8, abs=5 * (0.16 / 10_000) ** 0.5)


def test_pick_takes_nothing_of_weight_zero() -> None:
    picked = _pick(
        np.array([0.0, 1.0, 0.0, 1.0, 0.0]), np.array([0, 0.5 - 2**-53, 0.5, 1 - 2**-53])
    )
    np.testing.assert_array_equal(picked, [1, 1, 3, 3])


def test_em_never_loses_likelihood() -> None:
    for seed in range(5):
        u = Frame.of(clusters(200, 3, seed)).units
        for components in (1, 2, 6):
            rounds = list(islice(em_rounds(u, components, seed), 30))
            gains = np.diff([likelihood for _, likelihood in rounds])
            assert (gains > -1e-12).all()
            for weights, _, _ in (parts for parts, _ in rounds):
                assert weights.sum() == pytest.approx(1, abs=1e-12) and (weights > 0).all()


def test_em_never_loses_likelihood_where_the_floor_binds() -> None:
    line = np.linspace(-1, 1, 40)
    u = Frame.of(np.stack([line, line, np.sign(line)], axis=1)).units
    rounds = list(islice(em_rounds(u, 4, 0), 40))
    assert (np.diff([likelihood for _, likelihood in rounds]) > -1e-12).all()
    smallest = min(np.linalg.eigvalsh(root).min() for root in rounds[-1][0][2])
    assert smallest == pytest.approx(FLOOR**0.5, rel=1e-9)


def test_a_round_of_em_is_the_textbooks() -> None:
    u = Frame.of(clusters(90)[20:].repeat(1 + (np.arange(70) % 3 == 0), axis=0)).units
    (weights, means, roots), _ = next(em_rounds(u, 3, 0))
    ((new_weights, new_means, new_roots), _), *_ = islice(em_rounds(u, 3, 0), 1, 2)
    parts = zip(weights, means, roots, strict=True)
    joint = np.stack([w * normal(u, m, r @ r.T) for w, m, r in parts], axis=1)
    shares = joint / joint.sum(axis=1, keepdims=True)
    for j in range(3):
        size = shares[:, j].sum()
        mean = (shares[:, j, None] * u).sum(axis=0) / size
        covariance = sum(s * np.outer(x - mean, x - mean) for s, x in zip(shares[:, j], u)) / size
        assert new_weights[j] == pytest.approx(size / len(u), rel=1e-9)
        np.testing.assert_allclose(new_means[j], mean, rtol=1e-9)
        np.testing.assert_allclose(new_roots[j] @ new_roots[j].T, covariance, rtol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_mixture_finds_the_clusters(seed: int) -> None:
    codes = clusters(600)
    density = fit_mixture(codes, 3, seed)
    order = density.means[:, 0].argsort()
    for j, cloud in zip(order, (codes[i::3] for i in range(3)), strict=True):
        # the clouds overlap by well under 1 %
        np.testing.assert_allclose(density.weights[j], 1 / 3, atol=0.02)
        np.testing.assert_allclose(density.means[j] / (1, 10), cloud.mean(0) / (1, 10), atol=0.1)
    assert density.log_density(codes).mean() > fit_gaussian(codes).log_density(codes).mean() + 0.3


def test_a_mixture_of_one_is_the_gaussian() -> None:
    codes = clusters()
    one, gaussian = fit_mixture(codes, 1), fit_gaussian(codes)
    np.testing.assert_allclose(one.means, gaussian.means, rtol=1e-12)
    np.testing.assert_allclose(one.covariances, gaussian.covariances, rtol=1e-9)


def test_mixture_stops_by_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = clusters()
    u = Frame.of(codes).units
    likelihoods = np.array([value for _, value in islice(em_rounds(u, 3, 0), 60)])
    stop = 1 + int(np.argmax(np.diff(likelihoods) < 1e-3))
    assert 1 < stop < 59
    rough = fit_mixture(codes, 3, 0, tolerance=1e-3)
    fitted = next(islice(em_rounds(u, 3, 0), stop, None))[0]
    np.testing.assert_array_equal(rough.weights, fitted[0])
    monkeypatch.setattr(tinyae.codes.densities, "MAX_ROUNDS", 1)
    first = next(em_rounds(u, 3, 0))[0]
    np.testing.assert_array_equal(fit_mixture(codes, 3, 0).weights, first[0])


def test_every_different_code_can_have_a_component() -> None:
    codes = np.repeat(np.array([[0.0, 1.0], [3.0, 3.0], [9.0, -2.0]]), 4, axis=0)
    density = fit_mixture(codes, 3)
    np.testing.assert_allclose(np.sort(density.means[:, 0]), [0, 3, 9], atol=1e-9)
    np.testing.assert_allclose(density.weights, 1 / 3)
    with pytest.raises(ValueError, match="components must be at most 3, the number of different "
                                         "codes, got 4"):  # fmt: skip
        fit_mixture(codes, 4)


@pytest.mark.parametrize(
    ("bandwidth", "h"), [("scott", 50 ** (-1 / 6)), ("silverman", 50 ** (-1 / 6)), (0.25, 0.25)]
)
def test_kernel_bandwidth(bandwidth: str | float, h: float) -> None:
    codes = clusters(50)  # for two units the two rules agree
    density = fit_kernel(codes, bandwidth)
    np.testing.assert_allclose(density.means, codes)
    assert density.roots.shape == (1, 2, 2)
    np.testing.assert_allclose(density.covariances[0], h**2 * np.cov(codes.T, ddof=0), rtol=1e-9)


def test_silverman_counts_the_units() -> None:
    codes = clusters(50)[:, :1]
    h = (50 * 3 / 4) ** (-1 / 5)
    np.testing.assert_allclose(fit_kernel(codes, "silverman").covariances, h**2 * codes.var())
    with_a_dead_unit = np.pad(codes, ((0, 0), (0, 1)))
    got = fit_kernel(with_a_dead_unit, "silverman").covariances[0]
    np.testing.assert_allclose(got, [[h**2 * codes.var(), 0], [0, 0]])


def test_narrow_kernels_give_the_codes_back() -> None:
    codes = clusters(30)
    drawn = fit_kernel(codes, 1e-6).sample(400) / (1, 10)
    nearest = np.abs(drawn[:, None] - codes / (1, 10)).max(axis=2)
    assert nearest.min(axis=1).max() < 1e-4
    assert len(set(nearest.argmin(axis=1))) == 30  # that 400 draws miss one has odds of 1 : 25,000


def test_a_dead_unit_stays_as_it_is(fit: Fit) -> None:
    codes = np.insert(clusters(), 1, np.float64(np.float32(0.1)), axis=1)
    density, without = fit(codes), fit(clusters())
    drawn = density.sample(100)
    assert (drawn[:, 1] == codes[0, 1]).all()
    assert (drawn.std(axis=0)[[0, 2]] > 0.1).all()
    np.testing.assert_allclose(density.log_density(codes), without.log_density(clusters()))
    codes[:, 1] += 1e-3
    assert (density.log_density(codes) == -np.inf).all()


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("name", FITS)
def test_codes_that_never_vary(name: str, n: int) -> None:
    codes = np.full((n, 2), 0.7, np.float32)
    density = fit_mixture(codes, 1) if name == "mixture" else FITS[name](codes)
    np.testing.assert_array_equal(density.sample(5), np.full((5, 2), codes[0, 0]))
    np.testing.assert_array_equal(density.log_density([[codes[0, 0]] * 2, [0, 0]]), [0, -np.inf])
    with pytest.raises(ValueError, match="components must be at most 1"):
        fit_mixture(codes, 2)


def test_units_that_depend_on_each_other(fit: Fit) -> None:
    codes = clusters() @ np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    density = fit(codes)
    assert np.isfinite(density.log_density(codes)).all()
    drawn = density.sample(500)
    off = (drawn[:, 2] - drawn[:, 0] - drawn[:, 1]) / codes[:, 2].std()
    assert off.std() < 3 * FLOOR**0.5


def test_fewer_codes_than_units(fit: Fit) -> None:
    codes = clusters(3, 6)
    density = fit(codes)
    assert np.isfinite(density.log_density(codes)).all()
    assert np.isfinite(density.sample(20)).all()


def test_scales_of_units_do_not_matter(fit: Fit) -> None:
    codes = clusters()
    scale = 2.0 ** np.array([-40, 40])  # powers of two, which round nothing
    a, b = fit(codes), fit(codes * scale)
    np.testing.assert_allclose(
        b.log_density(codes * scale), a.log_density(codes) - np.log(scale).sum(), rtol=1e-9
    )
    np.testing.assert_allclose(b.sample(20) / scale, a.sample(20), rtol=1e-9)


def test_inputs_are_not_modified(fit: Fit) -> None:
    codes = clusters().astype(np.float32)
    before = codes.copy()
    density = fit(codes)
    density.log_density(codes)
    np.testing.assert_array_equal(codes, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_what_is_not_finite(fit: Fit, bad: float) -> None:
    codes = clusters()
    codes[5, 1] = bad
    message = r"codes contains (NaN|infinity) \(first in sample 5, column 1\)"
    with pytest.raises(ValueError, match=message):
        fit(codes)


def test_refuses_other_shapes(fit: Fit) -> None:
    with pytest.raises(ValueError, match="Expected 2D array codes"):
        fit(np.zeros(5))
    with pytest.raises(ValueError, match="codes with 0 sample"):
        fit(np.zeros((0, 2)))
    density = fit(clusters())
    for z in (np.zeros((4, 3)), np.zeros(2)):
        with pytest.raises(ValueError, match=r"z must have shape \(n, 2\), got"):
            density.log_density(z)
    with pytest.raises(ValueError, match="n must be an integer >= 0, got -1"):
        density.sample(-1)


@pytest.mark.parametrize("bandwidth", ["wide", 0.0, -1.0, np.nan, np.inf])
def test_refuses_other_bandwidths(bandwidth: Any) -> None:
    with pytest.raises(ValueError, match="bandwidth must be 'scott', 'silverman' or a positive"):
        fit_kernel(clusters(), bandwidth)


@pytest.mark.parametrize(("components", "error"), [(0, ValueError), (2.5, TypeError)])
def test_refuses_other_components(components: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="components must be an integer >= 1, got"):
        fit_mixture(clusters(), components)
