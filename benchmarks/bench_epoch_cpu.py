"""Whole epochs on the CPU, tinyae's numba backend beside PyTorch: one command, one table.

    python benchmarks/bench_epoch_cpu.py            # about five minutes; wants pip install torch
    python -m pytest benchmarks/bench_epoch_cpu.py  # each cell's result checked, then timed

Every rival trains the same net on the same uint8 pixels: shuffled, gathered, scaled to float32,
cross-entropy on logits, Adam. Each lives in a process of its own, with its own default threads
(or OMP_NUM_THREADS); the processes take turns, one at work at a time, several rounds over, and
the table has the median of the rounds. Whatever it takes to compile happens before.

    numba            Autoencoder.fit(..., backend="numba")
    torch eager      the fused Adam, forward and backward in eager mode
    torch compiled   the same, forward and backward through torch.compile
    own products     the matrix products of numba's steps alone, by the same kernels
    BLAS products    the same products by np.matmul
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NETS = {"deep": (1000, 500, 250, 30), "small": (128, 32)}  # hidden widths and the code's
BATCHES = (32, 128, 512, 2048)
CELLS = [(net, batch) for net in NETS for batch in BATCHES]
N_FEATURES = 784
RIVALS = ("torch eager", "torch compiled")
RESULTS = Path(__file__).parent / "results" / "epoch_cpu.json"


def pixels(batch: int) -> np.ndarray:
    """Samples for one epoch: enough steps to count, few enough for many epochs a second."""
    n = max(2 * batch, 4096)
    return np.random.default_rng(0).integers(0, 256, (n, N_FEATURES), dtype=np.uint8)


def widths(net: str) -> list[int]:
    half = [N_FEATURES, *NETS[net]]
    return half + half[-2::-1]


# ---- the rivals: each returns a function that trains one epoch and gives its mean loss


def numba_epoch(net: str, batch: int, backend: str = "numba") -> Callable[[], float]:
    """An epoch of ``fit``'s loop; the estimator is made and compiled before."""
    from tinyae import Autoencoder, assemble
    from tinyae.rows import Rows
    from tinyae.training import Training

    *hidden, code = NETS[net]
    X = pixels(batch)
    ae = Autoencoder(hidden=hidden, code=code, batch_size=batch, schedule="constant", warmup=0.0,
                     epochs=0, random_state=0, backend=backend).fit(X)  # fmt: skip
    settings = assemble.settings({**ae.get_params(), "epochs": 1}, seed=0)
    training = Training(ae._network, ae._optimizer, settings, Rows(X), None)

    def epoch() -> float:
        training.settings = dataclasses.replace(settings, epochs=training.state.epoch + 1)
        training.run(lambda: None, lambda progress: None)
        return training.state.history["loss"][-1]

    return epoch


def torch_epoch(net: str, batch: int, compiled: bool) -> Callable[[], float]:
    import torch

    torch.manual_seed(0)
    layers: list[Any] = []
    dims = widths(net)
    for i, (n_in, n_out) in enumerate(itertools.pairwise(dims)):
        layers.append(torch.nn.Linear(n_in, n_out))
        if i not in (len(NETS[net]) - 1, len(dims) - 2):  # the code and the logits are linear
            layers.append(torch.nn.ReLU())
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    data = torch.from_numpy(pixels(batch))
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits

    def loss_of(x: Any) -> Any:
        return cross_entropy(model(x), x, reduction="sum") / len(x)

    if compiled:
        torch._dynamo.reset()  # or the second batch size would get code for any size
    forward = torch.compile(loss_of, dynamic=False) if compiled else loss_of

    def epoch() -> float:
        order = torch.randperm(len(data))
        total = torch.zeros(())
        for start in range(0, len(data), batch):
            x = data[order[start : start + batch]].float().div_(255)
            optimizer.zero_grad(set_to_none=True)
            loss = forward(x)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(x)
        return float(total) / len(data)

    return epoch


