"""The table of arguments: the signature and the docstring say the same, wrong values are named."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.arguments import TABLE


def test_the_signature_is_the_table() -> None:
    signature = inspect.signature(Autoencoder).parameters
    assert [(name, p.default) for name, p in signature.items()] == [
        (a.name, a.default) for a in TABLE
    ]
    assert all(p.kind is p.KEYWORD_ONLY for p in signature.values())


def test_every_argument_is_stored_checked_and_described() -> None:
    ae, given = Autoencoder(), {a.name: object() for a in TABLE}
    for a in TABLE:
        assert getattr(ae, a.name) == a.default
        if a.default is not None:
            a.kind.check(a.name, a.default)
        assert a.help and f"\n{a.name} : default {a.default!r}\n" in str(Autoencoder.__doc__)
    assert Autoencoder(**given).get_params() == given == ae.set_params(**given).get_params()


def test_the_fixed_names_and_defaults() -> None:
    fixed = {
        "hidden": (512, 256), "code": 32, "activation": "relu", "code_activation": "identity",
        "output": "auto", "loss": "auto", "optimizer": "adam", "learning_rate": 1e-3,
        "schedule": "cosine", "warmup": 0.05, "batch_size": 256, "epochs": 20, "shuffle": True,
        "backend": "auto", "dtype": "float32", "random_state": None, "verbose": False,
    }  # fmt: skip
    assert {a.name: a.default for a in TABLE if a.name in fixed} == fixed


WHOLE, ABOVE, SHARE = "an integer >= 1", "a number > 0", "a number >= 0 and < 1"
SEED = "None, an integer in [0, 2^64), a RandomState or a Generator"

WRONG: list[tuple[str, Any, str]] = [
    ("hidden", 512, "a tuple of layer widths such as (512, 256)"), ("hidden", (512, 0), WHOLE),
    ("hidden", (2.5,), WHOLE), ("code", 0, WHOLE), ("code", "x", WHOLE), ("code", True, WHOLE),
    ("decoder_hidden", (-1,), WHOLE), ("activation", "RELU", "one of 'identity', 'relu'"),
    ("code_activation", None, "one of 'identity'"), ("output", "softmax", "one of 'auto'"),
    ("loss", "mae", "one of 'auto', 'mse'"), ("initializer", "zeros", "one of 'auto', 'glorot'"),
    ("optimizer", "lion", "one of 'sgd'"), ("learning_rate", 0, ABOVE),
    ("learning_rate", float("nan"), ABOVE), ("learning_rate", "fast", ABOVE),
    ("momentum", 1.0, SHARE), ("betas", (0.9,), "two numbers in [0, 1)"),
    ("betas", (0.9, 1.0), SHARE), ("eps", 0.0, ABOVE), ("weight_decay", -0.1, "a number >= 0"),
    ("clip_norm", 0, ABOVE), ("schedule", "linear", "one of 'constant'"), ("warmup", 1.0, SHARE),
    ("schedule_options", {"speed": 1}, "a dict with some of end"), ("batch_size", 0, WHOLE),
    ("batch_size", 2.0, WHOLE), ("epochs", -1, "an integer >= 0"),
    ("validation_fraction", 1.0, SHARE), ("patience", 0, WHOLE), ("threads", 0, WHOLE),
    ("matmul", "bf16", "one of 'fp32'"), ("backend", "tpu", "'auto' or one of"),
    ("dtype", "float16", "one of 'float32', 'float64'"), ("random_state", -1, SEED),
    ("random_state", "seed", SEED),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_a_wrong_argument_is_named(name: str, value: Any, expected: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Autoencoder(**{name: value}).fit(np.random.default_rng(0).random((20, 4)))
    assert re.fullmatch(f"{name}( of 'cosine')? must be {re.escape(expected)}.*, got .*",
                        str(caught.value))  # fmt: skip


def test_patience_without_validation() -> None:
    with pytest.raises(ValueError, match="patience=3 watches the validation loss: give"):
        Autoencoder(patience=3).fit(np.zeros((20, 4)))
