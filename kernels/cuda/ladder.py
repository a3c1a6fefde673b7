"""Launches matmul_ladder.cu: c = a @ b by the kernel of one's choice."""

from __future__ import annotations

from .. import checks
from ..grids import Array, Dim, blocks, ints
from .runner import Runner

# kernel: rows and columns of c that a block computes, and the block's threads
_BLOCKS: dict[str, tuple[int, Dim]] = {
    "matmul_1_naive": (32, (32, 32, 1)),
    "matmul_2_coalesced": (32, (32, 32, 1)),
    "matmul_3_shared": (32, (32, 32, 1)),
    "matmul_4_registers_1d": (64, (64, 8, 1)),
    "matmul_5_registers_2d": (128, (16, 16, 1)),
    "matmul_6_vectors": (128, (16, 16, 1)),
    "matmul_7_double_buffer": (128, (16, 16, 1)),
}
RUNGS: tuple[str, ...] = tuple(_BLOCKS)

MOST = 2**31 - 128  # rows and columns: an index may pass the end by a tile and is an int
MOST_BLOCKS_Y = 65535  # that CUDA allows; along x it is 2^31 - 1


class LadderKernels:
    """The rungs on a runner."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def matmul(self, rung: str, a: Array, b: Array, c: Array) -> None:
        """c (m, n) = a (m, k) @ b (k, n) by the kernel ``rung``, one of RUNGS."""
        sizes, grid, block = plan(self.runner.array_type, RUNGS, rung, a, b, c)
        if c.size:
            args = (a, b, c, *ints(*sizes))
            self.runner.launch("matmul_ladder.cu", rung, a.dtype.name, grid, block, args)


def plan(
    kind: type, rungs: tuple[str, ...], rung: str, a: Array, b: Array, c: Array
) -> tuple[tuple[int, int, int], Dim, Dim]:
    """(m, n, k), the grid and the block; refuses what the kernel cannot take."""
    if rung not in rungs:
        raise ValueError(f"rung must be one of {', '.join(rungs)}, got {rung!r}")
    tile, block = _BLOCKS[rung]
    m, n, k = sizes = _sizes(kind, a, b, c)
    most_columns = min(MOST, MOST_BLOCKS_Y * tile)
    for what, size, most in (
        ("rows of a", m, MOST), ("columns of a", k, MOST), ("columns of b", n, most_columns),
    ):  # fmt: skip
        if size > most:
            raise ValueError(f"{rung} takes at most {most} {what}, got {size}")
    return sizes, (blocks(m, tile), blocks(n, tile), 1), block


def _sizes(kind: type, a: Array, b: Array, c: Array) -> tuple[int, int, int]:
    for name, value in {"a": a, "b": b}.items():
        checks.array(kind, name, value, None, "float32", "float64")
        if value.ndim != 2:
            raise ValueError(f"{name} must have 2 dimensions, got shape {value.shape}")
    (m, k), n = a.shape, b.shape[1]
    checks.array(kind, "b", b, (k, n), a.dtype.name)
    checks.array(kind, "c", c, (m, n), a.dtype.name)
    return m, n, k
