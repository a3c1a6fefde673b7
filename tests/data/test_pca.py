"""PCA against NumPy's SVD of the centred data, whichever way the shape makes it take."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinyae.data.pca
from tinyae.data.pca import PCA, fit_pca
from tinyae.data.rows import Rows

SHAPES = [(300, 20), (20, 300), (40, 40), (2, 7), (7, 2), (9, 1)]


@pytest.fixture(params=("data", "scatter"))
def tall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tall data go both ways: small ones are decomposed directly, large ones by their scatter."""
    monkeypatch.setattr(tinyae.data.pca, "DIRECT_SIZE", 1 << 20 if request.param == "data" else 0)


def make(n: int, features: int, offset: float = 3.0) -> np.ndarray:
    """Data whose principal directions are well apart."""
    rng = np.random.default_rng(n * 1000 + features)
    scale = 0.8 ** np.arange(features)
    mixing = np.linalg.qr(rng.normal(size=(features, features)))[0]
    return (rng.normal(size=(n, features)) * scale) @ mixing + offset


def reference_error(x: np.ndarray, train: np.ndarray, k: int) -> float:
    mean = train.mean(axis=0)
    v = np.linalg.svd(train - mean, full_matrices=False)[2][:k]
    return float((((x - mean) - (x - mean) @ v.T @ v) ** 2).sum(axis=1).mean())


@pytest.mark.usefixtures("tall")
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_svd_of_the_centred_data(shape: tuple[int, int]) -> None:
    x = make(*shape)
    k = min(3, shape[0] - 1, shape[1])
    pca = fit_pca(x, 3)
    _, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert not pca.approximate
    assert pca.components.shape == (k, shape[1])
    assert pca.mean.dtype == pca.components.dtype == pca.variances.dtype == np.float64
    np.testing.assert_allclose(pca.mean, x.mean(axis=0))
    np.testing.assert_allclose(pca.variances, s[:k] ** 2 / len(x), rtol=1e-10)
    np.testing.assert_allclose(pca.total_variance, (s**2).sum() / len(x), rtol=1e-12)
    np.testing.assert_allclose(np.abs((pca.components * vt[:k]).sum(axis=1)), 1, rtol=1e-9)


@pytest.mark.usefixtures("tall")
@pytest.mark.parametrize("shape", [(300, 20), (20, 300)])
@pytest.mark.parametrize("k", [1, 4, 15])
def test_squared_error_is_exact(
    shape: tuple[int, int], k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyae.data.rows.CHUNK_BYTES", 8 * shape[1] * 7)  # seven samples at a time
    x = make(*shape)
    fresh = x[::-1][:11] + 0.1
    pca = fit_pca(x, k)
    assert pca.squared_error(x) == pytest.approx(reference_error(x, x, k), rel=1e-9)
    assert pca.squared_error(fresh) == pytest.approx(reference_error(fresh, x, k), rel=1e-9)
    assert pca.squared_error(x) == pytest.approx(pca.total_variance - pca.variances.sum(), rel=1e-9)
    direct = ((fresh - pca.decode(pca.encode(fresh))) ** 2).sum(axis=1).mean()
    assert pca.squared_error(fresh) == pytest.approx(direct, rel=1e-9)


@pytest.mark.usefixtures("tall")
def test_a_large_offset_does_not_cancel() -> None:
    x = make(300, 20, offset=1e6)
    assert fit_pca(x, 4).squared_error(x) == pytest.approx(reference_error(x, x, 4), rel=1e-8)


@pytest.mark.usefixtures("tall")
@pytest.mark.parametrize("shape", SHAPES)
def test_too_many_components_are_the_full_basis(shape: tuple[int, int]) -> None:
    x = make(*shape)
    pca = fit_pca(x, 10_000)
    assert pca.components.shape == (min(shape[0] - 1, shape[1]), shape[1])
    identity = pca.components @ pca.components.T
    np.testing.assert_allclose(identity, np.eye(len(identity)), atol=1e-12)
    assert pca.squared_error(x) < 1e-25 * shape[1] * 100


@pytest.mark.usefixtures("tall")
@pytest.mark.parametrize("shape", [(50, 4), (4, 50)])
def test_constant_data(shape: tuple[int, int]) -> None:
    pca = fit_pca(np.full(shape, 0.1), 2)
    assert pca.squared_error(np.full(shape, 0.1)) < 1e-30
    assert np.isfinite(pca.components).all()
    assert (pca.variances < 1e-30).all()


def test_one_sample_is_its_own_mean() -> None:
    x = make(1, 6)
    pca = fit_pca(x, 2)
    assert pca.components.shape == (0, 6)
    assert pca.encode(x).shape == (1, 0)
    np.testing.assert_array_equal(pca.decode(pca.encode(x)), x)
    assert pca.squared_error(x) == 0


@pytest.mark.usefixtures("tall")
def test_pixels_are_scaled_and_selections_respected() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 12), dtype=np.uint8)
    rows = Rows(pixels).select(np.arange(0, 90, 2))
    x = pixels[::2] / 255
    pca = fit_pca(rows, 5)
    assert pca.squared_error(rows) == pytest.approx(reference_error(x, x, 5), rel=1e-9)
    assert pca.squared_error(rows) == pytest.approx(pca.squared_error(x), rel=1e-9)
    np.testing.assert_allclose(pca.encode(rows), pca.encode(x))
    assert pixels.max() > 1  # and the data are as they were


