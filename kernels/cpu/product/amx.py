"""Products of float32 on Intel's AMX, as six products of bfloat16: ``matmul="6xbf16"``.

A number is the sum of three of bfloat16, x = hi + mid + lo, exactly: three times 8 bits and a sign.
Of the nine products of the parts of a and b the six largest are summed in float32; what is left out
is below 2.01 2^-24 |a| |b|. (Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial
intelligence datatype for higher-precision computations", 2019.) Of the 32 products of a step
tdpbf16ps sums each half by itself, then adds both sums to the tile.

    for each COLUMNS columns of c:
        for each PIECE of the depth:
            pack that part of b: it stays in the second-level cache
            for each SIDE rows:
                pack them of a
                for each DEPTH of the piece:
                    for each SIDE columns: four tiles of sums += a panel @ b panel

LLVM must compile for a processor that has the instructions, or it ends the process: ``link`` only
where ``processor.lacking`` says "". Nothing else that is compiled depends on that, as products are
called by address; and Numba keeps compiled code by the features of the processor it is for.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..compiling import inline, intrinsic
from ..pieces import linked
from .packing import HALF, STEP, STEP_WORDS, TILE, Lines, clear, even, pack_parts
from .tile import Value, call, first_aligned, integer, loop

# Parts of a and of b, the largest product last; each differs from the one before in one part.
ORDER = (0, 2), (0, 1), (1, 1), (1, 0), (2, 0), (0, 0)
SIDE = 2 * HALF  # rows and columns of c at a time
DEPTH = 128  # of this, a panel of a and one of b (24 KiB each) fit into the first-level cache
PIECE = 384  # of the depth, packed at a time; sums of pieces are added as vectors
COLUMNS = 512  # of b, packed at a time: 1.2 MB with a piece
PANEL_WORDS = PIECE // STEP * STEP_WORDS
BLOCK_WORDS = COLUMNS // SIDE * PANEL_WORDS
ROOM = HALF + SIDE * COLUMNS + PANEL_WORDS + BLOCK_WORDS + STEP * HALF  # numbers of scratch memory

INSTRUCTIONS = "llvm.x86."  # and a name

_byte, _word = ir.IntType(8), ir.IntType(32)


def _instruction(builder: Any, name: str, *arguments: Value) -> None:
    arguments = tuple(
        builder.bitcast(a, _byte.as_pointer()) if isinstance(a.type, ir.PointerType) else a
        for a in arguments
    )
    kind = ir.FunctionType(ir.VoidType(), [a.type for a in arguments])
    there = cgutils.get_or_insert_function(builder.module, kind, INSTRUCTIONS + name)
    builder.call(there, arguments)


@intrinsic
def configure(_: Any) -> Any:
    """Eight tiles of 16 rows of 64 bytes, for this thread."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # palette 1; 64 bytes in a row, for each of eight tiles (and 0 for eight that are not
        # there); 16 rows
        words = [1, 0, 0, 0, *[0x00400040] * 4, *[0] * 4, *[0x10101010] * 2, 0, 0]
        value = ir.Constant(ir.ArrayType(_word, len(words)), words)
        _instruction(builder, "ldtilecfg", cgutils.global_constant(builder.module, "amx", value))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def release(_: Any) -> Any:
    """The thread's tiles are no part of its state any more."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _instruction(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def tiles(
    _: Any, a: Any, a_start: Any, b: Any, b_start: Any, sums: Any, sums_start: Any, c: Any,
    c_start: Any, c_row: Any, steps: Any, add: Any,
) -> Any:  # fmt: skip
    """c (32, 32) = a @ b, or sums (32, 32) + a @ b where ``add``: steps of two packed panels."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(context, builder, signature, arguments, "amx_tiles", write)

    def write(
        builder: Any, a: Value, b: Value, sums: Value, c: Value, c_row: Value, steps: Value,
        add: Value,
    ) -> None:  # fmt: skip
        at = Lines(builder)
        corners = [(i, j) for i in range(2) for j in range(2)]  # tile 2 i + j

        def every(name: str, base: Value, row: Value) -> None:
            for i, j in corners:
                place = at.at(at.at(base, row, HALF * i), HALF * j)
                _instruction(builder, name, _byte(2 * i + j), place, builder.mul(row, integer(4)))

        with builder.if_else(add) as (then, otherwise):
            with then:
                every("tileloadd64", sums, integer(SIDE))
            with otherwise:
                for i, j in corners:
                    _instruction(builder, "tilezero", _byte(2 * i + j))

        def turn(_: Value, panels: list[Value]) -> list[Value]:
            held: tuple[int | None, int | None] = None, None  # parts in tiles 4, 5 and in 6, 7
            for wanted in ORDER:
                for t in range(2):
                    for first, panel, part, old in zip((4, 6), panels, wanted, held, strict=True):
                        if part != old:
                            place = at.at(panel, (2 * part + t) * TILE)
                            line = integer(4 * HALF)
                            _instruction(builder, "tileloadd64", _byte(first + t), place, line)
                for i, j in corners:
                    numbers = (_byte(t) for t in (2 * i + j, 4 + i, 6 + j))
                    _instruction(builder, "tdpbf16ps", *numbers)
                held = wanted
            return [at.at(panel, STEP_WORDS) for panel in panels]

        loop(builder, integer(0), steps, 1, [a, b], turn)
        every("tilestored64", c, c_row)

    whole = types.intp
    return types.void(
        a, whole, b, whole, sums, whole, c, whole, whole, whole, types.boolean
    ), generate


