"""What the machine can do at most: the largest product, and the largest copy, of each device.

Every other figure is held against these, so they are measured in the same run and in each pass.
A copy counts the bytes read and the bytes written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.cases import counts
from benchmarks.cases.cases import Case, Options, data_rng
from benchmarks.cases.counts import Counts
from benchmarks.cases.dense_cases import layer_cases
from benchmarks.contestants.contestants import CONTESTANTS, Contestant, load, why_absent
from benchmarks.contestants.loaded import Loaded
from benchmarks.timing import one_thread

SUITE = "ceiling"
# device -> (contestant, its largest product), (contestant, its largest copy)
MEASURED = {
    "cpu": (("blas", "gemm"), ("numba", "gemm"), ("blas", "copy"), ("numba", "copy")),
    "gpu": (("cublas", "gemm"), ("cublas-tf32", "gemm"), ("cublas", "copy")),
}
SIZE = {"cpu": 4096, "gpu": 8192}
COPIED = {"cpu": 2**26, "gpu": 2**28}  # float32 numbers: 256 MiB and 1 GiB, far beyond caches
QUICK_SIZE, QUICK_COPIED = 2048, 2**24


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    quick = metafunc.config.getoption("quick")
    parameters = [
        pytest.param(CONTESTANTS[name], _case(what, device, quick), id=f"{device}-{name}-{what}")
        for device in metafunc.config.getoption("ceilings")
        for name, what in MEASURED[device]
        if not why_absent(CONTESTANTS[name])
    ]
    metafunc.parametrize(("contestant", "case"), parameters)


def _case(what: str, device: str, quick: bool) -> Case:
    n = QUICK_SIZE if quick else SIZE[device]
    if what == "gemm":
        return Case(SUITE, what, f"{n}x{n}x{n}", counts.matmul(n, n, n), size=n)
    numbers = QUICK_COPIED if quick else COPIED[device]
    return Case(SUITE, what, f"{4 * numbers >> 20} MiB", Counts(0, 8 * numbers), size=numbers)


@pytest.fixture
def loaded(contestant: Contestant) -> Loaded:
    return load(contestant)


def test_ceiling(
    benchmark: Any, contestant: Contestant, case: Case, loaded: Loaded, options: Options
) -> None:
    assert case.size is not None
    if case.op == "gemm":
        product, *_ = layer_cases(case.size, case.size, case.size, "identity", "identity")
        with one_thread():
            (call, *_), check = loaded.prepared(product, data_rng(), sets=1)
            check()
    else:
        source = loaded.to_device(data_rng().random(case.size, np.float32))
        target = loaded.to_device(np.full(case.size, np.nan, np.float32))
        copy = _copy(contestant.name)
        call = lambda: copy(target, source)  # noqa: E731
        call()
        np.testing.assert_array_equal(loaded.to_host(target), loaded.to_host(source))
    loaded.measure(benchmark, [call], options.seconds)


def _copy(contestant: str) -> Callable[[Any, Any], Any]:
    """np.copyto has one thread, which on some machines cannot fill the memory's bandwidth."""
    if contestant == "cublas":
        import cupy

        return cupy.copyto
    if contestant == "blas":
        return np.copyto
    import numba

    @numba.njit(parallel=True)
    def copy(target: Any, source: Any) -> None:
        for i in numba.prange(source.size):
            target[i] = source[i]

    return copy
