"""A net that is PCA before its first step."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.data.pca import PCA, fit_pca
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATION_FACTS, ACTIVATIONS, ActivationFacts

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 12)) * 4 + 5
X += rng.standard_normal(X.shape)  # in raw units, away from zero, all directions in use
BOUNDED = ("tanh", "sigmoid")
EXACT = [name for name in ACTIVATIONS if name not in BOUNDED]
SHAPES = [((), None), ((40,), None), ((40, 30), None), ((25,), (40, 12)), ((), (30,))]


def start(samples: Any = X, **options: Any) -> Autoencoder:
    defaults = {
        "code": 6,
        "output": "identity",
        "dtype": "float64",
        "backend": "numpy",
        "scale": None,
    }
    options = {**defaults, "initializer": "pca", "epochs": 0, "random_state": 0, **options}
    return Autoencoder(**options).fit(samples)


def expect_pca(ae: Autoencoder, pca: PCA, tolerance: float = 1e-12) -> None:
    difference = np.abs(ae.reconstruct(X) - pca.decode(pca.encode(X))).max()
    assert difference <= tolerance * np.abs(X).max()


@pytest.mark.parametrize(("hidden", "decoder_hidden"), SHAPES, ids=str)
@pytest.mark.parametrize("code_activation", EXACT)
@pytest.mark.parametrize("activation", EXACT)
def test_it_is_pca(activation: str, code_activation: str, hidden: Any, decoder_hidden: Any) -> None:
    ae = start(activation=activation, code_activation=code_activation, hidden=hidden,
               decoder_hidden=decoder_hidden)  # fmt: skip
    paired = code_activation not in ("identity", "elu")
    pca = fit_pca(X, 3 if paired else 6)
    expect_pca(ae, pca)
    if code_activation == "identity":
        np.testing.assert_allclose(ae.encode(X), pca.encode(X), atol=1e-10)


@pytest.mark.parametrize("activation", BOUNDED)
@pytest.mark.parametrize("hidden", [(40,), (40, 30)], ids=str)
def test_bounded_activations_come_near(activation: str, hidden: tuple[int, ...]) -> None:
    pca = fit_pca(X, 6)
    ae = start(activation=activation, hidden=hidden)
    # tanh(z) = z - z^3 / 3 + ..., and z^3 / 3 has 15 / 9 sd^4 of a normal z's variance
    layers = 2 * len(hidden)
    excess = layers**2 * 15 / 9 * 0.1**4 * pca.variances.sum()
    assert pca.squared_error(X) < -ae.score(X) < pca.squared_error(X) + excess
    codes = start(code_activation=activation, hidden=hidden, activation="relu").encode(X)
    inputs = np.arctanh(codes if activation == "tanh" else 2 * codes - 1)
    expected = 0.5 * pca.encode(X) / np.sqrt(pca.variances)
    np.testing.assert_allclose(inputs, expected, atol=1e-10)


def test_a_sigmoid_output_has_the_reconstruction_as_logits() -> None:
    pixels = (X - X.min()) / np.ptp(X)
    pca = fit_pca(pixels, 6)
    ae = start(pixels, hidden=(20,), output="auto")
    assert (ae.output_, ae.loss_name_) == ("sigmoid", "bce")
    logits = 8 * (pca.decode(pca.encode(pixels)) - 0.5)
    np.testing.assert_allclose(ae.reconstruct(pixels), 1 / (1 + np.exp(-logits)), rtol=1e-12)


@pytest.mark.parametrize(
    ("activation", "hidden", "components"),
    [("relu", (7,), 3), ("identity", (4,), 4), ("relu", (40, 1), 0), ("elu", (5, 40), 5)],
)
def test_as_many_components_as_fit(activation: str, hidden: Any, components: int) -> None:
    ae = start(activation=activation, hidden=hidden)
    if components:
        expect_pca(ae, fit_pca(X, components))
    else:
        np.testing.assert_allclose(ae.reconstruct(X), np.tile(X.mean(axis=0), (200, 1)))


def test_fewer_directions_than_code_units() -> None:
    for samples in (X[:1], X[:4], np.repeat(X[:1], 9, axis=0), X[:, :1], np.zeros((5, 3))):
        ae = start(samples, hidden=(40,))
        expected = fit_pca(samples, 6)
        np.testing.assert_allclose(
            ae.reconstruct(samples), expected.decode(expected.encode(samples)), atol=1e-12
        )


def test_float32_on_every_backend(backend: Backend) -> None:
    ae = start(hidden=(40, 30), activation="silu", dtype="float32", backend=backend.name)
    # four products of sums of at most 40 terms
    expect_pca(ae, fit_pca(X, 6), 4 * 40 * float(np.finfo(np.float32).eps))


def test_all_other_weights_learn() -> None:
    """The zeros hold nothing back.

    PCA's residual has no part along the components, so that the encoder's gradient is zero until
    the decoder has changed.
    """
    small = X / 20
    before = start(small, hidden=(30, 20), activation="silu")
    after = start(small, hidden=(30, 20), activation="silu", epochs=4, batch_size=200,
                  warmup=0)  # fmt: skip
    for name, values in before.parameters().items():
        assert (values != after.parameters()[name]).all(), name


def test_validation_can_only_keep_or_improve_it() -> None:
    """Steps so large that they destroy the start: the start is what comes back."""
    ruined = start(hidden=(30,), epochs=5, learning_rate=10.0, optimizer="adam", warmup=0,
                   validation_fraction=0.2, patience=3)  # fmt: skip
    rows = start(hidden=(30,), validation_fraction=0.2)
    assert ruined.n_iter_ > 0
    for name, values in rows.parameters().items():
        np.testing.assert_array_equal(values, ruined.parameters()[name])


def test_a_first_minibatch_is_enough() -> None:
    ae = Autoencoder(hidden=(30,), code=6, initializer="pca", scale=None, learning_rate=1e-12,
                     output="identity", dtype="float64", random_state=0).partial_fit(X)  # fmt: skip
    expect_pca(ae, fit_pca(X, 6), 1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_of_any_size_are_pca_or_refused(activation: str, dtype: str) -> None:
    refused = []
    for size in (1e-323, 1e-200, 1e-155, 1e-60, 1e-42, 1e-20, 1e20, 1e36, 1e37, 1e150, 1e306):
        options: dict[str, Any] = {"activation": activation, "dtype": dtype, "hidden": (40,)}
        try:
            start(X * size, code_activation=activation, **options)
        except ValueError as error:
            refused.append(size)
            assert re.search("too (small or too )?large for|squares must not", str(error))
    usual = [1e37, 1e150, 1e306] if dtype == "float32" else [1e306]
    small = [1e-155, 1e-60, 1e-42] if dtype == "float32" and activation in BOUNDED else []
    assert refused == small + usual


def test_without_data_there_is_no_pca() -> None:
    with pytest.raises(ValueError, match=r"initializer='pca' needs data: .*initialize"):
        Autoencoder(initializer="pca").initialize(5)


def test_an_activation_without_a_way_through_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIVATION_FACTS, "relu", ActivationFacts(low=0.0))
    with pytest.raises(ValueError, match="knows no way through activation 'relu'"):
        start(hidden=(20,), activation="relu")
