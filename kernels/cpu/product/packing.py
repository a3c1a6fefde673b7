"""Packing: the rows of a and the columns of b, in the order in which the tiles read them.

A panel (depth, width) holds TILE_ROWS rows of a, or a tile's columns of b: at each k of the depth
the numbers that meet there. In memory either they are neighbours (a row of b, a column of x), and
are copied, or the depth is contiguous, and they are transposed, a few steps of the depth at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from ..compiling import inline, intrinsic
from .tile import TILE_ROWS, TILE_VECTORS, Value, Vectors, call, integer, lanes_of, loop

LANE_BYTES = 16  # numbers change places fastest within so many bytes of a vector


@inline
def even(whole: int, most: int, step: int) -> int:
    """The size of the fewest parts of at most ``most``, all of (almost) one size."""
    most = most // step * step
    parts = (whole + most - 1) // most
    size = (whole + parts - 1) // parts
    return (size + step - 1) // step * step


@inline
def clear(c: Any, c_start: int, c_row: int, m: int, n: int) -> None:
    """c (m, n) = 0: a product of no depth."""
    for i in range(m):
        for j in range(n):
            c[c_start + i * c_row + j] = 0


def _panel(width_of: Callable[[int], int]) -> Any:
    """The function that packs panels whose width depends on the lanes of a vector."""

    def width_in(array: Any) -> int:
        return width_of(lanes_of(array.dtype.bitwidth // 8))

    @intrinsic
    def copy(
        _: Any, source: Any, start: Any, step: Any, target: Any, target_start: Any, depth: Any
    ) -> Any:
        """target (depth, width) = contiguous lines, ``step`` apart."""
        width = width_in(source)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return call(context, builder, signature, arguments, f"copy_{width}", write)

        def write(builder: Any, source: Value, step: Value, target: Value, depth: Value) -> None:
            at = Vectors(builder, source.type.pointee)

            def turn(_: Value, places: list[Value]) -> list[Value]:
                source, target = places
                for i in range(0, width, at.lanes):
                    numbers = min(at.lanes, width - i)
                    at.store(at.load(at.at(source, i), numbers), at.at(target, i))
                return [at.at(source, step), at.at(target, width)]

            loop(builder, integer(0), depth, 1, [source, target], turn)

        whole = types.intp
        return types.void(source, whole, whole, target, whole, whole), generate

    @intrinsic
    def transpose(
        _: Any, source: Any, start: Any, line: Any, last: Any, target: Any, target_start: Any,
        depth: Any,
    ) -> Any:  # fmt: skip
        """target (depth, width) = ``width`` lines of depth >= LANE_BYTES numbers, transposed.

        Lines behind line ``last`` count as this one. Less than a vector behind the target is
        overwritten too.
        """
        width = width_in(source)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return call(context, builder, signature, arguments, f"transpose_{width}", write)

        def write(
            builder: Any, source: Value, line: Value, last: Value, target: Value, depth: Value
        ) -> None:
            at = Vectors(builder, source.type.pointee)
            few = LANE_BYTES // at.bytes
            lines = []
            for i in range(width):
                within = builder.icmp_signed("<", integer(i), last)
                lines.append(at.at(source, line, builder.select(within, integer(i), last)))

            def turn(k: Value, _: list[Value]) -> list[Value]:
                # the last steps may be packed twice
                final = builder.sub(depth, integer(few))
                k = builder.select(builder.icmp_signed("<", k, final), k, final)
                squares = []
                for first in range(0, width, at.lanes):
                    rows = []
                    for i in range(few):
                        mine = range(first + i, min(first + at.lanes, width), few)
                        rows.append(_joined(at, [at.load(at.at(lines[r], k), few) for r in mine]))
                    squares.append(transposed(at, rows))
                place = at.at(target, integer(width), k)
                for i in range(few):  # what is stored too much, the next store overwrites
                    for j, rows in enumerate(squares):
                        at.store(rows[i], at.at(place, i * width + j * at.lanes))
                return []

            loop(builder, integer(0), depth, few, [], turn)

        whole = types.intp
        return types.void(source, whole, whole, whole, target, whole, whole), generate

    @inline
    def pack(
        source: Any, start: int, line: int, step: int, count: int, depth: int, width: int,
        target: Any, target_start: int,
    ) -> None:  # fmt: skip
        """target[k, i] = source[start + i line + k step] for ``count`` lines, anything behind."""
        if step == 1 and depth * source.itemsize >= LANE_BYTES:
            transpose(source, start, line, count - 1, target, target_start, depth)
        elif line == 1 and count == width:
            copy(source, start, step, target, target_start, depth)
        else:
            for k in range(depth):
                for i in range(count):
                    target[target_start + k * width + i] = source[start + i * line + k * step]
                for i in range(count, width):
                    target[target_start + k * width + i] = 0

    return pack


pack_rows = _panel(lambda lanes: TILE_ROWS)
pack_columns = _panel(lambda lanes: TILE_VECTORS * lanes)


def _joined(at: Vectors, parts: list[Value]) -> Value:
    """One vector of shorter ones; what they do not fill is undefined."""
    whole = ir.Constant(at.kind, ir.Undefined)
    for i, part in enumerate(parts):
        few = part.type.count
        wide = at.shuffled(part, part, [k % few for k in range(at.lanes)])
        mine = range(i * few, (i + 1) * few)
        whole = at.shuffled(
            whole, wide, [at.lanes + k if k in mine else k for k in range(at.lanes)]
        )
    return whole


def transposed(at: Vectors, rows: list[Value]) -> list[Value]:
    """Squares of len(rows) lanes, each transposed: halves, quarters, ... change places."""
    rows = list(rows)
    width = len(rows) // 2
    while width:
        for i in range(len(rows)):
            if not i & width:
                rows[i], rows[i + width] = _exchanged(at, rows[i], rows[i + width], width)
        width //= 2
    return rows


def _exchanged(at: Vectors, low: Value, high: Value, width: int) -> tuple[Value, Value]:
    """Groups of ``width`` lanes of two vectors, exchanged as a transposition does."""
    first: list[int] = []
    second: list[int] = []
    for group in range(0, at.lanes, 2 * width):
        for lanes, start in ((first, group), (second, group + width)):
            lanes.extend(range(start, start + width))
            lanes.extend(range(at.lanes + start, at.lanes + start + width))
    return at.shuffled(low, high, first), at.shuffled(low, high, second)


# For AMX a panel is 32 rows of a, or columns of b, by steps of 32 of the depth. A step holds, for
# each of three parts, two tiles of 16 x 16 pairs of bfloat16. A pair is (k, k + 16) of the step, in
# a as in b: the order of the depth is free, and so a pair is a shift and an "or" of whole vectors.

PARTS, STEP, HALF = 3, 32, 16  # of a number; of the depth: a row of a tile; rows of a tile
TILE = HALF * HALF  # words of four bytes
STEP_WORDS = 2 * PARTS * TILE
_WORDS = ir.VectorType(ir.IntType(32), HALF)


class Lines(Vectors):
    """Vectors of 16 numbers, whatever the processor's have."""

    def __init__(self, builder: Any) -> None:
        super().__init__(builder, ir.FloatType())
        self.lanes, self.kind = HALF, ir.VectorType(ir.FloatType(), HALF)


