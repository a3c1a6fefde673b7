"""What a recorded step gains by making dw on a branch, beside dx: on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks import gpu_timing
from benchmarks.contestants import own

SECONDS = 0.3  # for each time
TURNS = 3


def measure(
    runner: Any, cuda: Any, nets: Iterable[str], batches: Iterable[int], say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Seconds of a step with and without the branch, for each net and batch size; the least of
    turns that alternate. ``runner``: the class whose ``branching`` says which."""
    rows: list[dict[str, Any]] = []
    try:
        for net, batch in ((net, batch) for net in nets for batch in batches):
            found: dict[bool, list[float]] = {True: [], False: []}
            for turn in range(2 * TURNS):
                runner.branching = turn % 2 == 0
                run = own.load("cupy").step(net, batch).run
                for _ in range(3):  # as it is, recorded, replayed
                    run()
                timer = gpu_timing.EventTimer(cuda)
                found[runner.branching].append(gpu_timing.seconds_of(run, timer, SECONDS))
            row = {
                "net": net,
                "batch": batch,
                "beside": min(found[True]),
                "after": min(found[False]),
            }
            say(f"  {net}, batch {batch}: {row['after'] / row['beside']:.2f} times as fast")
            rows.append(row)
    finally:
        runner.branching = True
    return rows
