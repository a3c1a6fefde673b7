"""Timing on a GPU: CUDA events, buffers in turn, and graphs where launching would be measured.

Everything goes to one stream. A round is long enough (``SHORTEST``) that the host, which goes
ahead of the device, has the queue filled; what a single launch costs then hides behind the work.
Where it cannot, as a launch takes longer than the kernel, ``captured`` records launches into a
graph, and replaying it costs the device little more than the kernels themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.timing import Call, in_turn, plan

SHORTEST = 5e-3  # seconds of a round
LAUNCH = 20e-6  # calls shorter than this are replayed from a graph
REPLAYED = 64  # launches in a graph, at least: all buffers equally often
ROTATION = 3  # buffers take so many times the second-level cache
MOST_BUFFERS = 64


class EventTimer:
    """A timer for pytest-benchmark: seconds of the device's time line, in events of ``cuda``.

    Events tell float32 milliseconds between them, so each is held against the one before, and the
    sum is kept in float64. ``calls``: how often one timed call does what is to be reported.
    """

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._seconds = 0.0
        self._last: Any = None
        self.calls = 1

    def __call__(self) -> float:
        event = self._cuda.Event()
        event.record()
        event.synchronize()
        if self._last is not None:
            self._seconds += self._cuda.get_elapsed_time(self._last, event) * 1e-3 / self.calls
        self._last = event
        return self._seconds


def buffers(bytes_per_call: float, cache: int) -> int:
    """Sets of arrays to take turns, so that none is in the cache when its turn comes again."""
    return min(MOST_BUFFERS, max(1, math.ceil(ROTATION * cache / max(bytes_per_call, 1.0))))


def seconds_of(call: Call, timer: Callable[[], float], seconds: float) -> float:
    """Of one call among many that are queued; the first ones are not counted."""
    calls, spent = 1, 0.0
    for _ in range(2):
        call()
    while spent < min(seconds / 5, SHORTEST) and calls < 1 << 16:
        calls *= 2
        started = timer()
        for _ in range(calls):
            call()
        spent = timer() - started
    return spent / calls


def measure(
    benchmark: Any,
    calls: Sequence[Call],
    timer: EventTimer,
    seconds: float,
    capture: Callable[[Call], Call] | None = None,
) -> None:
    """Times calls that take turns; ``capture`` records what a call launches, to be replayed."""
    timer.calls = 1
    call = in_turn(calls)
    once = seconds_of(call, timer, seconds)
    if once < LAUNCH and capture is not None:
        launches = len(calls) * math.ceil(REPLAYED / len(calls))

        def many() -> None:
            for _ in range(launches):
                call()

        call = capture(many)
        once = seconds_of(call, timer, seconds)
        benchmark.extra_info["launches_in_graph"] = timer.calls = launches
    rounds, iterations = plan(once, seconds, SHORTEST)
    benchmark.pedantic(call, rounds=rounds, iterations=iterations, warmup_rounds=1)


def captured(cuda: Any) -> Callable[[Call], Call]:
    """Records through CuPy on the current stream, which must not be the default one."""

    def capture(call: Call) -> Call:
        stream = cuda.get_current_stream()
        stream.begin_capture(cuda.runtime.streamCaptureModeRelaxed)
        try:
            call()
        finally:
            graph = stream.end_capture()
        graph.upload(stream)
        return lambda: graph.launch(stream)

    return capture
