"""Launches dense.cu, dense_3xtf32.cu or dense_tf32.cu: which tile, how many splits, which grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..grids import THREADS, Array, Dim, blocks, grid_for, ints
from .activation import activation_code
from .plan import SUMMED_INSIDE, TILES, Plan, Problem, choose
from .runner import NULL, Runner

# By conventions.MATMULS; the kernels of each have the same names.
FILES = {"fp32": "dense.cu", "3xtf32": "dense_3xtf32.cu", "tf32": "dense_tf32.cu"}

# A shorter sum has hardly any roundings of its own, and what 3xTF32 leaves out of each product
# would show: up to three times float32's error. dense.cu takes these sums.
SHORT_SUM = 32


class Cut(NamedTuple):
    """A product as it is launched."""

    file: str
    kernel: str
    dtype: str
    grid: Dim
    per_part: int  # terms of a sum
    inside: bool  # the product's own blocks add up its parts

    @property
    def parts(self) -> int:
        return self.grid[2]


class DenseKernels:
    """The three products on a runner, multiplied by one of ``conventions.MATMULS``.

    ``plans`` are those that have been measured, looked up at each launch. ``tile``, ``splits`` and
    ``short`` overrule all that is chosen here (for tests).
    """

    def __init__(
        self, runner: Runner, tile: tuple[int, int] | None = None, splits: int | None = None,
        matmul: str = "fp32", short: int = SHORT_SUM, plans: Mapping[Problem, Plan] | None = None,
    ) -> None:  # fmt: skip
        self.runner = runner
        self.tile, self.splits = tile, splits
        self.matmul, self.short = matmul, short
        self.plans = {} if plans is None else plans

    def dense_forward(
        self, x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
    ) -> None:
        (batch, n_in), n_out = x.shape, w.shape[1]
        if y.size == 0:
            return
        cut = self.cut("dense_forward", x, "x", batch, n_out, n_in)
        code, pre = activation_code(activation), NULL if pre is None else pre
        parts, tickets = self._parts_and_tickets(cut, y.size)
        sizes = ints(batch, n_in, n_out, cut.per_part)
        self._launch(cut, x, w, b, code, y, pre, parts, tickets, *sizes)
        if cut.parts > 1 and not cut.inside:
            self._sum(cut, "sum_forward", parts, y.size, b, code, y, pre, np.int32(n_out))

    def dense_backward_input(
        self, dz: Array, w: Array, activation: str, saved: Array, dx: Array
    ) -> None:
        (batch, n_out), n_in = dz.shape, w.shape[0]
        if dx.size == 0:
            return
        cut = self.cut("dense_backward_input", dz, "dz", batch, n_in, n_out)
        code = activation_code(activation)
        parts, tickets = self._parts_and_tickets(cut, dx.size)
        sizes = ints(batch, n_in, n_out, cut.per_part)
        self._launch(cut, dz, w, code, saved, dx, parts, tickets, *sizes)
        if cut.parts > 1 and not cut.inside:
            self._sum(cut, "sum_input", parts, dx.size, code, saved, dx)

    def dense_backward_weights(
        self, x: Array, dz: Array, dw: Array, db: Array, add: bool = False
    ) -> None:
        (batch, n_in), n_out = x.shape, dz.shape[1]
        if n_out == 0:
            return
        cut = self.cut("dense_backward_weights", x, "x", n_in, n_out, batch)
        part_w, part_b, n = dw, db, (n_in + 1) * n_out
        with self.runner.aside():  # the layers below need dx, but nobody needs dw yet
            if cut.parts > 1:
                part_w = self._parts(cut, n, slot=1)
                part_b = part_w[n_in * n_out :]
            numbers = ints(add and cut.parts == 1, batch, n_in, n_out, cut.per_part)
            self._launch(cut, x, dz, part_w, part_b, *numbers)
            if cut.parts > 1:
                self._sum(cut, "sum_weights", part_w, n, dw, db, *ints(add, n_out))

    def cut(self, kernel: str, operand: Array, name: str, m: int, n: int, k: int) -> Cut:
        """How the product is launched whose ``operand``, the argument ``name``, has the dtype."""
        dtype = operand.dtype.name
        if self.matmul != "fp32" and dtype != "float32":
            raise TypeError(
                f"{name} must have dtype float32 with matmul={self.matmul!r}, got {dtype}: "
                "convert it with .astype(...), or use matmul='fp32'"
            )
        plan = self.plans.get(Problem(self.matmul, dtype, kernel, m, n, k))
        if plan is None or self.tile or self.splits:
            plan = choose(m, n, k, self.tile, self.splits)
        per_part = plan.per_part(k)
        short = self.matmul == "3xtf32" and min(k, per_part) < self.short
        # a row of blocks even where there is no row: it makes db
        grid = (blocks(n, plan.columns), max(1, blocks(m, plan.rows)), max(1, blocks(k, per_part)))
        file = FILES["fp32" if short else self.matmul]
        elements = grid[2] * plan.rows * plan.columns
        inside = grid[2] > 1 and elements <= SUMMED_INSIDE and plan.rows < TILES[0][0]
        return Cut(file, f"{kernel}_{plan.rows}x{plan.columns}", dtype, grid, per_part, inside)

    def _parts_and_tickets(self, cut: Cut, n: int) -> tuple[Array, Array]:
        """For sums on the main branch; null pointers for what the product does not need."""
        return (
            self._parts(cut, n, slot=0) if cut.parts > 1 else NULL,
            self.runner.tickets(cut.grid[0] * cut.grid[1]) if cut.inside else NULL,
        )

    def _parts(self, cut: Cut, n: int, slot: int) -> Array:
        """Room for all parts of n sums."""
        return self.runner.scratch((cut.parts * n,), cut.dtype, slot)

    def _launch(self, cut: Cut, *args: Any) -> None:
        self.runner.launch(cut.file, cut.kernel, cut.dtype, cut.grid, THREADS, args)

    def _sum(self, cut: Cut, kernel: str, parts: Array, n: int, *args: Any) -> None:
        """Adds up n sums of ``parts``, and does with them what the kernel does."""
        args = (parts, np.int32(cut.parts), np.int64(n), *args)
        launched = (cut.file, kernel, cut.dtype)
        self.runner.launch(*launched, grid_for(n, self.runner.resident(*launched)), THREADS, args)
