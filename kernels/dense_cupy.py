"""Launches dense.cu, dense_3xtf32.cu or dense_tf32.cu: which tile, how many splits, which grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from .activation_cupy import activation_code
from .cuda_runner import THREADS, Array, Runner, blocks, grid_for, ints

# By conventions.MATMULS; the kernels of each have the same names.
FILES = {"fp32": "dense.cu", "3xtf32": "dense_3xtf32.cu", "tf32": "dense_tf32.cu"}

TILES = (128, 64, 32)

# Blocks that keep a large GPU busy (an H100 or H200 has 132 multiprocessors).
ENOUGH_BLOCKS = 132

# A shorter sum has hardly any roundings of its own, and what 3xTF32 leaves out of each product
# would show: up to three times float32's error. dense.cu takes these sums.
SHORT_SUM = 32

# A split shorter than this pays more for its partial sums than it gains.
LEAST_SAMPLES_PER_SPLIT = 64
MOST_SPLITS = 32


def choose_tile(m: int, n: int) -> int:
    """The largest tile that still gives every multiprocessor a block, else the smallest."""
    for tile in TILES:
        if blocks(m, tile) * blocks(n, tile) >= ENOUGH_BLOCKS:
            return tile
    return TILES[-1]


def choose_splits(n_in: int, n_out: int, batch: int, tile: int) -> int:
    """How many parts of the batch dw is summed from, so that there are enough blocks."""
    tiles = max(1, blocks(n_in, tile) * blocks(n_out, tile))
    wanted = blocks(ENOUGH_BLOCKS, tiles)
    return max(1, min(wanted, batch // LEAST_SAMPLES_PER_SPLIT, MOST_SPLITS))


class DenseKernels:
    """The three products on a runner, multiplied by one of ``conventions.MATMULS``.

    ``tile``, ``splits`` and ``short`` overrule the choices made here (for tests).
    """

    def __init__(
        self, runner: Runner, tile: int | None = None, splits: int | None = None,
        matmul: str = "fp32", short: int = SHORT_SUM,
    ) -> None:  # fmt: skip
        self.runner = runner
        self.tile, self.splits = tile, splits
        self.matmul, self.short = matmul, short

    def dense_forward(
        self, x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
    ) -> None:
        (batch, n_in), n_out = x.shape, w.shape[1]
        args = (x, w, b, activation_code(activation), y, _pointer(pre))
        file = self._file("x", x, n_in)
        self._launch(file, "dense_forward", batch, n_out, (*args, *ints(batch, n_in, n_out)))

    def dense_backward_input(
        self, dz: Array, w: Array, activation: str, saved: Array, dx: Array
    ) -> None:
        (batch, n_out), n_in = dz.shape, w.shape[0]
        args = (dz, w, activation_code(activation), saved, dx)
        file = self._file("dz", dz, n_out)
        self._launch(file, "dense_backward_input", batch, n_in, (*args, *ints(batch, n_in, n_out)))

    def dense_backward_weights(self, x: Array, dz: Array, dw: Array, db: Array) -> None:
        (batch, n_in), n_out = x.shape, dz.shape[1]
        if n_out == 0:
            return
        tile = self.tile or choose_tile(n_in, n_out)
        splits = self.splits or choose_splits(n_in, n_out, batch, tile)
        per_split = max(1, blocks(batch, splits))
        file = self._file("x", x, per_split)
        dtype = x.dtype.name
        part_w, part_b = dw, db
        if splits > 1:
            parts = self.runner.scratch((splits * (n_in + 1) * n_out,), dtype)
            part_w, part_b = parts[: splits * n_in * n_out], parts[splits * n_in * n_out :]
        # one row of blocks even where n_in is 0: it makes db
        grid = (blocks(n_out, tile), max(1, blocks(n_in, tile)), splits)
        args = (x, dz, part_w, part_b, *ints(batch, n_in, n_out, per_split))
        kernel = f"dense_backward_weights_{tile}"
        self.runner.launch(file, kernel, dtype, grid, THREADS, args)
        if splits > 1:
            self._sum(file, part_w, splits, dw)
            self._sum(file, part_b, splits, db)

    def _file(self, name: str, operand: Array, depth: int) -> str:
        """Where the kernels for sums of ``depth`` products are."""
        if self.matmul != "fp32" and operand.dtype != np.float32:
            raise TypeError(
                f"{name} must have dtype float32 with matmul={self.matmul!r}, got {operand.dtype}: "
                "convert it with .astype(...), or use matmul='fp32'"
            )
        return FILES["fp32" if self.matmul == "3xtf32" and depth < self.short else self.matmul]

    def _launch(self, file: str, kernel: str, m: int, n: int, args: tuple[Any, ...]) -> None:
        if m and n:
            tile = self.tile or choose_tile(m, n)
            grid = (blocks(n, tile), blocks(m, tile), 1)
            dtype = args[0].dtype.name
            self.runner.launch(file, f"{kernel}_{tile}", dtype, grid, THREADS, args)

    def _sum(self, file: str, parts: Array, splits: int, out: Array) -> None:
        if out.size:
            args = (parts, np.int32(splits), np.int64(out.size), out)
            grid = grid_for(out.size)
            self.runner.launch(file, "sum_splits", out.dtype.name, grid, THREADS, args)


def _pointer(array: Array | None) -> Array:
    """The array, or a null pointer."""
    return np.uintp(0) if array is None else array
