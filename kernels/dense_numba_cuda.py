"""The dense layer in Numba CUDA: three matrix products with their neighbours (see dense.cu).

    dense_forward           y  = act(x @ w + b)
    dense_backward_input    dx = (dz @ w.T) * act'(saved)
    dense_backward_weights  dw = x.T @ dz, db = column sums of dz, split over the batch

The kernels of dense.cu a second time, at the same tiles. What is a template there is a function
here that makes functions: ``product`` and ``layer`` fix sizes and transposes, which Numba then
compiles as constants, so that loops over a thread's own elements unroll and ``cuda.local.array``
means registers. An array brings its shape, so a launch passes no sizes.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

from .activation_numba_cuda import activate, activation_slope
from .conventions import ACTIVATIONS
from .cuda_runner import THREADS, Array, blocks, grid_for
from .dense_cupy import choose_splits, choose_tile
from .memory_numba_cuda import scratch
from .numba_cuda import block_x, block_y, cuda, device, kernel, launch, thread, unrolled

N_THREADS = THREADS[0]

# tile: a block's rows and columns of the product, a step along k, a thread's rows and columns
SHAPES = {32: (32, 16, 2), 64: (64, 16, 4), 128: (128, 8, 8)}


class DenseKernels:
    """The three products. ``tile`` and ``splits`` overrule the choice by shape (for tests)."""

    def __init__(self, tile: int | None = None, splits: int | None = None) -> None:
        self.tile, self.splits = tile, splits

    def dense_forward(
        self, x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
    ) -> None:
        """y = act(x @ w + b); ``pre`` receives x @ w + b"""
        if y.size:
            (batch, n_out), code = y.shape, ACTIVATIONS.index(activation)
            tile = self.tile or choose_tile(batch, n_out)
            grid = (blocks(n_out, tile), blocks(batch, tile), 1)
            launch(layer(tile).forward, grid, THREADS, x, w, b, code, y, pre)

    def dense_backward_input(
        self, dz: Array, w: Array, activation: str, saved: Array, dx: Array
    ) -> None:
        """dx = (dz @ w.T) * act'(saved)"""
        if dx.size:
            (batch, n_in), code = dx.shape, ACTIVATIONS.index(activation)
            tile = self.tile or choose_tile(batch, n_in)
            grid = (blocks(n_in, tile), blocks(batch, tile), 1)
            launch(layer(tile).backward_input, grid, THREADS, dz, w, code, saved, dx)

    def dense_backward_weights(self, x: Array, dz: Array, dw: Array, db: Array) -> None:
        """dw = x.T @ dz and db = sum of dz over the batch"""
        (batch, n_in), n_out = x.shape, dz.shape[1]
        if n_out == 0:
            return
        tile = self.tile or choose_tile(n_in, n_out)
        splits = self.splits or choose_splits(n_in, n_out, batch, tile)
        per_split = max(1, blocks(batch, splits))
        # one row of blocks even where n_in is 0: it makes db
        grid = (blocks(n_out, tile), max(1, blocks(n_in, tile)), splits)
        part_w, part_b = dw, db
        if splits > 1:
            part_w = scratch((splits * n_in, n_out), x.dtype.name)
            part_b = scratch((splits * n_out,), x.dtype.name, slot=1)
        launch(layer(tile).backward_weights, grid, THREADS, x, dz, per_split, part_w, part_b)
        if splits > 1:
            launch(sum_splits, grid_for((n_in + 1) * n_out), THREADS, part_w, part_b, dw, db)


