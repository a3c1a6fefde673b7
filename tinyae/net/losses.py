"""Which loss goes with which output, and what an output can reach."""

from __future__ import annotations

import warnings

# The range of values that each output activation can produce.
REACH = {
    "identity": (-float("inf"), float("inf")),
    "leaky_relu": (-float("inf"), float("inf")),
    "relu": (0.0, float("inf")),
    "softplus": (0.0, float("inf")),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "elu": (-1.0, float("inf")),
    "silu": (-0.2785, float("inf")),
    "gelu": (-0.1701, float("inf")),
}


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


def warn_if_out_of_reach(output: str, low: float, high: float) -> None:
    """Warns when the data lie where the output can never get."""
    reach_low, reach_high = REACH[output]
    if low < reach_low or high > reach_high:
        warnings.warn(
            f"X ranges over [{low:g}, {high:g}], but output={output!r} reaches only "
            f"[{reach_low:g}, {reach_high:g}]: the rest cannot be reconstructed. Scale X into that "
            "range, or use output='identity'",
            UserWarning,
            stacklevel=4,
        )


def head(output: str, loss: str) -> tuple[str, str]:
    """(activation of the last layer in training, activation that makes its output a picture).

    Cross-entropy works on logits: with p = sigmoid(z) its gradient is just p - x, exact where
    the sigmoid itself has rounded to 0 or 1.
    """
    return ("identity", "sigmoid") if loss == "bce" else (output, "identity")
