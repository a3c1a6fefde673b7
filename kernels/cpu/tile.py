"""The innermost step of a matrix product, in this processor's own vectors.

A product is cut into tiles of TILE_ROWS rows and two vectors of columns. One tile of the result
stays in registers while the depth runs: at each k two vectors of b meet TILE_ROWS numbers of a,

    for k:  for i in rows:  for j in (0, 1):  c[i][j] += a[i, k] * b[k][j]

which is a fused multiply-add per result vector and a load for every two of them. This form, an
outer product of registers, is that of Goto and van de Geijn ("Anatomy of high-performance matrix
multiplication", 2008) and of Van Zee and van de Geijn (BLIS, 2015). Loops in Python do not reach
it, as LLVM keeps no array in registers; the few functions here write LLVM's instructions.

Arrays are one-dimensional and contiguous; places in them are element offsets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiling import VECTOR_BYTES, VECTOR_REGISTERS, intrinsic, overload
from .math import fused_multiply_add

Value = Any  # of LLVM

TILE_VECTORS = 2
# 2 TILE_ROWS + 3 registers are in use: sums, two vectors of b, one number of a
TILE_ROWS = 12 if VECTOR_REGISTERS >= 32 else 6
SHORT_ROWS = TILE_ROWS // 3  # for what is left of the rows; then one by one

_integer = ir.IntType(64)


def lanes_of(itemsize: int) -> int:
    """Numbers in one vector."""
    return VECTOR_BYTES // itemsize


def tile_columns(array: Any) -> int:
    """Columns of a tile, for the dtype of ``array``."""
    return TILE_VECTORS * lanes_of(array.itemsize)


@overload(tile_columns)
def _tile_columns(array: Any) -> Any:
    columns = TILE_VECTORS * lanes_of(array.dtype.bitwidth // 8)
    return lambda array: columns


class _Vectors:
    """Vector loads and stores at element offsets of an array."""

    def __init__(self, context: Any, builder: Any, kind: Any, array: Value) -> None:
        self.builder = builder
        self.lanes = lanes_of(kind.dtype.bitwidth // 8)
        self.bytes = kind.dtype.bitwidth // 8
        self.base = context.make_array(kind)(context, builder, array).data
        self.vector = ir.VectorType(self.base.type.pointee, self.lanes)

    def load(self, offset: Value) -> Value:
        value = self.builder.load(self._pointer(offset))
        value.align = self.bytes
        return value

    def store(self, value: Value, offset: Value) -> None:
        self.builder.store(value, self._pointer(offset)).align = self.bytes

    def load_number(self, offset: Value) -> Value:
        """One number, in all lanes."""
        number = self.builder.load(self.builder.gep(self.base, [offset]))
        first = self.builder.insert_element(
            ir.Constant(self.vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0)
        )
        return self._shuffled(first, first, [0] * self.lanes)

    def interleaved(self, low: Value, high: Value, width: int) -> tuple[Value, Value]:
        """Groups of ``width`` lanes of two vectors, exchanged as a transposition does."""
        first: list[int] = []
        second: list[int] = []
        for group in range(0, self.lanes, 2 * width):
            for lanes, start in ((first, group), (second, group + width)):
                lanes.extend(range(start, start + width))
                lanes.extend(range(self.lanes + start, self.lanes + start + width))
        return self._shuffled(low, high, first), self._shuffled(low, high, second)

    def _shuffled(self, low: Value, high: Value, lanes: list[int]) -> Value:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        return self.builder.shuffle_vector(low, high, mask)

    def _pointer(self, offset: Value) -> Value:
        place = self.builder.gep(self.base, [offset])
        return self.builder.bitcast(place, self.vector.as_pointer())


def _tile_of(rows: int) -> Any:
    @intrinsic
    def tile_product(
        _: Any, a: Any, a_start: Any, a_row: Any, a_column: Any, panel: Any, c: Any, c_start: Any,
        c_row: Any, depth: Any, add: Any,
    ) -> Any:  # fmt: skip
        """One tile of c = a @ panel, or c += a @ panel where ``add``; depth >= 1.

        a[i, k] lies at a_start + i a_row + k a_column, c[i, j] at c_start + i c_row + j; panel
        (depth, tile columns) is contiguous.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            _, a_start, a_row, a_column, _, _, c_start, c_row, depth, add = arguments
            a_in, b_in, c_in = (
                _Vectors(context, builder, kinds[i], arguments[i]) for i in (0, 4, 5)
            )
            fma = fused_multiply_add(builder, c_in.vector)
            tile = [(i, j) for i in range(rows) for j in range(TILE_VECTORS)]

            before = builder.block
            loop, after = builder.append_basic_block("depth"), builder.append_basic_block("store")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(_integer)
            k.add_incoming(_integer(0), before)
            sums = {place: builder.phi(c_in.vector) for place in tile}
            for total in sums.values():
                total.add_incoming(ir.Constant(c_in.vector, None), before)

            def offset(start: Value, *terms: tuple[Value, Value]) -> Value:
                for step, count in terms:
                    start = builder.add(start, builder.mul(step, count))
                return start

            row = builder.mul(k, _integer(TILE_VECTORS * b_in.lanes))
            b = [b_in.load(builder.add(row, _integer(j * b_in.lanes))) for j in range(TILE_VECTORS)]
            column = offset(a_start, (k, a_column))
            advanced = {}
            for i in range(rows):
                number = a_in.load_number(offset(column, (a_row, _integer(i))))
                for j in range(TILE_VECTORS):
                    advanced[i, j] = builder.call(fma, [number, b[j], sums[i, j]])

            k_next = builder.add(k, _integer(1))
            k.add_incoming(k_next, loop)
            for place in tile:
                sums[place].add_incoming(advanced[place], loop)
            builder.cbranch(builder.icmp_signed("<", k_next, depth), loop, after)

            builder.position_at_end(after)
            places = {
                (i, j): offset(c_start, (c_row, _integer(i)), (_integer(c_in.lanes), _integer(j)))
                for i, j in tile
            }
            with builder.if_else(cgutils.is_true(builder, add)) as (then, otherwise):
                with then:
                    for place in tile:
                        total = builder.fadd(c_in.load(places[place]), advanced[place])
                        c_in.store(total, places[place])
                with otherwise:
                    for place in tile:
                        c_in.store(advanced[place], places[place])
            return context.get_dummy_value()

        whole = types.intp
        return types.void(
            a, whole, whole, whole, panel, c, whole, whole, whole, types.boolean
        ), generate

    return tile_product


