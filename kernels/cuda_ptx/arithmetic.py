"""The instructions that compute: opcode -> what it takes, what it gives, and a NumPy function.

A function gets the instruction and one array per operand, with an element for each thread that
runs it (constants have one element). What stands in a signature:

    t  the last type of the instruction: .s32 of mul.lo.s32
    r  the result of mul and mad: with .wide twice as wide as t, else t
    d  the first type: cvt.f32.s64 makes f32
    s  the second type: of s64
    b  the bits of t, as an unsigned number
    u  u32, whatever the instruction's type: how far to shift
    p  a predicate
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .parse import BITS, TYPES, Instruction, PtxError
from .rounding import flushed, fused32, fused64, narrow, to_odd

Array = Any

ROUNDING = ("rn", "rz", "rm", "rp")
TO_INTEGER = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


@dataclass(frozen=True)
class Rule:
    takes: str
    gives: str
    modifiers: tuple[str, ...]  # those that it knows
    compute: Callable[..., Array]

    def dtypes(self, i: Instruction) -> tuple[list[Any], Any]:
        """Those of the operands and of the result; raises PtxError for what is not known here."""
        if unknown := set(i.modifiers) - set(self.modifiers):
            raise PtxError(f".{min(unknown)} of {i.opcode} is not supported")
        last = np.dtype(TYPES[i.types[-1]])
        known: dict[str, Any] = {
            "t": last, "d": np.dtype(TYPES[i.types[0]]), "u": np.dtype(np.uint32), "s": last,
            "p": np.dtype(np.bool_),
            "b": last if last.kind == "b" else np.dtype(BITS[last.itemsize]),
            "r": np.dtype(f"{last.kind}{2 * last.itemsize}") if i.has("wide") else last,
        }  # fmt: skip
        return [known[letter] for letter in self.takes], known[self.gives]

    def __call__(self, i: Instruction, *values: Array) -> Array:
        """The result, with what .ftz and .sat do to every instruction."""
        if i.has("ftz"):
            values = tuple(flushed(v) if v.dtype == np.float32 else v for v in values)
        result = self.compute(i, *values)
        if i.has("sat"):
            result = np.where(np.isnan(result), 0, np.clip(result, 0, 1)).astype(result.dtype)
        return flushed(result) if i.has("ftz") and result.dtype == np.float32 else result


RULES: dict[str, Rule] = {}


def rule(opcodes: str, signature: str, modifiers: str = "") -> Callable[[Any], Any]:
    takes, gives = signature.split("->")

    def add(compute: Callable[..., Array]) -> Callable[..., Array]:
        for opcode in opcodes.split():
            RULES[opcode] = Rule(takes, gives, tuple(modifiers.split()), compute)
        return compute

    return add


def rounding(i: Instruction) -> str:
    return next((m for m in i.modifiers if m in ROUNDING), "rn")


def only_nearest(i: Instruction) -> None:
    if rounding(i) != "rn":
        raise PtxError(f".{rounding(i)} of {i.opcode}.{i.types[-1]} is not supported")


# ---- sums and products


@rule("add", "tt->t", "rn rz rm rp ftz sat")
def add(i: Instruction, a: Array, b: Array) -> Array:
    if a.dtype == np.float32 and rounding(i) != "rn":
        return narrow(to_odd(a.astype(np.float64), b.astype(np.float64)), rounding(i))
    only_nearest(i)
    return a + b


@rule("sub", "tt->t", "rn rz rm rp ftz sat")
def sub(i: Instruction, a: Array, b: Array) -> Array:
    return add(i, a, -b) if a.dtype.kind == "f" else a - b


@rule("mul", "tt->r", "lo hi wide rn rz rm rp ftz sat")
def mul(i: Instruction, a: Array, b: Array) -> Array:
    """.lo and .hi are the halves of the product of integers, .wide is all of it."""
    if i.has("wide"):
        return _widened(a) * _widened(b)
    if i.has("hi"):
        return _high(a, b)
    if a.dtype == np.float32 and rounding(i) != "rn":
        return narrow(a.astype(np.float64) * b.astype(np.float64), rounding(i))
    only_nearest(i)
    return a * b


@rule("mad", "ttr->r", "lo hi wide")
def mad(i: Instruction, a: Array, b: Array, c: Array) -> Array:
    return mul(i, a, b) + c


@rule("fma", "ttt->t", "rn rz rm rp ftz sat")
def fma(i: Instruction, a: Array, b: Array, c: Array) -> Array:
    if a.dtype == np.float32:
        return fused32(a, b, c, rounding(i))
    only_nearest(i)
    return fused64(a, b, c)


@rule("div", "tt->t", "rn approx full ftz")
def div(i: Instruction, a: Array, b: Array) -> Array:
    """Of integers it cuts off, and division by zero gives a number with all bits set."""
    if a.dtype.kind == "f":
        return a / b
    zero = b == 0
    by = np.where(zero, a.dtype.type(1), b)
    quotient = a // by
    quotient = quotient + ((quotient < 0) & (quotient * by != a)).astype(a.dtype)
    return np.where(zero, a.dtype.type(0) - a.dtype.type(1), quotient)


@rule("rem", "tt->t")
def rem(i: Instruction, a: Array, b: Array) -> Array:
    return np.where(b == 0, a, np.fmod(a, np.where(b == 0, a.dtype.type(1), b)))


def _widened(x: Array) -> Array:
    return x.astype(f"{x.dtype.kind}{2 * x.dtype.itemsize}")


def _high(a: Array, b: Array) -> Array:
    """The upper half of the product, by halves where there is no type for all of it."""
    width = 8 * a.dtype.itemsize
    if width < 64:
        product = _widened(a) * _widened(b)
        return (product >> product.dtype.type(width)).astype(a.dtype)
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    x, y = a.view(np.uint64), b.view(np.uint64)
    x1, x0, y1, y0 = x >> half, x & low, y >> half, y & low
    middle = x1 * y0 + (x0 * y0 >> half)
    high = x1 * y1 + (middle >> half) + ((middle & low) + x0 * y1 >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, np.uint64(0)) - np.where(b < 0, x, np.uint64(0))
    return high.view(a.dtype)


# ---- signs, bounds, functions

rule("neg", "t->t", "ftz")(lambda i, a: -a)
rule("abs", "t->t", "ftz")(lambda i, a: np.abs(a))
rule("copysign", "tt->t")(lambda i, sign, a: np.copysign(a, sign))
rule("min", "tt->t", "ftz")(lambda i, a, b: (np.fmin if a.dtype.kind == "f" else np.minimum)(a, b))
rule("max", "tt->t", "ftz")(lambda i, a, b: (np.fmax if a.dtype.kind == "f" else np.maximum)(a, b))
rule("sqrt", "t->t", "rn approx ftz")(lambda i, a: np.sqrt(a))


@rule("ex2 lg2 sin cos tanh rsqrt", "t->t", "approx ftz")
def approximate(i: Instruction, a: Array) -> Array:
    """The hardware errs by a few units in the last place; this is the nearest float32."""
    functions: dict[str, Callable[[Array], Array]] = {
        "ex2": np.exp2, "lg2": np.log2, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
        "rsqrt": lambda x: 1 / np.sqrt(x),
    }  # fmt: skip
    return functions[i.opcode](a.astype(np.float64)).astype(a.dtype)


@rule("rcp", "t->t", "rn approx ftz")
def rcp(i: Instruction, a: Array) -> Array:
    """Of float64 .approx takes and gives the upper half of the bits: a start for Newton's steps."""
    if a.dtype == np.float64 and i.has("approx"):
        upper = np.uint64(0xFFFFFFFF00000000)
        return ((1 / (a.view(np.uint64) & upper).view(np.float64)).view(np.uint64) & upper).view(
            np.float64
        )
    return (1 / a).astype(a.dtype)