@pytest.mark.usefixtures("tall")
def test_inputs_are_not_modified() -> None:
    x = make(30, 5)
    before = x.copy()
    pca = fit_pca(x, 2)
    pca.squared_error(x)
    pca.decode(pca.encode(x))
    np.testing.assert_array_equal(x, before)


@pytest.mark.usefixtures("tall")
def test_signs_do_not_depend_on_the_way() -> None:
    x = make(60, 8)
    a, b = fit_pca(x, 6), fit_pca(x[::-1], 6)
    np.testing.assert_allclose(a.components, b.components, atol=1e-9)
    largest = np.abs(a.components).argmax(axis=1)
    assert (a.components[np.arange(6), largest] > 0).all()


def fit_randomised(monkeypatch: pytest.MonkeyPatch, x: np.ndarray, k: int, seed: int = 0) -> PCA:
    monkeypatch.setattr(tinyae.data.pca, "EXACT_LIMIT", 10)
    return fit_pca(x, k, seed=seed)


@pytest.mark.parametrize("shape", [(400, 90), (90, 400)])
def test_randomised(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    x = make(*shape)
    exact = fit_pca(x, 6)
    pca = fit_randomised(monkeypatch, x, 6)
    assert pca.approximate
    assert not exact.approximate
    np.testing.assert_allclose(pca.components, exact.components, atol=1e-7)
    assert pca.squared_error(x) == pytest.approx(exact.squared_error(x), rel=1e-9)
    again = fit_randomised(monkeypatch, x, 6)
    np.testing.assert_array_equal(pca.components, again.components)
    other = fit_randomised(monkeypatch, x, 6, seed=2**63 + 1)
    np.testing.assert_allclose(pca.components, other.components, atol=1e-7)


def test_randomised_on_a_flat_spectrum(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).normal(size=(300, 80))
    exact = fit_pca(x, 5).squared_error(x)
    error = fit_randomised(monkeypatch, x, 5).squared_error(x)
    assert exact <= error * (1 + 1e-12)
    assert error < exact * 1.005


@pytest.mark.parametrize("shape", [(40, 15), (15, 40)])
def test_randomised_full_basis(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    x = make(*shape)
    pca = fit_randomised(monkeypatch, x, 1000)
    assert pca.components.shape == (min(shape[0] - 1, shape[1]), shape[1])
    assert pca.squared_error(x) < 1e-20


@pytest.mark.parametrize("k", [0, -1])
def test_refuses_too_few_components(k: int) -> None:
    with pytest.raises(ValueError, match=f"n_components must be an integer >= 1, got {k}"):
        fit_pca(make(5, 3), k)


def test_refuses_a_fraction_of_components() -> None:
    with pytest.raises(TypeError, match="n_components must be an integer >= 1, got 0.5"):
        fit_pca(make(5, 3), 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.inf, 1e200])
def test_refuses_what_is_not_finite(bad: float) -> None:
    x = make(5, 3)
    x[2, 1] = bad
    with pytest.raises(ValueError, match="x must be finite and its squares must not overflow"):
        fit_pca(x, 1)


@pytest.mark.parametrize(
    ("way", "name", "n", "shape"),
    [("encode", "x", 4, (3, 5)), ("squared_error", "x", 4, (3, 5)), ("decode", "z", 2, (3, 4)),
     ("decode", "z", 2, (2,))],
)  # fmt: skip
def test_refuses_other_shapes(way: str, name: str, n: int, shape: tuple[int, ...]) -> None:
    message = re.escape(f"{name} must have shape (n, {n}), got {shape}")
    with pytest.raises(ValueError, match=message):
        getattr(fit_pca(make(9, 4), 2), way)(np.zeros(shape))
