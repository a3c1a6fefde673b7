"""Which loss goes with which output, and what an output can reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.conventions import ACTIVATION_FACTS

Array = NDArray[Any]

ROUNDING = 1e-6  # a scaler's, about 0 and 1


def resolve(output: str, loss: str, low: float, high: float) -> tuple[str, str]:
    """Output activation and loss with "auto" replaced, for training data in [low, high].

    Data within [0, 1] are taken for intensities or probabilities and get a sigmoid output, other
    data the identity; the loss that goes with them is cross-entropy or squared error. Raises
    ValueError where the two do not fit.
    """
    if output == "auto":
        output = "sigmoid" if loss == "bce" or (0 <= low and high <= 1) else "identity"
    if loss == "auto":
        loss = "bce" if output == "sigmoid" else "mse"
    if loss == "bce" and output != "sigmoid":
        raise ValueError(
            "loss='bce' is the cross-entropy of probabilities and needs output='sigmoid', "
            f"got output={output!r}: choose loss='mse' or output='sigmoid'"
        )
    return output, loss


def expect_probabilities(loss: str, low: float, high: float, name: str) -> None:
    """Raises ValueError where targets in [low, high] are none that bce has a least value for."""
    if loss == "bce" and not (-ROUNDING <= low and high <= 1 + ROUNDING):
        raise ValueError(
            f"{name} must lie in [0, 1] for loss='bce', the cross-entropy of probabilities, but "
            f"ranges over [{low:g}, {high:g}]: scale it, or use loss='mse', output='identity'"
        )


def out_of_reach(output: str, low: float, high: float) -> str:
    """What is wrong with data in [low, high] where the output can never get; "" for nothing."""
    reach = ACTIVATION_FACTS[output]
    if low >= reach.low - ROUNDING and high <= reach.high + ROUNDING:
        return ""
    return (
        f"X ranges over [{low:g}, {high:g}], but output={output!r} reaches only "
        f"[{reach.low:g}, {reach.high:g}]: the rest cannot be reconstructed. Scale X into that "
        "range, or use output='identity'"
    )


def softmax(logits: Array, groups: Sequence[tuple[int, int]]) -> Array:
    """The probabilities of the levels of these groups of columns, side by side.

    exp(z) / sum of exp(z), of z less the largest of its group.
    """
    parts = [logits[:, start:stop] for start, stop in groups]
    parts = [np.exp(z - z.max(axis=1, keepdims=True)) for z in parts]
    return np.hstack([p / p.sum(axis=1, keepdims=True) for p in parts])


def head(output: str, loss: str) -> tuple[str, str]:
    """(activation of the last layer in training, activation that makes its output a picture).

    Cross-entropy works on logits: with p = sigmoid(z) its gradient is just p - x, exact where
    the sigmoid itself has rounded to 0 or 1.
    """
    return ("identity", "sigmoid") if loss == "bce" else (output, "identity")
