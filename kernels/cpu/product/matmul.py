"""Matrix products on one thread: packing, and the loops around the tile.

    for each piece of the depth:
        for each group of columns: that part of b stays in the last-level cache
            for each block of rows:
                pack that part of a: it stays in the second-level cache
                for each tile's width of columns:
                    pack that panel of b, for the first block: it stays in the first-level cache
                    for each tile's height of rows:
                        c tile += a panel @ b panel

Where there is one block of rows, a is packed once for all groups, and a group is a tile's width.
What is used a few times only is read where it lies, not packed: a where c has few columns, b where
it has few rows. Blocks, groups and pieces are cut evenly. A number of c is summed in the same order
wherever it lies in c and however the matrices lie in memory, so that its bits do not depend on how
the threads share c.

Arrays are flat; a matrix in one is (start, row stride, column stride), so that a transpose or a
block of rows or columns is a matter of numbers. c has contiguous rows.

The product is compiled once for each dtype and called by its address (``pieces.variants``), in the
place of which may stand that of another product: see ``product_for``.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...scratch import borrow
from ..compiling import VECTOR_BYTES, inline, jit
from ..pieces import Kernel, variants
from ..threads import launch, threads_for
from . import amx
from .packing import clear, even, pack_columns, pack_rows
from .tile import (
    LINE_BYTES,
    SHORT_ROWS,
    TILE_ROWS,
    TILE_VECTORS,
    UNROLLED,
    first_aligned,
    lanes_of,
    narrow_short_tile,
    narrow_tall_tile,
    short_tile,
    tall_tile,
    tile_columns,
    tile_height,
)

DEPTH = 256 if VECTOR_BYTES == 64 else 400  # of a piece: a panel of b takes up 32 or 25 KiB
# of a packed block of a: half of a second-level cache, which is smaller where there is no AVX-512
BLOCK_BYTES = 2**19 if VECTOR_BYTES == 64 else 2**18
GROUP_BYTES = 4096 * DEPTH  # of a packed group of b, where there are several blocks of a
TURN = 16  # steps of the depth that are copied for all rows of a block before the next ones
FEW_COLUMNS = 256  # of c: up to here a is read where it lies, if the depth is contiguous there
FEW_STRIDED = 32  # and if it is not
FEW_ROWS = 6 * TILE_ROWS  # of c: up to here b is read where it lies, if its rows are contiguous
PACKING = 16  # the cost of packing a number, in multiply-adds
LEAST_DEPTH, LEAST_SIDES = 32, 40  # from which AMX pays: see ``product_for``


def block_rows(itemsize: int) -> int:
    """Rows of a that are packed at a time, at most."""
    return BLOCK_BYTES // (DEPTH * itemsize) // TILE_ROWS * TILE_ROWS


def room_size(itemsize: int, tiles: int = 0) -> int:
    """Numbers of scratch memory that a product wants, the one with ``tiles`` or the plain one that
    may stand in for it: less than 1.9 MiB."""
    group, line = GROUP_BYTES // itemsize, LINE_BYTES // itemsize
    edge = TILE_ROWS * TILE_VECTORS * lanes_of(itemsize)
    plain = line + group + edge + (block_rows(itemsize) + TILE_ROWS) * DEPTH + line
    return max(plain, amx.ROOM) if tiles else plain


def _product(
    a: Any, a_start: int, a_row: int, a_column: int, b: Any, b_start: int, b_row: int,
    b_column: int, c: Any, c_start: int, c_row: int, m: int, n: int, depth: int, add: bool,
    room: Any,
) -> None:  # fmt: skip
    """c (m, n) = a (m, depth) @ b (depth, n), or c += a @ b where ``add``; one dtype."""
    columns = tile_columns(c)
    # room holds a group of b, a tile for the last rows and columns of c, and the block of a
    panels = first_aligned(room)
    edge = panels + GROUP_BYTES // c.itemsize
    block = edge + TILE_ROWS * columns
    if m == 0 or n == 0 or depth == 0:
        clear(c, c_start, c_row, m, 0 if add else n)
        return
    pieces = even(depth, DEPTH, UNROLLED)
    in_place = n <= (FEW_COLUMNS if a_column == 1 else FEW_STRIDED)
    rows = m if in_place else even(m, BLOCK_BYTES // (DEPTH * c.itemsize), TILE_ROWS)
    one = rows >= m
    group = columns if one else even(n, GROUP_BYTES // (DEPTH * c.itemsize), columns)
    for k in range(0, depth, pieces):
        piece = min(pieces, depth - k)
        for left in range(0, n, group):
            right = min(left + group, n)
            for top in range(0, m, rows):
                height = min(rows, m - top)
                a_at = a_start + top * a_row + k * a_column
                if left == 0 or not one:
                    # in place: the last rows only, which may fill no tile
                    first = max(0, height - TILE_ROWS) if in_place else 0
                    _pack_block(a, a_at + first * a_row, a_row, a_column, height - first, piece,
                                room, block)  # fmt: skip
                for j in range(left, right, columns):
                    width, panel = min(columns, n - j), panels + (j - left) * piece
                    across, at, row = b, b_start + k * b_row + j * b_column, b_row
                    if m > FEW_ROWS or b_column != 1 or width != columns:
                        if top == 0:
                            pack_columns(b, at, b_column, b_row, width, piece, columns, room, panel)
                        across, at, row = room, panel, columns
                    _tiles(
                        a, a_at, a_row, a_column, in_place, room, block, across, at, row, edge, c,
                        c_start + top * c_row + j, c_row, height, width, piece, add or k > 0,
                    )  # fmt: skip


product, _link = variants(lambda _: _product)


@functools.cache  # a millisecond, even where there is nothing to do
def link(dtype: Any) -> int:
    """The address of the product, for ``product(address, *arguments)`` in compiled code."""
    array, matrix = np.empty(0, dtype), (0, 0, 0)
    return int(_link(0, array, *matrix, array, *matrix, array, 0, 0, 0, 0, 0, False, array))


def product_for(plain: int, tiles: int, m: int, n: int, depth: int) -> int:
    """Which of two products: ``plain`` or, where it pays, ``tiles``, AMX's (0: there is none).

    m, n and depth are the whole product's, never a thread's share: the bits of a result must not
    depend on how many threads share it. To pack a number for the tiles costs 28 to 45 of their
    multiply-adds, so that it pays where 1 / m + 1 / n <= 1 / 40.

    The tiles err less than ``plain`` on most numbers, as much where few terms of a sum decide, and
    lose others: denormal numbers count as zero, parts of a number as well, so that up to 2^-125 of
    each is lost. That is some of the last bits below 2^-102, and more of them below 2^-110.
    Infinity becomes NaN, and so does what is larger than 3.396e38.
    """
    pays = depth >= LEAST_DEPTH and LEAST_SIDES * (m + n) <= m * n
    return tiles if tiles != 0 and pays else plain


@inline
def _pack_block(
    a: Any, start: int, row: int, column: int, m: int, depth: int, room: Any, block: int
) -> None:
    """block (tiles, depth, TILE_ROWS) = a (m, depth): of each tile its rows, or the last ones."""
    turn = TURN if row == 1 else depth  # a line of the cache holds a few rows of several panels
    for k in range(0, depth, turn):
        i, panel = 0, block + k * TILE_ROWS
        while i < m:
            pack_rows(
                a, start + (i - _behind(i, m)) * row + k * column, row, column, min(TILE_ROWS, m),
                min(turn, depth - k), TILE_ROWS, room, panel,
            )  # fmt: skip
            i += tile_height(m - i)
            panel += depth * TILE_ROWS


@inline
def _behind(i: int, m: int) -> int:
    """Where in its panel the tile of row i begins: a panel has TILE_ROWS rows, if m has."""
    return max(0, i - max(0, m - TILE_ROWS))


@inline
def _tiles(
    a: Any, a_start: int, a_row: int, a_column: int, in_place: bool, room: Any, block: int,
    b: Any, b_start: int, b_row: int, edge: int, c: Any, c_start: int, c_row: int, m: int,
    width: int, depth: int, add: bool,
) -> None:  # fmt: skip
    """c (m, width) = a @ b, or c += a @ b where ``add``; whole tiles of a may be read
    ``in_place``."""
    columns = tile_columns(c)
    narrow = 2 * width <= columns
    fits = width == (columns // 2 if narrow else columns)
    i, panel = 0, block
    while i < m:
        height = tile_height(m - i)
        whole = fits and m - i >= height
        if in_place and m - i >= height:
            left, left_at, left_row, left_column = a, a_start + i * a_row, a_row, a_column
        else:
            left, left_row, left_column = room, 1, TILE_ROWS
            left_at = panel + _behind(i, m)
            panel += depth * TILE_ROWS
        c_at = c_start + i * c_row
        out, out_at, out_row = (c, c_at, c_row) if whole else (room, edge, columns)
        at = (left, left_at, left_row, left_column, b, b_start, b_row, out, out_at, out_row,
              depth, add and whole)  # fmt: skip
        if narrow and height == TILE_ROWS:
            narrow_tall_tile(*at)
        elif narrow:
            narrow_short_tile(*at)
        elif height == TILE_ROWS:
            tall_tile(*at)
        else:
            short_tile(*at)
        if not whole:
            _copy_edge(room, edge, columns, c, c_at, c_row, min(m - i, height), width, add)
        i += height


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


def launch_product(
    kernel: Kernel, arrays: tuple[Any, ...], kind: int, sizes: tuple[int, int, int], deep: int,
    tiles: int,
) -> None:  # fmt: skip
    """The kernel with (*arrays, kind, *sizes, room, product), arrays of one dimension, on as many
    threads as a product of these sizes is worth. sizes[deep] is the depth; ``tiles``: see
    ``product_for``."""
    dtype, threads = arrays[0].dtype, threads_for(math.prod(sizes))
    m, n = sizes[:deep] + sizes[deep + 1 :]
    tiles = tiles if dtype == np.float32 else 0
    chosen = product_for(link(dtype), tiles, m, n, sizes[deep])
    room = borrow((threads, room_size(dtype.itemsize, tiles)), dtype)
    flat = [array.reshape(-1) for array in arrays]
    launch(kernel, *flat, kind, *sizes, room, chosen, threads=threads)


@jit()
def share(m: int, n: int, t: int, threads: int, like: Any) -> tuple[int, int, int, int]:
    """Thread t's block of an (m, n) product: (first row, end, first column, end).

    The threads form a grid. Each packs its rows of a and its columns of b, so that a block of h
    rows and w columns takes a time like h w + PACKING (h + w). Where a row is shared, two threads
    write to one line of the cache at its cut, which takes a time like PACKING for each row.
    """
    lanes = tile_columns(like) // TILE_VECTORS
    best, across = math.inf, 1
    for parts in range(1, threads + 1):
        if threads % parts == 0:
            h, w = _largest(m, threads // parts, SHORT_ROWS), _largest(n, parts, lanes)
            cost = (h + PACKING) * (w + PACKING * min(parts, 2))
            if cost < best:
                best, across = cost, parts
    down = threads // across
    top, bottom = _part(m, t // across, down, SHORT_ROWS)
    left, right = _part(n, t % across, across, lanes)
    return top, bottom, left, right


@inline
def _part(whole: int, t: int, parts: int, unit: int) -> tuple[int, int]:
    """(begin, end) of part t, in whole units."""
    units = (whole + unit - 1) // unit
    return min(units * t // parts * unit, whole), min(units * (t + 1) // parts * unit, whole)


@inline
def _largest(whole: int, parts: int, unit: int) -> int:
    units = (whole + unit - 1) // unit
    return (units + parts - 1) // parts * unit
