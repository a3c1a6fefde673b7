"""The tiled product: every edge, transposes, blocks within larger arrays; and the ladder."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from llvmlite.binding import Target, get_host_cpu_features, initialize_all_targets

from tests.kernels.conftest import python
from tests.reference import assert_within, awkward_shapes, normals, product_tolerance
from tinyae.kernels import columns
from tinyae.kernels.cpu import dense as dense_numba
from tinyae.kernels.cpu import threads as threads_numba
from tinyae.kernels.cpu.compiling import VECTOR_BYTES, jit
from tinyae.kernels.cpu.product import ladder as matmul_ladder_numba
from tinyae.kernels.cpu.product import matmul as matmul_numba
from tinyae.kernels.cpu.product.matmul import (
    DEPTH,
    FEW_COLUMNS,
    FEW_ROWS,
    block_rows,
    link,
    product,
    room_size,
    share,
)
from tinyae.kernels.cpu.product.tile import TILE_ROWS, UNROLLED, tile_columns

columns.get_backend("numba")

GUARD = 777.0


@jit()
def run(by, a, a_at, b, b_at, c, c_at, c_row, m, n, depth, add, room):  # type: ignore[no-untyped-def]
    product(
        by, a, a_at[0], a_at[1], a_at[2], b, b_at[0], b_at[1], b_at[2], c, c_at, c_row, m, n,
        depth, add, room,
    )  # fmt: skip


def multiplied(
    a: np.ndarray, b: np.ndarray, transposed: tuple[bool, bool], add: bool = False, tiles: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(a @ b or ones + a @ b, what lies around it), with a and b stored transposed or not."""
    (m, depth), n = a.shape, b.shape[1]
    stored_a = np.ascontiguousarray(a.T if transposed[0] else a)
    stored_b = np.ascontiguousarray(b.T if transposed[1] else b)
    a_at = (0, 1, m) if transposed[0] else (0, depth, 1)
    b_at = (0, 1, depth) if transposed[1] else (0, n, 1)
    c = np.full((m + 2, n + 3), GUARD, a.dtype)
    c[1 : m + 1, 1 : n + 1] = 1 if add else np.nan
    size = room_size(a.itemsize, tiles)
    room, behind = np.split(np.full(size + 99, GUARD, a.dtype), [size])
    room[:] = np.nan
    run(tiles or link(a.dtype), stored_a.reshape(-1), a_at, stored_b.reshape(-1), b_at,
        c.reshape(-1), n + 4, n + 3, m, n, depth, add, room)  # fmt: skip
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


@pytest.mark.parametrize("transposed", ((False, False), (True, False)))
def test_every_number_of_rows(dtype: str, transposed: tuple[bool, bool]) -> None:
    """What is left of the rows is cut into tiles in more than one way; whole numbers, so exact."""
    rng, block = np.random.default_rng(3), block_rows(np.dtype(dtype).itemsize)
    for m in (*range(1, 4 * TILE_ROWS), *range(block - 1, block + 2 * TILE_ROWS)):
        for n in (3, FEW_COLUMNS + 5):
            a, b = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((m, 5), (5, n)))
            result, around = multiplied(a, b, transposed)
            assert (result == a @ b).all(), (m, n)
            assert (around == GUARD).all(), (m, n)


def test_linking_is_asked_for_once(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each call: to find that nothing is to be done takes longer than a small product."""
    x, w, b = np.ones((3, 4), dtype), np.ones((4, 5), dtype), np.ones(5, dtype)
    for _ in range(2):
        y = np.zeros((3, 5), dtype)
        dense_numba.DenseKernels().dense_forward(x, w, b, "identity", y, None)
        assert (y == 5).all()
        monkeypatch.setattr(matmul_numba, "_link", None)


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


def narrow_features(without: str) -> str:
    """This processor's, as NUMBA_CPU_FEATURES, without those that begin so."""
    return ",".join(
        f"{'+' if there and not name.startswith(without) else '-'}{name}"
        for name, there in get_host_cpu_features().items()
    )


@pytest.mark.parametrize(
    ("without", "tests"),
    (
        ("avx512", "bits and float32"),
        pytest.param("avx512", "product or bits", marks=pytest.mark.slow),
        pytest.param("avx", "product or bits", marks=pytest.mark.slow),
    ),
)
def test_processors_with_narrower_vectors(without: str, tests: str, tmp_path: Path) -> None:
    """The same tests as if this processor had 32 or 16 bytes in a vector, compiled for that."""
    wide = 64 if without == "avx512" else 32
    if VECTOR_BYTES < wide or platform.machine().lower() not in ("x86_64", "amd64"):
        return  # then the tests above are these
    script = (
        "import sys, pytest\n"
        "from tinyae.kernels.cpu.compiling import VECTOR_BYTES\n"
        f"assert VECTOR_BYTES == {wide // 2 if wide == 64 else 16}, VECTOR_BYTES\n"
        f"sys.exit(pytest.main(['-q', '-k', '({tests}) and not narrower', sys.argv[1]]))\n"
    )
    result = python("-c", script, __file__, NUMBA_CACHE_DIR=str(tmp_path),
                    NUMBA_CPU_FEATURES=narrow_features(without))  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


# Writes the product as on a processor with NEON, whose 32 registers hold 16 bytes
NEON = """
import platform
platform.machine = lambda: "aarch64"
import re
import numpy as np
import llvmlite.binding as llvm
from tinyae.kernels.cpu.product import matmul, tile
from tinyae.kernels.cpu.compiling import jit
assert (tile.TILE_ROWS, tile.tile_columns(np.empty(0, "float32"))) == (12, 8)
product = jit()(matmul._product)
a, matrix = np.zeros(1, "float32"), (0, 1, 1)
product(a, *matrix, a, *matrix, a, 0, 1, 0, 0, 0, False, np.zeros(matmul.room_size(4), "float32"))
(code,) = product.inspect_llvm().values()
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
machine = llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine(opt=3)
tall = re.search(r"define internal[^\\n]*@tile_12_2_float.*?\\n}", code, re.S)[0]
intrinsics = re.findall(r"declare [^\\n]*@llvm\\.(?:fmuladd|prefetch)[^\\n]*", code)
code = "\\n".join([tall.replace("internal", "", 1), *intrinsics])
module = llvm.parse_assembly(re.sub(r" #\\d+", "", code))  # without the attributes of a group
assembly = machine.emit_assembly(module)
print(len(re.findall(r"fmla\\s+v", assembly)), len(re.findall(r"st[rp]\\s+q.*sp", assembly)))
"""


def test_the_tile_in_neon(tmp_path: Path) -> None:
    """Compiled for 64-bit ARM, it multiplies and adds vectors, and no sum leaves its register."""
    initialize_all_targets()
    try:
        Target.from_triple("aarch64-unknown-linux-gnu")
    except RuntimeError as error:
        pytest.skip(f"this llvmlite compiles for its own processor only: {error}")
    done = python("-c", NEON, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_CPU_FEATURES="")
    assert done.returncode == 0, done.stderr
    multiply_adds, spilled = map(int, done.stdout.split())
    # 24 in a step of the depth: UNROLLED steps in one loop, the last ones in another
    assert multiply_adds >= (UNROLLED + 1) * 24 and multiply_adds % 24 == 0
    assert spilled == 0
