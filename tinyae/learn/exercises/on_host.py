"""Runs the kernel ``product`` of a .cu file on the CPU, in a process that it may bring down.

    python -m tinyae.learn.exercises.on_host FILE.cu GIVEN.npz C.npy

Around the arrays lies NaN. C.npy is empty where the kernel wrote outside of c.
"""

from __future__ import annotations

import sys

import numpy as np

from ...kernels.cuda_host.host import HostRunner
from ...kernels.grids import blocks
from .kernels import BEFORE, FLAGS

TILE = 16
ROOM = 4096  # numbers before and behind


def main(file: str, given: str, made: str) -> None:
    with np.load(given) as arrays:
        a, b = arrays["a"], arrays["b"]
    (m, k), n = a.shape, b.shape[1]
    c = np.full((m, n), BEFORE)
    rooms = [np.concatenate([np.full(ROOM, np.nan), x.ravel(), np.full(ROOM, np.nan)])
             for x in (a, b, c)]  # fmt: skip
    inside = [room[ROOM : len(room) - ROOM] for room in rooms]
    args = (*inside, *(np.int32(size) for size in (m, n, k)))
    grid = (blocks(n, TILE), blocks(m, TILE), 1)
    HostRunner(FLAGS).run(file, "product", "float64", grid, (TILE, TILE, 1), args)
    around = np.concatenate([rooms[2][:ROOM], rooms[2][-ROOM:]])
    np.save(made, inside[2].reshape(m, n) if np.isnan(around).all() else np.empty(0))


if __name__ == "__main__":
    main(*sys.argv[1:])
