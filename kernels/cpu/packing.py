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

from .compiling import inline, intrinsic
from .tile import TILE_ROWS, TILE_VECTORS, Value, Vectors, call, integer, lanes_of, loop

LANE_BYTES = 16  # numbers change places fastest within so many bytes of a vector


@inline
def even(whole: int, most: int, step: int) -> int:
    """The size of the fewest parts of at most ``most``, all of (almost) one size."""
    most = most // step * step
    parts = (whole + most - 1) // most
    size = (whole + parts - 1) // parts
    return (size + step - 1) // step * step


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
