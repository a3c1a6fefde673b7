"""Matrix products on one thread: packing, and the loops around the tile.

    for each piece of DEPTH of the depth:
        for each tile's width of columns:
            pack that part of b into a panel, contiguous and (almost) in the first-level cache
            for each tile's height of rows:
                c tile += a rows @ panel

Arrays are flat; a matrix in one is (start, row stride, column stride), so that a transpose or a
block of rows or columns is a matter of numbers. c has contiguous rows.

The product is compiled once for each dtype, as a C function that others call: Numba would compile
what a function calls again for each caller, and this takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import add_symbol
from numba import carray, types
from numba.core import cgutils

from ..scratch import borrow
from .compiling import c_function, inline, intrinsic, jit
from .threads import launch, threads_for
from .tile import (
    SHORT_ROWS,
    TILE_ROWS,
    TILE_VECTORS,
    copy_row,
    lanes_of,
    short_tile,
    single_tile,
    tall_tile,
    tile_columns,
    transpose_square,
)

DEPTH = 384


def room_size(itemsize: int) -> int:
    """Numbers of scratch memory that ``product`` wants."""
    return (DEPTH + TILE_ROWS) * TILE_VECTORS * lanes_of(itemsize)


@intrinsic
def product(
    _: Any, a: Any, a_start: Any, a_row: Any, a_column: Any, b: Any, b_start: Any, b_row: Any,
    b_column: Any, c: Any, c_start: Any, c_row: Any, m: Any, n: Any, depth: Any, add: Any,
    room: Any,
) -> Any:  # fmt: skip
    """c (m, n) = a (m, depth) @ b (depth, n), or c += a @ b where ``add``.

    ``link`` must have been called for the dtype before a function that calls this is.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        passed = [
            context.make_array(kind)(context, builder, value).data
            if isinstance(kind, types.Array)
            else builder.zext(value, ir.IntType(8)) if kind == types.boolean else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]  # fmt: skip
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
        name = _symbol(signature.args[0].dtype)
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), passed)
        return context.get_dummy_value()

    whole = types.intp
    matrix = (whole, whole, whole)
    return types.void(
        a, *matrix, b, *matrix, c, whole, whole, whole, whole, whole, types.boolean, room
    ), generate


def link(dtype: Any) -> None:
    """Makes ``product`` callable for this dtype: compiles it, or loads it from disk."""
    if dtype.name not in _linked:
        kind = getattr(types, dtype.name)
        real, whole = types.CPointer(kind), types.intp
        matrix = (real, whole, whole, whole)
        signature = types.void(
            *matrix, *matrix, real, whole, whole, whole, whole, whole, types.uint8, real
        )
        _linked[dtype.name] = entry = c_function(_entry, signature)
        add_symbol(_symbol(kind), entry.address)


def _symbol(kind: Any) -> str:
    return f"tinyae_product_{kind.name}"


_linked: dict[str, Any] = {}  # dtype -> compiled function, which must not be collected


def _entry(
    a: Any, a_start: int, a_row: int, a_column: int, b: Any, b_start: int, b_row: int,
    b_column: int, c: Any, c_start: int, c_row: int, m: int, n: int, depth: int, add: int,
    room: Any,
) -> None:  # fmt: skip
    # the true sizes of the arrays are not known here, and not needed
    _product(
        carray(a, 1), a_start, a_row, a_column, carray(b, 1), b_start, b_row, b_column,
        carray(c, 1), c_start, c_row, m, n, depth, add != 0, carray(room, 1),
    )  # fmt: skip


