"""Each operation of the contract: checked against float64, then timed."""

from __future__ import annotations

from typing import Any

from benchmarks.cases.cases import Case, Options, data_rng
from benchmarks.contestants.loaded import Loaded
from benchmarks.timing import one_thread

SUITE = "kernel"


def test_kernel(benchmark: Any, case: Case, loaded: Loaded, options: Options) -> None:
    with one_thread():
        calls, check = loaded.prepared(case, data_rng())
        benchmark.extra_info["rms_error"] = check()
    loaded.measure(benchmark, calls, options.seconds, capture=True)
