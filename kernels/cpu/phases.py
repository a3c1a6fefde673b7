"""The phases of a training step, which the threads go through together: see ``step``.

Each is a kernel whose arguments are a step's ``Work``. Row 0 of what has a row for each thread is
all threads', where a step goes by layers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numpy.typing import NDArray

from . import activation as activations
from .compiling import inline
from .dense import backward_input_part, bias_part, forward_part, weights_part
from .loss import loss_part
from .pieces import Kernel
from .product.matmul import product_for, share
from .update import scale, sum_of_squares, update_part

Array = NDArray[Any]

# columns of the table of layers: sizes, the activation's addresses (of the derivative: 0 where that
# is 1), places of weight and bias in the parameters, and of z and y in the memory of activations;
# rows and columns of the weights where they lie, steps from row to row and column to column of them
# as (n_in, n_out), whether that is transposed, and whether a layer above has the same weights
N_IN, N_OUT, ACT, SLOPE, WEIGHT, BIAS, Z, Y, ROWS, COLUMNS, ROW, COLUMN, TURNED, SHARED = range(14)

BLOCK = 4096  # parameters summed and updated at a time: they stay in the first-level cache


class Work(NamedTuple):
    """What each thread needs to know."""

    x: Array
    target: Array
    batch: int
    hyper: Array
    totals: Array
    net: Array
    values: Array
    m: Array
    v: Array
    n_weights: int
    update: int  # addresses
    loss: int
    product: int
    tiles: int
    max_norm: float
    samples: int
    y: Array  # a row for each thread, or one
    dz: Array
    gradients: Array
    work: Array  # a row for each thread
    partial: Array  # of each thread: its sums of losses, of squared errors, of squared gradients
    room: Array
    blocks: Array


_product_for = inline(product_for)
Whole = tuple[int, int, int]  # the batch of all threads, and the addresses of two products


@Kernel
def by_samples(at: Any, _: int, t: int, threads: int) -> None:
    """The thread's samples through the whole net, some at a time: gradient and totals."""
    job = at[0]
    x, net, values = job.x, job.net, job.values
    y, dz, gradient = job.y[t], job.dz[t], job.gradients[t]
    totals, room, whole = job.partial[t], job.room[t], (job.batch, job.product, job.tiles)
    first, last = job.batch * t // threads, job.batch * (t + 1) // threads
    totals[0] = totals[1] = 0
    for top in range(first, max(last, first + 1), job.samples):
        n, add = min(job.samples, last - top), top > first
        for i in range(len(net)):
            _layer_forward(i, x, top, net, values, y, (0, n, 0, net[i, N_OUT]), room, whole)
        _loss(job.target, top, 0, n, job.batch, net, job.loss, y, dz, job.work[t], totals)
        for i in range(len(net) - 1, -1, -1):
            n_out, w, b, rows = net[i, N_OUT], net[i, WEIGHT], net[i, BIAS], net[i, ROWS]
            _layer_weights(i, x, top, n, net, y, dz, gradient, w, 0, rows, add, room, whole)
            bias_part(dz, net[i, Z], gradient[b : b + n_out], n, n_out, 0, add)
            if i > 0:
                _layer_backward(i, net, values, y, dz, (0, n, 0, net[i, N_IN]), room, whole)


@Kernel
def forward(at: Any, i: int, t: int, threads: int) -> None:
    """Part of layer i's y."""
    job = at[0]
    block = share(job.batch, job.net[i, N_OUT], t, threads, job.x)
    whole = job.batch, job.product, job.tiles
    _layer_forward(i, job.x, 0, job.net, job.values, job.y[0], block, job.room[t], whole)


@Kernel
def output(at: Any, _: int, t: int, threads: int) -> None:
    """The loss of some samples, and its gradient."""
    job = at[0]
    top, bottom = job.batch * t // threads, job.batch * (t + 1) // threads
    job.partial[t] = 0
    _loss(
        job.target, 0, top, bottom, job.batch, job.net, job.loss, job.y[0], job.dz[0],
        job.work[t], job.partial[t],
    )  # fmt: skip


