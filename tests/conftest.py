"""What all tests share: the strict mode, the ``gpu`` marker, and one run per backend.

With TINYAE_STRICT=1 a skipped test fails and shows why it was skipped, except where it is marked
``gpu``: so the release run cannot pass because a library was missing. A module that skips as a
whole (``pytest.importorskip`` at its top) fails too: pytest knows no marker of a module that it
could not import, so GPU tests import their library inside the test.
"""

from __future__ import annotations

import inspect
import os
import re
import signal
import sys
import threading
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from tinyae.kernels.backend import Backend
from tinyae.kernels.columns import BackendUnavailable, available_backends, get_backend
from tinyae.kernels.cuda.driver import missing_gpu
from tinyae.kernels.cuda.runner import Runner

STRICT = os.environ.get("TINYAE_STRICT") == "1"

# Numba's simulator of a GPU takes the place of numba.cuda, so it has a process of its own: see
# kernels/cuda_python/test_target.py. There the one backend is the simulated one.
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
if SIMULATED:
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    sys.setswitchinterval(1e-4)  # hundreds of threads wait for a busy one: three times as fast
    _allocating = threading.Lock()

    def _shared_array(self: Any, shape: Any, dtype: Any) -> Any:
        """The simulator's own lets two threads make an array each, and looks up source lines."""
        caller = sys._getframe(1)
        key = (caller.f_code.co_filename, caller.f_lineno)
        with _allocating:
            if key not in self._allocations:
                self._allocations[key] = np.empty(shape, dtype)
            return self._allocations[key]

    FakeCUDAShared.array = _shared_array


ON_GPU = [pytest.param(name, marks=pytest.mark.gpu) for name in ("cupy", "numba-cuda")]
# cuda-ptx takes seconds for what the others do in milliseconds: see kernels/conftest.py.
APART = ("cupy", "numba-cuda", "cuda-ptx")
ELSEWHERE = [name for name in available_backends() if name not in APART]
BACKENDS = ["numba-cuda"] if SIMULATED else [*ELSEWHERE, *ON_GPU]


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend that works here; those of a GPU are skipped, not left out, without one."""
    return _loaded(request.param)


@pytest.fixture(scope="session", params=["cuda-host", ON_GPU[0]])
def cuda(request: pytest.FixtureRequest) -> Backend:
    """The CUDA C column, wherever it runs."""
    return _loaded(request.param)


@pytest.fixture(scope="session", params=BACKENDS if SIMULATED else ["cuda-host", *ON_GPU])
def cuda_column(request: pytest.FixtureRequest) -> Backend:
    """Every column of CUDA kernels, in C or in Python, wherever it runs."""
    return _loaded(request.param)


def cuda_runner(column: Backend) -> Runner:
    """What runs the CUDA C column's kernels, for launchers by themselves."""
    runner: Runner = inspect.unwrap(column.activation_forward).__self__.runner
    return runner


def _loaded(name: str) -> Backend:
    try:
        return get_backend(name)
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(params=("float32", "float64"))
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Of bytes the number: gzip writes the time into them, and all processes name tests alike."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and missing_gpu():
        pytest.skip(missing_gpu())


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if STRICT and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"TINYAE_STRICT=1 and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not item.get_closest_marker("gpu"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


# ---- with pytest-xdist: a process on each core


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """One thread of BLAS in each process: more would wait for a core and keep it busy meanwhile."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """--dist loadscope, but the kernels' tests of a column are one scope, whatever their file.

    Two processes that began with two files would both compile the same kernels.
    """
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByColumn(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            column = re.match(r"tests/kernels/test_\w+\.py::\w+\[(num|cuda-)\w+", nodeid)
            return column[0].rpartition("[")[2] if column else super()._split_scope(nodeid)

    return ByColumn(config, log)


@pytest.fixture(autouse=True, scope="session")
def _interrupts_arrive() -> None:
    """A suite started in the background of a script inherits an ignored SIGINT: undo that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
