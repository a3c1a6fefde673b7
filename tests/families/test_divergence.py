"""The divergence as a term: free bits by hand, and what the history has of each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.families.test_variational import NUMBERS, X, make
from tinyae import gradcheck
from tinyae.kernels.backend import Backend


def limited(model: Any, x: np.ndarray, free: float) -> float:
    """The sum of max(free, mean divergence) over units."""
    m, s = model.posterior(x)
    units = (0.5 * (m**2 + s**2 - 1) - np.log(s)).mean(axis=0)
    assert units.min() < free < units.max() or free > units.max()
    return float(np.maximum(units, free).sum())


@pytest.mark.parametrize("options", ({}, NUMBERS), ids=("bce", "mse"))
@pytest.mark.parametrize("free", (1.0, 1e3), ids=("some", "all"))
def test_free_bits(backend: Backend, options: dict[str, Any], free: float) -> None:
    """Value and gradient, with one unit below the limit and with both."""
    model = make(beta=0.6, free_bits=free, backend=backend.name, scale=None, **options)
    model.fit(X)
    values = model.parameters()
    values["encoder.1.bias"] += (0, 2, 4, 1)  # the first unit's divergence becomes small
    model.set_parameters(values)
    if backend.name == "numpy":
        assert gradcheck(model, X[:20]).max_error <= 1e-7
    plain = make(beta=0.0, backend=backend.name, scale=None, **options, epochs=0).fit(X)
    plain.set_parameters(values)
    expected = 0.6 * limited(model, X[:20], free) * (2 if options else 1)
    plain._optimizer.updates = model._optimizer.updates  # the same draws
    loss = model.partial_fit(X[:20]).loss_ - plain.partial_fit(X[:20]).loss_
    assert loss == pytest.approx(expected, rel=1e-12)


def test_free_bits_hold_units_up() -> None:
    """A beta that takes all divergence away leaves what is free."""
    common = {"beta": 50.0, "epochs": 150, "learning_rate": 0.02, "backend": "numpy"}
    free, none = (make(**common, free_bits=bits).fit(X) for bits in (1.0, 0.0))
    assert none.divergence(X).mean() < 0.05
    assert free.divergence(X).mean() > 1.5  # of 2 on average over the minibatches
    assert free.active_units(X) == 2 and none.active_units(X) == 0
    term = free._terms(free._built_params, free._network, 0, 8)[0]
    assert not term.of_samples and term.instead == "free_bits=0"


@pytest.mark.parametrize("options", ({}, NUMBERS), ids=("bce", "mse"))
@pytest.mark.parametrize("samples", (1, 4))
def test_the_history(backend: Backend, options: dict[str, Any], samples: int) -> None:
    """With weights that do not move: what the model says of the same samples."""
    model = make(**options, backend=backend.name, beta=0.5, learning_rate=1e-300, samples=samples,
                 epochs=0, scale=None, warm_start=True, validation_fraction=0.2)  # fmt: skip
    start = make(**options, epochs=30, learning_rate=0.02, scale=None).fit(X).parameters()
    start["encoder.1.weight"][:, :2] *= 10, 1e-3  # the second mean varies by less than 0.1
    model.fit(X).set_parameters(start)
    model.set_params(epochs=2).fit(X[:48], validation=X[48:])
    columns = {name: np.array(values) for name, values in model.history_.items()}
    np.testing.assert_allclose(columns["divergence"], model.divergence(X[:48]).mean(), rtol=1e-12)
    np.testing.assert_array_equal(columns["active_units"], model.active_units(X[:48]))
    assert model.active_units(X[:48]) == 1
    of_x = columns["reconstruction"]
    if options:
        np.testing.assert_allclose(of_x, columns["squared_error"] / 2, rtol=1e-12)
    if samples == 1:
        whole = (of_x + 0.5 * columns["divergence"]) * (2 if options else 1)
        np.testing.assert_allclose(columns["loss"], whole, rtol=1e-12)
    else:
        assert (columns["loss"] < (of_x + columns["divergence"]) * (2 if options else 1)).all()
