"""The matrix product in Numba, one idea at a time: c (m, n) = a (m, k) @ b (k, n).

    naive          the definition: one number of c after the other
    by_rows        k outside, columns inside: rows are contiguous, so the inner loop vectorises
    blocked        a block of b is used for all rows of a while it is in the cache
    in_tiles       a tile of c stays in registers while k runs (``tile``, ``matmul``)
    with_threads   the columns of c are shared: what ``dense`` does

``tinyae bench --only ladder`` times the rungs beside BLAS.
"""

from __future__ import annotations

from typing import Any

from numba import prange
from numpy.typing import NDArray

from ..scratch import borrow
from .compiling import jit
from .matmul import link, product, room_size, share
from .threads import launch, threads_for

Array = NDArray[Any]

BLOCK_K, BLOCK_N = 128, 512  # 256 kB of float32: half of a second-level cache


@jit()
def naive(a: Array, b: Array, c: Array) -> None:
    (m, depth), n = a.shape, b.shape[1]
    for i in range(m):
        for j in range(n):
            total = a.dtype.type(0)
            for k in range(depth):
                total += a[i, k] * b[k, j]
            c[i, j] = total


@jit()
def by_rows(a: Array, b: Array, c: Array) -> None:
    m, depth = a.shape
    for i in range(m):
        row = c[i]
        row[:] = 0
        for k in range(depth):
            _add_scaled(a[i, k], b[k], row)


@jit()
def blocked(a: Array, b: Array, c: Array) -> None:
    (m, depth), n = a.shape, b.shape[1]
    c[:] = 0
    for left in range(0, n, BLOCK_N):
        columns = slice(left, min(left + BLOCK_N, n))
        for top in range(0, depth, BLOCK_K):
            for i in range(m):
                for k in range(top, min(top + BLOCK_K, depth)):
                    _add_scaled(a[i, k], b[k, columns], c[i, columns])


@jit()
def _add_scaled(factor: float, x: Array, y: Array) -> None:
    for j in range(y.size):
        y[j] += factor * x[j]


def in_tiles(a: Array, b: Array, c: Array) -> None:
    _shared(a, b, c, 1)


def with_threads(a: Array, b: Array, c: Array) -> None:
    _shared(a, b, c, threads_for(a.size * b.shape[1]))


def _shared(a: Array, b: Array, c: Array, threads: int) -> None:
    link(a.dtype)
    room = borrow((threads, room_size(a.itemsize)), a.dtype)
    (m, depth), n = a.shape, b.shape[1]
    launch(_blocks, a.reshape(-1), b.reshape(-1), c.reshape(-1), m, n, depth, room, threads=threads)


@jit(parallel=True)
def _blocks(
    a: Array, b: Array, c: Array, m: int, n: int, depth: int, room: Array, threads: int
) -> None:
    for t in prange(threads):
        top, bottom, left, right = share(m, n, t, threads, a)
        product(
            a, top * depth, depth, 1, b, left, n, 1, c, top * n + left, n,
            bottom - top, right - left, depth, False, room[t],
        )  # fmt: skip


RUNGS = {
    "naive": naive,
    "by rows": by_rows,
    "blocked": blocked,
    "in tiles": in_tiles,
    "with threads": with_threads,
}
