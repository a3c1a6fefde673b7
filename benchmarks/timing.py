"""How a call is timed: warm-up, calibrated rounds, and whose clock.

On the CPU pytest-benchmark's own timer; on a GPU see ``gpu_timing``.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

Call = Callable[[], object]

SHORTEST = 1e-3  # seconds of a round: some ten thousand ticks of the clock
LEAST, MOST = 5, 500  # rounds
PATIENCE = 4  # where a call is long: at most so many times the seconds asked for, and 3 rounds


def plan(once: float, seconds: float, shortest: float = SHORTEST) -> tuple[int, int]:
    """(rounds, iterations in each) for a call that takes ``once``, in about ``seconds``."""
    iterations = max(1, math.ceil(shortest / max(once, 1e-9)))
    per_round = once * iterations
    rounds = max(LEAST, round(seconds / per_round))
    if rounds * per_round > PATIENCE * seconds:
        rounds = max(3, round(PATIENCE * seconds / per_round))
    return min(rounds, MOST), iterations


def warm_up(call: Call, seconds: float) -> float:
    """Calls for a fifth of ``seconds``, five at least unless they are long; the fastest call."""
    best, spent, calls = math.inf, 0.0, 0
    while calls < 1000 and (calls < 2 or spent < (seconds if calls < 5 else seconds / 5)):
        started = time.perf_counter()
        call()
        took = time.perf_counter() - started
        best, spent, calls = min(best, took), spent + took, calls + 1
        if took > PATIENCE * seconds:
            break
    return best


def in_turn(calls: Sequence[Call]) -> Call:
    """One of them after the other, a call at a time."""
    if len(calls) == 1:
        return calls[0]
    turn = itertools.cycle(calls)
    return lambda: next(turn)()


def measure(benchmark: Any, call: Call, seconds: float) -> None:
    """Times a call that is over when it returns."""
    rounds, iterations = plan(warm_up(call, seconds), seconds)
    benchmark.pedantic(call, rounds=rounds, iterations=iterations, warmup_rounds=1)
