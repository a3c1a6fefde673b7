"""How a call is timed: warm-up, calibrated rounds, and whose clock.

On the CPU pytest-benchmark's own timer; on a GPU see ``gpu_timing``.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from threadpoolctl import threadpool_limits

Call = Callable[[], object]

SHORTEST = 1e-3  # seconds of a round: some ten thousand ticks of the clock
LEAST, MOST = 5, 500  # rounds
PATIENCE = 4  # where a call is long: at most so many times the seconds asked for, and 3 rounds

# A thread that slept is often woken on the core of the one that wakes it, and for some 50 ms two
# of them run at the speed of one: this long a call is warmed up, at least.
SETTLED = 0.1


def plan(once: float, seconds: float, shortest: float = SHORTEST) -> tuple[int, int]:
    """(rounds, iterations in each) for a call that takes ``once``, in about ``seconds``."""
    iterations = max(1, math.ceil(shortest / max(once, 1e-9)))
    per_round = once * iterations
    rounds = max(LEAST, round(seconds / per_round))
    if rounds * per_round > PATIENCE * seconds:
        rounds = max(3, round(PATIENCE * seconds / per_round))
    return min(rounds, MOST), iterations


# ``with one_thread():`` for what is computed before a call is timed: a BLAS that has used its
# threads leaves them spinning for 100 ms, and whoever is timed next has half the cores.
one_thread = partial(threadpool_limits, limits=1, user_api="blas")


def warm_up(call: Call, seconds: float) -> float:
    """Calls for SETTLED or a fifth of ``seconds``, five at least unless they are long; the median
    of the last half."""
    took: list[float] = []
    spent = 0.0
    while len(took) < 2 or spent <= max(SETTLED, seconds if len(took) < 5 else seconds / 5):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
        spent += took[-1]
        if took[0] > PATIENCE * seconds:
            break
    return statistics.median(took[len(took) // 2 :])


def in_turn(calls: Sequence[Call]) -> Call:
    """One of them after the other, a call at a time."""
    if len(calls) == 1:
        return calls[0]
    turn = itertools.cycle(calls)

    def call() -> None:
        next(turn)()

    return call


def measure(benchmark: Any, call: Call, seconds: float) -> None:
    """Times a call that is over when it returns."""
    rounds, iterations = plan(warm_up(call, seconds), seconds)
    benchmark.pedantic(call, rounds=rounds, iterations=iterations, warmup_rounds=1)
