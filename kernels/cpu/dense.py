"""The dense layer (see ``reference.dense``): one product forward, two backward.

Each product is cut among the threads, and each thread finishes its part: bias, activation and
derivative are applied while it is in the cache. ``..._part`` does one thread's share, rows top ..
bottom - 1 of columns left .. right - 1, by one of ``matmul.product_for``.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import activation as activations
from .pieces import Kernel, linked
from .product.matmul import launch_product, product, share

Array = NDArray[Any]


class DenseKernels:
    """The three operations; ``tiles`` is the product that the large ones of float32 are made by,
    see ``matmul.product_for``."""

    def __init__(self, tiles: int = 0) -> None:
        self.tiles = tiles
        self.matmul = "6xbf16" if tiles else "fp32"

    def dense_forward(
        self, x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
    ) -> None:
        """y = act(x @ w + b); where ``pre`` is given it receives x @ w + b."""
        (batch, n_in), n_out = x.shape, w.shape[1]
        z, at = (y, activations.in_place_at) if pre is None else (pre, activations.forward_at)
        act = at(activation, x.dtype)
        link_forward(x.dtype)
        launch_product(_forward, (x, w, b, z, y), act, (batch, n_in, n_out), 1, self.tiles)

    def dense_backward_input(
        self, dz: Array, w: Array, activation: str, saved: Array, dx: Array
    ) -> None:
        """dx = (dz @ w.T) * act'(saved): ``activation`` and ``saved`` are the layer below's."""
        (batch, n_out), n_in = dz.shape, w.shape[0]
        act, sizes = activations.slope_at(activation, dz.dtype), (batch, n_in, n_out)
        link_backward_input(dz.dtype)
        launch_product(_backward_input, (dz, w, saved, dx), act, sizes, 2, self.tiles)

    def dense_backward_weights(
        self, x: Array, dz: Array, dw: Array, db: Array, add: bool = False
    ) -> None:
        """dw = x.T @ dz and db = dz summed over the batch; with ``add``, dw += and db +=."""
        (batch, n_in), n_out = x.shape, dz.shape[1]
        link_backward_weights(x.dtype)
        sizes = batch, n_in, n_out
        launch_product(_backward_weights, (x, dz, dw, db), add, sizes, 0, self.tiles)


@Kernel
def _forward(at: Any, _: int, t: int, threads: int) -> None:
    x, w, b, z, y, act, batch, n_in, n_out, room, by = at[0]
    top, bottom, left, right = share(batch, n_out, t, threads, x)
    forward_part(
        x, 0, w, n_out, 1, b, act, z, 0, y, 0, n_in, n_out, top, bottom, left, right, room[t],
        by,
    )  # fmt: skip


@Kernel
def _backward_input(at: Any, _: int, t: int, threads: int) -> None:
    dz, w, saved, dx, act, batch, n_in, n_out, room, by = at[0]
    top, bottom, left, right = share(batch, n_in, t, threads, dz)
    backward_input_part(
        dz, 0, w, n_out, 1, act, saved, 0, dx, 0, n_in, n_out, top, bottom, left, right, room[t],
        by,
    )  # fmt: skip


@Kernel
def _backward_weights(at: Any, _: int, t: int, threads: int) -> None:
    x, dz, dw, db, add, batch, n_in, n_out, room, by = at[0]
    top, bottom, left, right = share(n_in, n_out, t, threads, x)
    weights_part(
        x, 0, dz, 0, dw, 0, n_out, batch, n_in, n_out, top, bottom, left, right, add != 0,
        room[t], by,
    )  # fmt: skip
    first, last = n_out * t // threads, n_out * (t + 1) // threads
    bias_part(dz, 0, db[first:last], batch, n_out, first, add != 0)


def _forward_part(
    x: Array, x_start: int, w: Array, w_row: int, w_column: int, b: Array, act: int, z: Array,
    z_start: int, y: Array, y_start: int, n_in: int, n_out: int, top: int,
    bottom: int, left: int, right: int, room: Array, by: int,
) -> None:  # fmt: skip
    """z = x @ w + b, y = act(z); z may be y, and is it where act is 0: the identity. w's rows and
    columns lie w_row and w_column apart."""
    product(
        by, x, x_start + top * n_in, n_in, 1, w, left * w_column, w_row, w_column,
        z, z_start + top * n_out + left, n_out, bottom - top, right - left, n_in, False, room,
    )  # fmt: skip
    bias = b[left:right]
    for i in range(top, bottom):
        row = z[z_start + i * n_out + left : z_start + i * n_out + right]
        for j in range(bias.size):
            row[j] += bias[j]
        if act != 0:
            start = y_start + i * n_out
            activations.forward(act, row, y[start + left : start + right])


def _backward_input_part(
    dz: Array, dz_start: int, w: Array, w_row: int, w_column: int, act: int, saved: Array,
    saved_start: int, dx: Array, dx_start: int, n_in: int, n_out: int, top: int,
    bottom: int, left: int, right: int, room: Array, by: int,
) -> None:  # fmt: skip
    """dx = (dz @ w.T) * act'(saved); w as in ``_forward_part``."""
    product(
        by, dz, dz_start + top * n_out, n_out, 1, w, left * w_row, w_column, w_row,
        dx, dx_start + top * n_in + left, n_in, bottom - top, right - left, n_out, False, room,
    )  # fmt: skip
    if act == 0:  # the derivative is 1
        return
    for i in range(top, bottom):
        row = dx[dx_start + i * n_in + left : dx_start + i * n_in + right]
        activations.backward(
            act, row, saved[saved_start + i * n_in + left : saved_start + i * n_in + right], row
        )


