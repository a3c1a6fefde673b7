"""How long a GPU takes for what it is sent, by its own clock."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from ...kernels.cuda.runner import Runner

Work = Callable[[], None]
Timer = Callable[[Work], float]  # seconds of one call

LAUNCHES, REPLAYS = 10, 7
CALLS = LAUNCHES * (REPLAYS + 1)  # of the work, until its time is known


def gpu_timer(runner: Runner, graph: bool = True) -> Timer:
    """Times calls by events. ``graph``: the launches of several are recorded and replayed, so that
    launching does not count; else calls follow one another as they are."""
    import cupy

    def seconds(work: Work) -> float:
        def several() -> None:
            for _ in range(LAUNCHES):
                work()

        replay, times = runner.record(several) if graph else several, []
        for _ in range(REPLAYS + 1):
            start, stop = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            replay()
            stop.record()
            stop.synchronize()
            times.append(float(cupy.cuda.get_elapsed_time(start, stop)) * 1e-3 / LAUNCHES)
        return median(times[1:])  # the first one brings the graph to the GPU

    return seconds
