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

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..backend import StepPlan
from ..conventions import ACTIVATIONS, LOSSES, NEEDS_INPUT, OPTIMIZERS
from . import activation as activations
from .activation import IDENTITY
from .compiling import inline, jit, linked
from .dense import backward_input_part, bias_part, forward_part, weights_part
from .loss import CHUNK, loss_part
from .matmul import link, room_size, share
from .threads import available, launch, threads_for
from .update import moments_of, scale, sum_of_squares, update_part

Array = NDArray[Any]

# what the threads do together before they wait for each other
SAMPLES, FORWARD, OUTPUT, BACKWARD, NORM, UPDATE = range(6)

# columns of the table of layers: sizes, the activation's code, places of weight and bias in the
# parameters, and of z and y in the memory of activations
N_IN, N_OUT, CODE, WEIGHT, BIAS, Z, Y = range(7)

SLICE = 256  # samples that a thread takes through the net at a time
LEAST = 8  # and the fewest for which another thread, with one more gradient to sum, pays
BLOCK = 4096  # parameters summed and updated at a time: they stay in the first-level cache
PART_OF_DW = 500_000  # numbers of a gradient made at a time: for each part dz is packed anew
SMALL_NET = 600_000  # parameters up to which every thread may have a gradient of its own


def make_step(plan: StepPlan) -> NumbaStep | None:
    """None where more is done than this step knows."""
    return NumbaStep(plan) if plan.plain else None


