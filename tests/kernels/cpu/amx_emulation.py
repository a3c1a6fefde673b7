"""The instructions of AMX that ``kernels/cpu/amx.py`` uses, bit for bit, as compiled functions.

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

from tinyae.kernels.cpu import amx
from tinyae.kernels.cpu.pieces import _Link

PREFIX = "emulated_"
CONFIG = np.zeros(64, np.uint8)  # of the thread: all zero where there is none
TILES = np.full((8, 16, 16), np.nan, np.float32)
COUNTS = np.zeros(3, np.int64)  # configured, released, used without configuration
PLACES = tuple(int(x.ctypes.data) for x in (CONFIG, TILES, COUNTS))
TINY = np.float32(2.0**-126)


@intrinsic
def _pointer(_: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


@njit(inline="always")
def _state():  # type: ignore[no-untyped-def]
    return (
        carray(_pointer(PLACES[0]), 64, np.uint8),
        carray(_pointer(PLACES[1]), (8, 16, 16), np.float32),
        carray(_pointer(PLACES[2]), 3, np.int64),
    )


@njit(inline="always")
def _sides(config, tile, counts):  # type: ignore[no-untyped-def]
    """(rows, numbers in a row) of a tile."""
    if config[0] != 1:
        counts[2] += 1
    return np.int64(config[48 + tile]), np.int64(config[16 + 2 * tile]) // 4


@njit(inline="always")
def _flushed(x):  # type: ignore[no-untyped-def]
    return x * np.float32(0) if abs(x) < TINY else x


@njit(inline="always")
def _multiplied_and_added(x, y, total):  # type: ignore[no-untyped-def]
    exact = np.float64(_flushed(x)) * np.float64(_flushed(y)) + np.float64(total)
    return _flushed(np.float32(exact))


def ldtilecfg(place):  # type: ignore[no-untyped-def]
    config, _, counts = _state()
    config[:] = carray(place, 64, np.uint8)
    counts[0] += 1


def tilerelease():  # type: ignore[no-untyped-def]
    config, tiles, counts = _state()
    config[:] = 0
    tiles[:] = np.nan
    counts[1] += 1


def tilezero(tile):  # type: ignore[no-untyped-def]
    config, tiles, counts = _state()
    _sides(config, tile, counts)
    tiles[tile] = 0


def tileloadd64(tile, place, stride):  # type: ignore[no-untyped-def]
    config, tiles, counts = _state()
    rows, columns = _sides(config, tile, counts)
    memory = carray(place, ((rows - 1) * stride + 4 * columns) // 4, np.float32)
    tiles[tile] = 0
    for i in range(rows):
        tiles[tile, i, :columns] = memory[i * stride // 4 :][:columns]


def tilestored64(tile, place, stride):  # type: ignore[no-untyped-def]
    config, tiles, counts = _state()
    rows, columns = _sides(config, tile, counts)
    memory = carray(place, ((rows - 1) * stride + 4 * columns) // 4, np.float32)
    for i in range(rows):
        memory[i * stride // 4 :][:columns] = tiles[tile, i, :columns]


def tdpbf16ps(out, left, right):  # type: ignore[no-untyped-def]
    config, tiles, counts = _state()
    (rows, columns), depth = _sides(config, out, counts), _sides(config, left, counts)[1]
    a, b = tiles[left].view(np.uint32), tiles[right].view(np.uint32)
    upper, sums = np.uint32(0xFFFF0000), np.empty((2, 16), np.float32)
    for i in range(rows):
        sums[:] = 0
        for k in range(depth):
            low, high = np.uint32(a[i, k] << 16), np.uint32(a[i, k] & upper)
            x = np.array([low, high], np.uint32).view(np.float32)
            line = b[k]
            even = (line << np.uint32(16)).astype(np.uint32).view(np.float32)
            odd = (line & upper).view(np.float32)
            for j in range(columns):
                sums[0, j] = _multiplied_and_added(x[0], even[j], sums[0, j])
                sums[1, j] = _multiplied_and_added(x[1], odd[j], sums[1, j])
        for j in range(columns):
            both = _flushed(sums[0, j] + sums[1, j])
            tiles[out, i, j] = _flushed(_flushed(tiles[out, i, j]) + both)


_TILE, _PLACE = types.int8, types.CPointer(types.float32)
INSTRUCTIONS = (
    (ldtilecfg, (types.CPointer(types.uint8),)), (tilerelease, ()), (tilezero, (_TILE,)),
    (tileloadd64, (_TILE, _PLACE, types.int64)), (tilestored64, (_TILE, _PLACE, types.int64)),
    (tdpbf16ps, (_TILE,) * 3),
)  # fmt: skip
_compiled = []


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
        return inspect.unwrap(amx.link)()