def product(tile: int, transposed_a: bool, transposed_b: bool) -> SimpleNamespace:
    """The device functions of one kind of product c (m, n) = A (m, k) @ B (k, n).

    A[i][p] is a[i, p], or a[p, i] if transposed; and B[p][j] is b[p, j], or b[j, p]. A block
    computes a tile of c and walks along k through two shared buffers: while one is multiplied,
    the next step's elements are on their way from global memory into registers.
    """
    size, step, each = SHAPES[tile]
    across = size // each  # threads along a row or a column of the tile
    loads = size * step // N_THREADS  # elements of either operand that a thread fetches per step
    pitch = size + 1  # odd: writes along k meet different banks
    assert across * across == N_THREADS and loads * N_THREADS == size * step

    @device
    def place(load: int, along_k: bool) -> Any:
        """Neighbouring threads take neighbouring elements of the contiguous index."""
        e = load * N_THREADS + thread()
        if along_k:
            return e // step, e % step
        return e % size, e // size

    @device
    def fetch(a: Array, b: Array, k0: int, k_end: int, next_a: Array, next_b: Array) -> None:
        """Elements outside the matrices are read as zeros, so every shape is right."""
        real = a.dtype.type
        m, n = a.shape[1 if transposed_a else 0], b.shape[0 if transposed_b else 1]
        for load in range(loads):
            i, p = place(load, not transposed_a)
            i += block_y() * size
            p += k0
            if i < m and p < k_end:
                next_a[load] = a[p, i] if transposed_a else a[i, p]
            else:
                next_a[load] = real(0)
        for load in range(loads):
            j, p = place(load, transposed_b)
            j += block_x() * size
            p += k0
            if j < n and p < k_end:
                next_b[load] = b[j, p] if transposed_b else b[p, j]
            else:
                next_b[load] = real(0)

    @device
    def begin(buffer: int) -> Any:
        """Where the tiles of buffer 0 or 1 begin; & 1: not negative, see numba_cuda.py"""
        return (buffer & 1) * (step * pitch)

    @device
    def store(next_a: Array, next_b: Array, shared_a: Array, shared_b: Array, buffer: int) -> None:
        """What was fetched into a buffer's tiles: element p, i at p pitch + i"""
        start = begin(buffer)
        for load in range(loads):
            i, p = place(load, not transposed_a)
            shared_a[start + p * pitch + i] = next_a[load]
        for load in range(loads):
            j, p = place(load, transposed_b)
            shared_b[start + p * pitch + j] = next_b[load]

    @device
    def multiply_one(p: int, shared_a: Array, shared_b: Array, buffer: int, sums: Array) -> None:
        """A thread's elements lie ``across`` apart: a warp reads neighbours."""
        t, start = thread(), begin(buffer)
        row, column = t // across, t % across
        from_a = cuda.local.array(each, sums.dtype)
        from_b = cuda.local.array(each, sums.dtype)
        for i in range(each):
            from_a[i] = shared_a[start + p * pitch + row + i * across]
        for j in range(each):
            from_b[j] = shared_b[start + p * pitch + column + j * across]
        for i in range(each):
            for j in range(each):
                sums[i, j] = cuda.fma(from_a[i], from_b[j], sums[i, j])

    multiply = unrolled(multiply_one, step)

    @device
    def run(
        a: Array, b: Array, k_begin: int, k_end: int, shared_a: Array, shared_b: Array,
        sums: Array, column_sum: Array,
    ) -> None:  # fmt: skip
        """sums = the thread's elements of A @ B over k_begin .. k_end; and column_sum[0] = the sum
        of B's column threadIdx.x"""
        real = sums.dtype.type
        t = thread()
        next_a = cuda.local.array(loads, sums.dtype)
        next_b = cuda.local.array(loads, sums.dtype)
        for i in range(each):
            for j in range(each):
                sums[i, j] = real(0)
        column_sum[0] = real(0)
        buffer = 0  # the one in use
        fetch(a, b, k_begin, k_end, next_a, next_b)
        store(next_a, next_b, shared_a, shared_b, buffer)
        cuda.syncthreads()
        for k0 in range(k_begin, k_end, step):
            more = k0 + step < k_end
            if more:
                fetch(a, b, k0 + step, k_end, next_a, next_b)
            multiply(shared_a, shared_b, buffer, sums)
            if t < size:
                start = begin(buffer)
                for p in range(step):
                    column_sum[0] += shared_b[start + p * pitch + t]
            buffer ^= 1
            if more:  # the other buffer: everybody left it before the last barrier
                store(next_a, next_b, shared_a, shared_b, buffer)
            cuda.syncthreads()

    return SimpleNamespace(run=run)


