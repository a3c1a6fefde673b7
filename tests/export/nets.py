"""Nets to export: every activation, output, loss, scale and dtype, odd widths, random weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae import Autoencoder
from tinyae.kernels.conventions import ACTIVATIONS

WIDTHS = (1, 2, 17, 33)
OUTPUTS = {name: {"sigmoid": "bce", "relu": "huber"}.get(name, "mse") for name in ACTIVATIONS}
SCALES = (None, "minmax", "standard", "robust")  # all outputs reach what minmax makes


def nets(n: int, dtypes: tuple[str, ...]) -> Iterator[tuple[Autoencoder, np.ndarray[Any, Any]]]:
    """n nets, each with samples: float64, or uint8, or with missing values."""
    rng = np.random.default_rng(n)
    for i in range(n):
        output, loss = list(OUTPUTS.items())[i // 2 % len(OUTPUTS)]
        features, code, *hidden = (int(width) for width in rng.choice(WIDTHS, 2 + i % 3))
        X = rng.random((9, features))
        kind = ("float64", "uint8", "missing")[rng.integers(3)]
        if kind == "uint8":
            X = (X * 256).astype(np.uint8)
        elif kind == "missing":
            X[rng.random(X.shape) < 0.2] = np.nan
            X[0] = 0.5
        scales = SCALES if output == "identity" else SCALES[:2] if loss == "mse" else (None,)
        scale = scales[rng.integers(len(scales))]
        ae = Autoencoder(
            hidden=tuple(hidden), code=code, activation=ACTIVATIONS[i % len(ACTIVATIONS)],
            code_activation=ACTIVATIONS[i // 3 % len(ACTIVATIONS)], output=output, loss=loss,
            scale=scale, dtype=dtypes[i % len(dtypes)], epochs=0, random_state=i, backend="numpy",
            missing="allow" if kind == "missing" else "error",
        ).fit(X)  # fmt: skip
        random = {k: rng.normal(0, 0.7, v.shape) for k, v in ae.parameters().items()}
        yield ae.set_parameters(random), X
