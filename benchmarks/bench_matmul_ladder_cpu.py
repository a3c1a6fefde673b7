"""GFLOP/s of each rung of ``kernels/matmul_ladder_numba.py``, beside BLAS, for one product.

python benchmarks/bench_matmul_ladder_cpu.py [m] [k] [n]
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from tinyae.kernels.matmul_ladder_numba import RUNGS


def main(m: int = 512, k: int = 784, n: int = 1000) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((m, k), np.float32)
    b = rng.standard_normal((k, n), np.float32)
    c = np.empty((m, n), np.float32)
    exact = a.astype(np.float64) @ b
    print(f"({m}, {k}) @ ({k}, {n}), float32")
    for name, rung in {**RUNGS, "BLAS, with threads": np.matmul}.items():
        c[:] = np.nan
        rung(a, b, c)  # compiles
        assert np.abs(c - exact).max() < 1e-4 * k, name
        seconds = []
        while len(seconds) < 3 or (sum(seconds) < 1 and len(seconds) < 50):
            start = time.perf_counter()
            rung(a, b, c)
            seconds.append(time.perf_counter() - start)
        print(f"{name:20}{2 * m * k * n / statistics.median(seconds) / 1e9:9.1f} GFLOP/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
