"""A training step, and each of its operations: the gradient checked against float64, then timed.

The first call, which compiles where something is compiled, is a row of its own. Data lie in the
contestant's memory.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.cases.cases import Case, Options
from benchmarks.cases.net_cases import check_step
from benchmarks.contestants.loaded import Loaded
from benchmarks.timing import one_thread

SUITE = "step"


def test_step(benchmark: Any, case: Case, loaded: Loaded, options: Options) -> None:
    assert case.net is not None and case.batch is not None
    if case.op != "step":
        with one_thread():
            part, check = loaded.part(case.op.removeprefix("step/"), case.net, case.batch)
            check()
        loaded.measure(benchmark, [part], options.seconds, capture=True)
        return
    step = loaded.step(case.net, case.batch)
    started = time.perf_counter()
    step.run()
    loaded.synchronize()
    benchmark.extra_info["first_call_seconds"] = time.perf_counter() - started
    with one_thread():
        check_step(case.net, case.batch, *step.results(), loaded.matmul)
    loaded.measure(benchmark, [step.run], options.seconds)
