"""dense.cu and its twin in Python, tile by tile and split by split, on 2,000 random shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import SIMULATED, cuda_runner

from reference import assert_within, dense, eps, normals, poisoned, product_tolerance
from tinyae.kernels.backend import Backend
from tinyae.kernels.dense_cupy import TILES, DenseKernels, choose_splits, choose_tile

SIZES = (0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 37, 63, 64, 65, 97, 127, 128, 129)


def shapes(tile: int | None, dtype: str) -> Iterator[tuple[tuple[int, int, int], int | None]]:
    """250 shapes (batch, n_in, n_out) and splits: 1 to 3, or as the launcher chooses.

    One or two in the simulator, where a launch takes a second: past the tile's edge along the axes;
    float64 with the smallest tile only.
    """
    if SIMULATED:
        if dtype == "float64" and tile not in (None, 32):
            return
        past = (tile or 32) + 1
        yield (past, 17, 3), 2
        if tile != 128:
            yield (3, past, 18), None
        return
    rng = np.random.default_rng(tile)
    for i in range(250):
        largest = len(SIZES) if i % 10 == 0 else 12
        batch, n_in, n_out = (int(SIZES[j]) for j in rng.integers(0, largest, 3))
        yield (batch, n_in, n_out), int(rng.integers(1, 4)) if i % 2 else None


def dense_kernels(column: Backend, tile: int | None, splits: int | None) -> Any:
    if column.name == "numba-cuda":
        from tinyae.kernels import dense_numba_cuda

        return dense_numba_cuda.DenseKernels(tile, splits)
    return DenseKernels(cuda_runner(column), tile, splits)


@pytest.mark.parametrize("tile", [*TILES, None])
def test_all_three_products(cuda_column: Backend, tile: int | None, dtype: str) -> None:
    rng = np.random.default_rng(1)
    for shape, splits in shapes(tile, dtype):
        kernels = dense_kernels(cuda_column, tile, splits)
        check_products(cuda_column, kernels, rng, shape, dtype, product_tolerance)


def check_products(
    cuda: Backend, kernels: Any, rng: np.random.Generator, shape: tuple[int, int, int], dtype: str,
    tolerance: Callable[[np.ndarray, np.ndarray, str], np.ndarray],
) -> None:  # fmt: skip
    """The three products of a layer (batch, n_in, n_out) and their epilogues, on normal numbers.

    ``tolerance(a, b, dtype)`` is that of a @ b; db is always summed as ``product_tolerance`` says.
    """
    batch, n_in, n_out = shape
    x, w, b, dz, below = inputs = [
        normals(rng, s, dtype)
        for s in ((batch, n_in), (n_in, n_out), (n_out,), (batch, n_out), (batch, n_in))
    ]
    on_device = [cuda.to_device(array) for array in inputs]
    x_, w_, b_, dz_, below_ = on_device
    y, pre, dx, masked, dw, db = outputs = [
        cuda.to_device(poisoned(s, dtype))
        for s in ((batch, n_out), (batch, n_out), (batch, n_in), (batch, n_in), (n_in, n_out),
                  (n_out,))
    ]  # fmt: skip
    kernels.dense_forward(x_, w_, b_, "relu", y, pre)
    kernels.dense_backward_input(dz_, w_, "identity", below_, dx)
    kernels.dense_backward_input(dz_, w_, "relu", below_, masked)
    kernels.dense_backward_weights(x_, dz_, dw, db)
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
    for before, after in zip(inputs, on_device, strict=True):
        np.testing.assert_array_equal(before, cuda.to_host(after))


def test_tiles_and_splits() -> None:
    assert choose_tile(4096, 4096) == 128 and choose_tile(1024, 1000) == 64
    assert choose_tile(128, 30) == 32 and choose_tile(1, 1) == 32
    assert choose_splits(784, 1000, 128, 32) == 1
    assert choose_splits(250, 30, 8192, 32) == 17 and choose_splits(250, 30, 100, 32) == 1
