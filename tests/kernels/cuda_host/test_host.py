"""The runner that compiles CUDA C for the CPU: what it reports, and what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernels.conftest import need_compiler
from tinyae.kernels import columns
from tinyae.kernels.columns import BackendUnavailable, get_backend
from tinyae.kernels.cuda.activation import ActivationKernels
from tinyae.kernels.cuda.dense import DenseKernels
from tinyae.kernels.cuda.gather import GatherKernels
from tinyae.kernels.cuda.source import FOLDER as KERNELS
from tinyae.kernels.cuda_host import host as cuda_host
from tinyae.kernels.cuda_host.host import HostRunner

need_compiler()


def launch(runner: HostRunner, kernel: str, *args: Any, file: str = "", threads: int = 1) -> None:
    """In one block; of the file with the kernel's name, unless another is given."""
    runner.launch(file or f"{kernel}.cu", kernel, "float32", (1, 1, 1), (threads, 1, 1), args)


def test_a_missing_barrier_is_reported(host: HostRunner, sources: Path) -> None:
    """Half of a block never reaches its barrier: an error, neither a hang nor a wrong result."""
    (sources / "half.cu").write_text(
        'extern "C" __global__ void half(REAL *x) {\n'
        "    if (threadIdx.x < 32) __syncthreads();\n"
        "    x[threadIdx.x] = threadIdx.x;\n}\n"
    )
    with pytest.raises(RuntimeError, match="half: a barrier was not reached by all threads"):
        launch(host, "half", np.zeros(64, np.float32), threads=64)


def test_a_removed_barrier_changes_the_result(sources: Path) -> None:
    """A product without its first __syncthreads() reads shared memory that is still poisoned."""
    for path in KERNELS.rglob("*.cu*"):
        (sources / path.name).write_text(path.read_text())
    text = (KERNELS / "dense/dense_product.cuh").read_text()
    assert text.count("__syncthreads();") == 2
    (sources / "dense_product.cuh").write_text(text.replace("__syncthreads();", "", 1))
    x, y = np.ones((32, 16), np.float32), np.zeros((32, 32), np.float32)
    w, b = np.ones((16, 32), np.float32), np.zeros(32, np.float32)
    DenseKernels(HostRunner(), (32, 32)).dense_forward(x, w, b, "identity", y, None)
    assert np.isnan(y).any()


COPIES = """\
#include "async_copy.cuh"
extern "C" __global__ void copies(const REAL *from, REAL *to, int n_waits, int shift) {
    alignas(16) __shared__ REAL shared[12];
    begin_copy<1>(destination(shared), from, true);
    begin_copy<1>(destination(shared + 1), from, false);
    close_copies();
    const REAL *next = from + 4;
    begin_copy<4>(destination(shared + 4 + shift), next, true);
    close_copies();
    if (n_waits > 0) wait_for_copies<1>();
    if (n_waits > 1) wait_for_copies<0>();
    for (int i = 0; i < 12; i++) to[i] = shared[i];
}
"""


def test_a_copy_is_there_after_its_wait_and_not_before(sources: Path) -> None:
    (sources / "copies.cu").write_text(COPIES)
    for path in (KERNELS / "dense/async_copy.cuh", KERNELS / "shared/vector.cuh"):
        (sources / path.name).write_text(path.read_text())
    x, host = np.arange(1, 9, dtype=np.float32), HostRunner()

    def copied(n_waits: int, shift: int = 0) -> Any:
        out = np.empty(12, np.float32)
        launch(host, "copies", x, out, np.int32(n_waits), np.int32(shift))
        return out

    gone = np.nan
    assert np.isnan(copied(0)).all()
    np.testing.assert_array_equal(copied(1), [1, 0, *[gone] * 10])
    np.testing.assert_array_equal(copied(2), [1, 0, gone, gone, 5, 6, 7, 8, *[gone] * 4])
    with pytest.raises(RuntimeError, match="copies: a copy of several elements is not aligned"):
        copied(2, shift=1)


def test_wrong_arguments_are_refused(host: HostRunner) -> None:
    with pytest.raises(TypeError, match="arrays and NumPy scalars, got int"):
        launch(host, "activation_forward", 1, file="activation.cu")
    with pytest.raises(RuntimeError, match="wrong number of arguments for activation_forward"):
        launch(host, "activation_forward", np.int32(1), file="activation.cu")


def test_an_error_of_the_compiler_names_file_and_line(host: HostRunner, sources: Path) -> None:
    (sources / "broken.cu").write_text(
        'extern "C" __global__ void broken(REAL *x) {\n    x[0] = y;\n}\n'
    )
    with pytest.raises(RuntimeError, match=r"could not compile broken(.|\n)*broken.cu:2"):
        launch(host, "broken", np.zeros(1, np.float32))


def test_a_full_disk_is_named_by_the_cache_folder(
    host: HostRunner, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sources / "new.cu").write_text('extern "C" __global__ void fresh(REAL *x) {}\n')
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(Path, "write_text", lambda path, text: full.write(text.encode()))
        with pytest.raises(OSError, match=f"No space left on device: '{host.cache}'"):
            host.library("new.cu", "float32")


def test_without_a_compiler_the_backend_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda_host.shutil, "which", lambda name: None)
    monkeypatch.delitem(columns._loaded, "cuda-host", raising=False)
    with pytest.raises(BackendUnavailable, match="needs a C.. compiler: apt-get install g"):
        get_backend("cuda-host")


def test_a_closed_cache_folder_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYAE_CACHE", str(tmp_path / "file"))  # no folder can be made here
    runner = HostRunner()
    assert tmp_path not in runner.cache.parents
    out = np.full((1, 3), np.nan, np.float32)
    ActivationKernels(runner).activation_forward(np.ones((1, 3), np.float32), "relu", out)
    assert (out == 1).all()


def test_a_compiled_file_is_used_again(
    host: HostRunner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host.library("gather.cu", "float32")
    said = "tinyae: compiling gather.cu (float32) for cuda-host, once\n"
    assert capsys.readouterr().err in (said, "")  # another test may have been first
    monkeypatch.setattr(cuda_host.subprocess, "run", None)
    assert host.library("gather.cu", "float32").exists()


def test_a_row_that_does_not_exist_becomes_nan(host: HostRunner) -> None:
    """As on a GPU, where nobody looks at the indices (the backend's check raises on the host)."""
    data, out = np.arange(6.0).reshape(3, 2), np.zeros((4, 2))
    indices = np.array([2, -1, 3, 0])
    GatherKernels(host).gather(data, indices, 1.0, out)
    np.testing.assert_array_equal(out, [[4, 5], [np.nan] * 2, [np.nan] * 2, [0, 1]])
    with pytest.raises(TypeError, match=r"data must have dtype bool, uint8.* got float16"):
        GatherKernels(host).gather(data.astype(np.float16), indices, 1.0, out)


def test_threads_may_launch_at_once(host: HostRunner) -> None:
    """A library has one scheduler: launches from several Python threads take turns."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((33, 40), (40, 50), (50,)))
    kernels, wrong = DenseKernels(host, (32, 32)), []

    def work() -> None:
        for _ in range(50):
            y = np.full((33, 50), np.nan, np.float32)
            kernels.dense_forward(x, w, b, "identity", y, None)
            wrong.append(not np.allclose(y, x @ w + b, atol=1e-4))

    work()  # compiles it
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: work(), range(4)))
    assert len(wrong) == 250 and not any(wrong)
