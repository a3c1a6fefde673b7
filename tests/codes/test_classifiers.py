"""k-NN against a loop over all distances; softmax regression against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyae.codes.classifiers
from tinyae.codes.classifiers import fit_softmax, knn_predict, softmax_loss
from tinyae.data.rows import Rows


def make(n: int, features: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clusters that overlap."""
    rng = np.random.default_rng([n, features, seed])
    labels = np.arange(n) % classes
    return rng.normal(size=(n, features)) + labels[:, None] + 5, labels


def by_loop(train: np.ndarray, labels: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    predicted = []
    for query in queries:
        distances = ((train - query) ** 2).sum(axis=1)
        near = [labels[i] for i in np.argsort(distances, kind="stable")[:k]]
        most = max(map(near.count, near))
        predicted.append(next(label for label in near if near.count(label) == most))
    return np.array(predicted)


@pytest.mark.parametrize("k", [1, 2, 5, 8, 100])
@pytest.mark.parametrize(("n", "m", "features"), [(1, 1, 1), (7, 1, 3), (31, 29, 2), (64, 65, 17)])
@pytest.mark.parametrize("block", [1, 8 * 64 * 13, 32 << 20])
def test_knn_is_the_loop(
    n: int, m: int, features: int, k: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tinyae.codes.classifiers, "BLOCK_BYTES", block)
    monkeypatch.setattr("tinyae.data.rows.CHUNK_BYTES", 8 * features * 10)
    train, labels = make(n, features)
    queries, _ = make(m, features, seed=1)
    before = train.copy(), queries.copy()
    predicted = knn_predict(train, labels, queries, k)
    np.testing.assert_array_equal(predicted, by_loop(train, labels, queries, k))
    np.testing.assert_array_equal(train, before[0])
    np.testing.assert_array_equal(queries, before[1])


def test_of_equally_near_samples_the_first_count() -> None:
    """Small integers around a mean of zero: every distance is exact, so equal ones are equal."""
    train = np.array([[1.0], [-1.0], [1.0], [-1.0], [2.0], [-2.0]])
    assert knn_predict(train, [7, 8, 8, 8, 9, 9], [[0.0]], 1) == [7]
    assert knn_predict(train, [8, 7, 8, 8, 9, 9], [[0.0]], 1) == [8]
    assert knn_predict(train, [7, 7, 8, 9, 8, 8], [[0.0]], 3) == [7]
    same = np.ones((50, 2))
    assert knn_predict(same, np.arange(50), same[:2], 7).tolist() == [0, 0]


def test_a_draw_goes_to_the_nearest() -> None:
    train = np.array([[-3.0], [-1.0], [2.0], [2.0]])
    assert knn_predict(train, [0, 1, 0, 1], [[-1.0]], 4) == [1]
    assert knn_predict(train, [1, 0, 1, 0], [[-1.0]], 4) == [0]
    assert knn_predict(train, [2, 0, 1, 0], [[2.0]], 2) == [1]


def test_knn_takes_words_and_pixels() -> None:
    pixels = np.array([[0, 0], [255, 255], [0, 10]], np.uint8)
    predicted = knn_predict(Rows(pixels), np.array(["dark", "light", "dark"]), [[0.9, 1.0]], 1)
    assert predicted.tolist() == ["light"]


def test_a_large_offset_does_not_cancel() -> None:
    train, labels = make(40, 3)
    queries, _ = make(30, 3, seed=1)
    expected = knn_predict(train, labels, queries)
    np.testing.assert_array_equal(knn_predict(train + 1e6, labels, queries + 1e6), expected)


def test_the_gradient_of_the_softmax_loss() -> None:
    rng = np.random.default_rng(0)
    x, which = rng.normal(size=(11, 4)), np.arange(11) % 3
    theta = rng.normal(size=(5, 3))
    _, gradient = softmax_loss(theta, x, which, 0.3)
    h = 1e-5
    for at in np.ndindex(theta.shape):
        up, down = theta.copy(), theta.copy()
        up[at] += h
        down[at] -= h
        slope = (softmax_loss(up, x, which, 0.3)[0] - softmax_loss(down, x, which, 0.3)[0]) / 2 / h
        # h^2 / 6 times a third derivative of order 1, and rounding, eps / h
        assert gradient[at] == pytest.approx(slope, abs=1e-9)


def test_the_softmax_loss_is_what_it_says() -> None:
    theta = np.array([[1.0, -1.0], [0.5, 0.0]])
    loss, _ = softmax_loss(theta, np.array([[2.0]]), np.array([1]), 0.5)
    p = np.exp(-2.0) / (np.exp(2.5) + np.exp(-2.0))
    assert loss == pytest.approx(-np.log(p) + 0.25 * 2, rel=1e-14)
    huge, gradient = softmax_loss(1e4 * theta, np.array([[2.0]]), np.array([1]), 0.5)
    assert np.isfinite(huge) and np.isfinite(gradient).all()


@pytest.mark.parametrize(("n", "features"), [(2, 1), (30, 2), (9, 40), (200, 13)])
@pytest.mark.parametrize("penalty", [1e-3, 1.0])
def test_softmax_finds_the_minimum(n: int, features: int, penalty: float) -> None:
    x, labels = make(n, features)
    model = fit_softmax(x, labels, penalty, tolerance=1e-7)
    theta = np.vstack([model.weight, model.bias])
    which = np.searchsorted(model.kinds, labels)
    least, gradient = softmax_loss(theta, x - model.mean, which, penalty)
    assert np.linalg.norm(gradient) == pytest.approx(model.gradient_norm, abs=1e-12)
    assert model.gradient_norm <= 1e-7
    rng = np.random.default_rng(0)
    for size in (1e-2, 1.0):
        moved = theta + size * rng.normal(size=theta.shape)
        assert softmax_loss(moved, x - model.mean, which, penalty)[0] > least
    again = fit_softmax(x, labels, penalty, tolerance=1e-7)
    np.testing.assert_array_equal(model.weight, again.weight)


def test_softmax_predicts() -> None:
    x, labels = make(90, 2)
    words = np.array(["a", "b", "c"])[labels]
    model = fit_softmax(4 * x, words)
    predicted = model.predict(4 * x)
    scores = (4 * x - model.mean) @ model.weight + model.bias
    assert predicted.tolist() == [model.kinds[i] for i in scores.argmax(axis=1)]
    assert np.mean(predicted == words) > 0.5  # by chance a third
    assert fit_softmax(x, [4] * 90).predict(x[:2]).tolist() == [4, 4]
    pixels = (x * 20).clip(0, 255).astype(np.uint8)
    as_floats = fit_softmax(pixels / 255, words).predict(pixels / 255)
    np.testing.assert_array_equal(fit_softmax(Rows(pixels), words).predict(pixels), as_floats)


@pytest.mark.parametrize("learn", [knn_predict, lambda x, y, q: fit_softmax(x, y).predict(q)])
@pytest.mark.parametrize(
    ("train", "labels", "queries", "message"),
    [
        (np.zeros((3, 2)), [0, 1], np.zeros((1, 2)), r"labels must have shape \(3,\), got \(2,\)"),
        (np.zeros((2, 2)), [[0], [1]], np.zeros((1, 2)), r"labels must have shape \(2,\)"),
        (np.zeros((2, 2)), [0, 1], np.zeros((1, 3)), r"shape \(\w, 2\), got \(1, 3\)"),
        ([[0.0, np.nan]], [0], np.zeros((1, 2)), "train contains NaN"),
        (np.zeros((0, 2)), [], np.zeros((1, 2)), "0 sample"),
    ],
)
def test_bad_data(
    learn: Callable[..., Any], train: Any, labels: Any, queries: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        learn(train, labels, queries)


def test_bad_numbers() -> None:
    x, labels = make(9, 2)
    with pytest.raises(ValueError, match="k must be an integer >= 1, got 0"):
        knn_predict(x, labels, x, 0)
    with pytest.raises(TypeError, match="k must be an integer >= 1, got 2.0"):
        knn_predict(x, labels, x, 2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="queries contains infinity"):
        knn_predict(x, labels, [[np.inf, 0]])
    for name in ("penalty", "tolerance"):
        with pytest.raises(ValueError, match=f"{name} must be a number > 0, got 0"):
            fit_softmax(x, labels, **{name: 0})
    with pytest.raises(ArithmeticError, match=r"after 3 iterations, not 1e-12: scale the feat"):
        fit_softmax(x, labels, tolerance=1e-12, max_iterations=3)