def products_epoch(net: str, batch: int, blas: bool) -> Callable[[], float]:
    """Forward, dw and (but for the first layer) dx of each layer, for every step of an epoch."""
    from tinyae.kernels.columns import get_backend

    rng = np.random.default_rng(0)
    numba = get_backend("numba")
    calls: list[Callable[[], object]] = []
    dims = widths(net)
    for i, (n_in, n_out) in enumerate(itertools.pairwise(dims)):
        x, w, dz = (
            rng.standard_normal(shape, np.float32)
            for shape in ((batch, n_in), (n_in, n_out), (batch, n_out))
        )
        y, dx, dw, b = np.empty_like(dz), np.empty_like(x), np.empty_like(w), np.zeros(n_out, "f4")
        if blas:
            calls.append(lambda x=x, w=w, y=y: np.matmul(x, w, out=y))
            calls.append(lambda x=x, dz=dz, dw=dw: np.matmul(x.T, dz, out=dw))
            if i:
                calls.append(lambda dz=dz, w=w, dx=dx: np.matmul(dz, w.T, out=dx))
        else:
            db = np.empty_like(b)
            calls.append(
                lambda x=x, w=w, b=b, y=y: numba.dense_forward(x, w, b, "identity", y, None)
            )
            calls.append(
                lambda x=x, dz=dz, dw=dw, db=db: numba.dense_backward_weights(x, dz, dw, db)
            )
            if i:
                calls.append(
                    lambda dz=dz, w=w, x=x, dx=dx: numba.dense_backward_input(
                        dz, w, "identity", x, dx
                    )
                )

    def epoch() -> float:
        for _ in range(len(pixels(batch)) // batch):
            for call in calls:
                call()
        return 0.0

    return epoch


MAKERS: dict[str, Callable[[str, int], Callable[[], float]]] = {
    "numba": numba_epoch,
    "torch eager": lambda net, batch: torch_epoch(net, batch, compiled=False),
    "torch compiled": lambda net, batch: torch_epoch(net, batch, compiled=True),
    "own products": lambda net, batch: products_epoch(net, batch, blas=False),
    "BLAS products": lambda net, batch: products_epoch(net, batch, blas=True),
}

# ---- a worker: one rival's process. A line in names a cell, a line out has its seconds a step


def worker(rival: str) -> None:
    epochs: dict[tuple[str, int], Callable[[], float]] = {}
    steps = {cell: math.ceil(len(pixels(cell[1])) / cell[1]) for cell in CELLS}
    for line in sys.stdin:
        net, batch, budget = json.loads(line)
        cell = (net, batch)
        if cell not in epochs:
            epochs[cell] = MAKERS[rival](net, batch)
            first, second = epochs[cell](), epochs[cell]()  # compiles, and warms up
            assert second < first or "products" in rival, (rival, cell, first, second)
        seconds: list[float] = []
        while not seconds or sum(seconds) < budget:
            start = time.perf_counter()
            loss = epochs[cell]()
            seconds.append(time.perf_counter() - start)
        assert math.isfinite(loss), (rival, cell)
        print(json.dumps(statistics.median(seconds) / steps[cell]), flush=True)


class Worker:
    def __init__(self, rival: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", rival],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def seconds_per_step(self, net: str, batch: int, budget: float) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([net, batch, budget]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        time.sleep(0.02)  # its threads go to sleep
        return float(json.loads(line))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(rounds: int, budget: float, without: list[str]) -> dict[str, dict[str, list[float]]]:
    """rival -> "net batch" -> seconds a step, one number per round."""
    rivals = [name for name in MAKERS if not name.startswith("torch") or has_torch()]
    rivals = [name for name in rivals if name not in without]
    workers = {rival: Worker(rival) for rival in rivals}
    seconds: dict[str, dict[str, list[float]]] = {rival: {} for rival in rivals}
    for net, batch in CELLS:
        for i in range(rounds + 1):
            for rival, process in workers.items():
                took = process.seconds_per_step(net, batch, budget)
                if i > 0:  # the first round is for compiling
                    seconds[rival].setdefault(f"{net} {batch}", []).append(took)
        print(f"{net} {batch} done", file=sys.stderr)
    for process in workers.values():
        process.close()
    return seconds


def has_torch() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


# ---- the table


def summary(seconds: dict[str, dict[str, list[float]]]) -> str:
    """Milliseconds a step, the ratios of each round's times (median), and their mean."""
    rivals = [rival for rival in RIVALS if rival in seconds]
    lines = [
        "                      milliseconds a step (median)                    ratios\n"
        "net    batch    numba  torch eager  torch compiled    torch/numba  /own products  /BLAS"
    ]
    gains = []
    for net, batch in CELLS:
        times = {rival: cells[f"{net} {batch}"] for rival, cells in seconds.items()}
        ours = times["numba"]
        shown = [f"{1e3 * statistics.median(ours):9.3f}"]
        for rival, width in zip(RIVALS, (12, 15), strict=True):
            value = f"{1e3 * statistics.median(times[rival]):.3f}" if rival in times else "-"
            shown.append(f"{value:>{width}}")
        if rivals:
            # the faster of its modes, in the same round
            gain = statistics.median(
                min(of_round) / own
                for own, *of_round in zip(ours, *(times[r] for r in rivals), strict=True)
            )
            gains.append(gain)
            shown.append(f"{gain:15.2f}")
        else:
            shown.append(f"{'-':>15}")
        for floor, width in (("own products", 15), ("BLAS products", 7)):
            ratios = [a / b for a, b in zip(ours, times[floor], strict=True)]
            shown.append(f"{statistics.median(ratios):{width}.2f}")
        lines.append(f"{net:6}{batch:6}" + "".join(shown))
    if gains:
        mean = math.exp(statistics.fmean(map(math.log, gains)))
        lines.append(f"geometric mean of torch / numba: {mean:.2f}; smallest: {min(gains):.2f}")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    import numba

    from tinyae.kernels.columns import get_backend
    from tinyae.kernels.numba_compile import VECTOR_BYTES

    get_backend("numba")
    facts: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "load before": [round(load, 1) for load in os.getloadavg()]
        if hasattr(os, "getloadavg")
        else "unknown",
        "threads": numba.get_num_threads(),
        "vector bytes": VECTOR_BYTES,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
    }
    if has_torch():
        import torch

        facts |= {"torch": torch.__version__, "torch threads": torch.get_num_threads()}
    return facts


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


# ---- pytest


@pytest.mark.parametrize(("net", "batch"), CELLS)
@pytest.mark.parametrize("backend", ("numba", "numpy"))
def test_epoch(benchmark: Any, backend: str, net: str, batch: int) -> None:
    """The losses of two epochs are NumPy's, then the next are timed."""
    epoch, reference = numba_epoch(net, batch, backend), numba_epoch(net, batch, "numpy")
    for _ in range(2):
        assert epoch() == pytest.approx(reference(), rel=1e-3)
    benchmark.pedantic(epoch, rounds=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.7, help="per rival, cell and round")
    parser.add_argument(
        "--without", action="append", default=[], choices=RIVALS, help="a rival to leave out"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker)
        return
    facts, start = machine(), time.perf_counter()
    seconds = measure(given.rounds, given.seconds, given.without)
    table = summary(seconds)
    print(*(f"{name}: {value}" for name, value in facts.items()), sep=", ")
    print(table)
    print(f"measured in {time.perf_counter() - start:.0f} s")
    given.out.parent.mkdir(exist_ok=True)
    result = {
        "arguments": sys.argv[1:],
        "machine": facts,
        "seconds per step": seconds,
        "table": table.splitlines(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
