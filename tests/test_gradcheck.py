"""Backpropagation through whole nets against finite differences, and that the check can fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder, gradcheck
from tinyae.gradient_check import gradcheck_table
from tinyae.kernels.conventions import ACTIVATIONS
from tinyae.net.layers import Dense

TOLERANCE = 1e-7


# one that keeps its output and one that keeps its input; directions take a tenth of the time
WEIGHT_BY_WEIGHT = [
    pytest.param(name, "elementwise", marks=() if name in ("tanh", "silu") else pytest.mark.slow)
    for name in ACTIVATIONS
]


@pytest.mark.parametrize(
    ("activation", "mode"), [*WEIGHT_BY_WEIGHT, *((name, "directional") for name in ACTIVATIONS)]
)
def test_every_loss_and_depth(activation: str, mode: str) -> None:
    checks = list(gradcheck_table(activations=(activation,), mode=mode))
    assert len(checks) == 4 * 3
    for _, loss, depth, check in checks:
        assert check.max_error <= TOLERANCE, (loss, depth, check)
        assert check.straddled == 0, (loss, depth, check)


@pytest.mark.parametrize("output", [a for a in ACTIVATIONS if a != "identity"])
def test_every_output_activation(output: str) -> None:
    x = np.random.default_rng(1).uniform(0.1, 0.9, (4, 5))
    model = Autoencoder(hidden=(4,), code=2, activation="tanh", output=output, loss="mse",
                        random_state=3)  # fmt: skip
    for mode in ("elementwise", "directional"):
        assert gradcheck(model, x, mode=mode).max_error <= TOLERANCE


@pytest.mark.parametrize("code_activation", ACTIVATIONS)
def test_every_code_activation(code_activation: str) -> None:
    x = np.random.default_rng(2).uniform(0.1, 0.9, (4, 5))
    model = Autoencoder(hidden=(4,), code=2, activation="softplus", decoder_hidden=(3, 6),
                        code_activation=code_activation, random_state=1)  # fmt: skip
    assert gradcheck(model, x).max_error <= TOLERANCE


@pytest.mark.parametrize("mode", ["elementwise", "directional"])
def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    right = Dense.backward

    def wrong(self: Dense, *arguments: Any) -> None:
        right(self, *arguments)
        if self.name == "encoder.0":
            self.db *= 1.001

    monkeypatch.setattr(Dense, "backward", wrong)
    x = np.random.default_rng(3).uniform(0.1, 0.9, (6, 5))
    model = Autoencoder(hidden=(4,), code=3, activation="tanh", random_state=0)
    check = gradcheck(model, x, mode=mode)
    assert check.max_error > 1e-6
    if mode == "elementwise":
        bad = [name for name, error in check.errors.items() if error > TOLERANCE]
        assert bad == ["encoder.0.bias"]


def test_the_model_is_left_alone_and_a_float32_one_is_checked_in_float64() -> None:
    x = np.random.default_rng(4).uniform(0, 1, (50, 6))
    model = Autoencoder(hidden=(4,), code=2, activation="elu", epochs=2, random_state=0).fit(x)
    before = model.parameters()
    assert gradcheck(model, x[:5]).max_error <= TOLERANCE
    after = model.parameters()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert after["encoder.0.weight"].dtype == np.float32


def test_units_on_their_kink_are_counted_not_hidden() -> None:
    """relu with zero biases and zero input rests on its kink: that derivative does not exist."""
    model = Autoencoder(hidden=(4,), code=2, output="identity", loss="mse", random_state=0)
    check = gradcheck(model.initialize(3), np.zeros((2, 3)))
    assert check.straddled > 0


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="mode must be 'elementwise' or 'directional'"):
        gradcheck(Autoencoder(), np.zeros((2, 3)), mode="random")
