"""The instructions of AMX that ``cpu/product/amx.py`` uses, bit for bit, as compiled functions.

After Intel's manual ("Instruction Set Reference", TDPBF16PS): the products of the even, and of the
odd, numbers of a row are summed apart by fused multiply-adds, then both together, then added to the
tile. Denormal numbers count as zero, and come out as zero. A product of two bfloat16 and a float32
are summed exactly in float64, or one is too small to matter: rounding that to float32 is the fused
multiply-add. One thread at a time may use these.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np
import pytest
from llvmlite.binding import add_symbol
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

from tinyae.kernels.cpu.pieces import _Link
from tinyae.kernels.cpu.product import amx

PREFIX = "emulated_"
CONFIG = np.zeros(64, np.uint8)  # of the thread: all zero where there is none
TILES = np.full(8 * 16 * 16, np.nan, np.float32)
COUNTS = np.zeros(3, np.int64)  # configured, released, used without configuration
_ALL = CONFIG, TILES, COUNTS, np.empty(66, np.uint32)
PLACES, SIZES = tuple(int(x.ctypes.data) for x in _ALL), tuple(x.size for x in _ALL)
TINY = np.float32(2.0**-126)


@intrinsic
def _pointer(_: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


@njit(inline="always")
def _at(i, kind):  # type: ignore[no-untyped-def]
    return carray(_pointer(PLACES[i]), SIZES[i], kind)


@njit(inline="always")
def _sides(tile):  # type: ignore[no-untyped-def]
    """(rows, numbers in a row) of a tile."""
    config = _at(0, np.uint8)
    if config[0] != 1:
        _at(2, np.int64)[2] += 1
    return np.int64(config[48 + tile]), np.int64(config[16 + 2 * tile]) // 4


@njit
def _flushed(x):  # type: ignore[no-untyped-def]
    return x * np.float32(0) if abs(x) < TINY else x


@njit
def _multiplied_and_added(x, y, total):  # type: ignore[no-untyped-def]
    exact = np.float64(_flushed(x)) * np.float64(_flushed(y)) + np.float64(total)
    return _flushed(np.float32(exact))


def ldtilecfg(place):  # type: ignore[no-untyped-def]
    config, new = _at(0, np.uint8), carray(place, 64, np.uint8)
    for i in range(64):
        config[i] = new[i]
    _at(2, np.int64)[0] += 1


def tilerelease():  # type: ignore[no-untyped-def]
    config, tiles = _at(0, np.uint8), _at(1, np.float32)
    for i in range(64):
        config[i] = 0
    for i in range(tiles.size):
        tiles[i] = np.nan
    _at(2, np.int64)[1] += 1


def tilezero(tile):  # type: ignore[no-untyped-def]
    tiles, (rows, _) = _at(1, np.float32), _sides(tile)
    for i in range(16 * rows):
        tiles[256 * tile + i] = 0


def tileloadd64(tile, place, stride):  # type: ignore[no-untyped-def]
    tiles, (rows, columns) = _at(1, np.float32), _sides(tile)
    memory = carray(place, rows * stride // 4, np.float32)
    for i in range(rows):
        for j in range(columns):
            tiles[256 * tile + 16 * i + j] = memory[i * stride // 4 + j]


def tilestored64(tile, place, stride):  # type: ignore[no-untyped-def]
    tiles, (rows, columns) = _at(1, np.float32), _sides(tile)
    memory = carray(place, rows * stride // 4, np.float32)
    for i in range(rows):
        for j in range(columns):
            memory[i * stride // 4 + j] = tiles[256 * tile + 16 * i + j]


def tdpbf16ps(out, left, right):  # type: ignore[no-untyped-def]
    tiles, words = _at(1, np.float32), _at(1, np.uint32)
    numbers, bits = _at(3, np.float32), _at(3, np.uint32)  # even, odd of a line; their sums; of a
    (rows, columns), (_, depth) = _sides(out), _sides(left)
    for i in range(rows):
        for j in range(32):
            numbers[32 + j] = 0
        for k in range(depth):
            word = words[256 * left + 16 * i + k]
            bits[64], bits[65] = word << 16, word & 0xFFFF0000
            even, odd = numbers[64], numbers[65]
            for j in range(columns):
                word = words[256 * right + 16 * k + j]
                bits[j], bits[16 + j] = word << 16, word & 0xFFFF0000
            for j in range(columns):
                numbers[32 + j] = _multiplied_and_added(even, numbers[j], numbers[32 + j])
                numbers[48 + j] = _multiplied_and_added(odd, numbers[16 + j], numbers[48 + j])
        for j in range(columns):
            place = 256 * out + 16 * i + j
            both = _flushed(numbers[32 + j] + numbers[48 + j])
            tiles[place] = _flushed(_flushed(tiles[place]) + both)


_TILE, _PLACE = types.int8, types.CPointer(types.float32)
INSTRUCTIONS = (
    (ldtilecfg, (types.CPointer(types.uint8),)), (tilerelease, ()), (tilezero, (_TILE,)),
    (tileloadd64, (_TILE, _PLACE, types.int64)), (tilestored64, (_TILE, _PLACE, types.int64)),
    (tdpbf16ps, (_TILE,) * 3),
)  # fmt: skip
_compiled = []
_link_product = inspect.unwrap(amx.link)  # a test puts ``emulated_product`` in its place


@cache
def emulated_product() -> int:
    """The address of AMX's product with these in the place of the instructions; kept nowhere."""
    for function, kinds in INSTRUCTIONS:
        _compiled.append(cfunc(types.void(*kinds), error_model="numpy")(function))
        add_symbol(PREFIX + function.__name__, _compiled[-1].address)
    link = _Link(amx._product)
    link._compiled = njit(error_model="numpy", nogil=True, fastmath={"contract"})(amx._product)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(amx, "INSTRUCTIONS", PREFIX)
        patch.setattr(amx, "_link", link)
        return _link_product()
