"""The column's own exp, log, sin and others, in units in the last place; and vectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from tinyae.kernels.columns import get_backend
from tinyae.kernels.cpu import activation as activation_numba
from tinyae.kernels.cpu import loss as loss_numba
from tinyae.kernels.cpu import math as math_numba
from tinyae.kernels.cpu import random as random_numba
from tinyae.kernels.cpu import update as update_numba
from tinyae.kernels.cpu.compiling import VECTOR_BYTES, inline

get_backend("numba")


def over_an_array(function: Callable[[Any], Any]) -> Callable[[np.ndarray, np.ndarray], None]:
    @inline
    def loop(x: Any, y: Any) -> None:
        for i in range(x.size):
            y[i] = function(x[i])

    return loop


def points(low: float, high: float, dtype: str) -> np.ndarray:
    """Evenly over the range, about zero, and at every magnitude."""
    rng = np.random.default_rng(0)
    sign = -1 if high <= 0 else 1
    parts = [
        np.linspace(low, high, 200_001),
        rng.uniform(max(low, -1), min(high, 1), 200_000),
        sign * 10.0 ** rng.uniform(-30, 0, 100_000),
    ]
    return np.clip(np.concatenate(parts), low, high).astype(dtype)


def test_log_of_every_magnitude(dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.array([2.0**k for k in range(info.minexp, info.maxexp)] + [info.max, info.tiny], dtype)
    y = np.full_like(x, np.nan)
    over_an_array(math_numba.log)(x, y)
    assert (np.abs(y - np.log(x)) <= 3 * np.spacing(np.abs(np.log(x)))).all()


def exact(name: str, x: np.ndarray) -> np.ndarray:
    """In at least 11 more bits than float64, where the platform has them (x86)."""
    wide = x.astype(np.longdouble)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-wide))
    if name in ("cos2pi", "sin2pi"):  # of at most an eighth of a turn, as pi is rounded too
        quarters = np.round(4 * wide)
        angle = 8 * np.arctan(np.longdouble(1)) * (wide - quarters / 4)
        turns = quarters.astype(int) + (name == "cos2pi")
        return np.where(turns % 2, np.cos(angle), np.sin(angle)) * np.where(turns % 4 < 2, 1, -1)
    result: np.ndarray = getattr(np, name)(wide)
    return result


# name: lowest and highest argument for float32 and float64, units in the last place
RANGES = {
    "exp": ((-104, 88.7), (-746, 709.7), 2),
    "expm1": ((-104, 0), (-746, 0), 2),
    "log1p": ((0, 1), (0, 1), 3),
    "log": ((2**-25, 1), (2**-54, 1), 3),
    "cos2pi": ((0, 1), (0, 1), 3),
    "sin2pi": ((0, 1), (0, 1), 3),
    "tanh": ((-20, 20), (-40, 40), 3),
    "sigmoid": ((-104, 104), (-746, 746), 3),
}


@pytest.mark.parametrize("name", RANGES)
def test_largest_error(name: str, dtype: str) -> None:
    single, double, allowed = RANGES[name]
    x = points(*(single if dtype == "float32" else double), dtype)
    y = np.full_like(x, np.nan)
    over_an_array(getattr(math_numba, name))(x, y)
    expected = exact(name, x)
    normal = np.abs(expected) >= np.finfo(dtype).tiny
    unit = np.spacing(np.abs(expected).astype(dtype)).astype(np.longdouble)
    error = np.abs(y - expected) / unit
    assert error[normal].max() <= allowed
    assert (np.abs(y - expected)[~normal] <= np.finfo(dtype).tiny).all()


@pytest.mark.parametrize("name", sorted(RANGES.keys() - {"log"}))
def test_not_a_number_stays(name: str, dtype: str) -> None:
    x = np.array([np.nan, -np.nan], dtype)
    over_an_array(getattr(math_numba, name))(x, x)
    assert np.isnan(x).all()


def test_exp_beyond_its_range(dtype: str) -> None:
    x = np.array([1e4, np.inf, -1e4, -np.inf], dtype)
    over_an_array(math_numba.exp)(x, x)
    np.testing.assert_array_equal(x, [np.inf, np.inf, 0, 0])


def instructions(function: Callable[..., None], *arguments: Any) -> str:
    """Of the function compiled here: what comes from disk has no assembly to look at."""
    from numba import njit

    compiled = njit(error_model="numpy", fastmath={"contract"})(function)
    compiled(*arguments)
    return "\n".join(compiled.inspect_asm().values())


def adam_instructions() -> str:
    a, b, c, d = np.ones((4, 4096), np.float32)
    adam = update_numba._update_of(update_numba.ADAM)
    return instructions(adam, a, b, 0, c, d, np.full(8, 0.5), 4096, 0, 4096)


@pytest.mark.skipif(VECTOR_BYTES < 32, reason="the names of AVX's instructions are looked for")
def test_loops_are_vectorised() -> None:
    """Packed divisions and multiply-adds of 8 or 16 numbers: one left scalar would cost most."""
    a, b, c, d = np.ones((4, 4096), np.float32)
    sigmoid = activation_numba._forward_of(activation_numba.SIGMOID)
    bce = loss_numba._loss_of(loss_numba.BCE)
    adam, normals = adam_instructions(), instructions(random_numba._box_muller.py_func, a, b)
    for code in (
        instructions(sigmoid, a, b), instructions(bce, a, b, 1, c, d, np.zeros(2)), adam, normals,
    ):  # fmt: skip
        for packed in ("vdivps", "vfmadd"):
            assert any(
                packed in line and ("ymm" in line or "zmm" in line) for line in code.splitlines()
            ), packed
    assert "vsqrtps" in adam and "vsqrtps" in normals


@pytest.mark.skipif(VECTOR_BYTES < 32, reason="the names of AVX's instructions are looked for")
def test_philox_multiplies_vectors() -> None:
    state, words = np.zeros(4, np.uint32), np.zeros((4, 128), np.uint32)
    code = instructions(random_numba.philox.py_func, state, 0, 0, words)
    assert any("vpmuludq" in x and ("ymm" in x or "zmm" in x) for x in code.splitlines())


@pytest.mark.skipif(VECTOR_BYTES < 32, reason="the names of AVX's instructions are looked for")
def test_no_load_waits_for_a_store() -> None:
    """Adam's loop reads nothing that it has stored: across a cache line that doubles its time."""
    loops = [block for block in adam_instructions().split(".LBB") if "vsqrtps" in block]
    assert loops
    for loop in loops:
        stores = list(re.finditer(r"vmov\w+\s+%[xyz]mm\d+, (\S*\(.*\))", loop))
        assert len(stores) == 3
        for store in stores:
            assert store[1] not in loop[store.end() :]
