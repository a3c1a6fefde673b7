"""Schedules, initial weights, and what "auto" means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.net import losses
from tinyae.net.initializers import initial_weights
from tinyae.train.schedules import learning_rate_factor


def factors(schedule: str, n: int, warmup: float = 0.0, **options: float) -> list[float]:
    return [learning_rate_factor(schedule, i, n, warmup, options) for i in range(n)]


def test_schedules() -> None:
    assert factors("constant", 5) == [1] * 5
    assert factors("step", 6) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert factors("step", 4, every=0.5, factor=0.5) == [1, 1, 0.5, 0.5]
    assert factors("cosine", 4) == pytest.approx(
        [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    )
    assert min(factors("cosine", 1000, end=0.25)) == pytest.approx(0.25, abs=1e-5)
    one_cycle = factors("one-cycle", 1000)
    assert one_cycle[0] == pytest.approx(0.04) and one_cycle[300] == pytest.approx(1)
    assert one_cycle[999] < 1e-3 and max(one_cycle) <= 1


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one-cycle"])
def test_warm_up_climbs_to_where_the_schedule_begins(schedule: str) -> None:
    start = factors(schedule, 10)[0]
    climbing = factors(schedule, 100, warmup=0.04)
    assert climbing[:5] == pytest.approx([start * i / 5 for i in (1, 2, 3, 4, 5)])
    assert climbing[4:] == factors(schedule, 96)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "variance"),
    [("glorot", 2 / (300 + 200)), ("he", 2 / 300), ("lecun", 1 / 300), ("sparse", 15 / 300)],
)
def test_initial_variance(name: str, variance: float, dtype: str) -> None:
    w = np.full((300, 200), np.nan, dtype)
    initial_weights(name, "relu", w, 0, 0)
    # 60,000 weights: the mean strays by sd / sqrt(n), the variance by a few / sqrt(n)
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)
    effective = w.size if name != "sparse" else 15 * 200
    assert w.var() == pytest.approx(variance, rel=6 / math.sqrt(effective))
    if name == "glorot":
        assert np.abs(w).max() <= math.sqrt(6 / 500)
    other = np.empty_like(w)
    initial_weights(name, "relu", other, 0, 1)
    assert not np.array_equal(w, other)
    initial_weights(name, "relu", other, 0, 0)
    assert np.array_equal(w, other)


@pytest.mark.parametrize(("n_in", "n_out"), [(784, 100), (16, 9), (15, 4), (7, 30), (1, 3)])
def test_sparse_units_see_fifteen_inputs_used_evenly(n_in: int, n_out: int) -> None:
    w = np.full((n_in, n_out), np.nan)
    initial_weights("sparse", "tanh", w, 5, 2)
    assert ((w != 0).sum(axis=0) == min(15, n_in)).all()
    uses = (w != 0).sum(axis=1)
    rounds = -(-n_out // (n_in // min(15, n_in)))
    assert uses.max() <= rounds


def test_auto_initializer_follows_the_activation() -> None:
    for activation, expected in (("relu", "he"), ("gelu", "he"), ("tanh", "glorot")):
        a, b = np.empty((9, 8)), np.empty((9, 8))
        initial_weights("random", activation, a, 1, 0)
        initial_weights(expected, activation, b, 1, 0)
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("output", "loss", "low", "high", "expected"),
    [
        ("auto", "auto", 0.0, 1.0, ("sigmoid", "bce")),
        ("auto", "auto", -0.1, 1.0, ("identity", "mse")),
        ("auto", "auto", 0.0, 1.01, ("identity", "mse")),
        ("auto", "mse", 0.2, 0.3, ("sigmoid", "mse")),
        ("auto", "bce", 0.0, 300.0, ("sigmoid", "bce")),
        ("tanh", "auto", 0.0, 1.0, ("tanh", "mse")),
        ("sigmoid", "auto", -5.0, 1.0, ("sigmoid", "bce")),
    ],
)
def test_what_auto_comes_to(
    output: str, loss: str, low: float, high: float, expected: tuple[str, str]
) -> None:
    assert losses.resolve(output, loss, low, high) == expected


@pytest.mark.parametrize(("output", "X"), [("sigmoid", 300.0), ("relu", -1.0), ("tanh", 2.0)])
def test_data_that_the_output_cannot_reach_warn_before_training(output: str, X: float) -> None:
    ae = Autoencoder(hidden=(), code=1, output=output, loss="mse", epochs=0)
    with pytest.warns(UserWarning, match=f"output='{output}' reaches only"):
        ae.fit(np.array([[0.0, X]]))
