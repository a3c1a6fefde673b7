"""The dense layer in Numba CUDA: three matrix products with their neighbours (see dense.cu).

    dense_forward           y  = act(x @ w + b)
    dense_backward_input    dx = (dz @ w.T) * act'(saved)
    dense_backward_weights  dw = x.T @ dz, db = column sums of dz

The kernels of dense_tile.cuh a second time, at the same tiles and with their sums split alike:
then block z makes part z of them, and the parts lie one below the other until a sum_... kernel adds
them up. An array brings its shape, so a launch passes no sizes.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

from ..conventions import ACTIVATIONS
from ..cuda.plan import choose
from ..grids import THREADS, Array, Dim, blocks, grid_for
from .activation import activate, activation_slope
from .dense_product import ACROSS, N_THREADS, product, shared_size
from .memory import scratch
from .target import block_x, block_y, cuda, device, kernel, launch, thread, unrolled


class DenseKernels:
    """The three products. ``tile`` and ``splits`` overrule the choice by shape (for tests)."""

    def __init__(self, tile: tuple[int, int] | None = None, splits: int | None = None) -> None:
        self.tile, self.splits = tile, splits

    def dense_forward(
        self, x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
    ) -> None:
        """y = act(x @ w + b); ``pre`` receives x @ w + b"""
        if y.size == 0:
            return
        (batch, n_in), n_out, code = x.shape, w.shape[1], ACTIVATIONS.index(activation)
        kernels, grid, per_part = self._cut(batch, n_out, n_in)
        parts = grid[2]
        out = y if parts == 1 else scratch((parts * batch, n_out), x.dtype.name, slot=0)
        # Numba launches nothing with None among the arguments
        keep, pre = int(pre is not None), y if pre is None else pre
        launch(kernels.forward, grid, THREADS, x, w, b, code, out, pre, keep, per_part)
        if parts > 1:
            launch(sum_forward, grid_for(y.size), THREADS, out, b, code, y, pre, keep)

    def dense_backward_input(
        self, dz: Array, w: Array, activation: str, saved: Array, dx: Array
    ) -> None:
        """dx = (dz @ w.T) * act'(saved)"""
        if dx.size == 0:
            return
        (batch, n_out), n_in, code = dz.shape, w.shape[0], ACTIVATIONS.index(activation)
        kernels, grid, per_part = self._cut(batch, n_in, n_out)
        parts = grid[2]
        out = dx if parts == 1 else scratch((parts * batch, n_in), dz.dtype.name, slot=0)
        launch(kernels.backward_input, grid, THREADS, dz, w, code, saved, out, per_part)
        if parts > 1:
            launch(sum_input, grid_for(dx.size), THREADS, out, code, saved, dx)

    def dense_backward_weights(
        self, x: Array, dz: Array, dw: Array, db: Array, add: bool = False
    ) -> None:
        """dw = x.T @ dz and db = sum of dz over the batch; with ``add``, dw += and db +="""
        (batch, n_in), n_out = x.shape, dz.shape[1]
        if n_out == 0:
            return
        kernels, grid, per_part = self._cut(n_in, n_out, batch)
        parts, out, height = grid[2], dw, n_in + 1  # the row below a part of dw is that of db
        if parts > 1:
            out = scratch((parts * height, n_out), x.dtype.name, slot=1)
        now = int(add and parts == 1)
        launch(kernels.backward_weights, grid, THREADS, x, dz, out, db, now, per_part)
        if parts > 1:
            launch(sum_weights, grid_for(height * n_out), THREADS, out, dw, db, int(add))

    def _cut(self, m: int, n: int, k: int) -> tuple[SimpleNamespace, Dim, int]:
        """The kernels at the tile, the grid, whose last axis is the parts, and terms per part."""
        plan = choose(m, n, k, self.tile, self.splits)
        per_part = plan.per_part(k)
        # a row of blocks even where there is no row: it makes db
        grid = (blocks(n, plan.columns), max(1, blocks(m, plan.rows)), max(1, blocks(k, per_part)))
        return layer((plan.rows, plan.columns)), grid, per_part


