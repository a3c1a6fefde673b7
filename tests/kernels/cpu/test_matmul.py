"""The tiled product: every edge, transposes, blocks within larger arrays; and the ladder."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from tests.kernels.conftest import python
from tests.reference import assert_within, awkward_shapes, normals, product_tolerance
from tinyae.kernels import columns
from tinyae.kernels.cpu import ladder as matmul_ladder_numba
from tinyae.kernels.cpu import threads as threads_numba
from tinyae.kernels.cpu.compiling import VECTOR_BYTES, jit
from tinyae.kernels.cpu.matmul import (
    DEPTH,
    FEW_COLUMNS,
    FEW_ROWS,
    block_rows,
    link,
    product,
    room_size,
    share,
)
from tinyae.kernels.cpu.tile import TILE_ROWS, tile_columns

columns.get_backend("numba")

GUARD = 777.0


@jit()
def run(a, a_at, b, b_at, c, c_at, c_row, m, n, depth, add, room):  # type: ignore[no-untyped-def]
    product(
        a, a_at[0], a_at[1], a_at[2], b, b_at[0], b_at[1], b_at[2], c, c_at, c_row, m, n, depth,
        add, room,
    )  # fmt: skip


def multiplied(
    a: np.ndarray, b: np.ndarray, transposed: tuple[bool, bool], add: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(a @ b or ones + a @ b, what lies around it), with a and b stored transposed or not."""
    link(a.dtype)
    (m, depth), n = a.shape, b.shape[1]
    stored_a = np.ascontiguousarray(a.T if transposed[0] else a)
    stored_b = np.ascontiguousarray(b.T if transposed[1] else b)
    a_at = (0, 1, m) if transposed[0] else (0, depth, 1)
    b_at = (0, 1, depth) if transposed[1] else (0, n, 1)
    c = np.full((m + 2, n + 3), GUARD, a.dtype)
    c[1 : m + 1, 1 : n + 1] = 1 if add else np.nan
    behind = np.full(room_size(a.itemsize) + 99, GUARD, a.dtype)
    room, behind = np.split(behind, [room_size(a.itemsize)])
    room[:] = np.nan
    run(stored_a.reshape(-1), a_at, stored_b.reshape(-1), b_at, c.reshape(-1), n + 4, n + 3,
        m, n, depth, add, room)  # fmt: skip
    assert (behind == GUARD).all(), "written behind the room"
    inside = c[1 : m + 1, 1 : n + 1].copy()
    c[1 : m + 1, 1 : n + 1] = GUARD
    return inside, c


@pytest.mark.parametrize("transposed", ((False, False), (False, True), (True, False), (True, True)))
def test_product(dtype: str, transposed: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(0)
    for m, depth, n in [*awkward_shapes(3), (13, DEPTH, 33), (7, DEPTH + 1, 70), (5, 2 * DEPTH, 9)]:
        a, b = normals(rng, (m, depth), dtype), normals(rng, (depth, n), dtype)
        result, around = multiplied(a, b, transposed)
        exact = a.astype(np.float64) @ b.astype(np.float64)
        assert_within(result, exact, product_tolerance(a, b, dtype), (m, depth, n))
        assert (around == GUARD).all(), (m, depth, n)
        result, around = multiplied(a, b, transposed, add=True)
        slack = product_tolerance(a, b, dtype) + (depth // DEPTH + 2) * np.finfo(dtype).eps * (
            1 + np.abs(exact)
        )
        assert_within(result, 1 + exact, slack, (m, depth, n))
        assert (around == GUARD).all(), (m, depth, n)


def test_bits_do_not_depend_on_the_place(dtype: str) -> None:
    """A number of c is the same in any part of c, and however a and b lie in memory."""
    rng = np.random.default_rng(2)
    rows = block_rows(np.dtype(dtype).itemsize)
    for m, depth, n in (
        (rows + 1, DEPTH + 1, FEW_COLUMNS + 33), (2 * rows + TILE_ROWS + 5, 7, FEW_COLUMNS + 1),
        (FEW_ROWS + 8, 300, FEW_COLUMNS + 9),
    ):  # fmt: skip
        a, b = normals(rng, (m, depth), dtype), normals(rng, (depth, n), dtype)
        result, around = multiplied(a, b, (False, False))
        exact = a.astype(np.float64) @ b.astype(np.float64)
        assert_within(result, exact, product_tolerance(a, b, dtype), (m, depth, n))
        assert (around == GUARD).all(), (m, depth, n)
        for transposed in ((False, True), (True, False), (True, True)):
            assert (multiplied(a, b, transposed)[0] == result).all(), (m, depth, n, transposed)
            for height, width in ((7, n), (FEW_ROWS, n), (m - 7, FEW_COLUMNS), (m - 7, 3)):
                part = multiplied(a[7 : 7 + height], b[:, n - width :], transposed)[0]
                assert (part == result[7 : 7 + height, n - width :]).all(), (m, height, width)


@pytest.mark.parametrize("threads", (1, 2, 3, 8))
def test_shares_cover_the_product_once(threads: int, dtype: str) -> None:
    like = np.empty(0, dtype)
    for m in (0, 1, 5, 100, 1000):
        for n in (0, 1, tile_columns(like), 30, 100, 1000):
            count = np.zeros((m, n), int)
            for t in range(threads):
                top, bottom, left, right = share(m, n, t, threads, like)
                count[top:bottom, left:right] += 1
            assert (count == 1).all(), (m, n)


@pytest.mark.parametrize("rung", matmul_ladder_numba.RUNGS)
def test_every_rung_of_the_ladder(rung: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_numba, "GRAIN", 1)
    rng = np.random.default_rng(1)
    for m, depth, n in [*awkward_shapes(3), (3, 300, 1100)]:
        a, b = normals(rng, (m, depth), dtype), normals(rng, (depth, n), dtype)
        c = np.full((m, n), np.nan, dtype)
        matmul_ladder_numba.RUNGS[rung](a, b, c)
        exact = a.astype(np.float64) @ b.astype(np.float64)
        assert_within(c, exact, product_tolerance(a, b, dtype), (rung, m, depth, n))


@pytest.mark.slow
@pytest.mark.parametrize("without", ("avx512", "avx"))
def test_processors_with_narrower_vectors(without: str, tmp_path: Path) -> None:
    """The same tests as if this processor had 32 or 16 bytes in a vector, compiled for that."""
    script = (
        "import sys, pytest, llvmlite.binding as llvm\n"
        "host = llvm.get_host_cpu_features()\n"
        f"narrow = {{k: v and not k.startswith({without!r}) for k, v in host.items()}}\n"
        "llvm.get_host_cpu_features = lambda: llvm.targets.FeatureMap(narrow)\n"
        "from tinyae.kernels.cpu.compiling import VECTOR_BYTES\n"
        f"assert VECTOR_BYTES == {32 if without == 'avx512' else 16}, VECTOR_BYTES\n"
        "sys.exit(pytest.main(['-q', '-k', 'test_product', sys.argv[1]]))\n"
    )
    if not host_has(without):
        return  # then the tests above are these
    result = python("-c", script, __file__, NUMBA_CACHE_DIR=str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr


def host_has(feature: str) -> bool:
    return VECTOR_BYTES >= (64 if feature == "avx512" else 32) and platform.machine() == "x86_64"
