"""The two nets that are measured: their layers, their first weights, the data they train on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_FEATURES = 784
NETS = {"deep": (1000, 500, 250, 30), "small": (128, 32)}  # hidden widths and the code's
BATCHES = (32, 128, 512, 2048)

LEARNING_RATE, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8

Array = NDArray[Any]


def widths(net: str) -> list[int]:
    half = [N_FEATURES, *NETS[net]]
    return half + half[-2::-1]


def layers(net: str) -> list[tuple[int, int]]:
    """(n_in, n_out) of each."""
    return list(itertools.pairwise(widths(net)))


def activations(net: str) -> list[str]:
    """ReLU, but for the code and for the output, which is logits or the numbers themselves."""
    names = ["relu"] * len(layers(net))
    names[len(NETS[net]) - 1] = names[-1] = "identity"
    return names


def weights(net: str) -> list[tuple[Array, Array]]:
    """(w, b) of each layer, float32 (n_in, n_out) and (n_out,): the same for every contestant."""
    rng = np.random.default_rng(1)
    return [
        (rng.standard_normal((i, o), np.float32) * np.float32((2 / i) ** 0.5),
         rng.standard_normal(o, np.float32) * np.float32(0.01))
        for i, o in layers(net)
    ]  # fmt: skip


def batch_of(batch: int) -> Array:
    """float32 (batch, N_FEATURES) in [0, 1): the data of a step."""
    return np.random.default_rng(2).random((batch, N_FEATURES), np.float32)


def pixels(batch: int, quick: bool = False) -> Array:
    """uint8, samples for one epoch: enough steps to count, few enough for many epochs."""
    n = max(2 * batch, 512 if quick else 4096)
    return np.random.default_rng(0).integers(0, 256, (n, N_FEATURES), dtype=np.uint8)
