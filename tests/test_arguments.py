"""The table of arguments: the signature and the docstring say the same, wrong values are named."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder, DivergenceError
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
        "hidden": "auto", "scale": "auto", "code": 32, "activation": "relu",
        "code_activation": "identity",
        "output": "auto", "loss": "auto", "optimizer": "adam", "learning_rate": 1e-3,
        "schedule": "cosine", "warmup": 0.3, "batch_size": "auto", "epochs": "auto",
        "shuffle": True,
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
    ("loss", "mae", "one of 'auto', 'mse'"), ("initializer", "zeros", "one of 'auto', 'pca'"),
    ("optimizer", "lion", "one of 'sgd'"), ("learning_rate", 0, ABOVE),
    ("learning_rate", float("nan"), ABOVE), ("learning_rate", "fast", ABOVE),
    ("momentum", 1.0, SHARE), ("betas", (0.9,), "two numbers in [0, 1)"),
    ("betas", (0.9, 1.0), SHARE), ("eps", 0.0, ABOVE), ("weight_decay", -0.1, "a number >= 0"),
    ("clip_norm", 0, ABOVE), ("schedule", "linear", "one of 'constant'"), ("warmup", 1.0, SHARE),
    ("schedule_options", {"speed": 1}, "a dict with some of end"), ("batch_size", 0, WHOLE),
    ("batch_size", 2.0, WHOLE), ("epochs", -1, "an integer >= 0"),
    ("validation_fraction", 1.0, SHARE), ("patience", 0, WHOLE), ("threads", 0, WHOLE),
    ("matmul", "bf16", "one of 'auto', 'fp32'"), ("backend", "tpu", "'auto' or one of"),
    ("dtype", "float16", "one of 'float32', 'float64'"), ("random_state", -1, SEED),
    ("random_state", "seed", SEED), ("random_state", np.random.SeedSequence(1), SEED),
    ("backend", ["numpy"], "a name"), ("backend", {"numpy": 1}, "a name"),
    ("target_blur", 1e300, "a number < 1e+06"),
    ("epochs", "Auto", "an integer >= 0, or 'auto'"), ("hidden", "x", "a tuple of layer widths"),
    ("scale", "bogus", "one of 'auto', 'standard'"), ("scale", 3, "None, one of 'auto'"),
    ("missing", "drop", "one of 'auto', 'allow', 'error'"),
    ("code", 10**30, "an integer <= 268435456"), ("hidden", (3, 10**30), "an integer <= 268435456"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_a_wrong_argument_is_named(name: str, value: Any, expected: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Autoencoder(**{name: value}).fit(np.random.default_rng(0).random((20, 4)))
    assert re.fullmatch(f"{name}( of 'cosine')? must be {re.escape(expected)}.*, got .*",
                        str(caught.value))  # fmt: skip


class Lines:
    """A value whose repr has lines."""

    def __repr__(self) -> str:
        return "Lines(\n    1,\n)"


HUGE: tuple[Any, ...] = (10**30, 10**400, -(10**400), 1e300, np.longdouble("1e400"))


@pytest.mark.parametrize("name", [a.name for a in TABLE])
def test_what_is_too_large_or_of_lines_is_one_line_that_names_it(name: str) -> None:
    """Or it is no hindrance."""
    base = {"hidden": (4,), "code": 1, "image_shape": (2, 2), "epochs": 1, "backend": "numpy"}
    for value in (*HUGE, Lines(), {"end": Lines()}):
        for given in (value, (value,), [value, value], {"end": value}):
            if name == "epochs" and given in HUGE[:2]:
                continue  # as many as that
            try:
                Autoencoder(**base | {name: given}).fit(np.random.default_rng(0).random((20, 4)))
            except (ValueError, TypeError, DivergenceError) as error:
                text = str(error)
                assert len(text.splitlines()) == 1
                assert name in text or isinstance(error, DivergenceError), (given, text)


def test_patience_without_validation() -> None:
    with pytest.raises(ValueError, match="patience=3 watches the validation loss: give"):
        Autoencoder(patience=3, epochs=1, output="identity").fit(np.zeros((20, 4)))


# Of every argument a value that is not the default.
OTHERS: dict[str, Any] = {
    "hidden": (5, 4), "code": 2, "decoder_hidden": (3,), "activation": "tanh",
    "code_activation": "tanh", "output": "sigmoid", "loss": "mse", "scale": "robust",
    "missing": "error", "initializer": "lecun",
    "optimizer": "adamw", "learning_rate": 0.25, "momentum": 0.5, "betas": (0.5, 0.75),
    "eps": 0.125, "weight_decay": 0.5, "clip_norm": 2.0, "schedule": "step",
    "schedule_options": {"end": 0.5}, "warmup": 0.5, "batch_size": 100, "epochs": 1,
    "shuffle": False, "code_noise": (0.5, 0.25), "target_blur": 0.5, "shift": 1,
    "image_shape": (2, 3),
    "validation_fraction": 0.25, "patience": 1, "warm_start": True, "backend": "numpy",
    "matmul": "fp32", "threads": 1, "dtype": "float64", "random_state": 5, "verbose": False,
}  # fmt: skip
KINDS: dict[type, tuple[Any, ...]] = {
    bool: (np.bool_,), str: (np.str_,),
    int: (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64),
    float: (np.float16, np.float32, np.float64, np.longdouble, Fraction),
}  # fmt: skip


def spelled(value: Any) -> Iterator[Any]:
    """The same value, made of each of NumPy's scalars that can hold it, and as arrays."""
    if isinstance(value, dict):
        for number in spelled(value["end"]):
            yield {np.str_("end"): number}
    elif isinstance(value, tuple):
        for kind in KINDS[type(value[0])]:
            yield tuple(kind(part) for part in value)
            yield [kind(part) for part in value]
        yield np.array(value)
    else:
        yield from (kind(value) for kind in KINDS[type(value)])
        yield np.array(value)
        if value == "float64":
            yield from (np.float64, np.dtype("float64"), np.dtype(">f8"))


