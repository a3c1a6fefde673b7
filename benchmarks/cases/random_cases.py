"""Random numbers: the streams' own, one by one, or of a rival, by their distribution.

The words of a stream come from the NumPy column, whose Philox the tests hold against the published
vectors.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import counts
from benchmarks.cases.cases import DTYPE, Arguments, Case, Options
from tests.reference import assert_within, box_muller, eps, poisoned, units
from tinyae.kernels.reference.random import random_bits

EPS = eps(DTYPE)

LARGE = 4_000_000  # numbers: several arrays of them are beyond a CPU's caches
QUICK_LARGE = 500_000

STATE = np.array([0x12345678, 0x9ABCDEF0, 1, 7], np.uint32)


def random(options: Options) -> list[Case]:
    n = QUICK_LARGE if options.quick else LARGE
    plain: dict[str, tuple[dict[str, Any], str]] = {
        "random_bits": ({}, "uint32"),
        "random_uniform": ({"low": -1.0, "high": 1.0}, DTYPE),
        "random_normal": ({"mean": 0.5, "std": 2.0}, DTYPE),
        "random_bernoulli": ({"probability": 0.3}, DTYPE),
        "random_permutation": ({"n": n, "start": 0}, "int64"),
    }

    def make(extra: dict[str, Any], dtype: str, rng: np.random.Generator) -> Arguments:
        return {"state": STATE, **extra, "out": poisoned((n,), dtype)}

    def noise(rng: np.random.Generator) -> Arguments:
        shape = (n // 1000, 1000)
        return {"state": STATE, "std": np.array([0.25]), "x": rng.standard_normal(shape, DTYPE),
                "out": poisoned(shape, DTYPE)}  # fmt: skip

    makers = {op: partial(make, *about) for op, about in plain.items()} | {"add_normal": noise}
    return [
        Case("kernel", op, f"{n}", counts.elementwise(n, op), make=maker, outputs=("out",),
             check=check_permutation if op == "random_permutation" else partial(check, op))
        for op, maker in makers.items()
        if op not in ("random_bits", "random_bernoulli") or not options.spares(op)
    ]  # fmt: skip


def bits(state: Any, n: int) -> Any:
    words = np.empty(n, np.uint32)
    random_bits(state, words)
    return words


def check(op: str, given: Arguments, result: Arguments) -> None:
    out = result["out"].reshape(-1)
    assert_within(out, *expected(op, given, out.size), "out")


def expected(op: str, given: Arguments, n: int) -> tuple[Any, Any]:
    """(the stream's first n numbers, how far they may be off)

    Normals: 24 eps of the radius, as tests/kernels/test_random.py has it.
    """
    words = bits(given["state"], n + n % 2)
    if op == "random_bits":
        return words[:n], 0
    if op == "random_bernoulli":
        return words[:n] < np.uint64(round(given["probability"] * 2**32)), 0
    if op == "random_uniform":
        low, high = given["low"], given["high"]
        return low + (high - low) * units(words[:n], DTYPE), 2 * EPS * (abs(low) + abs(high))
    g, radius = (part[:n] for part in box_muller(words, DTYPE))
    if op == "random_normal":
        numbers = given["mean"] + given["std"] * g
        return numbers, EPS * (24 * given["std"] * radius + 2 * np.abs(numbers))
    x, std = given["x"].reshape(-1), given["std"][0]
    numbers = x + std * g
    return numbers, EPS * (24 * std * radius + 2 * np.abs(numbers) + 2 * np.abs(x))


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


def check_permutation(given: Arguments, result: Arguments) -> None:
    """Each number once, and not in order; which one comes where is told by the tests."""
    out = result["out"]
    np.testing.assert_array_equal(np.bincount(out, minlength=given["n"]), 1)
    assert abs(np.corrcoef(out, np.arange(out.size))[0, 1]) < 6 / out.size**0.5, "out: in order"