def _half_step(is_transposed: bool) -> Any:
    """The function that packs 16 x 32 numbers: one tile in each part."""

    @intrinsic
    def pack(
        _: Any, source: Any, start: Any, line: Any, apart: Any, target: Any, target_start: Any
    ) -> Any:
        """target (parts, 2, 16, 16): pairs of 16 lines, ``line`` apart, of 16 numbers and of 16
        others, ``apart`` from them."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            name = f"amx_pack_{is_transposed}"
            return call(context, builder, signature, arguments, name, write)

        def write(builder: Any, source: Value, line: Value, apart: Value, target: Value) -> None:
            at = Lines(builder)
            second = at.at(source, apart)

            def lines(i: Value | int) -> list[Value]:
                return [at.load(at.at(first, line, i)) for first in (source, second)]

            def store(i: Value | int, low: Value, high: Value) -> None:
                for part, pair in enumerate(_pairs(builder, low, high)):
                    at.store(pair, at.at(at.at(target, 2 * part * TILE), HALF, i))

            def turn(i: Value, _: list[Value]) -> list[Value]:
                store(i, *lines(i))
                return []

            if is_transposed:
                squares = zip(*map(lines, range(HALF)), strict=True)
                turned = (transposed(at, list(square)) for square in squares)
                for i, (low, high) in enumerate(zip(*turned, strict=True)):
                    store(i, low, high)
            else:
                loop(builder, integer(0), integer(HALF), 1, [], turn)

        whole = types.intp
        return types.void(source, whole, whole, whole, target, whole), generate

    return pack


_lines, _columns = _half_step(False), _half_step(True)


def _pairs(builder: Any, low: Value, high: Value) -> list[Value]:
    """For each part words of two bfloat16, one of each vector."""

    def both(number: int) -> Value:
        return ir.Constant(_WORDS, [number] * HALF)

    pairs, upper = [], both(0xFFFF0000)
    for part in range(PARTS):
        words = [builder.bitcast(x, _WORDS) for x in (low, high)]
        if part < PARTS - 1:  # rounded; what is left for lo fits as it is
            words = [builder.and_(builder.add(w, both(0x8000)), upper) for w in words]
            low, high = (
                builder.fsub(x, builder.bitcast(w, x.type))
                for x, w in zip((low, high), words, strict=True)
            )
        below = builder.lshr(words[0], both(16))
        pairs.append(builder.or_(below, builder.and_(words[1], upper)))
    return pairs


@inline
def pack_parts(
    source: Any, start: int, outer: int, inner: int, count: int, depth: int, is_a: bool, room: Any,
    target: int, stage: int,
) -> None:  # fmt: skip
    """target (steps, parts, 2, 16, 16) = up to 32 rows of a, or columns of b, zeros beyond them and
    beyond the depth. ``outer`` and ``inner`` are the strides of these and of the depth.

    A line of a tile is a row of a, or a step of b's depth.
    """
    line, lane = (outer, inner) if is_a else (inner, outer)
    for k in range(0, depth, STEP):
        for t in range(2):
            at = start + t * HALF * outer + k * inner
            to = target + k // STEP * STEP_WORDS + t * TILE
            rows, some = min(HALF, count - t * HALF), min(STEP, depth - k)
            whole = rows == HALF and some == STEP
            if whole and lane == 1:
                _lines(source, at, line, HALF * inner, room, to)
            elif whole and line == 1:
                _columns(source, at, lane, HALF * inner, room, to)
            else:
                for i in range(stage, stage + HALF * STEP):
                    room[i] = 0
                row, column = (STEP, 1) if is_a else (1, HALF)
                for i in range(rows):
                    for j in range(some):
                        room[stage + i * row + j * column] = source[at + i * outer + j * inner]
                _lines(room, stage, STEP if is_a else HALF, HALF * column, room, to)
