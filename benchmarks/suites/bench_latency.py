"""A trained net for one sample, for a few and for many: checked against float64, then timed.

Samples and results lie in the host's memory, as where a program embeds the net.
"""

from __future__ import annotations

from typing import Any

from benchmarks import timing
from benchmarks.cases import nets
from benchmarks.cases.cases import Case, Options
from benchmarks.cases.latency_cases import check_chain
from benchmarks.contestants.loaded import Loaded

SUITE = "latency"


def test_latency(benchmark: Any, case: Case, loaded: Loaded, options: Options) -> None:
    assert case.net is not None and case.batch is not None
    x = nets.batch_of(case.batch)
    with timing.one_thread():
        call = loaded.chain(case.op, case.net, x)
        check_chain(case.op, case.net, loaded.weights(case.net), x, call())
    timing.measure(benchmark, call, options.seconds)
