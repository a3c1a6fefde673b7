"""Threads on paper: the time of a step of the deep net on 1 to 64 cores, from the rates of one.

    product    depth (h w + PACKING (h + w)) / rate: h rows and w columns are a thread's block of c
               by ``matmul.share``. Each packs its own rows of a and columns of b, so that a row of
               blocks packs the same rows. Of dw each has rows, and all pack the whole of dz
    update     the bytes of Adam / rate of one core, on at most MEMORY cores: more wait for memory
    the rest   gather, loss, activations, derivatives: a time for each sample, shared by all
    barriers   one after each phase: measured on two threads, and times log2(threads) beyond

The first rate is that of one product on one thread, update and rest are fitted to steps of one
thread; all cores are assumed to be as fast when all work. Measured steps of all cores here stand
beside it.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import scaling
from tinyae.kernels.columns import get_backend
from tinyae.kernels.cpu import cores, threads
from tinyae.kernels.cpu.pieces import Kernel
from tinyae.kernels.cpu.product.matmul import PACKING, share

BATCHES = (128, 512, 2048)
CORES = (1, 2, 4, 8, 16, 32, 64)
MEMORY = 8  # cores whose updates together are as fast as the memory: assumed


def products(widths: list[int], batch: int, p: int) -> float:
    """Multiply-adds of the slowest thread of p, packing among them."""
    like = np.empty(0, np.float32)

    def slowest(m: int, n: int, depth: int) -> float:
        blocks = (share(m, n, t, p, like) for t in range(p))
        return depth * max(cost(bottom - top, right - left) for top, bottom, left, right in blocks)

    total = 0.0
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        total += slowest(batch, n_out, n_in) + batch * cost(-(-n_in // p), n_out)
        total += slowest(batch, n_in, n_out) if i else 0
    return total


def cost(h: int, w: int) -> int:
    return h * w + PACKING * (h + w) if h and w else 0


def multiply_add(seconds: float) -> float:
    """Seconds of one, in a product on one thread."""
    m, depth, n = 2048, 1000, 500
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s, np.float32) for s in ((m, depth), (depth, n)))
    y, b = np.empty((m, n), np.float32), np.zeros(n, np.float32)
    forward = get_backend("numba").unchecked.dense_forward
    with threads.limited(1):
        took = median(lambda: forward(x, w, b, "identity", y, None), seconds)
    return took / (depth * cost(m, n))


def median(do: Callable[[], None], seconds: float) -> float:
    """Seconds that it takes, after a first time."""
    do()
    took, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        do()
        took.append(time.perf_counter() - started)
    return float(np.median(took))


@Kernel
def _nothing(at: object, _: int, t: int, threads: int) -> None:
    pass


def barrier(seconds: float) -> float:
    """Seconds of a phase of two threads in which nothing is done."""
    return median(lambda: threads.launch(_nothing, np.empty(1), threads=2), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="for each case")
    given = parser.parse_args()
    hidden, code = scaling.NETS["deep"]
    widths = [scaling.N_FEATURES, *hidden, code, *hidden[::-1], scaling.N_FEATURES]
    phases = 2 * len(widths)  # of n layers: n, the loss, n + 1 back, as updates come a phase later

    def step(batch: int, p: int) -> float:
        return scaling.step("deep", batch, p, given.seconds, None)[0]

    work, wait = multiply_add(given.seconds), barrier(given.seconds)
    one = np.array([step(batch, 1) for batch in BATCHES])
    others = one - [work * products(widths, batch, 1) for batch in BATCHES]
    parts = np.array([[batch, 1.0] for batch in BATCHES])  # relative errors count
    found = np.linalg.lstsq(parts / one[:, None], others / one, rcond=None)[0]
    rest, update = (max(float(x), 0.0) for x in found)
    print(f"{1e-9 / work:.0f} G multiply-adds a second, {1e6 * rest:.2f} us a sample, "
          f"{1e3 * update:.2f} ms of Adam, {1e6 * wait:.1f} us a barrier")  # fmt: skip

    def model(batch: int, p: int) -> float:
        waits = phases * wait * math.log2(p)
        shared = rest * batch / p + update / min(p, MEMORY)
        return work * products(widths, batch, p) + shared + waits

    print("cores  " + "  ".join(f"B = {batch:4}, ms   faster" for batch in BATCHES))
    for p in CORES:
        cells = (f"{1e3 * model(b, p):12.2f} {model(b, 1) / model(b, p):8.1f}" for b in BATCHES)
        print(f"{p:5}  " + "  ".join(cells))
    for batch in BATCHES:
        even, took = work * products(widths, batch, 1) / p, model(batch, p)
        more = work * products(widths, batch, p) - even
        adam, waits = update / min(p, MEMORY), phases * wait * math.log2(p)
        print(f"{p} cores, B = {batch}: an even share of the products {even / took:.0%}, packing "
              f"again and uneven shares {more / took:.0%}, Adam {adam / took:.0%}, "
              f"barriers {waits / took:.0%}")  # fmt: skip
    here = cores.threads()[0]
    for batch in BATCHES:
        took = step(batch, here)
        print(f"measured on {here}, B = {batch}: {1e3 * took:.2f} ms; "
              f"on paper {model(batch, here) / took - 1:+.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
