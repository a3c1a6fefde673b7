"""Time a training step of two ranks of MPI, beside one process of one and of two threads.

Each way has processes of its own; they take turns, the last one first in every other turn, and the
best median of a way counts. "to 1 x 2" is the speed of two ranks of one thread by that of one
process of two threads. ``summing`` is the part of a rank's step after its gradient: waiting for the
other rank, the sum, the update. The table, with the times and the ratio of each turn, is kept as
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import machine, versions
from tinyae.cli.output import write_json

NETS = {"deep": ((1000, 500, 250), 30), "small": ((128,), 32)}
CASES = [("deep", 512), ("deep", 2048), ("small", 128), ("small", 1024)]
N_FEATURES, SAMPLES = 784, 8192
RESULT = Path(__file__).parent / "results" / "scaling.json"
WAYS = {"1 x 1": (1, 1), "1 x 2": (1, 2), "2 x 1": (2, 1)}  # processes x threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="for each case in each turn")
    parser.add_argument("--turns", type=int, default=2, help="of each way")
    parser.add_argument("--out", type=Path, default=RESULT, metavar="FILE", help="the JSON")
    parser.add_argument("--worker", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch: the "
                        "same by its DistributedDataParallel (gloo)")  # fmt: skip
    parser.add_argument("--messages", action="store_true", help="without memory that ranks share")
    given = parser.parse_args()
    if given.worker is not None:
        measure(given.worker, given.seconds, given.messages)
        return
    found: dict[str, list[list[tuple[float, float]]]] = {way: [] for way in WAYS}
    rivals: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for turn in range(given.turns):
        for way, (processes, threads) in [*WAYS.items()][:: -1 if turn % 2 else 1]:
            if given.torch:
                rivals[way].append(by_torch(given.torch, processes, threads, given.seconds))
            found[way].append(worker(processes, threads, given.seconds, given.messages))
    best = {way: [min(turns) for turns in zip(*found[way], strict=True)] for way in WAYS}
    rows = []
    header = " ".join(f"{f'{way}, ms':>10}" for way in WAYS)
    print(f"{'net':6} {'batch':>5} {header} {'to 1 x 1':>9} {'to 1 x 2':>9} {'summing':>8}")
    for i, (net, batch) in enumerate(CASES):
        one, two, ranks = (best[way][i][0] for way in WAYS)
        times = " ".join(f"{1e3 * seconds:10.2f}" for seconds in (one, two, ranks))
        part = best["2 x 1"][i][1]
        print(f"{net:6} {batch:5} {times} {one / ranks:9.2f} {two / ranks:9.2f} {part:8.1%}")
        turns = {way: [turn[i][0] for turn in found[way]] for way in WAYS}
        row = {"net": net, "batch": batch, "to 1 x 1": one / ranks, "to 1 x 2": two / ranks,
               "summing": part, "seconds": turns, "to 1 x 2, by turn": [
                   a / b for a, b in zip(turns["1 x 2"], turns["2 x 1"], strict=True)
               ]}  # fmt: skip
        rows.append(row)
        if given.torch:
            one, two, ranks = (min(turn[i] for turn in rivals[way]) for way in WAYS)
            times = " ".join(f"{1e3 * seconds:10.2f}" for seconds in (one, two, ranks))
            print(f"{'  DDP':12} {times} {one / ranks:9.2f} {two / ranks:9.2f}")
            row["DDP, seconds"] = {way: [turn[i] for turn in rivals[way]] for way in WAYS}
    about = {"date": time.strftime("%F"), "machine": machine(), "versions": versions()}
    write_json(given.out, {"rows": rows, "messages": given.messages, **about})


def by_torch(python: str, processes: int, threads: int, seconds: float) -> list[float]:
    """Seconds of a step of each case."""
    script = Path(__file__).parent / "contestants" / "scaling_torch.py"
    with tempfile.TemporaryDirectory() as folder:
        rest = [str(processes), str(threads), str(seconds), f"{folder}/meet"]
        started = [
            subprocess.Popen([python, str(script), str(rank), *rest], stdout=subprocess.PIPE)
            for rank in range(processes)
        ]
        out = [process.communicate()[0] for process in started]
    found: list[float] = json.loads(out[0])
    return found


def worker(
    processes: int, threads: int, seconds: float, messages: bool = False
) -> list[tuple[float, float]]:
    """Of each case (seconds of a step, part of it after the gradient)."""
    command = [__file__, "--worker", str(threads), "--seconds", str(seconds)]
    done = launched(processes, [*command, *(["--messages"] if messages else [])])
    return [(seconds, part) for seconds, part in json.loads(done)]


def launched(processes: int, command: list[str]) -> str:
    """What so many processes of Python print."""
    command = [sys.executable, *command]
    if processes > 1:
        beside = Path(sys.executable).parent / "mpirun"
        mpirun = str(beside) if beside.exists() else "mpirun"
        command = [mpirun, "-n", str(processes), *command]
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | allowed
    )
    return done.stdout


def measure(threads: int, seconds: float, messages: bool) -> None:
    """Prints [seconds of a step, part of it after the gradient] for each case, from rank 0."""
    from tinyae.parallel import launch, sums

    if messages:
        sums.shared_memory = lambda *_: None
    comm = launch.world()
    found = [step(net, batch, threads, seconds, comm) for net, batch in CASES]
    if comm is None or comm.rank == 0:
        print(json.dumps(found))


def made(net: str, batch: int, threads: int) -> Any:
    from tinyae import Autoencoder

    hidden, code = NETS[net]
    return Autoencoder(
        hidden=hidden, code=code, output="sigmoid", loss="bce", backend="numba", threads=threads,
        batch_size=batch, random_state=0,
    ).initialize(N_FEATURES)  # fmt: skip


def parameters(net: str) -> int:
    hidden, code = NETS[net]
    widths = (N_FEATURES, *hidden, code, *hidden[::-1], N_FEATURES)
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))


def step(net: str, batch: int, threads: int, seconds: float, comm: Any) -> tuple[float, float]:
    from tinyae.building import ALONE
    from tinyae.data.rows import Rows
    from tinyae.parallel.team import Team
    from tinyae.train.batches import Feeder

    ae = made(net, batch, threads)
    pixels = np.random.default_rng(0).integers(0, 256, (SAMPLES, N_FEATURES), np.uint8)
    took: list[tuple[float, float]] = []
    with ALONE if comm is None else Team(comm) as ranks, ae._limited_threads():
        work = ae._work(ae._params(), 0, batch, fused=True, ranks=ranks)
        feeder = Feeder(work.network.backend, Rows(pixels), batch, "float32", resident=True)
        order, reducing = feeder.order(0, 0, True), [0.0]

        def timed(do: Callable[..., None]) -> Callable[..., None]:
            def run(*arguments: Any) -> None:
                started = time.perf_counter()
                do(*arguments)
                reducing[0] += time.perf_counter() - started

            return run

        if work.reduce is not None:
            work.reduce = timed(work.reduce)
            work._update = timed(work._update)  # type: ignore[method-assign]
        began, step, repeats = time.perf_counter(), 0, 20 if net == "small" else 1
        while ranks.once(lambda: time.perf_counter() - began < seconds) or len(took) < 4:
            started, reducing[0] = time.perf_counter(), 0.0
            for _ in range(repeats):
                start = step * batch % (SAMPLES - batch + 1)
                positions = order.positions(start, start + batch)
                numbers = work.optimizer.next_numbers(1e-3)
                work.run(feeder, positions, batch, numbers, work.totals)
                step += 1
            spent = time.perf_counter() - started
            took.append((spent / repeats, reducing[0] / spent))
    took = sorted(took[1:])
    return took[len(took) // 2]


if __name__ == "__main__":
    main()
