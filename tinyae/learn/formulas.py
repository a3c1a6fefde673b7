"""The formulas that a trace shows beside its numbers, as Python writes them.

They are shown, and they are computed: a test holds each against the kernels, and the update of a
trace is checked by them. What is not in a table is traced all the same, without a formula.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from ..kernels.conventions import GELU_CUBIC, GELU_SCALE, HUBER_DELTA, LEAKY_SLOPE


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": sigmoid, "clip": np.clip, "where": np.where, "maximum": np.maximum,
    "minimum": np.minimum, "log": np.log,
    **{f.__name__: f for f in (np.abs, np.exp, np.sign, np.sqrt, np.tanh)},
    "abs": np.abs,
}  # fmt: skip


class Formula(NamedTuple):
    value: str
    slope: str


GELU = f"{GELU_SCALE:.17g} * (z + {GELU_CUBIC} * z**3)"
GELU_SLOPE = f"{GELU_SCALE:.17g} * (1 + {3 * GELU_CUBIC} * z**2)"

# of y = act(z), and dy/dz as the kernels have it: from y where they can
ACTIVATIONS = {
    "identity": Formula("z", "1"),
    "relu": Formula("maximum(z, 0)", "where(y > 0, 1, 0)"),
    "leaky_relu": Formula(f"maximum(z, {LEAKY_SLOPE} * z)", f"where(y > 0, 1, {LEAKY_SLOPE})"),
    "elu": Formula("maximum(z, 0) + exp(minimum(z, 0)) - 1", "minimum(y, 0) + 1"),
    "sigmoid": Formula("1 / (1 + exp(-z))", "y * (1 - y)"),
    "tanh": Formula("tanh(z)", "1 - y**2"),
    "softplus": Formula("log(1 + exp(z))", "1 - exp(-y)"),
    "silu": Formula("z * sigmoid(z)", "sigmoid(z) * (1 + z * (1 - sigmoid(z)))"),
    "gelu": Formula(
        f"z * (1 + tanh({GELU})) / 2",
        f"(1 + tanh({GELU})) / 2 + z * (1 - tanh({GELU})**2) * {GELU_SLOPE} / 2",
    ),
}
# of one output y with target t, summed over outputs, the mean of n samples; and dL/dy
LOSSES = {
    "mse": Formula("(y - t)**2", "2 * (y - t) / n"),
    "bce": Formula("log(1 + exp(y)) - t * y", "(sigmoid(y) - t) / n"),
    "l1": Formula("abs(y - t)", "sign(y - t) / n"),
    "huber": Formula(
        f"where(abs(y - t) < {HUBER_DELTA}, (y - t)**2 / 2, "
        f"{HUBER_DELTA} * (abs(y - t) - {HUBER_DELTA / 2}))",
        f"clip(y - t, -{HUBER_DELTA}, {HUBER_DELTA}) / n",
    ),
}

_ADAM = {
    "m": "beta1 * m + (1 - beta1) * g",
    "v": "beta2 * v + (1 - beta2) * g**2",
    "m_hat": "m / (1 - beta1**t)",
    "v_hat": "v / (1 - beta2**t)",
    "step": "learning_rate * m_hat / (sqrt(v_hat) + eps)",
}
# In order, of the gradient g at update t = 1, 2, ...; on the right m and v are what they were, and
# afterwards what they have become. The names are those of ``conventions.Hyper``.
UPDATES: dict[str, dict[str, str]] = {
    "sgd": {"step": "learning_rate * g"},
    "momentum": {"v": "momentum * v + g", "step": "learning_rate * v"},
    "nesterov": {"v": "momentum * v + g", "step": "learning_rate * (g + momentum * v)"},
    "adam": _ADAM,
    "adamw": _ADAM,
}


def update_formulas(optimizer: str, decayed: bool) -> dict[str, str]:
    """All of an update from the gradient dw and the old value w; {} for an unknown optimiser."""
    if optimizer not in UPDATES:
        return {}
    shrunk = decayed and optimizer == "adamw"  # which decays w itself
    return {
        "g": "dw + weight_decay * w" if decayed and not shrunk else "dw",
        **UPDATES[optimizer],
        "new": "(1 - learning_rate * weight_decay) * w - step" if shrunk else "w - step",
    }


def compute(text: str, values: Mapping[str, Any]) -> Any:
    """The formula with these numbers or arrays."""
    code: CodeType = compile(text, text, "eval")
    return eval(code, {"__builtins__": {}, **FUNCTIONS}, dict(values))


def with_numbers(text: str, values: Mapping[str, Any]) -> str:
    """The formula's text with numbers in the place of names."""

    def number(name: re.Match[str]) -> str:
        return short(values[name[0]]) if name[0] in values else name[0]

    return re.sub(r"(?<![\w.])[A-Za-z_]\w*", number, text)


def short(value: float) -> str:
    """Four significant digits; in brackets where it is negative."""
    return f"({value:.4g})" if value < 0 else f"{value:.4g}"
