"""Random numbers: the streams' own, word by word, or of a rival, by their distribution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import counts
from benchmarks.cases.cases import DTYPE, Arguments, Case, Options
from benchmarks.cases.reference_random import bernoulli, bits, normal, uniform
from tests.reference import assert_within, eps, poisoned

EPS = eps(DTYPE)

LARGE = 4_000_000  # numbers: several arrays of them are beyond a CPU's caches
QUICK_LARGE = 500_000

STATE = np.array([0x12345678, 0x9ABCDEF0, 1, 7], np.uint32)


def random(options: Options) -> list[Case]:
    n = QUICK_LARGE if options.quick else LARGE
    plain: dict[str, tuple[dict[str, Any], str, Callable[..., None]]] = {
        "random_bits": ({}, "uint32", check_bits),
        "random_uniform": ({"low": -1.0, "high": 1.0}, DTYPE, check_uniform),
        "random_normal": ({"mean": 0.5, "std": 2.0}, DTYPE, check_normal),
        "random_bernoulli": ({"probability": 0.3}, DTYPE, check_bernoulli),
        "random_permutation": ({"n": n, "start": 0}, "int64", check_permutation),
    }

    def make(extra: dict[str, Any], dtype: str, rng: np.random.Generator) -> Arguments:
        return {"state": STATE, **extra, "out": poisoned((n,), dtype)}

    def noise(rng: np.random.Generator) -> Arguments:
        shape = (n // 1000, 1000)
        return {"state": STATE, "std": np.array([0.25]), "x": rng.standard_normal(shape, DTYPE),
                "out": poisoned(shape, DTYPE)}  # fmt: skip

    cases = [
        Case("kernel", op, f"{n}", counts.random(n, op), make=partial(make, extra, dtype),
             outputs=("out",), check=check)
        for op, (extra, dtype, check) in plain.items()
        if op not in ("random_bits", "random_bernoulli") or not options.spares(op)
    ]  # fmt: skip
    return [*cases, Case("kernel", "add_normal", f"{n}", counts.random(n, "add_normal"),
                         make=noise, outputs=("out",), check=check_noise)]  # fmt: skip


def check_bits(given: Arguments, result: Arguments) -> None:
    np.testing.assert_array_equal(result["out"], bits(given["state"], result["out"].size))


def check_uniform(given: Arguments, result: Arguments) -> None:
    expected = uniform(given["state"], result["out"].size, given["low"], given["high"])
    scale = abs(given["low"]) + abs(given["high"])
    assert_within(result["out"], expected, 2 * EPS * scale, "out")


def check_normal(given: Arguments, result: Arguments) -> None:
    g, slack = normal(given["state"], result["out"].size)
    expected = given["mean"] + given["std"] * g
    tolerance = given["std"] * slack + 2 * EPS * np.abs(expected)
    assert_within(result["out"], expected, tolerance, "out")


def check_noise(given: Arguments, result: Arguments) -> None:
    x, std = given["x"].reshape(-1), given["std"][0]
    g, slack = normal(given["state"], x.size)
    expected = x + std * g
    tolerance = std * slack + 2 * EPS * (np.abs(expected) + np.abs(x))
    assert_within(result["out"].reshape(-1), expected, tolerance, "out")


def check_distribution(given: Arguments, result: Arguments) -> None:
    """Of another generator's numbers: mean and deviation within six standard errors."""
    if "std" in given:
        mean, std, kurtosis = given["mean"], given["std"], 3.0
    else:
        mean, std = (given["low"] + given["high"]) / 2, (given["high"] - given["low"]) / 12**0.5
        kurtosis = 1.8
    out = result["out"].astype(np.float64)
    assert_within(out.mean(), mean, 6 * std / out.size**0.5, "mean")
    error = 0.5 * ((kurtosis - 1) / out.size) ** 0.5
    assert_within(out.std(), std, 6 * std * error + 1e-6, "standard deviation")


def check_bernoulli(given: Arguments, result: Arguments) -> None:
    expected = bernoulli(given["state"], result["out"].size, given["probability"])
    np.testing.assert_array_equal(result["out"], expected)


def check_permutation(given: Arguments, result: Arguments) -> None:
    """Each number once, and not in order; which one comes where is told by the tests."""
    out = result["out"]
    np.testing.assert_array_equal(np.bincount(out, minlength=given["n"]), 1)
    assert abs(np.corrcoef(out, np.arange(out.size))[0, 1]) < 6 / out.size**0.5, "out: in order"
