"""dense.cu and activation.cu, compiled by the C++ compiler and executed on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae.kernels import activation_numpy, cuda_source
from tinyae.kernels.activation_cupy import ActivationKernels
from tinyae.kernels.conventions import ACTIVATIONS, NEEDS_INPUT
from tinyae.kernels.cuda_host import CompilerMissing, HostRunner, find_compiler
from tinyae.kernels.dense_cupy import DenseKernels, choose_splits, choose_tile

try:
    find_compiler()
except CompilerMissing as error:
    pytest.skip(str(error), allow_module_level=True)

SIZES = (0, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 37, 63, 64, 65, 97, 127, 128, 129)
REALS = ("float32", "float64")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield HostRunner()


def product_close(result: np.ndarray, a: np.ndarray, b: np.ndarray, extra: Any = 0.0) -> None:
    """result = a @ b + extra, each element a sum of k + 1 rounded products and terms.

    Sums in any order err by at most (k + 1) eps (|a| @ |b| + |extra|) (Higham 2002, 3.5).
    """
    assert not np.isnan(result).any()
    a, b = a.astype(np.float64), b.astype(np.float64)
    bound = (a.shape[1] + 2) * np.finfo(result.dtype).eps * (np.abs(a) @ np.abs(b) + np.abs(extra))
    assert (np.abs(result - (a @ b + extra)) <= bound).all()


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("tile", [32, 64, 128, None])
def test_dense_over_random_shapes(runner: HostRunner, tile: int | None, dtype: str) -> None:
    """All three products on 250 shapes per tile and dtype, 6,000 launches in all."""
    rng = np.random.default_rng(tile)
    for i in range(250):
        largest = 19 if i % 10 == 0 else 12
        batch, n_in, n_out = (int(SIZES[j]) for j in rng.integers(0, largest, 3))
        kernels = DenseKernels(runner, tile, int(rng.integers(1, 4)) if i % 2 else None)
        x, w, b, dz, below = (
            rng.standard_normal(s).astype(dtype)
            for s in ((batch, n_in), (n_in, n_out), (n_out,), (batch, n_out), (batch, n_in))
        )
        inputs = [array.copy() for array in (x, w, b, dz, below)]
        y, pre, dx, dw, db = (
            np.full(s, np.nan, dtype)
            for s in ((batch, n_out), (batch, n_out), (batch, n_in), (n_in, n_out), (n_out,))
        )
        kernels.dense_forward(x, w, b, "relu", y, pre)
        product_close(pre, x, w, b.astype(np.float64))
        np.testing.assert_array_equal(y, np.maximum(pre, 0))
        kernels.dense_backward_input(dz, w, "identity", below, dx)
        product_close(dx, dz, w.T)
        masked = np.full_like(dx, np.nan)
        kernels.dense_backward_input(dz, w, "relu", below, masked)
        np.testing.assert_array_equal(masked, dx * (below > 0))
        kernels.dense_backward_weights(x, dz, dw, db)
        product_close(dw, x.T, dz)
        product_close(db[None], np.ones((1, batch)), dz)
        for before, after in zip(inputs, (x, w, b, dz, below), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(runner: HostRunner, activation: str, dtype: str) -> None:
    """Against the NumPy column in float64, to a few ulps of the largest term of each formula."""
    kernels, eps = ActivationKernels(runner), np.finfo(dtype).eps
    for size in (0, 1, 255, 256, 257, 4097):
        rng = np.random.default_rng(size)
        x = (rng.standard_normal((1, size)) * 5).astype(dtype)
        dy = rng.standard_normal((1, size)).astype(dtype)
        y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
        kernels.activation_forward(x, activation, y)
        wide = x.astype(np.float64)
        expected = np.empty_like(wide)
        activation_numpy.activation_forward(wide, activation, expected)
        assert (np.abs(y - expected) <= 8 * eps * (1 + np.abs(wide))).all()
        saved = x if activation in NEEDS_INPUT else y
        kernels.activation_backward(dy, activation, saved, dx)
        slope = np.empty_like(wide)
        activation_numpy.activation_backward(
            dy.astype(np.float64), activation, saved.astype(np.float64), slope
        )
        assert (np.abs(dx - slope) <= 16 * eps * np.abs(dy) * (1 + wide**2)).all()


def test_a_missing_barrier_is_reported(
    runner: HostRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a block never reaches its barrier: an error, neither a hang nor a wrong result."""
    (tmp_path / "half.cu").write_text(
        'extern "C" __global__ void half(REAL *x) {\n'
        "    if (threadIdx.x < 32) __syncthreads();\n"
        "    x[threadIdx.x] = threadIdx.x;\n}\n"
    )
    monkeypatch.setattr(cuda_source, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match="half: a barrier was not reached by all threads"):
        runner.launch("half.cu", "half", "float32", (1, 1, 1), (64, 1, 1),
                      (np.zeros(64, np.float32),))  # fmt: skip


def test_a_removed_barrier_changes_the_result(
    runner: HostRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dense.cu without its first __syncthreads() reads shared memory that is still poisoned."""
    text = (cuda_source.FOLDER / "dense.cu").read_text()
    assert text.count("__syncthreads();") == 2
    (tmp_path / "dense.cu").write_text(text.replace("__syncthreads();", "", 1))
    (tmp_path / "activation.cuh").write_text((cuda_source.FOLDER / "activation.cuh").read_text())
    monkeypatch.setattr(cuda_source, "FOLDER", tmp_path)
    cuda_source.read_source.cache_clear()
    try:
        x, y = np.ones((32, 16), np.float32), np.zeros((32, 32), np.float32)
        w, b = np.ones((16, 32), np.float32), np.zeros(32, np.float32)
        DenseKernels(HostRunner(), 32).dense_forward(x, w, b, "identity", y, None)
        assert np.isnan(y).any()
    finally:
        cuda_source.read_source.cache_clear()


def test_tiles_and_splits() -> None:
    assert choose_tile(4096, 4096) == 128 and choose_tile(1024, 1000) == 64
    assert choose_tile(128, 30) == 32 and choose_tile(1, 1) == 32
    assert choose_splits(784, 1000, 128, 32) == 1
    assert choose_splits(250, 30, 8192, 32) == 17 and choose_splits(250, 30, 100, 32) == 1


def test_wrong_arguments_are_refused(runner: HostRunner) -> None:
    with pytest.raises(TypeError, match="arrays and NumPy scalars, got int"):
        runner.launch("activation.cu", "activation_forward", "float32", (1, 1, 1), (1, 1, 1), (1,))
    with pytest.raises(RuntimeError, match="wrong number of arguments for activation_forward"):
        runner.launch("activation.cu", "activation_forward", "float32", (1, 1, 1), (1, 1, 1),
                      (np.int32(1),))  # fmt: skip
