"""dense.cu and its twin in Python, tile by tile and split by split, on 2,000 random shapes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SIMULATED, cuda_runner
from tests.reference import assert_within, dense, eps, normals, poisoned, product_tolerance
from tinyae.kernels.backend import Backend
from tinyae.kernels.cuda import dense as dense_module
from tinyae.kernels.cuda.dense import DenseKernels
from tinyae.kernels.cuda.plan import TILES, Plan, Problem, choose

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
SIZES = (0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 37, 63, 64, 65, 97, 127, 128, 129)


Tile = tuple[int, int]


def shapes(tile: Tile | None, dtype: str) -> Iterator[tuple[tuple[int, int, int], int | None]]:
    """250 shapes (batch, n_in, n_out) and splits: 1 to 3, or as the launcher chooses.

    Two in the simulator, where a launch takes a second: past the tile's edge along the axes, but
    for 128 columns, with all sums split and with none; float64 with the smallest tile only.
    """
    if SIMULATED:
        if dtype == "float64" and tile not in (None, (32, 32)):
            return
        rows, columns = tile or (32, 32)
        yield (rows + 1, 17, 5), 2
        yield (3, columns + 1 if columns < 128 else 3, 18), None
        return
    rng = np.random.default_rng(tile)
    for i in range(250):
        largest = len(SIZES) if i % 10 == 0 else 12
        batch, n_in, n_out = (int(SIZES[j]) for j in rng.integers(0, largest, 3))
        yield (batch, n_in, n_out), int(rng.integers(1, 4)) if i % 2 else None


def dense_kernels(column: Backend, tile: Tile | None, splits: int | None) -> Any:
    if column.name == "numba-cuda":
        from tinyae.kernels.cuda_python import dense as dense_numba_cuda

        return dense_numba_cuda.DenseKernels(tile, splits)
    return DenseKernels(cuda_runner(column), tile, splits)


@pytest.mark.parametrize("tile", [*TILES, None])
def test_all_three_products(cuda_column: Backend, tile: Tile | None, dtype: str) -> None:
    rng = np.random.default_rng(1)
    for shape, splits in shapes(tile, dtype):
        kernels = dense_kernels(cuda_column, tile, splits)
        check_products(cuda_column, kernels, rng, shape, dtype, product_tolerance)


def check_products(
    cuda: Backend, kernels: Any, rng: np.random.Generator, shape: tuple[int, int, int], dtype: str,
    tolerance: Callable[[np.ndarray, np.ndarray, str], np.ndarray],
    place: Callable[[np.ndarray], Any] | None = None,
) -> None:  # fmt: skip
    """The three products of a layer (batch, n_in, n_out) and their epilogues, on normal numbers.

    ``tolerance(a, b, dtype)`` is that of a @ b; db is always summed as ``product_tolerance`` says.
    """
    place = place or cuda.to_device
    batch, n_in, n_out = shape
    x, w, b, dz, below = inputs = [
        normals(rng, s, dtype)
        for s in ((batch, n_in), (n_in, n_out), (n_out,), (batch, n_out), (batch, n_in))
    ]
    on_device = [place(array) for array in inputs]
    x_, w_, b_, dz_, below_ = on_device
    y, pre, dx, masked, dw, db = outputs = [
        place(poisoned(s, dtype))
        for s in ((batch, n_out), (batch, n_out), (batch, n_in), (batch, n_in), (n_in, n_out),
                  (n_out,))
    ]  # fmt: skip
    kernels.dense_forward(x_, w_, b_, "relu", y, pre)
    kernels.dense_backward_input(dz_, w_, "identity", below_, dx)
    kernels.dense_backward_input(dz_, w_, "relu", below_, masked)
    kernels.dense_backward_weights(x_, dz_, dw, db)
    held = [normals(rng, array.shape, dtype) for array in (dw, db)]
    added = [place(array) for array in held]
    kernels.dense_backward_weights(x_, dz_, *added, add=True)
    y, pre, dx, masked, dw, db = (cuda.to_host(array) for array in outputs)
    ones, zero_in, zero_out = np.ones((1, batch)), np.zeros(n_in), np.zeros(n_out)
    biased = tolerance(x, w, dtype) + (n_in + 1) * eps(dtype) * np.abs(b)
    assert_within(pre, dense(x, w, b), biased, shape)
    np.testing.assert_array_equal(y, np.maximum(pre, 0))
    assert_within(dx, dense(dz, w.T, zero_in), tolerance(dz, w.T, dtype), shape)
    np.testing.assert_array_equal(masked, dx * (below > 0))
    assert_within(dw, dense(x.T, dz, zero_out), tolerance(x.T, dz, dtype), shape)
    column_sums = dense(ones, dz, zero_out)[0]
    assert_within(db, column_sums, product_tolerance(ones, dz, dtype)[0], shape)
    for before, more, after in zip(held, (dw, db), added, strict=True):
        np.testing.assert_array_equal(cuda.to_host(after), before + more)  # one rounding
    for before, after in zip(inputs, on_device, strict=True):
        np.testing.assert_array_equal(before, cuda.to_host(after))


def test_rows_that_do_not_begin_at_16_bytes(cuda: Backend, dtype: str) -> None:
    """Views into a larger array, as a layer's weights are: where 16 bytes at a time would go wrong,
    and where they would not."""
    rng = np.random.default_rng(2)
    for by, tile, splits in itertools.product(range(5), TILES, (1, 2)):
        offsets = itertools.cycle((by, by + 1, 0, 2 * by, 0))  # of x, w, b, dz, what is below, ...

        def shifted(array: np.ndarray, offsets: Iterator[int] = offsets) -> Any:
            start = next(offsets)
            there = cuda.to_device(np.append(np.zeros(start, dtype), array))
            return there[start:].reshape(array.shape)

        kernels = dense_kernels(cuda, tile, splits)
        check_products(cuda, kernels, rng, (36, 40, 44), dtype, product_tolerance, shifted)


def test_plans() -> None:
    assert choose(4096, 4096, 4096) == Plan(128, 128, 1)
    assert choose(128, 1000, 784) == Plan(64, 64, 4) and choose(1, 1, 1) == Plan(32, 32, 1)
    assert choose(500, 250, 8192) == Plan(128, 128, 32) and choose(250, 30, 100).splits == 1
    assert choose(5, 5, 5, tile=(32, 64), splits=7) == Plan(32, 64, 7)
    for k, splits in itertools.product((0, 1, 3, 4, 5, 64, 131), range(1, 9)):
        per_part = Plan(32, 32, splits).per_part(k)
        assert per_part * splits >= k and (per_part % 4 == 0 or per_part == 1)


def test_plans_are_nearly_the_fastest_that_were_measured() -> None:
    """On an H200, for both ways to multiply: a few per cent in the mean, a quarter at worst."""
    rows = map(json.loads, (RESULTS / "gpu-h200.jsonl").read_text().splitlines())
    slower = []
    for row in (row for row in rows if row["part"] == "shapes" and "times" in row):
        plan = "x".join(map(str, choose(row["m"], row["n"], row["k"])))
        slower.append(row["times"][plan] / min(row["times"].values()))
    assert len(slower) == 204
    assert np.exp(np.mean(np.log(slower))) < 1.02 and max(slower) < 1.25


def test_a_measured_plan_is_used(cuda: Backend) -> None:
    """For its own shape, its own kernel and its own dtype."""
    launched = []

    class Runner:
        scratch = staticmethod(cuda_runner(cuda).scratch)
        tickets = staticmethod(cuda_runner(cuda).tickets)

        def launch(self, *launch: Any) -> None:
            launched.append(launch[1:4])

    plans = {Problem("fp32", "float32", "dense_forward", 3, 50, 200): Plan(64, 64, 2)}
    kernels = DenseKernels(Runner(), plans=plans)  # type: ignore[arg-type]
    for dtype, batch in (("float32", 3), ("float32", 4), ("float64", 3)):
        x, w, b, y = (cuda.empty(s, dtype) for s in ((batch, 200), (200, 50), (50,), (batch, 50)))
        kernels.dense_forward(x, w, b, "relu", y, None)
    assert launched == [
        ("dense_forward_64x64", "float32", (1, 1, 2)),
        ("dense_forward_32x32", "float32", (2, 1, 6)),
        ("dense_forward_32x32", "float64", (2, 1, 6)),
    ]


@pytest.mark.parametrize("tile", TILES)
def test_parts_are_added_up_inside_or_by_another_kernel(
    cuda: Backend, tile: Tile, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same bits, time after time; the tickets are then as they were."""
    rng, (batch, n_in, n_out) = np.random.default_rng(4), (70, 135, 131)
    x, w, b, dz = (
        cuda.to_device(normals(rng, s, dtype))
        for s in ((batch, n_in), (n_in, n_out), (n_out,), (batch, n_out))
    )
    results, launched, runner = [], [], cuda_runner(cuda)
    launch = runner.launch
    monkeypatch.setattr(runner, "launch", lambda *a: (launched.append(a[1]), launch(*a)))
    for most in (dense_module.SUMMED_INSIDE, dense_module.SUMMED_INSIDE, 0):
        monkeypatch.setattr(dense_module, "SUMMED_INSIDE", most)
        kernels, launched[:] = DenseKernels(runner, tile, splits=3), []
        y, pre, dx = (cuda.to_device(poisoned((batch, n), dtype)) for n in (n_out, n_out, n_in))
        kernels.dense_forward(x, w, b, "gelu", y, pre)
        kernels.dense_backward_input(dz, w, "gelu", x, dx)
        results.append([cuda.to_host(array).tobytes() for array in (y, pre, dx)])
        assert len(launched) == (4 if most == 0 or tile == (128, 128) else 2)
        assert not cuda.to_host(runner.tickets(1)).any()
    assert results[0] == results[1] == results[2]