def _weights_part(
    x: Array, x_start: int, dz: Array, dz_start: int, dw: Array, dw_start: int, dw_row: int,
    batch: int, n_in: int, n_out: int, top: int,
    bottom: int, left: int, right: int, add: bool, room: Array,
    by: int,
) -> None:  # fmt: skip
    """dw = x.T @ dz (or added); dw's rows lie dw_row apart."""
    product(
        by, x, x_start + top, 1, n_in, dz, dz_start + left, n_out, 1,
        dw, dw_start + top * dw_row + left, dw_row, bottom - top, right - left, batch, add, room,
    )  # fmt: skip


def _bias_part(
    dz: Array, dz_start: int, db: Array, batch: int, n_out: int, first: int, add: bool
) -> None:
    """db = sum of dz over the batch (or added), for the db.size columns from ``first`` on."""
    if not add:
        for j in range(db.size):
            db[j] = 0
    for i in range(batch):
        start = dz_start + i * n_out + first
        row = dz[start : start + db.size]
        for j in range(db.size):
            db[j] += row[j]


forward_part, _link_forward = linked(_forward_part)
backward_input_part, _link_backward_input = linked(_backward_input_part)
weights_part, _link_weights = linked(_weights_part)
bias_part, _link_bias = linked(_bias_part)


# Each is to be called before a kernel is that calls the part.


@functools.cache
def link_forward(dtype: Any) -> None:
    a = np.empty(0, dtype)
    _link_forward(a, 0, a, 0, 0, a, 0, a, 0, a, 0, 0, 0, 0, 0, 0, 0, a, 0)


@functools.cache
def link_backward_input(dtype: Any) -> None:
    a = np.empty(0, dtype)
    _link_backward_input(a, 0, a, 0, 0, 0, a, 0, a, 0, 0, 0, 0, 0, 0, 0, a, 0)


@functools.cache
def link_backward_weights(dtype: Any) -> None:
    a = np.empty(0, dtype)
    _link_weights(a, 0, a, 0, a, 0, 0, 0, 0, 0, 0, 0, 0, 0, False, a, 0)
    _link_bias(a, 0, a, 0, 0, 0, False)