@Kernel
def backward(at: Any, i: int, t: int, threads: int) -> None:
    """Part of layer i's update and of the descent from layer i - 1: a layer's weights are updated
    when its dz has gone down."""
    job = at[0]
    net, whole = job.net, (job.batch, job.product, job.tiles)
    if _diverged(job.partial, t, threads, job.totals):
        return
    if i < len(net):
        _layer_update(
            i, t, threads, job.x, whole, net, job.values, job.m, job.v, job.hyper,
            job.n_weights, job.update, job.y[0], job.dz[0], job.gradients[0], job.blocks[t],
            job.room[t],
        )  # fmt: skip
    if i > 1:
        block = share(job.batch, net[i - 1, N_IN], t, threads, job.x)
        _layer_backward(i - 1, net, job.values, job.y[0], job.dz[0], block, job.room[t], whole)


@Kernel
def norm(at: Any, _: int, t: int, threads: int) -> None:
    """Some squares of the gradient, summed."""
    job = at[0]
    size = job.values.size
    first, last = size * t // threads, size * (t + 1) // threads
    job.partial[t, 2] = _summed_squares(job.gradients, threads, first, last)


@Kernel
def update(at: Any, _: int, t: int, threads: int) -> None:
    """Some parameters, from the threads' gradients."""
    job = at[0]
    if _diverged(job.partial, t, threads, job.totals):
        return
    values, gradients, size = job.values, job.gradients, job.values.size
    for start in range(size * t // threads, size * (t + 1) // threads, BLOCK):
        end = min(start + BLOCK, size * (t + 1) // threads)
        _sum_gradients(gradients, threads, start, end)
        update_part(
            job.update, values, gradients[0], start, job.m, job.v, job.hyper, job.n_weights, start,
            end,
        )  # fmt: skip


@Kernel
def update_clipped(at: Any, _: int, t: int, threads: int) -> None:
    """Some parameters, from the one gradient that ``norm`` has left."""
    job = at[0]
    if _diverged(job.partial, t, threads, job.totals):
        return
    values, gradient, size = job.values, job.gradients[0], job.values.size
    shrink = _shrink(job.partial, threads, job.max_norm)
    for start in range(size * t // threads, size * (t + 1) // threads, BLOCK):
        end = min(start + BLOCK, size * (t + 1) // threads)
        scale(gradient[start:end], shrink)
        update_part(
            job.update, values, gradient, start, job.m, job.v, job.hyper, job.n_weights, start, end
        )


@Kernel
def no_update(at: Any, _: int, t: int, threads: int) -> None:
    """Nothing but the totals: the gradient that ``norm`` has left is what is wanted."""
    _diverged(at[0].partial, t, threads, at[0].totals)


@inline
def _below(i: int, x: Array, top: int, net: Array, y: Array) -> tuple[Array, int]:
    """(array, place) of layer i's input: the samples from ``top`` on, or the layer below's y."""
    return (x, top * net[0, N_IN]) if i == 0 else (y, net[i - 1, Y])


@inline
def _layer_forward(
    i: int, x: Array, first: int, net: Array, values: Array, y: Array,
    block: tuple[int, int, int, int], room: Array, whole: Whole,
) -> None:  # fmt: skip
    """Rows and columns of layer i's y."""
    n_in, n_out, act, _, w, b, z_at, y_at = net[i, :ROWS]
    batch, plain, tiles = whole
    top, bottom, left, right = block
    below, below_at = _below(i, x, first, net, y)
    forward_part(
        below, below_at, values[w:], net[i, ROW], net[i, COLUMN], values[b : b + n_out], act,
        y, z_at, y, y_at, n_in, n_out, top, bottom, left, right, room,
        _product_for(plain, tiles, batch, n_out, n_in),
    )  # fmt: skip


@inline
def _layer_backward(
    i: int, net: Array, values: Array, y: Array, dz: Array, block: tuple[int, int, int, int],
    room: Array, whole: Whole,
) -> None:  # fmt: skip
    """Rows and columns of the dz of the layer below, from layer i's."""
    n_in, n_out, _, _, w, _, z_at, _ = net[i, :ROWS]
    slope, z_below, (batch, plain, tiles) = net[i - 1, SLOPE], net[i - 1, Z], whole
    top, bottom, left, right = block
    backward_input_part(
        dz, z_at, values[w:], net[i, ROW], net[i, COLUMN], slope, y, z_below, dz, z_below,
        n_in, n_out,
        top, bottom, left, right, room, _product_for(plain, tiles, batch, n_in, n_out),
    )  # fmt: skip


@inline
def _layer_weights(
    i: int, x: Array, top: int, n: int, net: Array, y: Array, dz: Array, dw: Array, dw_at: int,
    first: int, end: int, add: bool, room: Array, whole: Whole,
) -> None:  # fmt: skip
    """Rows first .. end - 1 of layer i's dw, by n samples, to where row 0 would be at ``dw_at``.

    dw = x.T @ dz, turned dz.T @ x. To what the layer above has left, this one's is added.
    """
    a, a_at = _below(i, x, top, net, y)
    b, b_at, rows, columns = dz, net[i, Z], net[i, ROWS], net[i, COLUMNS]
    batch, plain, tiles = whole
    if net[i, TURNED]:
        a, a_at, b, b_at = b, b_at, a, a_at
    weights_part(
        a, a_at, b, b_at, dw, dw_at, columns, n, rows, columns, first, end, 0, columns,
        add or net[i, SHARED] != 0, room, _product_for(plain, tiles, rows, columns, batch),
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
    width, slope, z_at, y_at = net[end, N_OUT], net[end, SLOPE], net[end, Z], net[end, Y]
    rows = slice(first * width, last * width)
    output, gradient = y[y_at:][rows], dz[z_at:][rows]
    loss_part(loss, output, target[top * width :][rows], batch, gradient, work, totals)
    if slope != 0:
        activations.backward(slope, gradient, y[z_at:][rows], gradient)


@inline
def _layer_update(
    i: int, t: int, threads: int, x: Array, whole: Whole, net: Array, values: Array, m: Array,
    v: Array, hyper: Array, n_weights: int, update: int, y: Array, dz: Array, gradient: Array,
    block: Array, room: Array,
) -> None:  # fmt: skip
    """The thread's rows of dw and columns of db, and the update of these parameters; none where the
    gradient is kept as a whole."""
    w, b, rows, columns = net[i, WEIGHT], net[i, BIAS], net[i, ROWS], net[i, COLUMNS]
    kept = gradient.size > 0
    part, last = block.size // columns, rows * (t + 1) // threads
    for first in range(rows * t // threads, last, part):
        end = min(first + part, last)
        dw, dw_at = (gradient, w) if kept else (block, -first * columns)
        _layer_weights(i, x, 0, whole[0], net, y, dz, dw, dw_at, first, end, False, room, whole)
        if not kept:
            update_part(
                update, values, block, 0, m, v, hyper, n_weights, w + first * columns,
                w + end * columns,
            )  # fmt: skip
    n_out = net[i, N_OUT]
    first, end = n_out * t // threads, n_out * (t + 1) // threads
    db = gradient[b + first : b + end] if kept else block[: end - first]
    bias_part(dz, net[i, Z], db, whole[0], n_out, first, False)
    if not kept:
        update_part(update, values, db, 0, m, v, hyper, n_weights, b + first, b + end)


@inline
def _diverged(partial: Array, t: int, threads: int, totals: Array) -> bool:
    """Whether the loss is not finite. The first thread notes the totals, summed in the order of the
    threads, so that two runs have the same bits."""
    losses = squared = 0.0
    for other in range(threads):
        losses += partial[other, 0]
        squared += partial[other, 1]
    if t == 0:
        totals[0], totals[1] = losses, squared
    return not math.isfinite(losses)


@inline
def _sum_gradients(gradients: Array, threads: int, first: int, last: int) -> None:
    total = gradients[0, first:last]
    for t in range(1, min(threads, len(gradients))):
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
        total += squares[t, 2]
    norm = math.sqrt(total)
    return max_norm / norm if max_norm < norm < math.inf else 1.0