class NumbaStep:
    """The compiled step with the memory that it needs."""

    def __init__(self, plan: StepPlan) -> None:
        self._loss = LOSSES.index(plan.loss)
        self._optimizer = OPTIMIZERS.index(plan.optimizer)
        self._values = values = plan.values
        self._moments = moments_of(values, plan.moments)
        self._n_weights = plan.n_weights
        self._max_norm = math.inf if plan.clip_norm is None else plan.clip_norm
        self._kept = plan.gradients
        if self._kept is not None:
            self._max_norm = 0.0  # as for clipping the gradient is there as a whole

        link(values.dtype)
        dtype, most = values.dtype, available()
        self._by_samples = values.size <= SMALL_NET
        self._work_per_sample = values.size
        self._samples = min(SLICE, plan.capacity) if self._by_samples else plan.capacity
        self._net, room = _table(plan.layers, self._samples)
        if self._by_samples:
            most = min(most, max(1, plan.capacity // LEAST))
            gradients, copies, block = (most, values.size), most, 0
        else:
            clipped = math.isfinite(self._max_norm)
            gradients, copies = (1, values.size if clipped else 0), 1
            block = max(PART_OF_DW, *(n_out for _, n_out, _ in plan.layers))
        self._gradients = np.empty(gradients, dtype)
        self._blocks = np.empty((most, block), dtype)
        self._y, self._dz = (np.empty((copies, room), dtype) for _ in range(2))
        self._work = np.empty((most, CHUNK), dtype)
        self._room = np.empty((most, room_size(values.itemsize)), dtype)
        self._partial = np.empty((most, 2))
        nothing = values[:0]
        job = self._job(nothing, nothing, 0, np.empty(8))
        _link_share(0, 0, 0, *job, 1)
        _link_shares(0, 0, *job, 1)

    def __call__(self, x: Array, target: Array, hyper: Array, totals: Array) -> None:
        threads = min(threads_for(len(x) * self._work_per_sample), len(self._work))
        job = self._job(x.reshape(-1), target.reshape(-1), len(x), hyper)
        launch(_step, self._by_samples, self._kept is None, totals, *job, threads=threads)
        if self._kept is not None:
            self._kept[:] = self._gradients[0]

    def _job(self, x: Array, target: Array, batch: int, hyper: Array) -> tuple[Any, ...]:
        """What each thread needs to know, in the order of ``_share_of``'s arguments."""
        return (
            x, target, batch, self._net, self._values, *self._moments, hyper, self._n_weights,
            self._optimizer, self._loss, self._max_norm, self._y, self._dz, self._gradients,
            self._work, self._partial, self._room, self._blocks, self._samples,
        )  # fmt: skip


def _table(layers: tuple[tuple[int, int, str], ...], samples: int) -> tuple[Array, int]:
    """(one row of numbers per layer, numbers that so many samples leave behind in all layers)"""
    net = np.empty((len(layers), 7), np.int64)
    weight, bias, z = 0, sum(n_in * n_out for n_in, n_out, _ in layers), 0
    for i, (n_in, n_out, activation) in enumerate(layers):
        y = z + samples * n_out if activation in NEEDS_INPUT else z
        net[i] = n_in, n_out, ACTIVATIONS.index(activation), weight, bias, z, y
        weight, bias, z = weight + n_in * n_out, bias + n_out, y + samples * n_out
    return net, z


@jit()
def _step(
    by_samples: bool, updates: bool, totals: Array, x: Array, target: Array, batch: int, net: Array,
    values: Array, m: Array, v: Array, hyper: Array, n_weights: int, optimizer: int, loss: int,
    max_norm: float, y: Array, dz: Array, gradients: Array, work: Array, partial: Array,
    room: Array, blocks: Array, samples: int, threads: int,
) -> None:  # fmt: skip
    job = (
        x, target, batch, net, values, m, v, hyper, n_weights, optimizer, loss, max_norm, y, dz,
        gradients, work, partial, room, blocks, samples, threads,
    )  # fmt: skip
    if by_samples:
        _shares(SAMPLES, 0, *job)
    else:
        for i in range(len(net)):
            _shares(FORWARD, i, *job)
        _shares(OUTPUT, 0, *job)
    _sum_of_threads(partial, threads, totals)
    if not math.isfinite(totals[0]):
        return
    if not by_samples:
        for i in range(len(net), -1, -1):
            _shares(BACKWARD, i, *job)
    if max_norm < math.inf:
        _shares(NORM, 0, *job)
    if updates and (by_samples or max_norm < math.inf):
        _shares(UPDATE, 0, *job)


def _all_shares(
    phase: int, i: int, x: Array, target: Array, batch: int, net: Array, values: Array, m: Array,
    v: Array, hyper: Array, n_weights: int, optimizer: int, loss: int, max_norm: float, y: Array,
    dz: Array, gradients: Array, work: Array, partial: Array, room: Array, blocks: Array,
    samples: int, threads: int,
) -> None:  # fmt: skip
    """The only parallel loop: each one takes a second to compile."""
    for t in prange(threads):
        _share(
            phase, i, t, x, target, batch, net, values, m, v, hyper, n_weights, optimizer, loss,
            max_norm, y, dz, gradients, work, partial, room, blocks, samples, threads,
        )  # fmt: skip


def _share_of(
    phase: int, i: int, t: int, x: Array, target: Array, batch: int, net: Array, values: Array,
    m: Array, v: Array, hyper: Array, n_weights: int, optimizer: int, loss: int, max_norm: float,
    y: Array, dz: Array, gradients: Array, work: Array, partial: Array, room: Array,
    blocks: Array, samples: int, threads: int,
) -> None:  # fmt: skip
    """Thread t's share of a phase of the step."""
    clipped = max_norm < math.inf
    top, bottom = batch * t // threads, batch * (t + 1) // threads
    first, last = values.size * t // threads, values.size * (t + 1) // threads
    summed = min(len(gradients), threads)
    if phase == SAMPLES:
        _through_the_net(
            x, target, batch, top, bottom, samples, net, values, loss, y[t], dz[t], gradients[t],
            work[t], partial[t], room[t],
        )  # fmt: skip
    elif phase == FORWARD:
        block = share(batch, net[i, N_OUT], t, threads, x)
        _layer_forward(i, x, 0, net, values, y[0], block, room[t])
    elif phase == OUTPUT:
        partial[t] = 0
        _loss(target, 0, top, bottom, batch, net, loss, y[0], dz[0], work[t], partial[t])
    elif phase == BACKWARD:
        # a layer's weights are updated when its dz has gone down, together with the next descent
        if i < len(net):
            _layer_update(
                i, t, threads, x, batch, net, values, m, v, hyper, n_weights, optimizer, clipped,
                y[0], dz[0], gradients[0], blocks[t], room[t],
            )  # fmt: skip
        if i > 1:
            block = share(batch, net[i - 1, N_IN], t, threads, x)
            _layer_backward(i - 1, net, values, y[0], dz[0], block, room[t])
    elif phase == NORM:
        partial[t, 0] = _summed_squares(gradients, summed, first, last)
    else:
        shrink = _shrink(partial, threads, max_norm) if clipped else 1.0
        for start in range(first, last, BLOCK):
            end = min(start + BLOCK, last)
            if clipped:
                scale(gradients[0, start:end], shrink)
            else:
                _sum_gradients(gradients, summed, start, end)
            update_part(optimizer, values, gradients[0], start, m, v, hyper, n_weights, start, end)


_share, _link_share = linked(_share_of)
_shares, _link_shares = linked(_all_shares, parallel=True)


@inline
def _through_the_net(
    x: Array, target: Array, batch: int, first: int, last: int, samples: int, net: Array,
    values: Array, loss: int, y: Array, dz: Array, gradient: Array, work: Array, totals: Array,
    room: Array,
) -> None:  # fmt: skip
    """Gradient and totals of samples first .. last - 1, some at a time."""
    totals[0] = totals[1] = 0
    for top in range(first, max(last, first + 1), samples):
        n, add = min(samples, last - top), top > first
        for i in range(len(net)):
            block = (0, n, 0, net[i, N_OUT])
            _layer_forward(i, x, top, net, values, y, block, room)
        _loss(target, top, 0, n, batch, net, loss, y, dz, work, totals)
        for i in range(len(net) - 1, -1, -1):
            n_in, n_out, b = net[i, N_IN], net[i, N_OUT], net[i, BIAS]
            below, below_at = _below(i, x, top, net, y)
            dz_at = net[i, Z]
            weights_part(
                below, below_at, dz, dz_at, gradient, net[i, WEIGHT], n_out, n, n_in, n_out,
                (0, n_in, 0, n_out), add, room,
            )  # fmt: skip
            bias_part(dz, dz_at, gradient[b : b + n_out], n, n_out, 0, add)
            if i > 0:
                _layer_backward(i, net, values, y, dz, (0, n, 0, n_in), room)


@inline
def _below(i: int, x: Array, top: int, net: Array, y: Array) -> tuple[Array, int]:
    """(array, place) of layer i's input: the samples from ``top`` on, or the layer below's y."""
    return (x, top * net[0, N_IN]) if i == 0 else (y, net[i - 1, Y])


@inline
def _layer_forward(
    i: int, x: Array, top: int, net: Array, values: Array, y: Array,
    block: tuple[int, int, int, int], room: Array,
) -> None:  # fmt: skip
    """Rows and columns of layer i's y."""
    n_in, n_out, code, w, b, z_at, y_at = net[i]
    below, below_at = _below(i, x, top, net, y)
    forward_part(
        below, below_at, values[w : w + n_in * n_out], values[b : b + n_out], code,
        y, z_at, y, y_at, n_in, n_out, block, room,
    )  # fmt: skip


@inline
def _layer_backward(
    i: int, net: Array, values: Array, y: Array, dz: Array, block: tuple[int, int, int, int],
    room: Array,
) -> None:  # fmt: skip
    """Rows and columns of the dz of the layer below, from layer i's."""
    n_in, n_out, _, w, _, z_at, _ = net[i]
    code, z_below = net[i - 1, CODE], net[i - 1, Z]
    backward_input_part(
        dz, z_at, values[w : w + n_in * n_out], code, y, z_below, dz, z_below, n_in, n_out, block,
        room,
    )  # fmt: skip


@inline
def _loss(
    target: Array, top: int, first: int, last: int, batch: int, net: Array, loss: int, y: Array,
    dz: Array, work: Array, totals: Array,
) -> None:  # fmt: skip
    """Adds to totals, and makes the last layer's dz, for rows first .. last - 1 of its y.

    Row 0 of y belongs to sample ``top`` of the targets.
    """
    end = len(net) - 1
    width, code, z_at, y_at = net[end, N_OUT], net[end, CODE], net[end, Z], net[end, Y]
    rows = slice(first * width, last * width)
    output, gradient = y[y_at:][rows], dz[z_at:][rows]
    loss_part(loss, output, target[top * width :][rows], batch, gradient, work, totals)
    if code != IDENTITY:
        activations.backward(code, gradient, y[z_at:][rows], gradient)


@inline
def _layer_update(
    i: int, t: int, threads: int, x: Array, batch: int, net: Array, values: Array, m: Array,
    v: Array, hyper: Array, n_weights: int, optimizer: int, clipped: bool, y: Array, dz: Array,
    gradient: Array, block: Array, room: Array,
) -> None:  # fmt: skip
    """The thread's rows of dw and columns of db, and the update of these parameters."""
    n_in, n_out, _, w, b, dz_at, _ = net[i]
    below, below_at = _below(i, x, 0, net, y)
    last = n_in * (t + 1) // threads
    rows = block.size // n_out
    for first in range(n_in * t // threads, last, rows):
        end = min(first + rows, last)
        place = w + first * n_out
        # where row 0 of dw would be
        out, out_at = (gradient, w) if clipped else (block, -first * n_out)
        weights_part(
            below, below_at, dz, dz_at, out, out_at, n_out, batch, n_in, n_out,
            (first, end, 0, n_out), False, room,
        )  # fmt: skip
        if not clipped:
            update_part(optimizer, values, block, 0, m, v, hyper, n_weights, place, w + end * n_out)
    first, end = n_out * t // threads, n_out * (t + 1) // threads
    db = gradient[b + first : b + end] if clipped else block[: end - first]
    bias_part(dz, dz_at, db, batch, n_out, first, False)
    if not clipped:
        update_part(optimizer, values, db, 0, m, v, hyper, n_weights, b + first, b + end)


@inline
def _sum_of_threads(partial: Array, threads: int, totals: Array) -> None:
    """In the order of the threads, so that two runs have the same bits."""
    totals[0] = totals[1] = 0
    for t in range(threads):
        totals[0] += partial[t, 0]
        totals[1] += partial[t, 1]


@inline
def _sum_gradients(gradients: Array, threads: int, first: int, last: int) -> None:
    total = gradients[0, first:last]
    for t in range(1, threads):
        other = gradients[t, first:last]
        for i in range(total.size):
            total[i] += other[i]


@inline
def _summed_squares(gradients: Array, threads: int, first: int, last: int) -> float:
    square = 0.0
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        _sum_gradients(gradients, threads, start, end)
        square += sum_of_squares(gradients[0, start:end])
    return square


@inline
def _shrink(squares: Array, threads: int, max_norm: float) -> float:
    """The factor that bounds the gradient's norm; 1 where the norm is not finite."""
    total = 0.0
    for t in range(threads):
        total += squares[t, 0]
    norm = math.sqrt(total)
    return max_norm / norm if max_norm < norm < math.inf else 1.0
