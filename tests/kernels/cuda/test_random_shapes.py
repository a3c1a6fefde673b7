"""Each CUDA operation on 2,000 random shapes against float64, executed on the CPU or a GPU.

The dense products, tile by tile, have their 2,000 in test_dense.py, the ladder's rungs theirs
in kernels/test_ladder.py. In Numba's simulator, where a launch takes a tenth of a second and more,
there are fewer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest

from tests.conftest import SIMULATED
from tests.kernels.calls import arguments, on_device
from tests.kernels.test_activation import check_backward, check_forward
from tests.kernels.test_gather import check_gather
from tests.kernels.test_loss import check as check_loss
from tests.kernels.test_random import drawn
from tests.kernels.test_update import clip
from tests.reference import assert_within, call, eps, normals, operation, poisoned
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATIONS, DATA, HYPER, LOSSES, MOMENTS
from tinyae.kernels.cuda.activation import ActivationKernels
from tinyae.kernels.cuda.fill import FillKernels
from tinyae.kernels.cuda.gather import GatherKernels
from tinyae.kernels.cuda.loss import LossKernels
from tinyae.kernels.cuda.random import RandomKernels
from tinyae.kernels.cuda.runner import Runner
from tinyae.kernels.cuda.update import UpdateKernels
from tinyae.kernels.reference import random as random_numpy
from tinyae.kernels.reference import update as update_numpy

SHAPES = 5 if SIMULATED else 2000
REALS = ("float32", "float64")


def shapes(seed: int, n_dims: int) -> Iterator[tuple[np.random.Generator, str, tuple[int, ...]]]:
    """Mostly small sizes, now and then one of several blocks of threads; dtypes in turns."""
    rng = np.random.default_rng(seed)
    for i in range(SHAPES):
        most = (70 if n_dims == 2 else 5000) if i % 10 == 0 else (24 if n_dims == 2 else 600)
        yield rng, REALS[i % 2], tuple(int(n) for n in rng.integers(0, most, n_dims))


def one_of(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def test_activation_forward(cuda_column: Backend) -> None:
    for rng, dtype, shape in shapes(1, 2):
        check_forward(cuda_column, one_of(rng, ACTIVATIONS), 4 * normals(rng, shape, dtype), dtype)


def test_activation_backward(cuda_column: Backend) -> None:
    for rng, dtype, shape in shapes(2, 2):
        name, x = one_of(rng, ACTIVATIONS), 4 * normals(rng, shape, dtype)
        check_backward(cuda_column, name, x, normals(rng, shape, dtype), dtype)


def test_loss(cuda_column: Backend) -> None:
    for rng, dtype, shape in shapes(3, 2):
        output, target = 2 * normals(rng, shape, dtype), rng.random(shape).astype(dtype)
        target[rng.random(shape) < rng.choice([0.0, 0.3])] = np.nan  # missing values
        check_loss(cuda_column, one_of(rng, LOSSES), output, target, dtype)


def test_gather(cuda_column: Backend) -> None:
    for rng, dtype, shape in shapes(4, 2):
        n, kind = int(rng.integers(1, 40)), one_of(rng, DATA)
        data = (rng.integers(0, 2**31, (n, shape[1])) >> int(rng.integers(31))).astype(kind)
        check_gather(cuda_column, data, rng.integers(0, n, shape[0]), float(rng.normal()), dtype)


@pytest.mark.parametrize("name", MOMENTS)
def test_update(cuda_column: Backend, name: str) -> None:
    """Against the NumPy column in float64 (kernels/test_update.py has it from the textbook).

    w and the moments take at most a dozen roundings, each relative to the terms that meet there:
    w, the step, and what remains of the moment and the gradient.
    """
    for rng, dtype, shape in shapes(5, 1):
        (n,) = shape
        state = {m: np.abs(normals(rng, shape, dtype)) for m in MOMENTS[name]}
        w, grad = normals(rng, shape, dtype), normals(rng, shape, dtype)
        hyper = rng.uniform(0.1, 0.9, len(HYPER))
        numbers = {"hyper": hyper, "n_decayed": int(rng.integers(0, n + 1)), "guard": np.zeros(2)}
        results = call(cuda_column, name, ("w", *state), w=w, grad=grad, **state, **numbers)
        exact = {"w": w, "grad": grad, **state}
        wide = {key: value.astype(np.float64) for key, value in exact.items()}
        operation(update_numpy, name)(**wide, **numbers)
        terms = (
            np.abs(w) + np.abs(grad) + np.abs(wide["w"]) + sum(np.abs(v) for v in state.values())
        )
        if name in ("adam", "adamw"):  # the step is m / sqrt(v), up to 9 / sqrt(0.1 v) times m
            terms = terms + np.abs(wide["m"]) / np.sqrt(wide["v"]) * 30
        for key, result in zip(("w", *state), results, strict=True):
            size = np.maximum(terms, terms**2) if key == "v" else terms
            assert_within(result, wide[key], 12 * eps(dtype) * size, (name, key, n))


PASSES = {
    "activation_forward": (ActivationKernels, "y"),
    "activation_backward": (ActivationKernels, "dx"),
    "add": (ActivationKernels, "out"),
    "unit_rows": (UpdateKernels, "w"),
    "top_k": (ActivationKernels, "y", "dropped"),
    "activity_penalty": (LossKernels, "gradient"),
    "fill": (FillKernels, "out"),
    "gather": (GatherKernels, "out"),
    "loss": (LossKernels, "gradient"),
    "softmax_loss": (LossKernels, "gradient"),
    "normal_divergence": (LossKernels, "gradient"),
    "activation_curvature": (ActivationKernels, "dx"),
    "inner_product": (LossKernels, "out"),
    "sample_normal_backward": (RandomKernels, "dx"),
    **{name: (UpdateKernels, "w", *state) for name, state in MOMENTS.items()},
}  # fmt: skip


@pytest.mark.parametrize("op", PASSES)
def test_threads_with_several_elements(cuda: Backend, runner: Runner, op: str) -> None:
    """One block or many: no element depends on what else its thread has, not in a bit."""
    launcher, *outputs = PASSES[op]
    for _, dtype, shape in islice(shapes(9, 2), 300):
        host = arguments(op, dtype, *shape, 31)
        results = []
        for most in (1, 4096):
            moved = on_device(cuda, op, host)
            operation(launcher(runner, most), op)(**moved)
            results.append([cuda.to_host(moved[name]).tobytes() for name in outputs])
        assert results[0] == results[1], (dtype, shape)


def test_clip_by_norm(cuda_column: Backend) -> None:
    for rng, dtype, shape in shapes(6, 1):
        grad, max_norm = normals(rng, shape, dtype), float(rng.uniform(0.1, 60))
        clipped, norm = clip(cuda_column, grad, max_norm)
        exact = float(np.sqrt(np.square(grad.astype(np.float64)).sum()))
        slack = (shape[0] + 2) * eps("float64")
        assert norm == pytest.approx(exact, rel=slack)
        expected = grad.astype(np.float64) * min(1.0, max_norm / exact if exact else 1.0)
        assert_within(clipped, expected, (2 * eps(dtype) + slack) * np.abs(expected), shape)


@pytest.mark.parametrize("op", ["bits", "uniform", "normal", "bernoulli", "permutation"])
def test_random(cuda_column: Backend, op: str) -> None:
    """The NumPy column's bits; normals to 24 eps of the radius, at most 8.8 (float64: sqrt(-2 log
    2^-54)), as kernels/test_random.py derives it."""
    for rng, dtype, shape in shapes(7, 1):
        (n,), state = shape, rng.integers(0, 2**32, 4).astype(np.uint32)
        total = n + int(rng.integers(0, 9))
        numbers: dict[str, Any] = {
            "bits": {}, "uniform": {"low": -float(rng.random()), "high": float(rng.random())},
            "normal": {"mean": float(rng.normal()), "std": float(rng.random())},
            "bernoulli": {"probability": float(rng.random())},
            "permutation": {"n": total, "start": int(rng.integers(0, total - n + 1))},
        }[op]  # fmt: skip
        kind = {"bits": "uint32", "permutation": "int64"}.get(op, dtype)
        out = drawn(cuda_column, f"random_{op}", n, kind, state=state, **numbers)
        expected = poisoned(shape, kind)
        getattr(random_numpy, f"random_{op}")(state, out=expected, **numbers)
        if op == "normal":
            tolerance = 24 * eps(dtype) * 8.8 * numbers["std"] + 4 * eps(dtype) * np.abs(expected)
            assert_within(out, expected, tolerance, n)
        else:
            np.testing.assert_array_equal(out, expected, str(n))


def test_add_normal(cuda_column: Backend) -> None:
    """The noise as above, and one more rounding of each sum."""
    for rng, dtype, shape in shapes(8, 2):
        state, std = rng.integers(0, 2**32, 4).astype(np.uint32), rng.random(1)
        x = normals(rng, shape, dtype)
        (out,) = call(
            cuda_column, "add_normal", ("out",),
            state=state, std=std, x=x, out=poisoned(shape, dtype),
        )  # fmt: skip
        expected = np.empty(shape, dtype)
        random_numpy.add_normal(state, std, x, expected)
        tolerance = 24 * eps(dtype) * 8.8 * std[0] + 4 * eps(dtype) * (1 + np.abs(expected))
        assert_within(out, expected, tolerance, shape)
