"""The dense layer: one product forward, two backward, each with its neighbours fused.

    z  = x @ w + b          dw = x.T @ dz
    y  = act(z)             db = sum of dz over the batch
                            dx = dz @ w.T, and times act'(layer below) it is that layer's dz

Shapes: x (batch, n_in), w (n_in, n_out), b (n_out,), y and dz (batch, n_out).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scratch import borrow
from .activation import activation_backward, activation_forward

Array = NDArray[Any]


def dense_forward(
    x: Array, w: Array, b: Array, activation: str, y: Array, pre: Array | None
) -> None:
    """y = act(x @ w + b); where ``pre`` is given it receives x @ w + b."""
    z = y if pre is None else pre
    x.dot(w, z)  # as np.matmul has it, in less time where there are few samples
    z += b
    activation_forward(z, activation, y)


def dense_backward_input(dz: Array, w: Array, activation: str, saved: Array, dx: Array) -> None:
    """dx = (dz @ w.T) * act'(saved): ``activation`` and ``saved`` are the layer below's."""
    np.matmul(dz, w.T, out=dx)
    activation_backward(dx, activation, saved, dx)


def dense_backward_weights(x: Array, dz: Array, dw: Array, db: Array, add: bool = False) -> None:
    """dw = x.T @ dz and db = dz summed over the batch; with ``add``, dw += and db +=."""
    if add:
        more_w, more_b = borrow(dw.shape, dw.dtype), borrow(db.shape, db.dtype, slot=1)
        dense_backward_weights(x, dz, more_w, more_b)
        dw += more_w
        db += more_b
        return
    np.matmul(x.T, dz, out=dw)
    dz.sum(axis=0, out=db)
