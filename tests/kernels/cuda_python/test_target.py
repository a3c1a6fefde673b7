"""The numba-cuda column without a GPU: it says so, and it is tested in Numba's simulator."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernels.conftest import python
from tinyae.kernels import columns, cuda_python
from tinyae.kernels.columns import BackendUnavailable, backend_report, get_backend
from tinyae.kernels.cuda import driver as cuda_driver
from tinyae.kernels.cuda.driver import missing_gpu

KERNELS = Path(__file__).parents[1]


simulated = partial(python, NUMBA_ENABLE_CUDASIM="1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("least", "files"),
    [
        (1000, ["test_contract.py", "test_memory.py", "cuda_python/simulated_training.py"]),
        (
            20,
            ["cuda/test_random_shapes.py", "cuda/test_dense.py", "cuda_python/simulated_ladder.py"],
        ),
    ],
)
def test_the_whole_column_in_the_simulator(least: int, files: list[str]) -> None:
    """Contract, small shapes against float64, training against the NumPy column's loss curve.

    Left out are only arrays of a megabyte, on which the contract looks for allocations, and tests
    of CUDA C.
    """
    pytest.importorskip("numba_cuda")
    done = simulated(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(KERNELS / file) for file in files),
        "-k", "not allocates_nothing and not bounded_memory and not cuda-host and not cupy",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    summary = done.stdout.splitlines()[-1]
    passed = re.match(r"(\d+) passed", summary)
    assert passed and int(passed[1]) >= least, summary
    assert "skipped" not in summary, done.stdout[-5000:]


def test_the_simulator_is_no_surprise() -> None:
    """It has to be asked for twice, by the variable and by name, and it says what it is."""
    pytest.importorskip("numba_cuda")
    script = "from tinyae.kernels.columns import get_backend; print(get_backend({!r}).name)"
    by_default = simulated("-c", script.format("auto"))
    assert by_default.stdout.strip() not in ("", "numba-cuda") and not by_default.stderr
    by_name = simulated("-c", script.format("numba-cuda"))
    assert by_name.stdout == "numba-cuda\n"
    assert "tinyae: numba-cuda runs in Numba's simulator" in by_name.stderr


@pytest.mark.parametrize("value", ("", "0"))
def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(cuda_driver, "missing_gpu", lambda: "there is no NVIDIA driver")
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", value)
    monkeypatch.delitem(columns._loaded, "numba-cuda", raising=False)
    with pytest.raises(BackendUnavailable, match="'numba-cuda' cannot run here: there is no NVID"):
        get_backend("numba-cuda")
    assert backend_report()["numba-cuda"] == "there is no NVIDIA driver"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "missing_gpu", lambda: "")
    monkeypatch.delitem(columns._loaded, "numba-cuda", raising=False)


def test_without_the_package_the_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    for name in list(sys.modules):
        if name.startswith("tinyae.kernels.cuda_python."):
            monkeypatch.delitem(sys.modules, name)
            monkeypatch.delattr(cuda_python, name.rpartition(".")[2], raising=False)
    with pytest.raises(BackendUnavailable, match=r'pip install "tinyae\[numba-cuda13\]", or \[num'):
        get_backend("numba-cuda")


@pytest.mark.skipif(not missing_gpu(), reason="there is a GPU, and it answers")
def test_a_driver_that_does_not_answer_is_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba_cuda")
    forget(monkeypatch)
    with pytest.raises(BackendUnavailable, match="the GPU does not answer "):
        get_backend("numba-cuda")


def test_foreign_arrays_are_adopted_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that synchronises its stream would do so at each launch."""
    pytest.importorskip("numba_cuda")
    from tinyae.kernels.cuda_python import target as numba_cuda

    class Foreign:
        __cuda_array_interface__: dict[str, Any] = {}

    array, taken = Foreign(), []
    monkeypatch.setattr(
        numba_cuda.cuda, "as_cuda_array", lambda value, sync: taken.append((value, sync))
    )
    assert isinstance(array, numba_cuda.CudaArray)
    numba_cuda.adopted(array)
    assert taken == [(array, False)]
    assert not isinstance(np.zeros(1), numba_cuda.CudaArray)
    assert numba_cuda.adopted(3) == 3


@pytest.mark.gpu
def test_cupys_arrays_are_taken_without_a_copy() -> None:
    cupy = pytest.importorskip("cupy")
    backend = get_backend("numba-cuda")
    x = cupy.full((3, 5), -2, cupy.float32)
    backend.activation_forward(x, "leaky_relu", x)
    backend.synchronize()
    np.testing.assert_allclose(x.get(), np.full((3, 5), -0.02), rtol=1e-6)
    np.testing.assert_array_equal(backend.to_host(x), x.get())
    backend.write(np.ones((3, 5), np.float32), x)
    assert (x.get() == 1).all()