# ---- bits

rule("and", "bb->b")(lambda i, a, b: a & b)
rule("or", "bb->b")(lambda i, a, b: a | b)
rule("xor", "bb->b")(lambda i, a, b: a ^ b)
rule("not", "b->b")(lambda i, a: ~a)
rule("mov", "t->t")(lambda i, a: a)
rule("selp", "ttp->t")(lambda i, a, b, which: np.where(which, a, b))
rule("popc", "b->u")(lambda i, a: np.bitwise_count(a).astype(np.uint32))
# zeros before the first one: a float64's exponent tells of 32 bits how long the number is
rule("clz", "t->u")(lambda i, a: (32 - np.frexp(a.astype(np.float64))[1]).astype(np.uint32))


@rule("shl shr", "tu->t")
def shift(i: Instruction, a: Array, by: Array) -> Array:
    """As far as the type is wide, or farther, leaves zeros, or where shr takes .s32 the sign."""
    width = 8 * a.dtype.itemsize
    shifted = (np.left_shift if i.opcode == "shl" else np.right_shift)(
        a, np.minimum(by, width - 1).astype(a.dtype)
    )
    signs = i.opcode == "shr" and a.dtype.kind == "i"
    return np.where((by >= width) & (not signs), a.dtype.type(0), shifted)