@cache
def layer(tile: tuple[int, int]) -> SimpleNamespace:
    """The three kernels at one size of tile."""
    rows, columns = tile
    rows_each, columns_each = rows // ACROSS, columns // ACROSS  # of a thread
    sums_shape = (rows_each, columns_each)
    size_a, size_b = shared_size(tile)
    assert columns_each * N_THREADS <= size_a  # what ``finish_row`` needs
    run_forward = product(tile, False, False)
    run_backward_input = product(tile, False, True)
    run_backward_weights = product(tile, True, False)

    @device
    def row_of(i: int) -> Any:
        return block_y() * rows + thread() // ACROSS + i * ACROSS

    @device
    def column_of(j: int) -> Any:
        return block_x() * columns + thread() % ACROSS + j * ACROSS

    @device
    def terms(k: int, per_part: int) -> Any:
        """The block's part of a sum over k: its first term, and the one after its last."""
        first = part() * (per_part & 0x7FFFFFFF)
        return first, min(first + per_part, k)

    @device
    def finish_part(sums: Array, m: int, first_row: int, out: Array, add: int) -> None:
        """Epilogue: the sums as they are, or added, in a part (m, n) that begins at a row of
        ``out``"""
        n = out.shape[1]
        for i in range(rows_each):
            row = row_of(i)
            for j in range(columns_each):
                column = column_of(j)
                if row < m and column < n:
                    put_sum(sums[i, j], first_row + row, column, out, add)

    @device
    def count() -> Any:
        """``columns_each``, which the compiler cannot know: or it would unroll the activations"""
        return columns_each * (cuda.blockDim.x // N_THREADS)

    def finishing(put: Any) -> Any:
        """Epilogue: ``put`` for each of the thread's elements."""

        @device
        def finish_row(i: int, sums: Array, shared: Array, out: Array, *others: Any) -> None:
            # through its own places in shared memory: a loop can index them, unlike registers
            for j in range(columns_each):
                shared[j * N_THREADS + thread()] = sums[i, j]
            row = row_of(i)
            for j in range(count()):
                column = column_of(j)
                if row < out.shape[0] and column < out.shape[1]:
                    put(shared[j * N_THREADS + thread()], row, column, out, *others)

        return unrolled(finish_row, rows_each)

    finish_forward, finish_input = finishing(put_forward), finishing(put_input)

    @kernel
    def forward(
        x: Array, w: Array, b: Array, activation: int, y: Array, pre: Array, keep: int,
        per_part: int,
    ) -> None:  # fmt: skip
        """y: (batch, n_out), or all parts of it"""
        shared_a = cuda.shared.array(size_a, x.dtype)
        shared_b = cuda.shared.array(size_b, x.dtype)
        sums = cuda.local.array(sums_shape, x.dtype)
        ignored = cuda.local.array(1, x.dtype)
        batch, n_in = x.shape
        first, last = terms(n_in, per_part)
        run_forward(x, w, first, last, shared_a, shared_b, sums, False, ignored)
        if cuda.gridDim.z == 1:
            finish_forward(sums, shared_a, y, b, activation, pre, keep)
        else:
            finish_part(sums, batch, part() * batch, y, 0)

    @kernel
    def backward_input(
        dz: Array, w: Array, activation: int, saved: Array, dx: Array, per_part: int
    ) -> None:
        """dx: (batch, n_in), or all parts of it"""
        shared_a = cuda.shared.array(size_a, dz.dtype)
        shared_b = cuda.shared.array(size_b, dz.dtype)
        sums = cuda.local.array(sums_shape, dz.dtype)
        ignored = cuda.local.array(1, dz.dtype)
        batch, n_out = dz.shape
        first, last = terms(n_out, per_part)
        run_backward_input(dz, w, first, last, shared_a, shared_b, sums, False, ignored)
        if cuda.gridDim.z == 1:
            finish_input(sums, shared_a, dx, activation, saved)
        else:
            finish_part(sums, batch, part() * batch, dx, 0)

    @kernel
    def backward_weights(
        x: Array, dz: Array, dw: Array, db: Array, add: int, per_part: int
    ) -> None:
        """dw: (n_in, n_out), or all parts of it, each with its db as a row below; then add is 0"""
        shared_a = cuda.shared.array(size_a, x.dtype)
        shared_b = cuda.shared.array(size_b, x.dtype)
        sums = cuda.local.array(sums_shape, x.dtype)
        column_sum = cuda.local.array(1, x.dtype)
        (batch, n_in), n_out = x.shape, dz.shape[1]
        first, last = terms(batch, per_part)
        makes_db = block_y() == 0
        run_backward_weights(x, dz, first, last, shared_a, shared_b, sums, makes_db, column_sum)
        first_row = part() * (n_in + 1)
        finish_part(sums, n_in, first_row, dw, add)
        column = block_x() * columns + thread()
        if makes_db and thread() < columns and column < n_out:
            if cuda.gridDim.z == 1:
                db[column] = db[column] + column_sum[0] if add else column_sum[0]
            else:
                dw[first_row + n_in, column] = column_sum[0]

    for function, name in (
        (forward, "dense_forward"), (backward_input, "dense_backward_input"),
        (backward_weights, "dense_backward_weights"),
    ):  # fmt: skip
        function.__name__ = f"{name}_{rows}x{columns}"
    return SimpleNamespace(
        forward=forward, backward_input=backward_input, backward_weights=backward_weights
    )


@device
def part() -> Any:
    """blockIdx.z; the mask as in target.py"""
    return cuda.blockIdx.z & 0xFFFF


# What becomes of an element's sum


@device
def put_forward(
    total: Any, row: int, column: int, y: Array, b: Array, activation: int, pre: Array, keep: int
) -> None:
    z = total + b[column]
    if keep:
        pre[row, column] = z
    y[row, column] = activate(activation, z, y.dtype.type)


@device
def put_input(total: Any, row: int, column: int, dx: Array, activation: int, saved: Array) -> None:
    dx[row, column] = total * activation_slope(activation, saved[row, column], dx.dtype.type)


@device
def put_sum(total: Any, row: int, column: int, out: Array, add: int) -> None:
    out[row, column] = out[row, column] + total if add else total


@device
def sum_of(parts: Array, height: int, row: int, column: int) -> Any:
    """An element of all parts, each ``height`` rows, added in the same order: two runs, the same
    bits"""
    total = parts.dtype.type(0)
    for at in range(row, parts.shape[0], height):
        total += parts[at, column]
    return total


@kernel
def sum_forward(parts: Array, b: Array, activation: int, y: Array, pre: Array, keep: int) -> None:
    batch, n_out = y.shape
    for e in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        row, column = e // n_out, e % n_out
        total = sum_of(parts, batch, row, column)
        put_forward(total, row, column, y, b, activation, pre, keep)


@kernel
def sum_input(parts: Array, activation: int, saved: Array, dx: Array) -> None:
    batch, n_in = dx.shape
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        row, column = e // n_in, e % n_in
        put_input(sum_of(parts, batch, row, column), row, column, dx, activation, saved)


@kernel
def sum_weights(parts: Array, dw: Array, db: Array, add: int) -> None:
    n_in, n_out = dw.shape
    for e in range(cuda.grid(1), (n_in + 1) * n_out, cuda.gridsize(1)):
        row, column = e // n_out, e % n_out
        total = sum_of(parts, n_in + 1, row, column)
        if row < n_in:
            put_sum(total, row, column, dw, add)
        else:
            db[column] = db[column] + total if add else total
