"""The ladder of matmul_ladder.cu in Numba CUDA: c = a @ b, from the shortest kernel to a fast one.

The comments in the .cu say what each rung saves; here is what Python changes:

- An array brings its shape, and its dtype: a kernel is compiled for each at its first launch.
- Indices have 64 bits, and a negative one counts from the end: each is tested, unless the compiler
  knows better. Therefore ``& 31``, where an index of a thread lies below 32: it changes no value.
- A loop has no pragma. The compiler unrolls one over a thread's own results, so that
  ``cuda.local.array`` means registers; ``unrolled`` does it to the steps along k.
- The compiler does not know that shared arrays are aligned to 16 bytes: each read moves one
  element, as in the column "in the source" of the .cu's table.

Rung 6 has no twin, as Numba has no way to load 16 bytes from an array of floats but LLVM's language
in an intrinsic. Rung 7 is rung 5 with two buffers.
"""

from __future__ import annotations

from typing import Any

from ..cuda.ladder import plan
from ..grids import Array
from .target import CudaArray, bounded, cuda, device, kernel, launch, unrolled


def matmul(rung: str, a: Array, b: Array, c: Array) -> None:
    """c (m, n) = a (m, k) @ b (k, n) by the kernel ``rung``, one of RUNGS."""
    _, grid, block = plan(CudaArray, RUNGS, rung, a, b, c)
    if c.size:
        launch(_KERNELS[rung], grid, block, a, b, c)


@device
def corner(size: int) -> Any:
    """Row and column of c at which the block's tile begins."""
    return (cuda.blockIdx.x & 0x7FFFFFFF) * size, (cuda.blockIdx.y & 0xFFFF) * size


# ---- 1: one thread per element of c


@bounded(1024)
def matmul_1_naive(a: Array, b: Array, c: Array) -> None:
    row0, column0 = corner(32)
    row, column = row0 + (cuda.threadIdx.x & 31), column0 + (cuda.threadIdx.y & 31)
    (m, n), k = c.shape, a.shape[1]
    if row >= m or column >= n:
        return
    total = c.dtype.type(0)  # a bare 0.0 would make it a sum in float64
    for p in range(k):
        total = cuda.fma(a[row, p], b[p, column], total)
    c[row, column] = total


# ---- 2: neighbouring threads take neighbouring columns


@bounded(1024)
def matmul_2_coalesced(a: Array, b: Array, c: Array) -> None:
    row0, column0 = corner(32)
    row, column = row0 + (cuda.threadIdx.y & 31), column0 + (cuda.threadIdx.x & 31)
    (m, n), k = c.shape, a.shape[1]
    if row >= m or column >= n:
        return
    total = c.dtype.type(0)
    for p in range(k):
        total = cuda.fma(a[row, p], b[p, column], total)
    c[row, column] = total


# ---- 3: tiles in shared memory


@device
def element(matrix: Array, row: int, column: int) -> Any:
    """matrix[row, column], or zero outside the matrix: the last tiles stick out."""
    rows, columns = matrix.shape
    if row >= rows or column >= columns:
        return matrix.dtype.type(0)
    return matrix[row, column]


@bounded(1024)
def matmul_3_shared(a: Array, b: Array, c: Array) -> None:
    tile_a = cuda.shared.array((32, 32), c.dtype)
    tile_b = cuda.shared.array((32, 32), c.dtype)
    y, x = cuda.threadIdx.y & 31, cuda.threadIdx.x & 31
    row0, column0 = corner(32)
    row, column = row0 + y, column0 + x
    (m, n), k = c.shape, a.shape[1]
    total = c.dtype.type(0)
    for k0 in range(0, k, 32):
        tile_a[y, x] = element(a, row, k0 + x)
        tile_b[y, x] = element(b, k0 + y, column)
        cuda.syncthreads()
        for p in range(32):
            total = cuda.fma(tile_a[y, p], tile_b[p, x], total)
        cuda.syncthreads()
    if row < m and column < n:
        c[row, column] = total


# ---- 4: a column of results per thread


@device
def multiply_column(p: int, y: int, x: int, tile_a: Array, tile_b: Array, total: Array) -> None:
    from_b = tile_b[p, x]
    for i in range(8):
        total[i] = cuda.fma(tile_a[8 * y + i, p], from_b, total[i])


multiply_columns = unrolled(multiply_column, 8)


@bounded(512)
def matmul_4_registers_1d(a: Array, b: Array, c: Array) -> None:
    tile_a = cuda.shared.array((64, 8), c.dtype)
    tile_b = cuda.shared.array((8, 64), c.dtype)
    total = cuda.local.array(8, c.dtype)  # rows 8 y .. 8 y + 7 of the tile, column x
    y, x = cuda.threadIdx.y & 7, cuda.threadIdx.x & 63  # 8 x 64 threads
    row0, column0 = corner(64)
    thread = y * 64 + x
    (m, n), k = c.shape, a.shape[1]
    for i in range(8):
        total[i] = c.dtype.type(0)
    for k0 in range(0, k, 8):
        i, p = thread // 8, thread % 8
        tile_a[i, p] = element(a, row0 + i, k0 + p)
        tile_b[y, x] = element(b, k0 + y, column0 + x)
        cuda.syncthreads()
        multiply_columns(y, x, tile_a, tile_b, total)
        cuda.syncthreads()
    for i in range(8):
        row, column = row0 + 8 * y + i, column0 + x
        if row < m and column < n:
            c[row, column] = total[i]