@rule("bfi", "bbuu->b")
def insert(i: Instruction, a: Array, b: Array, at: Array, length: Array) -> Array:
    """b, with the lowest ``length`` bits of a in the place of those from bit ``at`` on."""
    one = np.array([1], np.uint64)  # 64 bits: what goes beyond 32 is cut off
    if a.dtype.itemsize != 4:
        raise PtxError("of bfi only .b32 is supported")
    at, length = (np.minimum(n & 255, 32).astype(np.uint64) for n in (at, length))
    mask = ((one << length) - one) << at
    bits = a.astype(np.uint64) << at
    return (b & ~mask | bits & mask).astype(np.uint32)


@rule("prmt", "uuu->u")
def prmt(i: Instruction, a: Array, b: Array, choice: Array) -> Array:
    """Four bytes out of the eight of b and a; each choice has three bits, the fourth repeats the
    byte's sign."""
    both = b.astype(np.uint64) << np.uint64(32) | a.astype(np.uint64)
    result = np.zeros(1, np.uint32)
    for k in range(4):
        nibble = choice >> np.uint32(4 * k) & np.uint32(15)
        byte = (both >> (nibble & 7).astype(np.uint64) * np.uint64(8)).astype(np.uint32) & 255
        byte = np.where(nibble > 7, np.where(byte > 127, np.uint32(255), np.uint32(0)), byte)
        result = result | byte << np.uint32(8 * k)
    return result


# ---- comparisons and conversions

COMPARE: dict[str, Any] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "lo": np.less, "ls": np.less_equal, "hi": np.greater,
    "hs": np.greater_equal,
}  # fmt: skip


@rule("setp", "tt->p", " ".join((*COMPARE, "equ neu ltu leu gtu geu num nan ftz")))
def setp(i: Instruction, a: Array, b: Array) -> Array:
    """With a NaN only .ne of integers, .nan and what ends in u ("unordered, or") is true."""
    how = i.modifiers[0]
    if a.dtype.kind != "f":
        return COMPARE[how](a, b)
    nan = np.isnan(a) | np.isnan(b)
    if how in ("num", "nan"):
        return nan if how == "nan" else ~nan
    return COMPARE[how[:2]](a, b) | nan if len(how) == 3 else COMPARE[how](a, b) & ~nan


@rule("cvt", "s->d", " ".join((*ROUNDING, *TO_INTEGER, "rna ftz sat")))
def cvt(i: Instruction, a: Array) -> Array:
    to = np.dtype(TYPES[i.types[0]])
    if i.types[0] == "tf32":  # to nearest, ties away from zero: 13 bits are cut off
        return (a.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    if a.dtype.kind == "f":
        whole = next((TO_INTEGER[m] for m in i.modifiers if m in TO_INTEGER), None)
        a = whole(a) if whole else a
        if to.kind != "f":
            return _to_integer(a, to)
    if rounding(i) != "rn":
        if a.dtype != np.float64 or to != np.float32:
            raise PtxError(f".{rounding(i)} of cvt.{'.'.join(i.types)} is not supported")
        return narrow(a, rounding(i))
    return a.astype(to)


def _to_integer(a: Array, to: Any) -> Array:
    """What lies outside becomes the nearest that the type has, NaN becomes 0."""
    bounds, a = np.iinfo(to), a.astype(np.float64)
    inside = (a >= float(bounds.min)) & (a < float(bounds.max))
    limit = np.where(a < 0, to.type(bounds.min), to.type(bounds.max))
    limit = np.where(np.isnan(a), to.type(0), limit)
    return np.where(inside, np.where(inside, a, 0).astype(to), limit)
