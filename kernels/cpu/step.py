"""A whole training step in one compiled function: no Python, and few barriers, between layers.

There are two ways to share it among the threads (Amdahl's law decides):

By samples   Each thread takes its samples through the whole net, forward and back, without waiting
             for the others; its activations stay in its own cache. In the end the threads'
             gradients are summed, a block of parameters at a time, while the update passes over
             them. For nets whose gradient is small.
By layers    The threads share each product. A layer's gradient is never stored as a whole: its
             rows are used for the update as soon as they are there. For large nets, which ought to
             stream through the cache as seldom as possible.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend import MakeStep, StepPlan
from ..conventions import NEEDS_INPUT
from . import activation as activations
from . import phases
from .dense import link_backward_input, link_backward_weights, link_forward
from .loss import CHUNK, loss_at
from .phases import WEIGHT, Work
from .pieces import Job, run
from .product.matmul import link, room_size
from .threads import available, start_on, threads_for
from .update import moments_of, update_at

Array = NDArray[Any]

SLICE = 256  # samples that a thread takes through the net at a time
LEAST = 8  # and the fewest for which another thread, with one more gradient to sum, pays
PART_OF_DW = 500_000  # numbers of a gradient made at a time: for each part dz is packed anew
SMALL_NET = 600_000  # parameters up to which every thread may have a gradient of its own


def maker(tiles: int) -> MakeStep:
    """What makes a step, or None where more is done than it knows; ``tiles``: see
    ``matmul.product_for``."""

    def make_step(plan: StepPlan) -> NumbaStep | None:
        return NumbaStep(plan, tiles) if plan.plain and plan.epoch is None else None

    return make_step


class NumbaStep:
    """The compiled step with the memory that it needs: kernels that run one after the other."""

    def __init__(self, plan: StepPlan, tiles: int) -> None:
        values, layers = plan.values, plan.layers
        dtype, most = values.dtype, available()
        for link_part in (link_forward, link_backward_input, link_backward_weights):
            link_part(dtype)
        tiles = tiles if dtype == np.float32 else 0
        by_samples, self._kept = values.size <= SMALL_NET, plan.gradients
        clipped = plan.clip_norm is not None or self._kept is not None
        # the gradient as a whole is wanted for clipping, by the plan and where layers add to it
        whole = by_samples or clipped or bool(plan.tied)
        self._work_per_sample = sum((n_in + 1) * n_out for n_in, n_out, _ in layers)
        samples = min(SLICE, plan.capacity) if by_samples else plan.capacity
        net, numbers = _table(plan, samples)
        if by_samples:
            most = min(most, max(1, plan.capacity // LEAST))
            gradients, copies, block = (most, values.size), most, 0
        else:
            gradients, copies = (1, values.size if whole else 0), 1
            block = max(PART_OF_DW, *(n_out for _, n_out, _ in layers))
        kept = self._kept if gradients[0] == 1 else None
        if kept is not None:
            self._kept = None
        flat = np.empty(gradients, dtype) if kept is None else kept.reshape(1, -1)
        nothing, (m, v) = values[:0], moments_of(values, plan.moments)
        self._most = most
        self._arrays = Work(
            nothing, nothing, 0, np.empty(8), np.empty(2), net, values, m, v, plan.n_weights,
            update_at(plan.optimizer, dtype), loss_at(plan.loss, dtype), link(dtype), tiles,
            plan.clip_norm or 0.0, samples,
            np.empty((copies, numbers), dtype), np.empty((copies, numbers), dtype),
            flat, np.empty((most, CHUNK), dtype), np.empty((most, 3)),
            np.empty((most, room_size(values.itemsize, tiles)), dtype),
            np.empty((most, block), dtype),
        )  # fmt: skip
        self._job = job = Job(self._arrays)
        if by_samples:
            turns = [(phases.by_samples, 0)]
        else:
            last = len(layers)
            turns = [*((phases.forward, i) for i in range(last)), (phases.output, 0)]
            turns += [(phases.backward, i) for i in range(last, -1, -1)]
        if kept is not None:
            turns += [(phases.no_update, 0)]
        elif clipped:
            last_one = phases.update_clipped if self._kept is None else phases.no_update
            turns += [(phases.norm, 0), (last_one, 0)]
        elif whole:
            turns += [(phases.update, 0)]
        self._turns = np.array([(kernel.address(job), i) for kernel, i in turns])

    def __call__(self, x: Array, target: Array, hyper: Array, totals: Array) -> None:
        threads = min(threads_for(len(x) * self._work_per_sample), self._most)
        self._job.change((x.reshape(-1), target.reshape(-1), len(x), hyper, totals))
        start_on(threads, run, self._turns, self._job.address, threads)
        if self._kept is not None:
            self._kept[:] = self._arrays.gradients[0]


def _table(plan: StepPlan, samples: int) -> tuple[Array, int]:
    """(one row of numbers per layer, numbers that so many samples leave behind in all layers)"""
    of, dtype = dict(plan.tied), plan.values.dtype
    net = np.zeros((len(plan.layers), 14), np.int64)
    weight, bias, z = 0, plan.n_weights, 0
    for i, (n_in, n_out, activation) in enumerate(plan.layers):
        y = z + samples * n_out if activation in NEEDS_INPUT else z
        act_at = activations.in_place_at if y == z else activations.forward_at
        act = act_at(activation, dtype)
        slope = activations.slope_at(activation, dtype)
        if i in of:
            lies = net[of[i], WEIGHT], bias, z, y, n_out, n_in, 1, n_in, True, False
        else:
            lies = weight, bias, z, y, n_in, n_out, n_out, 1, False, i in of.values()
            weight += n_in * n_out
        net[i] = n_in, n_out, act, slope, *lies
        bias, z = bias + n_out, y + samples * n_out
    return net, z
