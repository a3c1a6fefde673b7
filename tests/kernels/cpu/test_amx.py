"""Six products of bfloat16 on AMX: edges, bits, errors, and what LLVM makes of the instructions.

The instructions are emulated (``amx_emulation``); where the processor has them, the same tests run
on them as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

from tests.kernels import test_contract
from tests.kernels.conftest import python
from tests.kernels.cpu.amx_emulation import COUNTS, emulated_product
from tests.kernels.cpu.test_matmul import GUARD, multiplied
from tests.reference import assert_within, normals
from tinyae import Autoencoder
from tinyae.kernels import columns
from tinyae.kernels.backend import Backend
from tinyae.kernels.cpu import step, threads
from tinyae.kernels.cpu.product import amx, ladder, matmul, processor
from tinyae.kernels.cpu.product.amx import DEPTH, PIECE, STEP
from tinyae.kernels.cpu.product.matmul import link, product_for

columns.get_backend("numba")
# The second where the processor has them, and this process may use them.
TILES = ("emulated", "the processor's")[: 1 if processor.absent() else 2]
LAYOUTS = ((False, False), (False, True), (True, False), (True, True))


@pytest.fixture(params=TILES)
def tiles(request: pytest.FixtureRequest) -> int:
    """The address of the product."""
    return emulated_product() if request.param == "emulated" else amx.link()


def bound(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far a @ b may be off: a term is rounded in 16 sums of an instruction and the one after
    them, in six instructions for each step of its piece, and where pieces are added.

    2.01 2^-24 of it are left out, and its parts may be as large as 1 + 2^-7 together.
    """
    depth = a.shape[1]
    roundings = 17 + 6 * min(-(-depth // STEP), PIECE // STEP) + -(-depth // PIECE) + 2.01
    sizes = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    return (1 + 2**-6) * roundings * 2.0**-24 * sizes


def exact(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.astype(np.float64) @ b.astype(np.float64)


def test_every_edge_in_every_layout(tiles: int) -> None:
    """Within its bound, the same bits however a and b lie, and nothing beside c written."""
    rng = np.random.default_rng(0)
    shapes = [(1, 1, 1), (0, 3, 2), (2, 0, 3), (32, 32, 32), (33, 31, 64), (48, 33, 17),
              (5, DEPTH + 1, 40), (3, PIECE + 1, 513), (64, PIECE + DEPTH, 32)]  # fmt: skip
    COUNTS[:] = 0
    for m, depth, n in shapes:
        a, b = normals(rng, (m, depth), "float32"), normals(rng, (depth, n), "float32")
        plain, _ = multiplied(a, b, LAYOUTS[0], tiles=tiles)
        assert_within(plain, exact(a, b), bound(a, b), (m, depth, n))
        for layout in LAYOUTS:
            for add in (False, True):
                result, around = multiplied(a, b, layout, add, tiles)
                assert (around == GUARD).all(), (m, depth, n, layout)
                if not add:
                    assert (result == plain).all(), (m, depth, n, layout)
                else:  # each piece is added to what is there
                    slack = (depth // PIECE + 2) * 2.0**-23 * (1 + np.abs(exact(a, b)))
                    assert_within(result, 1 + exact(a, b), bound(a, b) + slack, (m, depth, n))
    assert COUNTS[0] == COUNTS[1] and COUNTS[2] == 0  # released as often, and used only between


def test_bits_do_not_depend_on_the_place(tiles: int) -> None:
    rng = np.random.default_rng(1)
    a, b = normals(rng, (70, PIECE + 40), "float32"), normals(rng, (PIECE + 40, 75), "float32")
    whole, _ = multiplied(a, b, LAYOUTS[0], tiles=tiles)
    for rows, columns_ in ((slice(4, 70), slice(0, 16)), (slice(0, 37), slice(16, 75))):
        part, _ = multiplied(a[rows], b[:, columns_], LAYOUTS[3], tiles=tiles)
        assert (part == whole[rows, columns_]).all()


def _scales(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.exp2(rng.integers(-20, 21, shape)).astype(np.float32)


@pytest.mark.parametrize("factors", ("normal", "uniform", "rows and columns", "depth"))
def test_it_errs_no_more_than_float32(tiles: int, factors: str) -> None:
    """Root mean square, beside the product of float32 that it takes the place of. Where a few terms
    of the depth decide there is little to be rounded, and both err alike."""
    rng = np.random.default_rng(2)
    m, depth, n = 64, 784, 96
    if factors == "uniform":
        a, b = rng.random((m, depth), np.float32), rng.random((depth, n), np.float32)
    else:
        a, b = normals(rng, (m, depth), "float32"), normals(rng, (depth, n), "float32")
    if factors == "rows and columns":
        a, b = a * _scales(rng, m, 1), b * _scales(rng, 1, n)
    if factors == "depth":
        a, b = a * _scales(rng, 1, depth), b * _scales(rng, depth, 1)
    sizes = np.abs(a).astype(np.float64) @ np.abs(b)
    errors = [
        np.sqrt(np.mean(((multiplied(a, b, LAYOUTS[0], tiles=by)[0] - exact(a, b)) / sizes) ** 2))
        for by in (tiles, link(np.float32))
    ]
    assert 0 < errors[0] < (1.05 if factors == "depth" else 1) * errors[1], errors


@pytest.mark.parametrize("exponent", (0, 100, -102, -111, -119, -127))
def test_small_numbers_lose_bits(tiles: int, exponent: int) -> None:
    """As ``product_for`` says: each up to 2^-125, and denormal ones count as zero, but those that
    are rounded to the smallest normal number as that."""
    rng = np.random.default_rng(4)
    a = np.ldexp(rng.uniform(1, 2, (40, 40)).astype(np.float32), exponent)
    result, _ = multiplied(a, np.eye(40, dtype=np.float32), LAYOUTS[0], tiles=tiles)
    lost = np.abs(result.astype(np.float64) - a).max()
    if exponent >= -102:
        assert lost == 0
    else:
        assert 0 < lost <= 2.0**-125
        assert (result[a < 2.0**-126 - 2.0**-134] == 0).all()


def test_what_is_not_finite_is_nan_in_its_row(tiles: int) -> None:
    a, b = np.ones((40, 40), np.float32), np.ones((40, 40), np.float32)
    a[3, 5], a[7, 0], a[9, 9] = np.inf, np.nan, np.finfo(np.float32).max
    result, _ = multiplied(a, b, LAYOUTS[0], tiles=tiles)
    assert np.isnan(result[[3, 7, 9]]).all()
    assert (np.delete(result, [3, 7, 9], axis=0) == 40).all()


def test_the_whole_product_decides() -> None:
    assert product_for(1, 2, 80, 80, 32) == product_for(1, 2, 64, 500, 784) == 2
    assert product_for(1, 2, 79, 80, 32) == product_for(1, 2, 80, 80, 31) == 1
    assert product_for(1, 2, 32, 100_000, 784) == 1
    assert product_for(1, 0, 500, 500, 500) == 1


@pytest.fixture
def column(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """Numba's, with the emulated product as soon as it pays. Numba's threads take turns in one."""
    monkeypatch.setattr(amx, "link", emulated_product)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    for module in (threads, step):
        monkeypatch.setattr(module, "start_on", lambda _, parallel, *given: parallel(*given))
    yield columns._on_amx(columns.get_backend("numba"))
    numba.set_num_threads(before)


def test_it_is_a_column_like_others(column: Backend) -> None:
    test_contract.test_signatures_are_the_protocols(column)
    test_contract.test_checks_have_the_ops_signatures(column)


def test_the_dense_layer_for_any_number_of_threads(
    column: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three operations: their large products are AMX's, in bits that no sharing changes."""
    assert column.matmul == "6xbf16" and columns.get_backend("numba").matmul == "fp32"
    rng = np.random.default_rng(3)
    batch, n_in, n_out = 90, 81, 100
    x, w, dz = (normals(rng, s, "float32") for s in ((batch, n_in), (n_in, n_out), (batch, n_out)))
    found = []
    for share in (1, 2, 3):
        monkeypatch.setattr(matmul, "threads_for", lambda work, share=share: share)
        y, dx, dw = (np.empty(s, np.float32) for s in ((batch, n_out), x.shape, w.shape))
        COUNTS[:] = 0
        column.dense_forward(x, w, np.zeros(n_out, np.float32), "identity", y, None)
        column.dense_backward_input(dz, w, "identity", x, dx)
        column.dense_backward_weights(x, dz, dw, np.empty(n_out, np.float32))
        assert (COUNTS == [3 * share, 3 * share, 0]).all()
        found.append((y, dx, dw))
    for values in zip(*found, strict=True):
        assert all((value == values[0]).all() for value in values)
    for value, a, b in zip(found[0], (x, dz, x.T), (w, w.T, dz), strict=True):
        assert_within(value, exact(a, b), bound(a, b), a.shape)
    small = np.empty((20, n_out), np.float32)
    column.dense_forward(x[:20], w, np.zeros(n_out, np.float32), "identity", small, None)
    x64, w64 = x.astype(np.float64), w.astype(np.float64)
    column.dense_forward(x64, w64, np.zeros(n_out), "identity", np.empty((batch, n_out)), None)
    assert COUNTS[0] == 9  # neither what is small nor float64


def test_the_rung_of_the_ladder(column: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """On every thread's part of c, but for float64, which is ``with_threads``."""
    monkeypatch.setattr(ladder, "threads_for", lambda work: 2)
    rng = np.random.default_rng(6)
    for dtype, used in (("float32", 2), ("float64", 0)):
        a, b = normals(rng, (70, 40), dtype), normals(rng, (40, 90), dtype)
        c, plain = np.empty((2, 70, 90), dtype)
        COUNTS[:] = 0
        ladder.six_bfloat16(a, b, c)
        assert COUNTS[0] == used
        ladder.with_threads(a, b, plain)
        assert_within(c, exact(a, b), bound(a, b), dtype)
        assert (c == plain).all() == (used == 0)


@pytest.mark.parametrize("way", ("by samples", "by layers"))
def test_a_training(column: Backend, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The compiled step on AMX: as in float32, rounding apart, and by layers in the same bits for
    any number of threads."""
    monkeypatch.setitem(columns._loaded, "numba 6xbf16", column)
    monkeypatch.setattr(step, "SMALL_NET", 10**9 if way == "by samples" else 0)
    monkeypatch.setattr(step, "available", lambda: 3)
    X = np.random.default_rng(5).random((90, 95), np.float32)

    def trained(how: str, share: int) -> Autoencoder:
        monkeypatch.setattr(step, "threads_for", lambda work: share)
        COUNTS[:] = 0
        options = {"hidden": (85,), "code": 82, "batch_size": 90, "epochs": 3, "random_state": 0}
        return Autoencoder(**options, warmup=0, backend="numba", matmul=how).fit(X)

    plain = trained("fp32", 3)
    assert COUNTS[0] == 0
    several = trained("6xbf16", 3)
    # 4 products forward, 3 back and 4 of weights, in each of three threads
    assert COUNTS[0] == COUNTS[1] >= 3 * 11 * 3 and COUNTS[2] == 0
    one = trained("6xbf16", 1)
    for name, value in plain.parameters().items():
        np.testing.assert_allclose(several.parameters()[name], value, rtol=0, atol=1e-4)
        if way == "by layers":
            assert (several.parameters()[name] == one.parameters()[name]).all(), name
    assert not all((several.parameters()[n] == v).all() for n, v in plain.parameters().items())


# Compiles the product for a processor with AMX, for any other one than this to run
ASSEMBLY = """
import re, sys
import numpy as np
from numba import njit
from tinyae.kernels.cpu.product import amx, processor
from tinyae.kernels.cpu.compiling import jit
assert processor.absent() == "" or "Linux" in processor.absent(), processor.absent()
product = jit()(amx._product)
index = product._cache._index_key
a, matrix = np.zeros(1, "float32"), (0, 1, 1)
from numba import typeof
arguments = (a, *matrix, a, *matrix, a, 0, 1, 0, 0, 0, False, np.zeros(9, "float32"))
product.compile(tuple(map(typeof, arguments)))
((signature, code),) = product.inspect_asm().items()
print(*re.findall(r"^\\s+(tdpbf\\w+|tile\\w+|ldtilecfg)", code, re.M))
print("+amx-bf16" in str(index(signature, product.targetctx.codegen())))
"""


def test_what_llvm_makes_of_it(tmp_path: Path) -> None:
    """Per step of the depth 24 products and 14 tiles loaded; and Numba's cache tells what for."""
    features = "+amx-tile,+amx-bf16,+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx2,+fma"
    done = python("-c", ASSEMBLY, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_CPU_FEATURES=features,
                  NUMBA_CPU_NAME="sapphirerapids")  # fmt: skip
    assert done.returncode == 0, done.stderr
    instructions, keyed = done.stdout.splitlines()
    assert Counter(instructions.split()) == {
        "tdpbf16ps": 24, "tileloadd": 14 + 4, "tilezero": 4, "tilestored": 4, "ldtilecfg": 1,
        "tilerelease": 1,
    }  # fmt: skip
    assert keyed == "True"