tall_tile, short_tile, single_tile = map(_tile_of, (TILE_ROWS, SHORT_ROWS, 1))


@intrinsic
def copy_row(_: Any, source: Any, start: Any, target: Any, target_start: Any) -> Any:
    """Copies one row of a tile's width."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, start, _, target_start = arguments
        source, target = (
            _Vectors(context, builder, signature.args[i], arguments[i]) for i in (0, 2)
        )  # fmt: skip
        for j in range(TILE_VECTORS):
            step = _integer(j * source.lanes)
            target.store(source.load(builder.add(start, step)), builder.add(target_start, step))
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


@intrinsic
def transpose_square(
    _: Any, source: Any, start: Any, row: Any, target: Any, target_start: Any, target_row: Any
) -> Any:
    """Transposes a square of one vector's lanes; rows lie ``row`` and ``target_row`` apart.

    Halves, quarters, ... of rows change places, log2(lanes) times.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, start, row, _, target_start, target_row = arguments
        source, target = (
            _Vectors(context, builder, signature.args[i], arguments[i]) for i in (0, 3)
        )  # fmt: skip

        def rows(first: Value, apart: Value) -> Iterator[Value]:
            for i in range(source.lanes):
                yield builder.add(first, builder.mul(apart, _integer(i)))

        lines = [source.load(place) for place in rows(start, row)]
        width = source.lanes // 2
        while width:
            for i in range(source.lanes):
                if not i & width:
                    lines[i], lines[i + width] = source.interleaved(
                        lines[i], lines[i + width], width
                    )
            width //= 2
        for line, place in zip(lines, rows(target_start, target_row), strict=True):
            target.store(line, place)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(source, whole, whole, target, whole, whole), generate
