"""The ladder in Numba's simulator: run by test_target.py in a process of its own.

A product takes it a second, hence few and small shapes: the tiles' edges one by one, with few
steps along k. On a GPU the rungs have all shapes of kernels/test_ladder.py.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.reference import check_matmul
from tinyae.kernels.backend import Backend
from tinyae.kernels.columns import get_backend
from tinyae.kernels.cuda_python.ladder import RUNGS, matmul

every_rung = pytest.mark.parametrize("rung", RUNGS)

# rung: rows and columns of a block's tile, a step along k (where there are none: what it might be)
TILES = {"matmul_3_shared": (32, 32), "matmul_4_registers_1d": (64, 8),
         "matmul_5_registers_2d": (128, 8), "matmul_7_double_buffer": (128, 8)}  # fmt: skip


@pytest.fixture(scope="module")
def device() -> Backend:
    return get_backend("numba-cuda")


def check(device: Backend, rung: str, dtype: str, m: int, k: int, n: int) -> None:
    rng = np.random.default_rng(m + k + n)
    check_matmul(device, partial(matmul, rung), rng, dtype, (m, k, n), guard=64)


@every_rung
def test_small_shapes(device: Backend, rung: str) -> None:
    for shape in ((0, 3, 2), (3, 2, 0), (0, 0, 0), (3, 0, 2), (1, 1, 1)):
        check(device, rung, "float32", *shape)


@every_rung
def test_beyond_a_tile(device: Backend, rung: str) -> None:
    """One row or column more than a tile has, and along k one element more than a step."""
    tile, step = TILES.get(rung, (32, 8))
    check(device, rung, "float32", tile + 1, step + 1, 2)
    check(device, rung, "float64", 3, 2, tile + 1)


def test_a_buffer_is_used_again(device: Backend) -> None:
    check(device, "matmul_7_double_buffer", "float32", 3, 4 * 8 + 1, 2)


def test_wrong_arguments_are_refused(device: Backend) -> None:
    """As on the other column, by the same checks; rung 6 has no twin."""
    a, b, c = (device.empty(shape, "float32") for shape in ((3, 4), (4, 5), (3, 5)))
    with pytest.raises(ValueError, match="rung must be one of matmul_1_naive, .* 'matmul_6_vecto"):
        matmul("matmul_6_vectors", a, b, c)
    with pytest.raises(ValueError, match=r"c must have shape \(3, 5\), got \(3, 3\)"):
        matmul(RUNGS[0], a, b, device.empty((3, 3), "float32"))
    with pytest.raises(TypeError, match=r"a must be a tinyae.kernels.cuda_python.target.Cu"):
        matmul(RUNGS[0], np.zeros((3, 4)), b, c)
