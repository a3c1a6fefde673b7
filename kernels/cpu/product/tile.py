"""The innermost step of a matrix product, in this processor's own vectors.

A product is cut into tiles of TILE_ROWS rows and two vectors of columns. One tile of the result
stays in registers while the depth runs: at each k two vectors of b meet TILE_ROWS numbers of a,

    for k:  for i in rows:  for j in (0, 1):  c[i][j] += a[i, k] * b[k][j]

which is a fused multiply-add per result vector and a load for every two of them. This form, an
outer product of registers, is that of Goto and van de Geijn ("Anatomy of high-performance matrix
multiplication", 2008) and of Van Zee and van de Geijn (BLIS, 2015). Loops in Python do not reach
it, as LLVM keeps no array in registers; the few functions here write LLVM's instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..compiling import VECTOR_BYTES, VECTOR_REGISTERS, inline, intrinsic, overload
from ..math import fused_multiply_add

Value = Any  # of LLVM

TILE_VECTORS = 2
# 2 TILE_ROWS + 3 registers are in use: sums, two vectors of b, one number of a
TILE_ROWS = 12 if VECTOR_REGISTERS >= 32 else 6
SHORT_ROWS = 4  # for what is left of the rows; fewer do not keep the multipliers busy
UNROLLED = 2  # steps of the depth in one turn of the loop
NEAR = 3  # rows of a that one pointer reaches: its own, and those one and two strides further
LINE_BYTES = 64  # of the cache

integer = ir.IntType(64)


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


@inline
def tile_height(left: int) -> int:
    """Of the next tile, where so many rows are left: few are computed in vain."""
    if left > 2 * SHORT_ROWS or SHORT_ROWS < left <= TILE_ROWS < 2 * SHORT_ROWS:
        return TILE_ROWS
    return SHORT_ROWS


class Vectors:
    """Vectors of one kind of real numbers; a place is a pointer to such a number."""

    def __init__(self, builder: Any, real: Any) -> None:
        self.builder = builder
        self.bytes = 4 if isinstance(real, ir.FloatType) else 8
        self.lanes = lanes_of(self.bytes)
        self.kind = ir.VectorType(real, self.lanes)

    def at(self, place: Value, *terms: Value | int) -> Value:
        """The place so many numbers further: the product of the terms."""
        first, *factors = (integer(term) if isinstance(term, int) else term for term in terms)
        for factor in factors:
            first = self.builder.mul(first, factor)
        return self.builder.gep(place, [first])

    def apart(self, place: Value) -> Value:
        """The same place, but LLVM does not see how far it is from others. Else it makes each row's
        place from the one before, or keeps more places than there are registers."""
        kind = ir.FunctionType(place.type, [place.type])
        return self.builder.asm(kind, "", "=r,0", [place], side_effect=False)

    def load(self, place: Value, numbers: int | None = None) -> Value:
        """One vector, or one of another length."""
        kind = ir.VectorType(self.kind.element, numbers or self.lanes)
        value = self.builder.load(self.builder.bitcast(place, kind.as_pointer()))
        value.align = self.bytes
        return value

    def store(self, value: Value, place: Value) -> None:
        place = self.builder.bitcast(place, value.type.as_pointer())
        self.builder.store(value, place).align = self.bytes

    def load_number(self, place: Value) -> Value:
        """One number, in all lanes."""
        undefined, first = ir.Constant(self.kind, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        number = self.builder.insert_element(undefined, self.builder.load(place), first)
        return self.shuffled(number, number, [0] * self.lanes)

    def prefetch(self, place: Value) -> None:
        """Asks for the line of a place, which may lie anywhere, to be written soon."""
        flag, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        ask = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        reading, nearest, data = flag(0), flag(3), flag(1)
        self.builder.call(ask, [self.builder.bitcast(place, byte), reading, nearest, data])

    def shuffled(self, low: Value, high: Value, lanes: list[int]) -> Value:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        return self.builder.shuffle_vector(low, high, mask)


def loop(
    builder: Any, first: Value, end: Value, step: int, values: list[Value],
    turn: Callable[[Value, list[Value]], list[Value]],
) -> tuple[Value, list[Value]]:  # fmt: skip
    """for k in range(first, end, step): values = turn(k, values).  Returns (k, values)."""
    before = builder.block
    head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    k, *now = (builder.phi(value.type) for value in (first, *values))
    builder.cbranch(builder.icmp_signed("<", k, end), body, after)
    builder.position_at_end(body)
    following = [builder.add(k, integer(step)), *turn(k, now)]
    for phi, start, value in zip((k, *now), (first, *values), following, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return k, now


def call(
    context: Any, builder: Any, signature: Any, arguments: Any, name: str,
    write: Callable[..., None],
) -> Value:  # fmt: skip
    """Calls a function that write(builder, *arguments) has written, once for each dtype.

    An array and the start behind it are passed as one place.
    """
    passed, pairs = [], iter(zip(signature.args, arguments, strict=True))
    for kind, value in pairs:
        if isinstance(kind, types.Array):
            base = context.make_array(kind)(context, builder, value).data
            value = builder.gep(base, [next(pairs)[1]])
        passed.append(value)
    name = f"{name}_{passed[0].type.pointee}"
    function = builder.module.globals.get(name)
    if function is None:
        kinds = [value.type for value in passed]
        function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
        function.linkage = "internal"
        function.attributes.add("noinline")  # the same few instructions for all who call it
        within = ir.IRBuilder(function.append_basic_block("entry"))
        write(within, *function.args)
        within.ret_void()
    builder.call(function, passed)
    return context.get_dummy_value()


def _tile(rows: int, vectors: int) -> Any:
    """The function that makes one tile of c = a @ b, or of c += a @ b where ``add``.

    a[i, k] lies at a_start + i a_row + k a_column, b[k, j] at b_start + k b_row + j and c[i, j]
    at c_start + i c_row + j.
    """

    @intrinsic
    def tile(
        _: Any, a: Any, a_start: Any, a_row: Any, a_column: Any, b: Any, b_start: Any, b_row: Any,
        c: Any, c_start: Any, c_row: Any, depth: Any, add: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return call(context, builder, signature, arguments, f"tile_{rows}_{vectors}", write)

        def write(
            builder: Any, a: Value, a_row: Value, a_column: Value, b: Value, b_row: Value,
            c: Value, c_row: Value, depth: Value, add: Value,
        ) -> None:  # fmt: skip
            at = Vectors(builder, c.type.pointee)
            fma = fused_multiply_add(builder, at.kind)
            across = vectors * at.lanes
            places: list[Value] = []
            for i in range(rows):
                row = at.at(c, c_row, i)
                places.extend(at.at(row, j) for j in range(0, across, at.lanes))
                for j in (*range(0, across, LINE_BYTES // at.bytes), across - 1):
                    at.prefetch(at.at(row, j))  # they are there when the sums are

            groups = [at.at(a, a_row, i) for i in range(0, rows, NEAR)]

            def one_step(state: list[Value]) -> list[Value]:
                n = len(groups)
                pointers, line, sums = state[:n], state[n], state[n + 1 :]
                b_k = [at.load(at.at(line, j)) for j in range(0, across, at.lanes)]
                for i in range(rows):
                    number = at.load_number(at.at(pointers[i // NEAR], a_row, i % NEAR))
                    for j in range(vectors):
                        place = i * vectors + j
                        sums[place] = builder.call(fma, [number, b_k[j], sums[place]])
                return [
                    *(at.apart(at.at(p, a_column)) for p in pointers),
                    at.at(line, b_row),
                    *sums,
                ]

            def steps(n: int) -> Callable[[Value, list[Value]], list[Value]]:
                def turn(_: Value, state: list[Value]) -> list[Value]:
                    for _ in range(n):
                        state = one_step(state)
                    return state

                return turn

            state = [*groups, b, *(ir.Constant(at.kind, None) for _ in places)]
            last = builder.sub(depth, integer(UNROLLED - 1))
            k, state = loop(builder, integer(0), last, UNROLLED, state, steps(UNROLLED))
            k, state = loop(builder, k, depth, 1, state, steps(1))
            sums = state[len(groups) + 1 :]
            with builder.if_else(add) as (then, otherwise):
                with then:
                    for place, total in zip(places, sums, strict=True):
                        at.store(builder.fadd(at.load(place), total), place)
                with otherwise:
                    for place, total in zip(places, sums, strict=True):
                        at.store(total, place)

        whole = types.intp
        return types.void(
            a, whole, whole, whole, b, whole, whole, c, whole, whole, whole, types.boolean
        ), generate

    return tile


tall_tile, short_tile = _tile(TILE_ROWS, TILE_VECTORS), _tile(SHORT_ROWS, TILE_VECTORS)
narrow_tall_tile, narrow_short_tile = _tile(TILE_ROWS, 1), _tile(SHORT_ROWS, 1)


@intrinsic
def first_aligned(_: Any, array: Any) -> Any:
    """The first place in an array that a line of the cache begins with."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        base = context.make_array(kind)(context, builder, arguments[0]).data
        missing = builder.neg(builder.ptrtoint(base, integer))
        missing = builder.and_(missing, integer(LINE_BYTES - 1))
        return builder.udiv(missing, integer(kind.dtype.bitwidth // 8))

    return types.intp(array), generate