CASES = [
    pytest.param(a.name, other, id=f"{a.name}-{other!r}", marks=pytest.mark.slow if i else ())
    for a in TABLE for i, other in enumerate(spelled(OTHERS[a.name]))
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), CASES)
def test_numpys_scalars_are_plain_numbers(name: str, value: Any, tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((300, 6), np.float32)
    base: dict[str, Any] = {
        "hidden": (4,), "code": 1, "epochs": 2, "random_state": 0, "backend": "numpy",
        "image_shape": (3, 2), "validation_fraction": 0.5,
    }  # fmt: skip
    if name == "threads":  # for one backend alone
        pytest.importorskip("numba", reason="threads are for the numba backend")
        base["backend"] = "numba"
    ae, plain = Autoencoder(**base | {name: value}), Autoencoder(**base | {name: OTHERS[name]})
    copied = type(ae)(**ae.get_params())  # what scikit-learn's clone looks at
    assert copied.get_params()[name] is ae.get_params()[name] is value
    file, checkpoint = tmp_path / "m.npz", tmp_path / "c.npz"
    ae.fit(X, checkpoint=checkpoint).save(file)
    plain.fit(X)
    loaded = Autoencoder.load(file, backend=base["backend"])
    for same in (loaded, pickle.loads(pickle.dumps(ae)), copy.deepcopy(ae),
                 plain.fit(X, checkpoint=checkpoint, resume=True)):  # fmt: skip
        for parameter, expected in ae.parameters().items():
            np.testing.assert_array_equal(same.parameters()[parameter], expected)
    if name not in ("backend", "matmul", "threads"):  # those are not the file's to say
        expected = json.loads(json.dumps(OTHERS[name]))
        assert json.dumps(loaded.get_params()[name]) == json.dumps(expected)
    loaded.set_params(**{name: value}).partial_fit(X).fit(X)
    ae.initialize(np.int16(6)).partial_fit(X).save(file)


def test_a_numpy_scalar_that_does_not_fit_is_refused() -> None:
    for name, value in (
        ("code", np.float32(2)), ("code", np.bool_(True)), ("epochs", np.int8(-1)),
        ("learning_rate", np.float32("nan")), ("learning_rate", np.bool_(True)),
        ("learning_rate", np.complex64(1)), ("dtype", np.float16), ("dtype", np.dtype("int8")),
        ("hidden", np.array([2.0])), ("hidden", np.array([[2]])), ("hidden", np.array(2)),
        ("loss", np.bytes_("mse")), ("clip_norm", np.array([1.0])),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=f"^{name} must be"):
            Autoencoder(**{name: value}).fit(np.zeros((20, 4)))