@cache
def layer(tile: int) -> SimpleNamespace:
    """The three kernels at one tile size."""
    size, step, each = SHAPES[tile]
    across = size // each
    shared_size = 2 * step * (size + 1)
    assert each * N_THREADS <= shared_size  # what ``set_aside`` needs
    sums_shape = (each, each)
    run_forward = product(tile, False, False).run
    run_backward_input = product(tile, False, True).run
    run_backward_weights = product(tile, True, False).run

    @device
    def row_of(i: int) -> Any:
        return block_y() * size + thread() // across + i * across

    @device
    def column_of(j: int) -> Any:
        return block_x() * size + thread() % across + j * across

    @device
    def count() -> Any:
        """``each``, which the compiler cannot know: or it would unroll the activations again"""
        return each * (cuda.blockDim.x // N_THREADS)

    @device
    def set_aside(sums: Array, i: int, shared: Array) -> None:
        """Row i of the thread's sums into places of its own in shared memory, which a loop can
        index as it cannot index registers."""
        for j in range(each):
            shared[j * N_THREADS + thread()] = sums[i, j]

    @device
    def finish_forward(
        i: int, sums: Array, shared: Array, b: Array, activation: int, y: Array, pre: Any
    ) -> None:
        """Epilogue, row i of the thread's elements: y = act(sum + bias)"""
        set_aside(sums, i, shared)
        row, (batch, n_out) = row_of(i), y.shape
        for j in range(count()):
            column = column_of(j)
            if row < batch and column < n_out:
                z = shared[j * N_THREADS + thread()] + b[column]
                if pre is not None:
                    pre[row, column] = z
                y[row, column] = activate(activation, z, y.dtype.type)

    finish_forward_rows = unrolled(finish_forward, each)

    @kernel
    def forward(x: Array, w: Array, b: Array, activation: int, y: Array, pre: Any) -> None:
        shared_a = cuda.shared.array(shared_size, x.dtype)
        shared_b = cuda.shared.array(shared_size, x.dtype)
        sums = cuda.local.array(sums_shape, x.dtype)
        ignored = cuda.local.array(1, x.dtype)
        run_forward(x, w, 0, x.shape[1], shared_a, shared_b, sums, ignored)
        finish_forward_rows(sums, shared_a, b, activation, y, pre)

    @device
    def finish_input(
        i: int, sums: Array, shared: Array, activation: int, saved: Array, dx: Array
    ) -> None:
        """Epilogue, row i of the thread's elements: dx = sum * act'(saved)"""
        set_aside(sums, i, shared)
        row, (batch, n_in) = row_of(i), dx.shape
        for j in range(count()):
            column = column_of(j)
            if row < batch and column < n_in:
                total = shared[j * N_THREADS + thread()]
                slope = activation_slope(activation, saved[row, column], dx.dtype.type)
                dx[row, column] = total * slope

    finish_input_rows = unrolled(finish_input, each)

    @kernel
    def backward_input(dz: Array, w: Array, activation: int, saved: Array, dx: Array) -> None:
        shared_a = cuda.shared.array(shared_size, dz.dtype)
        shared_b = cuda.shared.array(shared_size, dz.dtype)
        sums = cuda.local.array(sums_shape, dz.dtype)
        ignored = cuda.local.array(1, dz.dtype)
        run_backward_input(dz, w, 0, dz.shape[1], shared_a, shared_b, sums, ignored)
        finish_input_rows(sums, shared_a, activation, saved, dx)

    @kernel
    def backward_weights(x: Array, dz: Array, per_split: int, dw: Array, db: Array) -> None:
        """Split z takes the samples z * per_split .. and writes a dw and db of its own, one below
        the other: dw (splits n_in, n_out), db (splits n_out,). sum_splits adds them."""
        shared_a = cuda.shared.array(shared_size, x.dtype)
        shared_b = cuda.shared.array(shared_size, x.dtype)
        sums = cuda.local.array(sums_shape, x.dtype)
        column_sum = cuda.local.array(1, x.dtype)
        n_in, n_out = x.shape[1], dz.shape[1]
        split = cuda.blockIdx.z
        first = split * per_split
        last = min(first + per_split, x.shape[0])
        run_backward_weights(x, dz, first, last, shared_a, shared_b, sums, column_sum)
        for i in range(each):
            row = row_of(i)
            for j in range(each):
                column = column_of(j)
                if row < n_in and column < n_out:
                    dw[split * n_in + row, column] = sums[i, j]
        column = block_x() * size + thread()
        if block_y() == 0 and thread() < size and column < n_out:
            db[split * n_out + column] = column_sum[0]

    for function, name in (
        (forward, "dense_forward"), (backward_input, "dense_backward_input"),
        (backward_weights, "dense_backward_weights"),
    ):  # fmt: skip
        function.__name__ = f"{name}_{tile}"
    return SimpleNamespace(
        forward=forward, backward_input=backward_input, backward_weights=backward_weights
    )


@kernel
def sum_splits(part_w: Array, part_b: Array, dw: Array, db: Array) -> None:
    """dw, db = the sums of the splits' parts, always in the same order: two runs, the same bits"""
    n_in, n_out = dw.shape
    for e in range(cuda.grid(1), (n_in + 1) * n_out, cuda.gridsize(1)):
        row, column = e // n_out, e % n_out
        total = dw.dtype.type(0)
        for split in range(part_b.size // n_out):
            if row < n_in:
                total += part_w[split * n_in + row, column]
            else:
                total += part_b[split * n_out + column]
        if row < n_in:
            dw[row, column] = total
        else:
            db[column] = total
