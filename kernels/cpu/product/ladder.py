"""The matrix product in Numba, one idea at a time: c (m, n) = a (m, k) @ b (k, n).

    naive          the definition: one number of c after the other
    by_rows        k outside, columns inside: rows are contiguous, so the inner loop vectorises
    blocked        a block of b is used for all rows of a while it is in the cache
    in_tiles       a tile of c stays in registers while k runs (``tile``); the part of b that it
                   needs is packed, a is read where it lies
    packed         a block of rows of a is packed too (``matmul``): it stays in the second-level
                   cache while all of b's columns pass
    with_threads   c is cut into a part for each thread: what ``dense`` does
    six_bfloat16   and multiplied on AMX (``amx``), where the processor has it; float64 is not

``tinyae bench --only ladder`` times the rungs beside BLAS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ...scratch import borrow
from ..compiling import jit
from ..threads import launch, threads_for
from . import amx
from .matmul import DEPTH, link, product, room_size, share
from .packing import pack_columns
from .processor import lacking
from .tile import TILE_ROWS, tall_tile, tile_columns

Array = NDArray[Any]

BLOCK_K, BLOCK_N = 128, 512  # 256 kB of float32: half of a second-level cache


@jit()
def naive(a: Array, b: Array, c: Array) -> None:
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            c[i, j] = _number(a, b, i, j)


@jit()
def _number(a: Array, b: Array, i: int, j: int) -> Any:
    total = a.dtype.type(0)
    for k in range(a.shape[1]):
        total += a[i, k] * b[k, j]
    return total


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
    _in_tiles(a, b, c.reshape(-1), borrow((room_size(a.itemsize),), a.dtype))


@jit()
def _in_tiles(a: Array, b: Array, c: Array, panel: Array) -> None:
    (m, depth), n = a.shape, b.shape[1]
    columns = tile_columns(c)
    rows, width = m - m % TILE_ROWS, n - n % columns  # whole tiles
    if depth == 0:
        c[:] = 0
    for k in range(0, depth, DEPTH):
        piece = min(DEPTH, depth - k)
        for j in range(0, width, columns):
            pack_columns(b.reshape(-1), k * n + j, 1, n, columns, piece, columns, panel, 0)
            for i in range(0, rows, TILE_ROWS):
                tall_tile(
                    a.reshape(-1), i * depth + k, depth, 1, panel, 0, columns, c, i * n + j, n,
                    piece, k > 0,
                )  # fmt: skip
    for i in range(m):
        for j in range(width if i < rows else 0, n):
            c[i * n + j] = _number(a, b, i, j)


def packed(a: Array, b: Array, c: Array) -> None:
    _shared(a, b, c, 1)


def with_threads(a: Array, b: Array, c: Array) -> None:
    _shared(a, b, c, threads_for(a.size * b.shape[1]))


def six_bfloat16(a: Array, b: Array, c: Array) -> None:
    tiles = amx.link() if a.dtype == np.float32 else 0
    _shared(a, b, c, threads_for(a.size * b.shape[1]), tiles)


def _shared(a: Array, b: Array, c: Array, threads: int, tiles: int = 0) -> None:
    room = borrow((threads, room_size(a.itemsize, tiles)), a.dtype)
    (m, depth), n = a.shape, b.shape[1]
    arrays, by = (x.reshape(-1) for x in (a, b, c)), tiles or link(a.dtype)
    launch(_blocks, *arrays, m, n, depth, room, by, threads=threads)


@jit(parallel=True)
def _blocks(
    a: Array, b: Array, c: Array, m: int, n: int, depth: int, room: Array, by: int,
    threads: int,
) -> None:  # fmt: skip
    for t in prange(threads):
        top, bottom, left, right = share(m, n, t, threads, a)
        product(
            by, a, top * depth, depth, 1, b, left, n, 1, c, top * n + left, n,
            bottom - top, right - left, depth, False, room[t],
        )  # fmt: skip


RUNGS = {
    "naive": naive,
    "by rows": by_rows,
    "blocked": blocked,
    "in tiles": in_tiles,
    "packed": packed,
    "with threads": with_threads,
}
if not lacking():
    RUNGS["six bfloat16"] = six_bfloat16
