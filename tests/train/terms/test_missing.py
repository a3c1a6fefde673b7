"""Training on samples with missing values: what is read, what counts, and on every backend."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, gradcheck
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import LOSSES
from tinyae.train.divergence import DivergenceError

RNG = np.random.default_rng(0)
X = RNG.random((60, 9))
HOLED = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
MISSING = np.isnan(HOLED)


def make(**options: Any) -> Autoencoder:
    settings = {"hidden": (8, 5), "code": 3, "activation": "tanh", "epochs": 3, "batch_size": 16,
                "random_state": 1}  # fmt: skip
    return Autoencoder(**{**settings, **options})


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_that_of_the_values_that_are_there(loss: str) -> None:
    model = make(loss=loss, output="sigmoid", dtype="float64").fit(HOLED)
    check = gradcheck(model, HOLED[:7])
    assert check.max_error <= 1e-7 and check.straddled <= 3


@pytest.mark.parametrize("loss", LOSSES)
def test_a_missing_value_is_read_as_the_mean_and_counts_nothing(loss: str) -> None:
    """One step from the same weights: on data with the means in place, with the loss of these
    places taken away by hand."""
    model = make(loss=loss, output="sigmoid", dtype="float64", epochs=0, missing="allow",
                 initializer="he").fit(HOLED)  # fmt: skip
    np.testing.assert_allclose(model.fill_, np.nanmean(HOLED, axis=0), rtol=1e-12)
    filled = np.where(MISSING, model.fill_, HOLED)
    np.testing.assert_array_equal(model.encode(HOLED), model.encode(filled))
    p = model.reconstruct(filled)
    error = np.where(MISSING, 0, p - filled)
    np.testing.assert_allclose(model.score_samples(HOLED), -(error**2).sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(
        model.column_errors(HOLED), (error**2).sum(axis=0) / (~MISSING).sum(axis=0), rtol=1e-9
    )
    t = filled
    values = {
        "mse": error**2, "l1": np.abs(error), "huber": error**2 / 2,  # all errors are below 1
        "bce": -t * np.log(p) - (1 - t) * np.log1p(-p),
    }[loss]  # fmt: skip
    expected = np.where(MISSING, 0, values).sum() / len(X)
    assert model.partial_fit(HOLED).loss_ == pytest.approx(expected, rel=1e-9)


def test_without_missing_values_allowing_them_changes_nothing() -> None:
    for options in ({}, {"code_noise": 0.1}, {"validation_fraction": 0.2, "patience": 2}):
        plain, allowed = make(**options).fit(X), make(**options, missing="allow").fit(X)
        assert plain.fill_ is None and allowed.fill_ is not None
        assert_same_weights(plain, allowed)
        history = {k: v for k, v in plain.history_.items() if k != "seconds"}
        assert history == {k: v for k, v in allowed.history_.items() if k != "seconds"}


@pytest.mark.parametrize("options", [{}, {"code_noise": 0.1}])
def test_every_backend_follows_numpy(backend: Backend, options: dict[str, Any]) -> None:
    """As in test_backend_training; by fit, whose steps may be fused or replayed."""
    options = {**options, "validation_fraction": 0.2, "patience": 5, "dtype": "float64"}
    reference, other = (
        make(**options, backend=name).fit(HOLED) for name in ("numpy", backend.name)
    )
    for name in ("loss", "squared_error", "val_loss", "val_squared_error"):
        np.testing.assert_allclose(
            other.history_[name], reference.history_[name], rtol=1e4 * np.finfo(float).eps
        )
    np.testing.assert_allclose(other.impute(HOLED), reference.impute(HOLED), atol=1e-9)


def test_validation_counts_what_is_there() -> None:
    model = make(epochs=1, dtype="float64").fit(HOLED[:40], validation=HOLED[40:])
    score = model.score(HOLED[40:])
    assert model.history_["val_squared_error"] == [pytest.approx(-score, rel=1e-9)]


def test_files_copies_and_pickles_keep_what_is_filled_in(tmp_path: Path) -> None:
    model = make().fit(HOLED)
    model.save(tmp_path / "m.npz")
    for other in (Autoencoder.load(tmp_path / "m.npz"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.fill_, model.fill_)
        np.testing.assert_array_equal(other.encode(HOLED), model.encode(HOLED))
        other.partial_fit(HOLED)


def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = make(epochs=4).fit(HOLED)
    file = tmp_path / "c.npz"
    with pytest.raises(Stop):
        make(epochs=4).fit(HOLED, checkpoint=file, callback=stop_at(2, 1))
    resumed = make(epochs=4).fit(HOLED, checkpoint=file, resume=True)
    assert_same_weights(whole, resumed)


def test_where_they_are_refused() -> None:
    message = "contains NaN .*: train with missing='allow', or on data that have missing values"
    plain = make().fit(X)
    for call in (
        lambda: make(missing="error").fit(HOLED), lambda: make(missing="error").partial_fit(HOLED),
        lambda: plain.encode(HOLED), lambda: plain.score(HOLED), lambda: plain.partial_fit(HOLED),
        lambda: make().fit(X, validation=HOLED), lambda: plain.impute(HOLED),
        lambda: make(target_blur=1.0, image_shape=(3, 3)).fit(HOLED),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="Z contains NaN"):
        make().fit(HOLED).decode(HOLED[:, :3])
    with pytest.raises(ValueError, match=r"target_blur=1\.0 would spread missing values"):
        make(target_blur=1.0, image_shape=(3, 3), missing="allow").fit(X)
    for model in (make(missing="allow").fit(X), make(missing="allow").partial_fit(X)):
        assert np.isfinite(model.encode(HOLED)).all()  # the first that come
        assert np.isfinite(model.encode(np.full((1, 9), np.nan))).all()
    wrong = HOLED.copy()
    wrong[17, 2] = np.inf
    for call in (make().fit, make().fit(HOLED).encode):
        with pytest.raises(ValueError, match="X contains infinity .first in sample 17, column 2"):
            call(wrong)


def test_first_batches_decide() -> None:
    model = make().initialize(9).partial_fit(HOLED)
    assert model.fill_ is not None
    assert make().partial_fit(HOLED).partial_fit(X).fill_ is not None


def test_divergence_is_told_of_data_with_missing_values() -> None:
    with pytest.raises(DivergenceError, match=r"layer (en|de)coder\.\d: "):
        make(learning_rate=1e30, activation="relu", optimizer="sgd").fit(HOLED * 1e3)


# ---- impute


def test_imputation_worked_by_hand() -> None:
    """Data on the line x2 = 2 x1: PCA of one component, by the formulas of a projection."""
    x1 = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    x = np.stack([x1, 2 * x1], axis=1)
    model = make(hidden=(), code=1, epochs=0, scale=None, dtype="float64", missing="allow").fit(x)
    # (x1, missing) is read as (x1, 0); its projection onto (1, 2) / sqrt 5 is x1 / 5 (1, 2)
    first = 2 * x1 / 5
    once = model.impute(np.stack([x1, np.full(5, np.nan)], axis=1), n_iter=1)
    np.testing.assert_allclose(once, np.stack([x1, first], axis=1), atol=1e-12)
    # then as (x1, v): (x1 + 2 v) / 5 (1, 2), of which half of the way is gone
    v, more = first, model.impute(np.stack([x1, np.full(5, np.nan)], axis=1), n_iter=3)
    for _ in range(2):
        v = v + (2 * (x1 + 2 * v) / 5 - v) / 2
    np.testing.assert_allclose(more[:, 1], v, atol=1e-12)


def test_impute_leaves_what_is_there_and_fills_the_rest() -> None:
    model = make().fit(HOLED * 100 + 5)
    out = model.impute(HOLED * 100 + 5)
    np.testing.assert_array_equal(out[~MISSING], (HOLED * 100 + 5)[~MISSING])
    assert np.isfinite(out).all() and out.dtype == np.float64
    assert model.impute(HOLED.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(model.impute(X), X)
    with pytest.raises(ValueError, match="n_iter must be an integer >= 1"):
        model.impute(HOLED, n_iter=0)


def test_impute_is_better_than_the_mean() -> None:
    rng = np.random.default_rng(3)
    whole = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 12)) + 0.1 * rng.normal(size=(400, 12))
    missing = rng.random(whole.shape) < 0.2
    holed = np.where(missing, np.nan, whole)
    model = Autoencoder(code=3, random_state=0, epochs=20).fit(holed)
    error = (model.impute(holed) - whole)[missing]
    mean = (np.broadcast_to(np.nanmean(holed, axis=0), whole.shape) - whole)[missing]
    assert (error**2).mean() < 0.2 * (mean**2).mean()
