"""Copies between host and device memory, which no other figure includes. By the host's clock."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.cases.cases import Case, Options, data_rng
from benchmarks.contestants.own import Own

SUITE = "transfer"


def test_transfer(benchmark: Any, case: Case, loaded: Own, options: Options) -> None:
    host = data_rng().integers(0, 256, int(case.counts.bytes), dtype=np.uint8)
    array = loaded.to_device(host)
    np.testing.assert_array_equal(loaded.to_host(array), host)

    def write() -> None:
        loaded.backend.write(host, array)
        loaded.synchronize()

    call = write if case.op == "to_device" else lambda: loaded.to_host(array)
    timing.measure(benchmark, call, options.seconds)