@intrinsic
def _add_rows(_: Any, sums: Any, start: Any, c: Any, c_start: Any, c_row: Any, rows: Any) -> Any:
    """c (rows, 32) += sums (rows, 32)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call(context, builder, signature, arguments, "amx_add_rows", write)

    def write(builder: Any, sums: Value, c: Value, c_row: Value, rows: Value) -> None:
        at = Lines(builder)

        def turn(_: Value, places: list[Value]) -> list[Value]:
            for j in (0, HALF):
                value, place = at.load(at.at(places[0], j)), at.at(places[1], j)
                at.store(builder.fadd(at.load(place), value), place)
            return [at.at(places[0], SIDE), at.at(places[1], c_row)]

        loop(builder, integer(0), rows, 1, [sums, c], turn)

    whole = types.intp
    return types.void(sums, whole, c, whole, whole, whole), generate


def _product(
    a: Any, a_start: int, a_row: int, a_column: int, b: Any, b_start: int, b_row: int,
    b_column: int, c: Any, c_start: int, c_row: int, m: int, n: int, depth: int, add: bool,
    room: Any,
) -> None:  # fmt: skip
    """c (m, n) = a (m, depth) @ b (depth, n), or c += a @ b where ``add``, in float32.

    A number of c is summed in the same order wherever it lies, and however a and b do.
    """
    sums = first_aligned(room)  # of SIDE rows of c, until a piece of the depth is through
    panel = sums + SIDE * COLUMNS
    block = panel + PANEL_WORDS
    stage = block + BLOCK_WORDS
    if m == 0 or n == 0 or depth == 0:
        clear(c, c_start, c_row, m, 0 if add else n)
        return
    configure()
    columns, pieces = even(n, COLUMNS, SIDE), even(depth, PIECE, STEP)
    for left in range(0, n, columns):
        wide = min(columns, n - left)
        panels = (wide + SIDE - 1) // SIDE
        for k in range(0, depth, pieces):
            piece, more = min(pieces, depth - k), add or k > 0
            part = even(piece, DEPTH, STEP)
            for q in range(0, piece, part):
                steps = (min(part, piece - q) + STEP - 1) // STEP
                for j in range(panels):
                    pack_parts(
                        b, b_start + (k + q) * b_row + (left + j * SIDE) * b_column, b_column,
                        b_row, min(SIDE, wide - j * SIDE), min(part, piece - q), False, room,
                        block + (q // STEP * panels + j * steps) * STEP_WORDS, stage,
                    )  # fmt: skip
            for i in range(0, m, SIDE):
                height = min(SIDE, m - i)
                pack_parts(
                    a, a_start + i * a_row + k * a_column, a_row, a_column, height, piece, True,
                    room, panel, stage,
                )  # fmt: skip
                for q in range(0, piece, part):
                    steps = (min(part, piece - q) + STEP - 1) // STEP
                    last = q + part >= piece
                    for j in range(panels):
                        width, own = min(SIDE, wide - j * SIDE), sums + j * SIDE * SIDE
                        c_at = c_start + i * c_row + left + j * SIDE
                        direct = last and not more and height == SIDE and width == SIDE
                        out, out_at, out_row = (c, c_at, c_row) if direct else (room, own, SIDE)
                        tiles(
                            room, panel + q // STEP * STEP_WORDS,
                            room, block + (q // STEP * panels + j * steps) * STEP_WORDS,
                            room, own, out, out_at, out_row, steps, q > 0,
                        )  # fmt: skip
                        if last and not direct:
                            _finish(room, own, c, c_at, c_row, height, width, more)
    release()


@inline
def _finish(
    room: Any, sums: int, c: Any, start: int, row: int, height: int, width: int, add: bool
) -> None:
    """c (height, width) = sums, or += sums where ``add``."""
    if add and width == SIDE:
        _add_rows(room, sums, c, start, row, height)
    else:
        for i in range(height):
            for j in range(width):
                value, place = room[sums + i * SIDE + j], start + i * row + j
                c[place] = c[place] + value if add else value


_, _link = linked(_product)


@functools.cache
def link() -> int:
    """The address of the product, of the signature of ``matmul.product``."""
    array, matrix = np.empty(0, np.float32), (0, 0, 0)
    return int(_link(array, *matrix, array, *matrix, array, 0, 0, 0, 0, 0, False, array))
