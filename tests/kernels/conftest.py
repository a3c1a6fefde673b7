"""The columns, cuda-ptx with them; a folder of CUDA sources of a test's own; and processes.

cuda-ptx runs at four compute capabilities, behind the marker ``slow``; the first case of each test
at 9.0 is a sample without it. So does cuda-host in float64: the source is the same for both dtypes.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import BACKENDS, ON_GPU, SIMULATED, cuda_runner
from tinyae.kernels import columns
from tinyae.kernels.backend import Backend, checked
from tinyae.kernels.columns import available_backends, cuda_c, get_backend
from tinyae.kernels.cuda import source
from tinyae.kernels.cuda.runner import Runner
from tinyae.kernels.cuda_host.host import CompilerMissing, HostRunner, find_compiler

ROOT = Path(__file__).parents[2]

PTX_HERE = "cuda-ptx" in available_backends() and not SIMULATED
ON_PTX = [f"cuda-ptx {n}" for n in (90, 75, 80, 120) if PTX_HERE]


@pytest.fixture(params=[*BACKENDS, *ON_PTX])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Every backend that works here; those of a GPU are skipped, not left out, without one."""
    return _loaded(request.param, monkeypatch)


@pytest.fixture(params=["cuda-host", *ON_PTX, ON_GPU[0]])
def cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The CUDA C column, wherever it runs."""
    return _loaded(request.param, monkeypatch)


@pytest.fixture
def runner(cuda: Backend) -> Runner:
    return cuda_runner(cuda)


def _loaded(param: str, monkeypatch: pytest.MonkeyPatch) -> Backend:
    name, _, capability = param.partition(" ")
    if capability:
        monkeypatch.setitem(columns._loaded, name, _ptx_column(int(capability)))
    return get_backend(name)


@cache
def _ptx_column(capability: int) -> Backend:
    from tinyae.kernels.cuda_ptx.runner import PtxRunner

    return checked(cuda_c(PtxRunner(capability)), np.ndarray)


# What looks at the interpreter's own memory, and a statistic of 1,200 launches.
NOT_ON_PTX = (
    "test_a_step_allocates_nothing", "test_random_numbers_take_bounded_memory",
    "test_all_orders_of_four_are_equally_frequent",
)  # fmt: skip
# Seconds, for lines that others reach: of the kernels test_top_k, test_forward and
# test_backward_input, of the record the same test on cuda-host.
SLOW_ON_PTX = (
    "test_checks_have_the_ops_signatures", "test_backward_input_is_the_slope_of_forward",
    "test_top_k_of_extreme_numbers",
)  # fmt: skip


def not_on_ptx(item: pytest.Function) -> bool:
    """Thousands of shapes and whole trainings too: cuda_ptx/ has some of them."""
    folder, test = item.path.parent.name, item.originalname
    return folder == "cuda" or "device" in item.fixturenames or test in NOT_ON_PTX


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    sampled, left, dropped = set(), [], []
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        capability = {params.get("backend"), params.get("cuda")} & {*ON_PTX}
        (dropped if capability and not_on_ptx(item) else left).append(item)
        test = item.nodeid.partition("[")[0]
        host = "cuda-host" in (params.get("backend"), params.get("cuda"))
        if (host and params.get("dtype") == "float64") or (
            capability
            and (capability != {ON_PTX[0]} or test in sampled or item.originalname in SLOW_ON_PTX)
        ):
            item.add_marker(pytest.mark.slow)
        elif capability:
            sampled.add(test)
    items[:] = left
    config.hook.pytest_deselected(items=dropped)


def python(
    *words: str, cwd: Path = ROOT, timeout: float | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, with these words and environment variables."""
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env={**os.environ, **environment},
        capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def need_compiler() -> None:
    """Skips a module, or a test, where there is no C++ compiler."""
    try:
        find_compiler()
    except CompilerMissing as error:
        pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostRunner]:
    """A runner with a cache of its own."""
    need_compiler()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield HostRunner()


@pytest.fixture
def device(cuda: Backend, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """device(recorder=None): the CUDA C column under a name of its own, with fields replaced.

    Its host arrays count as a device's: data are moved, and the host does not look at each step.
    """

    def make(**fields: Any) -> str:
        column = dataclasses.replace(cuda, name="replaying", host=False, **fields)
        monkeypatch.setitem(columns._LOADERS, "replaying", lambda: column)
        columns._loaded.pop("replaying", None)
        return "replaying"

    yield make
    columns._loaded.pop("replaying", None)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty; .cu files and what they include are looked for here."""
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    source.read_source.cache_clear()
    yield tmp_path
    source.read_source.cache_clear()
