"""Grey levels drawn as black and white."""

from __future__ import annotations

import numpy as np
import pytest

from tests.families.test_variational import HOLED, X, make
from tinyae.families.terms.binarisation import Binarisation
from tinyae.kernels.backend import Backend
from tinyae.kernels.reference.random import random_uniform
from tinyae.net import streams
from tinyae.train.draws import Draws

GREY = np.random.default_rng(3).random((40, 6))


def test_each_value_is_drawn(backend: Backend, dtype: str) -> None:
    """1 where a uniform number is below it: the same bits on all backends."""
    x = GREY.astype(dtype)
    x[0], x[1] = 0, 1
    draws = Draws(backend, 5, streams.BINARY)
    term = Binarisation(backend, x.shape, dtype, draws)
    seen = []
    for update in (3, 4):
        draws.prepare(update)
        given = backend.to_device(x[:30])
        target = term.target(backend, given, given)
        words = np.empty((30, 6), dtype)
        random_uniform(streams.state(5, streams.BINARY, update), 0.0, 1.0, words)
        seen.append(backend.to_host(target))
        np.testing.assert_array_equal(seen[-1], x[:30] > words)
    assert (seen[0] != seen[1]).any()
    assert not seen[0][0].any() and seen[0][1].all()


def test_black_and_white_stays(backend: Backend) -> None:
    """So the net learns what it learns without the option, to the last bit."""
    drawn, plain = (
        make(binarize=flag, backend=backend.name, validation_fraction=0.2).fit(X)
        for flag in (True, False)
    )
    for name, array in drawn.parameters().items():
        np.testing.assert_array_equal(array, plain.parameters()[name])
    np.testing.assert_array_equal(
        drawn.log_likelihood(X, samples=3), plain.log_likelihood(X, samples=3)
    )


def test_every_backend_draws_alike(backend: Backend) -> None:
    """Replayed steps too; as in test_variational.py."""
    ours, plain = (
        make(binarize=True, learning_rate=0.01, validation_fraction=0.2, backend=name).fit(GREY)
        for name in (backend.name, "numpy")
    )
    for name in ("loss", "val_loss", "reconstruction"):
        np.testing.assert_allclose(ours.history_[name], plain.history_[name], rtol=1e-11)


def test_samples_that_are_not_trained_on() -> None:
    model = make(binarize=True).fit(GREY)
    drawn = np.mean([model.binarized(GREY, seed=seed) for seed in range(2000)], axis=0)
    assert np.abs(drawn - GREY).max() < 5 * 0.5 / np.sqrt(2000)
    np.testing.assert_array_equal(model.binarized(X), X)
    np.testing.assert_array_equal(
        model.log_likelihood(GREY, samples=2, random_state=4),
        model.log_likelihood(model.binarized(GREY, seed=4), samples=2, random_state=4),
    )
    with pytest.raises(ValueError, match="seed must be an integer >= 0"):
        model.binarized(GREY, seed=-1)
    with pytest.raises(ValueError, match=r"X must lie in \[0, 1\] to be drawn as 0 and 1 .* \[-"):
        model.binarized(3 * GREY - 1)
    with pytest.raises(ValueError, match="X contains NaN"):
        make(missing="allow").fit(HOLED).binarized(HOLED)


def test_data_that_it_is_not_for() -> None:
    gaps = "is for data without missing values: fill the gaps first, .* or use"
    for given, cure in (({"binarize": True}, "binarize=False"), ({"samples": 3}, "samples=1")):
        with pytest.raises(ValueError, match=f"{gaps} {cure}"):
            make(**given).fit(HOLED)
    for options in ({}, {"scale": "standard"}):
        with pytest.raises(ValueError, match=r"binarize=True draws values in \[0, 1\].*'mse'"):
            make(binarize=True, **options).fit(3 * GREY - 1)
