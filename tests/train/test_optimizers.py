"""Twenty updates of a whole net against formulas written out by hand, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder

RATE, MU, BETA1, BETA2, EPS, DECAY = 0.05, 0.8, 0.85, 0.95, 1e-8, 0.1
NAMES = ("encoder.0.weight", "encoder.0.bias", "decoder.0.weight", "decoder.0.bias")


def gradients(p: dict[str, np.ndarray], x: np.ndarray) -> dict[str, np.ndarray]:
    """Of the mean squared error of x -> tanh(x W + b) V + c, by the chain rule on paper."""
    w, b, v, c = (p[name] for name in NAMES)
    code = np.tanh(x @ w + b)
    d_out = 2 * (code @ v + c - x) / len(x)
    d_code = (d_out @ v.T) * (1 - code**2)
    return dict(
        zip(NAMES, (x.T @ d_code, d_code.sum(0), code.T @ d_out, d_out.sum(0)), strict=True)
    )


def textbook(
    name: str, p: dict[str, Any], batches: list[Any], decay: float, clip: float | None
) -> None:
    """Updates p in place, parameter by parameter."""
    first = {k: np.zeros_like(v) for k, v in p.items()}
    second = {k: np.zeros_like(v) for k, v in p.items()}
    for t, x in enumerate(batches, start=1):
        grads = gradients(p, x)
        norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
        for k, g in grads.items():
            lam = decay if k.endswith("weight") else 0.0
            g = g * (clip / norm if clip is not None and norm > clip else 1)
            if name == "adamw":
                p[k] = p[k] - RATE * lam * p[k]
            else:
                g = g + lam * p[k]
            if name == "sgd":
                p[k] = p[k] - RATE * g
            elif name == "momentum":
                first[k] = MU * first[k] + g
                p[k] = p[k] - RATE * first[k]
            elif name == "nesterov":
                first[k] = MU * first[k] + g
                p[k] = p[k] - RATE * (g + MU * first[k])
            else:
                first[k] = BETA1 * first[k] + (1 - BETA1) * g
                second[k] = BETA2 * second[k] + (1 - BETA2) * g**2
                m_hat = first[k] / (1 - BETA1**t)
                v_hat = second[k] / (1 - BETA2**t)
                p[k] = p[k] - RATE * m_hat / (np.sqrt(v_hat) + EPS)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("decay", "clip"), [(0.0, None), (DECAY, None), (DECAY, 0.5)])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_twenty_updates(name: str, decay: float, clip: float | None, dtype: str) -> None:
    rng = np.random.default_rng(0)
    shapes = dict(zip(NAMES, ((4, 3), (3,), (3, 4), (4,)), strict=True))
    p = {k: rng.normal(size=s) * 0.5 for k, s in shapes.items()}
    batches = [rng.normal(size=(5, 4)) for _ in range(20)]
    if dtype == "float32":  # the same numbers on both sides
        p = {k: v.astype(np.float32).astype(np.float64) for k, v in p.items()}
        batches = [x.astype(np.float32).astype(np.float64) for x in batches]
    ae = Autoencoder(hidden=(), code=3, code_activation="tanh", output="identity", loss="mse",
                     scale=None, optimizer=name, learning_rate=RATE, momentum=MU,
                     betas=(BETA1, BETA2),
                     eps=EPS, weight_decay=decay, clip_norm=clip, dtype=dtype)  # fmt: skip
    ae.initialize(4).set_parameters(p)
    for x in batches:
        ae.partial_fit(x)
    textbook(name, p, batches, decay, clip)
    # float32 rounds each update to 6e-8; twenty of them, amplified by adam's square root
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for k, value in ae.parameters().items():
        np.testing.assert_allclose(value, p[k], rtol=tolerance, atol=tolerance, err_msg=k)