# ---- 5: a square of results per thread


@device
def multiply_square(p: int, y: int, x: int, tile_a: Array, tile_b: Array, total: Array) -> None:
    """Rows y + 16 i, columns x + 16 j of the tile."""
    from_a = cuda.local.array(8, total.dtype)
    from_b = cuda.local.array(8, total.dtype)
    for i in range(8):
        from_a[i] = tile_a[y + 16 * i, p]
    for j in range(8):
        from_b[j] = tile_b[p, x + 16 * j]
    for i in range(8):
        for j in range(8):
            total[i, j] = cuda.fma(from_a[i], from_b[j], total[i, j])


multiply_squares = unrolled(multiply_square, 8)


@device
def write_squares(c: Array, row0: int, column0: int, y: int, x: int, total: Array) -> None:
    m, n = c.shape
    for i in range(8):
        for j in range(8):
            row, column = row0 + y + 16 * i, column0 + x + 16 * j
            if row < m and column < n:
                c[row, column] = total[i, j]


@kernel
def matmul_5_registers_2d(a: Array, b: Array, c: Array) -> None:
    tile_a = cuda.shared.array((128, 8), c.dtype)
    tile_b = cuda.shared.array((8, 128), c.dtype)
    total = cuda.local.array((8, 8), c.dtype)
    y, x = cuda.threadIdx.y & 15, cuda.threadIdx.x & 15  # 16 x 16 threads
    row0, column0 = corner(128)
    thread = y * 16 + x
    for i in range(8):
        for j in range(8):
            total[i, j] = c.dtype.type(0)
    for k0 in range(0, a.shape[1], 8):
        for load in range(4):
            e = thread + 256 * load
            tile_a[e // 8, e % 8] = element(a, row0 + e // 8, k0 + e % 8)
            tile_b[e // 128, e % 128] = element(b, k0 + e // 128, column0 + e % 128)
        cuda.syncthreads()
        multiply_squares(y, x, tile_a, tile_b, total)
        cuda.syncthreads()
    write_squares(c, row0, column0, y, x, total)


# ---- 7: two buffers


@device
def fetch(
    a: Array, b: Array, row0: int, column0: int, k0: int, thread: int, next_a: Array, next_b: Array
) -> None:
    for load in range(4):
        e = thread + 256 * load
        next_a[load] = element(a, row0 + e // 8, k0 + e % 8)
        next_b[load] = element(b, k0 + e // 128, column0 + e % 128)


@device
def put(next_a: Array, next_b: Array, thread: int, tile_a: Array, tile_b: Array) -> None:
    for load in range(4):
        e = thread + 256 * load
        tile_a[e // 8, e % 8] = next_a[load]
        tile_b[e // 128, e % 128] = next_b[load]


@kernel
def matmul_7_double_buffer(a: Array, b: Array, c: Array) -> None:
    tile_a = cuda.shared.array((2, 128, 8), c.dtype)
    tile_b = cuda.shared.array((2, 8, 128), c.dtype)
    total = cuda.local.array((8, 8), c.dtype)
    next_a = cuda.local.array(4, c.dtype)
    next_b = cuda.local.array(4, c.dtype)
    y, x = cuda.threadIdx.y & 15, cuda.threadIdx.x & 15
    row0, column0 = corner(128)
    thread, k = y * 16 + x, a.shape[1]
    for i in range(8):
        for j in range(8):
            total[i, j] = c.dtype.type(0)
    fetch(a, b, row0, column0, 0, thread, next_a, next_b)
    put(next_a, next_b, thread, tile_a[0], tile_b[0])
    cuda.syncthreads()
    buffer = 0
    for k0 in range(0, k, 8):
        more = k0 + 8 < k
        if more:
            fetch(a, b, row0, column0, k0 + 8, thread, next_a, next_b)
        multiply_squares(y, x, tile_a[buffer], tile_b[buffer], total)
        buffer ^= 1
        if more:
            put(next_a, next_b, thread, tile_a[buffer], tile_b[buffer])
        cuda.syncthreads()
    write_squares(c, row0, column0, y, x, total)


_KERNELS = {
    function.__name__: function
    for function in (
        matmul_1_naive, matmul_2_coalesced, matmul_3_shared, matmul_4_registers_1d,
        matmul_5_registers_2d, matmul_7_double_buffer,
    )
}  # fmt: skip
RUNGS: tuple[str, ...] = tuple(_KERNELS)
