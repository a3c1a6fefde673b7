"""Scale on paper: the time of a step on 2 to 256 ranks, from what one rank and two are measured at.

    step(k ranks, n rows each) = a + b n + (2 (k - 1) + log2 k) latency
                                 + 2 (k - 1) / k M / bandwidth + M / s

a and b are fitted to steps of one rank on one core which shares with nobody (a holds the update,
which every rank makes, and what it does to share); one process by itself has its own. M
are the bytes of the gradient; the 2 (k - 1) messages are those of ``parallel.sums.Sum`` (a part to
every rank, the sum of the parts back), the log2 k those of the losses before; s is the speed at
which a rank adds up. With ``--check`` the same formula, its latency and bandwidth measured between
two ranks of this machine, is laid beside measured steps of 1 to 4 ranks. Where there are more ranks
than cores, the fullest core has r = ceil(k / cores) of them, the others wait for it without leaving
theirs (``talk.wait`` looks for a second before it sleeps), so that computing takes r times as long,
and a message waits for its receiver's turn on the core: latency and bandwidth are then those of two
ranks on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import scaling

# (name, seconds from sending to receiving, bytes a second): assumed, as vendors and users report
NETWORKS = (("10 Gb/s", 30e-6, 1.25e9), ("100 Gb/s", 3e-6, 12.5e9))
RANKS = (2, 4, 8, 16, 32, 64, 128, 256)
ROWS = (16, 64, 256, 512)  # of one rank, to fit a and b
STRONG, WEAK = 4096, 512  # samples of all ranks, of each rank
GOOD = 0.8  # the part of a step that is no communication, at least


class Model:
    """Of a net: ``fixed`` + ``row`` n seconds on one core, ``size`` bytes of gradient."""

    def __init__(self, fixed: float, row: float, size: int, add: float) -> None:
        self.fixed, self.row, self.size, self.add = fixed, row, size, add

    def communication(self, k: int, latency: float, bandwidth: float) -> float:
        if k == 1:
            return 0.0
        sent = 2 * (k - 1) / k * self.size / bandwidth
        return (2 * (k - 1) + math.ceil(math.log2(k))) * latency + sent + self.size / self.add

    def compute(self, rows: float, cores: float) -> float:
        return (self.fixed + self.row * rows) / cores

    def least_rows(self, k: int, latency: float, bandwidth: float, cores: float) -> float:
        """Of each rank, so that the part ``GOOD`` of a step is computing."""
        time = GOOD / (1 - GOOD) * self.communication(k, latency, bandwidth)
        return max(0.0, (time * cores - self.fixed) / self.row)


def fitted(net: str, seconds: float, comm: Any) -> Model:
    """By steps of one rank on one core; rows are weighted so that relative errors count."""
    times = [scaling.step(net, rows, 1, seconds, comm)[0] for rows in ROWS]
    design = np.array([[1.0, rows] for rows in ROWS]) / np.array(times)[:, None]
    fixed, row = np.linalg.lstsq(design, np.ones(len(ROWS)), rcond=None)[0]
    size = 4 * scaling.parameters(net)
    a, b = np.ones((2, size // 4), np.float32)
    started, n = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        a += b
        n += 1
    add = size * n / (time.perf_counter() - started)
    return Model(max(float(fixed), 0.0), float(row), size, add)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="for each case")
    parser.add_argument("--cores", type=float, default=8, help="of a rank, taken to be as many "
                        "times as fast as the one that is measured")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="lay the formula beside 1 to 4 ranks")
    parser.add_argument("--plot", type=Path, help="a .png of the speed-ups")
    parser.add_argument(
        "--worker", choices=("model", "rank", "link", "turns"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.worker in ("model", "rank"):
        comm = alone() if given.worker == "rank" else None
        found = {net: vars(fitted(net, given.seconds, comm)) for net in scaling.NETS}
        print(json.dumps(found))
    elif given.worker:
        if given.worker == "turns":
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        link = measured_link(given.seconds)
        if link:
            print(json.dumps(link))
    else:
        models, ranks = (
            {net: Model(**found) for net, found in run(1, what, given.seconds).items()}
            for what in ("model", "rank")
        )
        show(ranks, given.cores)
        if given.check:
            check(models, ranks, given.seconds)
        if given.plot:
            draw(ranks, given.cores, given.plot)


def run(processes: int, what: str, seconds: float) -> Any:
    command = [__file__, "--worker", what, "--seconds", str(seconds)]
    return json.loads(scaling.launched(processes, command))


def alone() -> Any:
    """The communicator of one rank: its messages are copies, its sums are of one gradient."""
    from mpi4py import MPI

    return MPI.COMM_SELF


def measured_link(seconds: float) -> tuple[float, float] | None:
    """(latency, bandwidth) between two ranks, from what a step sends for a gradient of 8 bytes and
    of 11 MB; from the first rank."""
    from tinyae.parallel import launch
    from tinyae.parallel.sums import Sum
    from tinyae.parallel.talk import ALL_HERE, wait

    world, took = launch.world(), []
    sizes = (2, scaling.parameters("deep"))
    for comm, size in ((comm, size) for comm in (world, alone()) for size in sizes):
        told, heard = np.zeros(4), np.zeros((comm.size, 4))
        flat = SimpleNamespace(size=size, dtype="float32")
        adding = Sum(comm, SimpleNamespace(parameters=flat))  # type: ignore[arg-type]
        gradients, weights = np.ones(size, np.float32), np.full(comm.size, 1 / comm.size)
        times, until = [], time.perf_counter() + seconds
        while comm.bcast(len(times) < 5 or time.perf_counter() < until):
            started, repeats = time.perf_counter(), 200 if size == 2 else 4
            for _ in range(repeats):
                wait(comm.Iallgather(told, heard), spin=ALL_HERE)
                adding._add(gradients, weights)
            times.append((time.perf_counter() - started) / repeats)
        took.append(float(np.median(times)))
    if world.rank:
        return None
    # what a rank does that shares with nobody is in its step
    small, large = took[0] - took[2], took[1] - took[3]
    return small / 3, 4 * sizes[1] / (large - small)  # adding up is in the latter


def show(models: dict[str, Model], cores: float) -> None:
    for net, m in models.items():
        print(f"{net}: {1e3 * m.fixed:.2f} ms + {1e6 * m.row:.2f} us a row on one core, "
              f"{m.size / 1e6:.1f} MB of gradient, added up at {m.add / 1e9:.1f} GB/s")  # fmt: skip
        print(f"ranks of {cores:g} cores; strong: {STRONG} samples a step, weak: {WEAK} a rank; "
              f"rows: of a rank, for {GOOD:.0%} of computing")  # fmt: skip
        print("ranks  " + "  ".join(f"{f'{name}: strong':>16} {'weak':>6} {'rows':>6}"
                                    for name, *_ in NETWORKS))  # fmt: skip
        for k in RANKS:
            cells = []
            for _, latency, bandwidth in NETWORKS:
                strong, weak = speedups(m, k, latency, bandwidth, cores)
                rows = m.least_rows(k, latency, bandwidth, cores)
                cells.append(f"{strong:16.1f} {weak:6.1f} {rows:6.0f}")
            print(f"{k:5}  " + "  ".join(cells))
        print()


def speedups(
    m: Model, k: int, latency: float, bandwidth: float, cores: float
) -> tuple[float, float]:
    """(strong, weak): times the samples a second of one rank."""
    waits = m.communication(k, latency, bandwidth)
    strong = m.compute(STRONG, cores) / (m.compute(STRONG / k, cores) + waits)
    weak = k * m.compute(WEAK, cores) / (m.compute(WEAK, cores) + waits)
    return strong, weak


def check(models: dict[str, Model], ranks: dict[str, Model], seconds: float) -> None:
    links = {where: run(2, where, seconds) for where in ("link", "turns")}
    cores = len(os.sched_getaffinity(0))
    for where, (latency, bandwidth) in zip(("two cores", "one core"), links.values(), strict=True):
        print(f"two ranks on {where}: {1e6 * latency:.0f} us, {bandwidth / 1e9:.2f} GB/s")
    print(f"{cores} cores")
    print(f"{'net':6} {'batch':>5} {'ranks':>5} {'measured':>9} {'model':>8} {'off':>6}  (ms)")
    for k in (1, 2, 3, 4):
        measured = scaling.worker(k, 1, seconds, messages=True)
        for (net, batch), (took, _) in zip(scaling.CASES, measured, strict=True):
            m = (models if k == 1 else ranks)[net]
            turns = math.ceil(k / cores)
            latency, bandwidth = links["link" if turns == 1 else "turns"]
            # what is added up is part of the bandwidth that was measured
            waits = m.communication(k, latency, bandwidth) - (m.size / m.add if k > 1 else 0.0)
            model = turns * m.compute(batch / k, 1) + waits
            print(f"{net:6} {batch:5} {k:5} {1e3 * took:9.2f} {1e3 * model:8.2f} "
                  f"{model / took - 1:+6.0%}")  # fmt: skip


def draw(models: dict[str, Model], cores: float, path: Path) -> None:
    from tinyae.plot.style import BLUE, INK, ORANGE, PLAIN, new_figure, save, styled

    figure = new_figure(470 * len(models), 380)
    for i, (net, m) in enumerate(models.items()):
        axes = styled(figure.add_subplot(1, len(models), i + 1), "ranks", "times one rank")
        axes.set_title(f"{net} net, ranks of {cores:g} cores", loc="left", fontsize=11, color=INK)
        for (name, latency, bandwidth), colour in zip(NETWORKS, (ORANGE, BLUE), strict=True):
            found = [speedups(m, k, latency, bandwidth, cores) for k in RANKS]
            for way, style, j in ((f"weak, {WEAK} a rank", "-", 1), (f"strong, {STRONG}", "--", 0)):
                axes.plot(RANKS, [f[j] for f in found], style, color=colour, lw=1.6,
                          label=f"{way}, {name}")  # fmt: skip
        axes.plot(RANKS, RANKS, ":", color=INK, lw=1, label="as many times as ranks")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.legend(**PLAIN)
    figure.tight_layout(pad=1.2, w_pad=2.5)
    save(figure, path)


if __name__ == "__main__":
    main()
