"""The prepared nets show what they are said to show."""

from __future__ import annotations

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.learn.norms import PREPARED, Moment, norms, prepared_norms


@pytest.fixture(scope="module")
def prepared() -> list[list[Moment]]:
    return [prepared_norms(net, (1, 2, 10)) for net in PREPARED]


def test_the_sigmoids_gradient_vanishes(prepared: list[list[Moment]]) -> None:
    """By less than 1/4 a layer: seven layers lie between the first and the last."""
    for moment in prepared[0]:
        dz = [layer.dz for layer in moment.layers]
        assert dz == sorted(dz) and dz[0] < dz[-1] * 4.0**-5


def test_a_large_rate_makes_gradients_explode_and_units_die(prepared: list[list[Moment]]) -> None:
    first, second, tenth = prepared[1]
    assert all(b.dw > 5 * a.dw for a, b in zip(first.layers, second.layers))
    assert max(layer.zero_units for layer in first.layers) <= 2
    assert tenth.layers[-2].zero_units == tenth.layers[-2].units
    assert all(layer.dw == 0 for layer in tenth.layers[:-1])


def test_he_keeps_what_lecun_loses(prepared: list[list[Moment]]) -> None:
    he, lecun = prepared[2][0].layers, prepared[3][0].layers
    ratios = [a.output / b.output for a, b in zip(he, lecun)]
    np.testing.assert_allclose(ratios, np.sqrt(2.0) ** np.arange(1, 17), rtol=1e-9)
    assert he[-2].output > he[0].output / 4 and lecun[-2].output < lecun[0].output / 200
    assert he[0].dz > lecun[0].dz * 100


def test_norms_are_those_of_training() -> None:
    """One update by partial_fit of the same net leads to the loss of step 2."""
    X = np.random.default_rng(0).uniform(0, 1, (20, 6))
    model = Autoencoder(hidden=(4,), code=2, dtype="float64", backend="numpy", random_state=3)
    twin = Autoencoder(**model.get_params() | {"epochs": 0}).fit(X)
    twin.partial_fit(X)
    twin.partial_fit(X)
    (moment,) = norms(model, X, (2,))
    assert moment.step == 2 and moment.loss == pytest.approx(twin.loss_, rel=1e-12)


def test_it_ends_where_the_loss_is_not_finite() -> None:
    X = np.random.default_rng(0).uniform(0, 1, (20, 6))
    model = Autoencoder(hidden=(4,), code=2, optimizer="sgd", learning_rate=1e30, loss="mse",
                        output="identity", initializer="random", random_state=3)  # fmt: skip
    assert [moment.step for moment in norms(model, X, (1, 50))] == [1]
