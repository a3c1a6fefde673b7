"""A matrix product in Numba CUDA, tile by tile (see dense_product.cuh and dense.cu).

What is a template there is a function here that makes functions: ``product`` and ``operand`` fix
sizes and transposes, which Numba then compiles as constants, so that loops over a thread's own
elements unroll and ``cuda.local.array`` means registers. Numba has no asynchronous copies, so there
are two buffers, filled by way of registers; and no 16-byte reads, so a thread's elements are not
side by side but strided.
"""

from __future__ import annotations

from typing import Any

from ..cuda.plan import TILES
from ..grids import THREADS, Array
from .target import block_x, block_y, cuda, device, thread, unrolled

N_THREADS = THREADS[0]
ACROSS = 16  # threads along a row and along a column of a tile
assert ACROSS * ACROSS == N_THREADS
BUFFERS = 2

# A step along k, by tile: as long as two buffers of float64 fit.
STEPS = {(rows, columns): 8 if rows == 128 else 16 for rows, columns in TILES}


def shared_size(tile: tuple[int, int]) -> tuple[int, int]:
    """Elements of shared memory that the tiles of A take, and those of B."""
    rows, columns = tile
    return BUFFERS * STEPS[tile] * pitch(rows), BUFFERS * STEPS[tile] * pitch(columns)


def pitch(size: int) -> int:
    """From p to p + 1 in shared memory; odd: writes along k meet different banks."""
    return size + 1


def operand(size: int, step: int, along_k: bool) -> tuple[Any, Any, Any]:
    """fetch, store and begin, device functions for one operand's tiles: ``size`` rows of A, or
    columns of B, by ``step`` terms.

    along_k: the matrix has the terms of a sum side by side, its element is [i, p] and not [p, i].
    """
    loads = size * step // N_THREADS  # elements that a thread fetches per step
    next_p, next_buffer = pitch(size), step * pitch(size)
    assert loads * N_THREADS == size * step

    @device
    def place(load: int) -> Any:
        """Neighbouring threads take neighbouring elements of the contiguous index."""
        e = load * N_THREADS + thread()
        if along_k:
            return e // step, e % step
        return e % size, e // size

    @device
    def fetch(matrix: Array, first: int, k0: int, k_end: int, fetched: Array) -> None:
        """Elements outside the matrix are read as zeros, so every shape is right."""
        there = matrix.shape[0 if along_k else 1]
        for load in range(loads):
            i, p = place(load)
            i += first
            p += k0
            if i < there and p < k_end:
                fetched[load] = matrix[i, p] if along_k else matrix[p, i]
            else:
                fetched[load] = matrix.dtype.type(0)

    @device
    def begin(buffer: int) -> Any:
        """Where the tile of buffer 0 or 1 begins; & 1: not negative, see target.py"""
        return (buffer & 1) * next_buffer

    @device
    def store(fetched: Array, shared: Array, buffer: int) -> None:
        """What was fetched into a buffer's tile: element i, p at p pitch + i"""
        for load in range(loads):
            i, p = place(load)
            shared[begin(buffer) + p * next_p + i] = fetched[load]

    return fetch, store, begin


def product(tile: tuple[int, int], transposed_a: bool, transposed_b: bool) -> Any:
    """``run``, a device function for one kind of product c (m, n) = A (m, k) @ B (k, n).

    A[i][p] is a[i, p], or a[p, i] if transposed; and B[p][j] is b[p, j], or b[j, p]. A block
    computes a tile of c and walks along k through two shared buffers: while one is multiplied,
    the next step's elements are on their way from global memory into registers.
    """
    rows, columns = tile
    step = STEPS[tile]
    rows_each, columns_each = rows // ACROSS, columns // ACROSS  # of a thread
    loads_a, loads_b = rows * step // N_THREADS, columns * step // N_THREADS
    pitch_a, pitch_b = pitch(rows), pitch(columns)
    fetch_a, store_a, begin_a = operand(rows, step, along_k=not transposed_a)
    fetch_b, store_b, begin_b = operand(columns, step, along_k=transposed_b)

    @device
    def multiply_one(p: int, shared_a: Array, shared_b: Array, buffer: int, sums: Array) -> None:
        """A thread's elements lie ACROSS apart: a warp reads neighbours."""
        start_a = begin_a(buffer) + p * pitch_a + thread() // ACROSS
        start_b = begin_b(buffer) + p * pitch_b + thread() % ACROSS
        from_a = cuda.local.array(rows_each, sums.dtype)
        from_b = cuda.local.array(columns_each, sums.dtype)
        for i in range(rows_each):
            from_a[i] = shared_a[start_a + i * ACROSS]
        for j in range(columns_each):
            from_b[j] = shared_b[start_b + j * ACROSS]
        for i in range(rows_each):
            for j in range(columns_each):
                sums[i, j] = cuda.fma(from_a[i], from_b[j], sums[i, j])

    multiply = unrolled(multiply_one, step)

    @device
    def run(
        a: Array, b: Array, k_begin: int, k_end: int, shared_a: Array, shared_b: Array,
        sums: Array, sum_columns: bool, column_sum: Array,
    ) -> None:  # fmt: skip
        """sums = the thread's elements of A @ B over k_begin .. k_end; and column_sum[0] = the sum
        of B's column threadIdx.x if asked"""
        next_a = cuda.local.array(loads_a, sums.dtype)
        next_b = cuda.local.array(loads_b, sums.dtype)
        for i in range(rows_each):
            for j in range(columns_each):
                sums[i, j] = sums.dtype.type(0)
        column_sum[0] = sums.dtype.type(0)
        row0, column0 = block_y() * rows, block_x() * columns
        buffer = 0  # the one in use
        fetch_a(a, row0, k_begin, k_end, next_a)
        fetch_b(b, column0, k_begin, k_end, next_b)
        store_a(next_a, shared_a, buffer)
        store_b(next_b, shared_b, buffer)
        cuda.syncthreads()
        for k0 in range(k_begin, k_end, step):
            more = k0 + step < k_end
            if more:
                fetch_a(a, row0, k0 + step, k_end, next_a)
                fetch_b(b, column0, k0 + step, k_end, next_b)
            multiply(shared_a, shared_b, buffer, sums)
            if sum_columns and thread() < columns:
                start = begin_b(buffer) + thread()
                for p in range(step):
                    column_sum[0] += shared_b[start + p * pitch_b]
            buffer ^= 1
            if more:  # the other buffer: everybody left it before the last barrier
                store_a(next_a, shared_a, buffer)
                store_b(next_b, shared_b, buffer)
            cuda.syncthreads()

    return run
