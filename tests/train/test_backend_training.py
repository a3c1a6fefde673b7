"""Training on every backend follows the NumPy column's, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATIONS, LOSSES, OPTIMIZERS

X = np.random.default_rng(0).random((96, 20))
BATCH = 24
HIDDEN = (33, 17)
RATES = {"sgd": 0.02, "momentum": 0.005, "nesterov": 0.005, "adam": 0.01, "adamw": 0.01}

# A layer's sums have at most 33 terms, so one pass through the four layers errs by at most
# 4 * (33 + 2) eps of the terms' magnitudes (Higham, "Accuracy and stability", section 3.1); a
# step carries this into the weights scaled by the learning rate. A wrong kernel is off by far more.
TOLERANCE = 4 * (HIDDEN[0] + 2)


def make(backend: str, **options: Any) -> Autoencoder:
    settings = {"hidden": HIDDEN, "code": 5, "activation": "tanh", "batch_size": BATCH,
                "random_state": 1, "weight_decay": 0.01, "clip_norm": 5.0}  # fmt: skip
    return Autoencoder(**{**settings, **options}, backend=backend)


def curve(model: Autoencoder, steps: int) -> np.ndarray:
    """The loss at every step."""
    losses = []
    for step in range(steps):
        start = step * BATCH % len(X)
        losses.append(model.partial_fit(X[start : start + BATCH]).loss_)
    return np.array(losses)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_curve(backend: Backend, loss: str, optimizer: str, dtype: str) -> None:
    options = {"loss": loss, "output": "sigmoid", "optimizer": optimizer, "dtype": dtype,
               "learning_rate": RATES[optimizer]}  # fmt: skip
    curves = [curve(make(name, **options), 40) for name in ("numpy", backend.name)]
    assert (np.abs(np.diff(curves[0])) > 1e3 * np.finfo(dtype).eps).any()  # something is learnt
    np.testing.assert_allclose(curves[1], curves[0], rtol=TOLERANCE * np.finfo(dtype).eps)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_curve_of_every_activation(backend: Backend, activation: str) -> None:
    curves = [
        curve(make(name, activation=activation, dtype="float64"), 12)
        for name in ("numpy", backend.name)
    ]
    np.testing.assert_allclose(curves[1], curves[0], rtol=TOLERANCE * np.finfo(float).eps)


@pytest.mark.parametrize("data", ("float64", "uint8"))
def test_fit_with_shuffling_schedule_and_validation(backend: Backend, data: str) -> None:
    """The whole loop, gather and permutation included: the same history, twice the same bits."""
    samples = (X * 255).astype(np.uint8) if data == "uint8" else X
    options = {"epochs": 3, "validation_fraction": 0.2, "patience": 5, "batch_size": 10,
               "dtype": "float64"}  # fmt: skip
    reference, first, again = (
        make(name, **options).fit(samples) for name in ("numpy", backend.name, backend.name)
    )
    for key in ("loss", "squared_error", "val_loss", "val_squared_error", "learning_rate"):
        tolerance = TOLERANCE * np.finfo(float).eps
        np.testing.assert_allclose(
            first.history_[key], reference.history_[key], rtol=tolerance, err_msg=key
        )
    assert_same_weights(first, again)
    z = first.encode(samples)
    np.testing.assert_allclose(z, reference.encode(samples), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        first.decode(z), reference.reconstruct(samples), rtol=1e-9, atol=1e-9
    )


def test_a_resumed_run_ends_with_the_same_bytes(backend: Backend, tmp_path: Path) -> None:
    options = {"epochs": 3, "batch_size": 10, "optimizer": "adamw"}
    whole, part = make(backend.name, **options), make(backend.name, **options)
    with pytest.raises(Stop):
        part.fit(X, checkpoint=tmp_path / "c.npz", callback=stop_at(2, 4))
    assert_same_weights(whole.fit(X), part.fit(X, checkpoint=tmp_path / "c.npz", resume=True))


def test_a_model_moves_between_backends(backend: Backend, tmp_path: Path) -> None:
    trained = make(backend.name, epochs=1, dtype="float64").fit(X)
    trained.save(tmp_path / "m.npz")
    there = Autoencoder.load(tmp_path / "m.npz", backend="numpy")
    assert trained.backend_ == backend.name
    np.testing.assert_allclose(there.encode(X), trained.encode(X), rtol=1e-9, atol=1e-9)