@inline
def _product(
    a: Any, a_start: int, a_row: int, a_column: int, b: Any, b_start: int, b_row: int,
    b_column: int, c: Any, c_start: int, c_row: int, m: int, n: int, depth: int, add: bool,
    room: Any,
) -> None:  # fmt: skip
    columns = tile_columns(c)
    edge = DEPTH * columns  # room holds the panel, and a tile for the last columns of c
    if depth == 0 and not add:
        for i in range(m):
            for j in range(n):
                c[c_start + i * c_row + j] = 0
    for k in range(0, depth, DEPTH):
        piece = min(DEPTH, depth - k)
        more = add or k > 0
        for j in range(0, n, columns):
            width = min(columns, n - j)
            _pack(b, b_start + k * b_row + j * b_column, b_row, b_column, piece, width, room)
            whole = width == columns
            out, out_row, to_add = (c, c_row, more) if whole else (room, columns, False)
            i = 0
            while i < m:
                a_at, c_at = a_start + i * a_row + k * a_column, c_start + i * c_row + j
                out_at = c_at if whole else edge
                if m - i >= TILE_ROWS:
                    tall_tile(a, a_at, a_row, a_column, room, out, out_at, out_row, piece, to_add)
                    height = TILE_ROWS
                elif m - i >= SHORT_ROWS:
                    short_tile(a, a_at, a_row, a_column, room, out, out_at, out_row, piece, to_add)
                    height = SHORT_ROWS
                else:
                    single_tile(a, a_at, a_row, a_column, room, out, out_at, out_row, piece, to_add)
                    height = 1
                if not whole:
                    _copy_edge(room, edge, columns, c, c_at, c_row, height, width, more)
                i += height


def launch_product(
    kernel: Callable[..., None], arrays: tuple[Any, ...], kind: int, m: int, n: int, depth: int
) -> None:
    """kernel(*arrays, kind, m, n, depth, room, threads), all of one dimension, on as many threads
    as a product of these sizes is worth."""
    dtype, threads = arrays[0].dtype, threads_for(m * n * depth)
    link(dtype)
    room = borrow((threads, room_size(dtype.itemsize)), dtype)
    flat = [array.reshape(-1) for array in arrays]
    launch(kernel, *flat, kind, m, n, depth, room, threads=threads)


@jit()
def share(m: int, n: int, t: int, threads: int, like: Any) -> tuple[int, int, int, int]:
    """Thread t's block of an (m, n) product: (first row, end, first column, end).

    Whole tiles of columns, as each then packs its own part of b only; rows where there are too
    few of those.
    """
    columns = tile_columns(like)
    tiles = (n + columns - 1) // columns
    if tiles >= 4 * threads or (tiles >= threads and m < 4 * TILE_ROWS * threads):
        left, right = tiles * t // threads * columns, tiles * (t + 1) // threads * columns
        return 0, m, min(left, n), min(right, n)
    return m * t // threads, m * (t + 1) // threads, 0, n


@inline
def _copy_edge(
    room: Any, edge: int, columns: int, c: Any, c_tile: int, c_row: int, height: int, width: int,
    add: bool,
) -> None:  # fmt: skip
    """The part of a tile that lies within c."""
    for i in range(height):
        for j in range(width):
            value = room[edge + i * columns + j]
            place = c_tile + i * c_row + j
            c[place] = c[place] + value if add else value


@inline
def _pack(
    b: Any, start: int, row: int, column: int, depth: int, width: int, panel: Any
) -> None:  # fmt: skip
    """panel (depth, tile columns) = b's columns, zeros beyond ``width``."""
    columns = tile_columns(panel)
    lanes = columns // TILE_VECTORS
    if width == columns and column == 1:
        for k in range(depth):
            copy_row(b, start + k * row, panel, k * columns)
        return
    squares = depth // lanes if width == columns and row == 1 else 0
    for q in range(squares):
        for j in range(0, columns, lanes):
            transpose_square(
                b, start + q * lanes + j * column, column, panel, q * lanes * columns + j, columns
            )
    for k in range(squares * lanes, depth):
        for j in range(width):
            panel[k * columns + j] = b[start + k * row + j * column]
        for j in range(width, columns):
            panel[k * columns + j] = 0
