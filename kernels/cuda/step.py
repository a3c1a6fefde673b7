"""Launches step.cu: a whole step of an epoch, where it is one that the kernel knows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..backend import Epoch, Step, StepPlan
from ..conventions import DATA, LOSSES, NEEDS_INPUT, OPTIMIZERS
from ..grids import MAX_PARTS, THREADS, Array, blocks, grid_for, ints
from .activation import activation_code
from .dense import DenseKernels
from .runner import NULL, Runner

KERNEL = ("step.cu", "step")
TILE = 32  # step.cu's
ALIGNED = 4  # numbers: a layer's arrays begin at multiples, so that 16 bytes are read at once
SLOT = 2  # of scratch memory, the first one behind dense.py's


class StepKernels:
    """make_step on a runner, by ``most`` blocks at most; ``dense`` cuts products along k.

    ``to_device`` copies an array there.
    """

    def __init__(
        self, runner: Runner, dense: DenseKernels, to_device: Callable[[Array], Array],
        most: int | None = None,
    ) -> None:  # fmt: skip
        self.runner, self.dense, self.to_device, self.most = runner, dense, to_device, most

    def make_step(self, plan: StepPlan) -> Step | None:
        """None for what the kernel lacks: steps that are not replayed, anything between layers or
        beside the loss, tied layers, clipping, tensor cores, devices without cooperative
        launches."""
        epoch = plan.epoch
        if epoch is None or epoch.data.dtype.name not in DATA or self.dense.matmul != "fp32":
            return None
        if not plan.plain or plan.tied:
            return None
        if plan.clip_norm is not None or plan.gradients is not None:
            return None
        room = self.runner.cooperative(*KERNEL, plan.values.dtype.name)
        return OneLaunch(self, plan, epoch, min(room, self.most or room)) if room else None


class OneLaunch:
    """A plan's step, laid out once for each size of minibatch. ``most`` blocks."""

    def __init__(self, kernels: StepKernels, plan: StepPlan, epoch: Epoch, most: int) -> None:
        self.kernels, self.plan, self.epoch, self.most = kernels, plan, epoch, most
        self._layouts: dict[int, tuple[int, tuple[object, ...]]] = {}

    def __call__(self, x: Array, target: Array, hyper: Array, totals: Array) -> None:
        """x receives the samples and is their target; the numbers of ``hyper`` lie in the epoch."""
        n, plan, epoch, dtype = len(x), self.plan, self.epoch, x.dtype
        if n not in self._layouts:
            self._layouts[n] = self._layout(n)
        n_blocks, memory = self._layouts[n]
        m, v = (NULL, NULL, *plan.moments)[-2:]  # a single one is v
        args = (
            epoch.data, np.int32(DATA.index(epoch.data.dtype.name)), np.int64(len(epoch.data)),
            epoch.order, dtype.type(epoch.scale), x, np.int32(n), epoch.cursor,
            np.int64(epoch.batch_size), epoch.numbers, epoch.history,
            *ints(len(plan.layers), OPTIMIZERS.index(plan.optimizer)), plan.values, m, v,
            np.int64(plan.n_weights), np.int64(plan.values.size),
            np.int32(LOSSES.index(plan.loss)), dtype.type(1 / n), totals, *memory,
        )  # fmt: skip
        self.kernels.runner.launch(*KERNEL, dtype.name, (n_blocks, 1, 1), THREADS, args, True)

    def _layout(self, n: int) -> tuple[int, tuple[object, ...]]:
        """(blocks, the kernel's arguments from ``layers`` on) for n samples."""
        values, cut, runner = self.plan.values, self.kernels.dense.cut, self.kernels.runner
        table, end = [], 0
        w, b = 0, self.plan.n_weights
        parts = dw_parts = db_parts = turns = tickets = 0
        for i, (n_in, n_out, activation) in enumerate(self.plan.layers):
            forward = cut("dense_forward", values, "x", n, n_out, n_in)
            down = cut("dense_backward_input", values, "dz", n, n_in, n_out)
            weights = cut("dense_backward_weights", values, "x", n_in, n_out, n)
            places = [end + k * _padded(n * n_out) for k in range(3)]  # of y, dz, pre
            needs_input = activation in NEEDS_INPUT
            end = places[2] + needs_input * _padded(n * n_out)
            table.append((n_in, n_out, int(activation_code(activation)), w, b, places[0],
                          places[2] if needs_input else -1, places[1], forward.per_part,
                          down.per_part, weights.per_part))  # fmt: skip
            w, b = w + n_in * n_out, b + n_out
            y, dx, dw = (_tiles(*shape) for shape in ((n, n_out), (n, n_in), (n_in, n_out)))
            parts = max(parts, _split(forward.parts, n * n_out), _split(down.parts, n * n_in))
            dw_parts = max(dw_parts, _split(weights.parts, n_in * n_out))
            db_parts = max(db_parts, _split(weights.parts, n_out))
            tickets = max(tickets, y, dx + dw)
            turns = max(turns, y * forward.parts, dx * down.parts * (i > 0) + dw * weights.parts)
        sizes = (end, values.size, parts, dw_parts, db_parts)
        loss_blocks = grid_for(n * self.plan.layers[-1][1], MAX_PARTS)[0]
        return min(self.most, turns), (
            self.kernels.to_device(np.array(table, np.int64)),
            *(
                runner.scratch((size,), values.dtype.name, slot)
                for slot, size in enumerate(sizes, SLOT + 1)
            ),
            runner.scratch((2 * loss_blocks,), "float64", SLOT), np.int32(loss_blocks),
            runner.tickets(2 + tickets),
        )  # fmt: skip


def _padded(size: int) -> int:
    return blocks(size, ALIGNED) * ALIGNED


def _tiles(m: int, n: int) -> int:
    return blocks(m, TILE) * blocks(n, TILE)


def _split(parts: int, size: int) -> int:
    """Numbers that the parts of so many sums take; a sum of one part lies nowhere."""
    return parts * size if parts > 1 else 0
