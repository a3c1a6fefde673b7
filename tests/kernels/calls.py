"""One valid call of every operation, on host arrays; tests and sanitizers start from these."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tinyae.kernels.backend import UNCHECKED, Backend
from tinyae.kernels.conventions import HYPER, MOMENTS, OPTIMIZERS


def arguments(op: str, dtype: str, batch: int = 4, n_in: int = 3, n_out: int = 5) -> dict[str, Any]:
    rng = np.random.default_rng(1)

    def real(*shape: int) -> np.ndarray:
        return rng.random(shape).astype(dtype)

    n = n_in * n_out
    state = np.array([1, 2, 3, 4], np.uint32)
    step = {"hyper": np.full(len(HYPER), 0.5), "n_decayed": n // 2, "guard": np.zeros(2)}
    return {
        "write": lambda: {"host": real(batch, n_in), "out": real(batch, n_in)},
        "gather": lambda: {
            "data": rng.integers(0, 256, (batch + 2, n_in)).astype(np.uint8),
            "indices": rng.integers(0, batch, batch), "scale": 1 / 255,
            "out": real(batch, n_in),
        },
        "fill": lambda: {
            "x": np.where(real(batch, n_in) < 0.4, np.nan, real(batch, n_in)).astype(dtype),
            "values": real(n_in), "out": real(batch, n_in),
        },
        "dense_forward": lambda: {
            "x": real(batch, n_in), "w": real(n_in, n_out), "b": real(n_out),
            "activation": "gelu", "y": real(batch, n_out), "pre": real(batch, n_out),
        },
        "dense_backward_input": lambda: {
            "dz": real(batch, n_out), "w": real(n_in, n_out),
            "activation": "gelu", "saved": real(batch, n_in), "dx": real(batch, n_in),
        },
        "dense_backward_weights": lambda: {
            "x": real(batch, n_in), "dz": real(batch, n_out),
            "dw": real(n_in, n_out), "db": real(n_out), "add": False,
        },
        "activation_forward": lambda: {
            "x": real(batch, n_in), "activation": "gelu", "y": real(batch, n_in),
        },
        "activation_backward": lambda: {
            "dy": real(batch, n_in), "activation": "gelu", "saved": real(batch, n_in),
            "dx": real(batch, n_in),
        },
        "add": lambda: {
            "x": real(batch, n_in), "y": real(batch, n_in), "out": real(batch, n_in),
        },
        "top_k": lambda: {
            "x": np.round(4 * real(batch, n_in)).astype(dtype), "k": (n_in + 1) // 2,
            "y": real(batch, n_in), "dropped": real(batch, n_in),
        },
        "activation_curvature": lambda: {
            "dy": real(batch, n_in), "activation": "gelu", "saved": real(batch, n_in),
            "dx": real(batch, n_in),
        },
        "inner_product": lambda: {
            "x": real(batch, n_in), "y": real(batch, n_in), "weight": 0.5,
            "out": real(batch, n_in), "totals": np.ones(2),
        },
        "loss": lambda: {
            "name": "bce", "output": real(batch, n_in), "target": real(batch, n_in),
            "gradient": real(batch, n_in), "totals": np.zeros(2),
        },
        "softmax_loss": lambda: {
            "output": real(batch, n_in),
            "target": np.where(real(batch, n_in) < 0.2, np.nan, real(batch, n_in)).astype(dtype),
            "bounds": np.unique([0, n_in // 2, n_in]),
            "gradient": real(batch, n_in), "totals": np.ones(2),
        },
        "normal_divergence": lambda: {
            "x": real(batch, 2 * n_in), "weight": np.full(1, 0.5),
            "gradient": real(batch, 2 * n_in), "totals": np.ones(2),
        },
        "activity_penalty": lambda: {
            "name": "kl", "y": real(batch, n_in), "weight": 0.5, "rate": 0.1,
            "gradient": real(batch, n_in), "totals": np.ones(2),
        },
        **{
            name: lambda moments=moments: {
                "w": real(n), "grad": real(n), **{m: real(n) for m in moments}, **step,
            }
            for name, moments in MOMENTS.items()
        },
        "update": lambda: {
            "name": "adam", "w": real(n), "grad": real(n), "moments": (real(n), real(n)), **step,
        },
        "clip_by_norm": lambda: {"grad": real(n), "max_norm": 0.1, "norm": np.zeros(1)},
        "unit_rows": lambda: {"w": real(batch, n_in)},
        "random_bits": lambda: {"state": state, "out": np.zeros(n, np.uint32)},
        "random_uniform": lambda: {"state": state, "low": 0.0, "high": 1.0, "out": real(n)},
        "random_normal": lambda: {"state": state, "mean": 0.0, "std": 1.0, "out": real(n)},
        "add_normal": lambda: {
            "state": state, "std": np.full(1, 0.5), "x": real(batch, n_in),
            "out": real(batch, n_in),
        },
        "sample_normal": lambda: {
            "state": state, "x": real(batch, 2 * n_in), "y": real(batch, n_in),
        },
        "sample_normal_backward": lambda: {
            "x": real(batch, 2 * n_in), "y": real(batch, n_in), "dy": real(batch, n_in),
            "dx": real(batch, 2 * n_in),
        },
        "random_bernoulli": lambda: {"state": state, "probability": 0.5, "out": real(n)},
        "random_permutation": lambda: {
            "state": state, "n": 2 * n, "start": 3, "out": np.zeros(n, np.int64),
        },
    }[op]()  # fmt: skip


FIELDS = tuple(field.name for field in dataclasses.fields(Backend))
# every operation, and in the place of update every optimiser
OPS = (*(name for name in FIELDS if name not in (*UNCHECKED, "update")), *OPTIMIZERS)
RANDOM = tuple(
    name for name in OPS if name.startswith("random_") or name in ("add_normal", "sample_normal")
)
every_op = pytest.mark.parametrize("op", OPS)


def array_names(op: str) -> list[str]:
    return [name for name, value in arguments(op, "float32").items()
            if isinstance(value, np.ndarray)]  # fmt: skip


every_array = pytest.mark.parametrize(
    ("op", "name"), [(op, name) for op in OPS for name in array_names(op)]
)


def on_device(backend: Backend, op: str, host: dict[str, Any]) -> dict[str, Any]:
    """The arguments where the op wants them: only write takes a host array."""

    def moved(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(moved(each) for each in value)
        return backend.to_device(value) if isinstance(value, np.ndarray) else value

    return {
        name: value if (op, name) == ("write", "host") else moved(value)
        for name, value in host.items()
    }
