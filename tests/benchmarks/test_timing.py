"""How calls are timed, on a CPU and on a GPU's clock; no assertion depends on speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_timing, machine, timing
from benchmarks.cases.cases import Options, data_rng, select
from benchmarks.contestants.rival_blas import Blas, blas_threads
from benchmarks.suites import bench_kernels

OPTIONS = Options(only=("dense_forward",), sizes=(40,))
CASES = select("kernel", OPTIONS)


@pytest.mark.parametrize("once", (1e-7, 1e-4, 1e-2, 1.0, 100.0))
def test_rounds_are_long_enough_and_few_enough(once: float) -> None:
    rounds, iterations = timing.plan(once, seconds=0.5)
    assert rounds >= 3 and once * iterations >= timing.SHORTEST
    assert rounds == 3 or rounds * iterations * once <= timing.PATIENCE * 0.5


class Device:
    """A GPU's time line: launches take their time there, and events look at it."""

    def __init__(self, kernel: float, launch: float) -> None:
        self.kernel, self.launch_cost = kernel, launch
        self.host = self.busy_until = 0.0
        self.recording: list[float] | None = None

    def launch(self) -> None:
        if self.recording is not None:
            self.recording.append(self.kernel)
            return
        self.host += self.launch_cost
        self.busy_until = max(self.busy_until, self.host) + self.kernel

    def capture(self, call: Callable[[], object]) -> Callable[[], object]:
        self.recording = []
        call()
        total, self.recording = sum(self.recording), None

        def replay() -> None:
            self.host += self.launch_cost
            self.busy_until = max(self.busy_until, self.host) + total

        return replay

    def Event(self) -> Any:
        event = SimpleNamespace(at=0.0)

        def record() -> None:
            event.at = self.busy_until = max(self.busy_until, self.host)

        def synchronize() -> None:
            self.host = max(self.host, self.busy_until)

        event.record, event.synchronize = record, synchronize
        return event

    def get_elapsed_time(self, first: Any, second: Any) -> float:
        return float(np.float32(1e3 * (second.at - first.at)))


class Fixture:
    """pytest-benchmark's fixture, as far as it is used."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer, self.extra_info, self.seconds = timer, {}, []

    def pedantic(self, call: Any, rounds: int, iterations: int, warmup_rounds: int) -> None:
        for _ in range(rounds):
            started = self._timer()
            for _ in range(iterations):
                call()
            self.seconds.append((self._timer() - started) / iterations)


@pytest.mark.parametrize(
    ("kernel", "graph", "measured"),
    [(1e-6, True, 1e-6), (5e-6, True, 5e-6), (30e-6, True, 30e-6), (1e-3, True, 1e-3),
     (1e-6, False, 8e-6)],
)  # fmt: skip
def test_a_gpu_kernel_is_timed_and_not_its_launch(
    kernel: float, graph: bool, measured: float
) -> None:
    """Below 20 us from a graph, if there can be one; above, launches hide behind the work."""
    device = Device(kernel, launch=8e-6)
    timer = gpu_timing.EventTimer(device)
    fixture = Fixture(timer)
    taken = [0, 0, 0]

    def call(i: int) -> Callable[[], None]:
        def run() -> None:
            taken[i] += 1
            device.launch()

        return run

    calls, capture = [call(i) for i in range(3)], device.capture if graph else None
    gpu_timing.measure(fixture, calls, timer, 0.05, capture)
    assert np.median(fixture.seconds) == pytest.approx(measured, rel=0.02)
    assert ("launches_in_graph" in fixture.extra_info) == (graph and kernel < 20e-6)
    assert max(taken) - min(taken) <= 1  # buffers take turns


def test_events_far_apart_keep_their_precision() -> None:
    """CuPy tells float32 milliseconds: after an hour these are a quarter of a millisecond wide."""
    device = Device(1e-5, launch=0.0)
    timer = gpu_timing.EventTimer(device)
    timer()
    for hour in range(3):
        device.host += 3600.0
        started = timer()
        device.launch()
        assert timer() - started == pytest.approx(1e-5, rel=1e-4), hour


def test_a_contestant_on_a_gpu_is_timed_by_its_events() -> None:
    """Checked first; then as many sets of arrays take turns as its cache asks for."""
    device = Device(5e-6, launch=8e-6)
    device.runtime = SimpleNamespace(
        getDevice=lambda: 0, getDeviceProperties=lambda i: {"l2CacheSize": 20_000}
    )

    class OnGpu(Blas):
        cuda, capture = device, lambda self: device.capture

        def op(self, name: str) -> Callable[..., Any]:
            product = super().op(name)

            def op(**arguments: Any) -> None:
                device.launch()
                product(**arguments)

            return op

    loaded, fixture = OnGpu(), Fixture(lambda: pytest.fail("the host's clock"))
    (case,) = CASES
    calls, check = loaded.prepared(case, data_rng())
    check()
    assert len(calls) == 4  # of 19,360 bytes each
    loaded.measure(fixture, calls, 0.02, capture=True)
    assert np.median(fixture.seconds) == pytest.approx(5e-6, rel=0.02)


def test_buffers_go_beyond_the_cache() -> None:
    assert gpu_timing.buffers(1e9, 50 * 2**20) == 1
    assert gpu_timing.buffers(10 * 2**20, 50 * 2**20) == 15
    assert gpu_timing.buffers(0, 50 * 2**20) == gpu_timing.MOST_BUFFERS


def test_what_precedes_the_clock_leaves_no_threads_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BLAS has one thread while a case is made and checked, and its own number when it is timed."""
    usual = blas_threads()
    seen: dict[str, Any] = {}
    (case,) = CASES
    blas = Blas()
    prepared = blas.prepared

    def watched(*arguments: Any) -> Any:
        calls, check = prepared(*arguments)

        def checked() -> float | None:
            seen["checked"] = blas_threads()
            return check()

        return calls, checked

    monkeypatch.setattr(blas, "prepared", watched)
    monkeypatch.setattr(blas, "measure", lambda *_, **__: seen.update(timed=blas_threads()))
    fixture = Fixture(time.perf_counter)
    bench_kernels.test_kernel(fixture, case, blas, OPTIONS)
    assert seen == {"checked": 1, "timed": usual}
    assert 0 < fixture.extra_info["rms_error"] < 1e-6


def test_a_call_is_warmed_up_until_threads_have_settled() -> None:
    started, calls = time.perf_counter(), []
    timing.warm_up(lambda: calls.append(1), seconds=0.001)
    assert time.perf_counter() - started >= timing.SETTLED and len(calls) > 10
    calls.clear()
    timing.warm_up(lambda: (calls.append(1), time.sleep(0.02)), seconds=0.001)
    assert len(calls) == 1  # longer than there is patience for


def test_what_steers_blas_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "environ", {"OPENBLAS_CORETYPE": "Haswell", "HOME": "secret",
                                                "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert machine._environment() == "OMP_NUM_THREADS=1 OPENBLAS_CORETYPE=Haswell"
