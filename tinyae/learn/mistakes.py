"""Six usual mistakes, each put into one operation of a backend at one layer.

The trace of a step that was made with it shows where the first wrong number stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..kernels.backend import Array, Backend
from ..kernels.conventions import ACTIVATION_FACTS
from ..net.layers import Dense, Record


class Mistake(NamedTuple):
    about: str
    needs: str  # where it changes no number, this is why
    # (operations, the layer's record, its z) -> the operations with the mistake
    plant: Callable[[Backend, Record, Array], Backend]


def _dense(record: Record) -> Dense:
    assert isinstance(record.layer, Dense)
    return record.layer


def _transpose(ops: Backend, here: Record, z: Array) -> Backend:
    w_here = _dense(here).w

    def wrong(dz: Array, w: Array, activation: str, saved: Array, dx: Array) -> None:
        if w is w_here:
            w = np.ascontiguousarray(w.reshape(w.shape[::-1]).T)
        ops.dense_backward_input(dz, w, activation, saved, dx)

    return replace(ops, dense_backward_input=wrong)


def _mean(ops: Backend, here: Record, z: Array) -> Backend:
    def wrong(name: str, output: Array, target: Array, gradient: Array, totals: Array) -> None:
        ops.loss(name, output, target, gradient, totals)
        gradient *= len(output)

    return replace(ops, loss=wrong)


def _derivative(ops: Backend, here: Record, z: Array) -> Backend:
    other = here.y if ACTIVATION_FACTS[here.activation].needs_input else z

    def wrong_input(dz: Array, w: Array, activation: str, saved: Array, dx: Array) -> None:
        ops.dense_backward_input(dz, w, activation, other if saved is here.saved else saved, dx)

    def wrong(dy: Array, activation: str, saved: Array, dx: Array) -> None:
        ops.activation_backward(dy, activation, other if saved is here.saved else saved, dx)

    return replace(ops, dense_backward_input=wrong_input, activation_backward=wrong)


def _sign(ops: Backend, here: Record, z: Array) -> Backend:
    dw_here = _dense(here).dw

    def wrong(x: Array, dz: Array, dw: Array, db: Array, add: bool = False) -> None:
        ops.dense_backward_weights(x, dz, dw, db, add)
        if dw is dw_here:
            np.negative(dw, out=dw)

    return replace(ops, dense_backward_weights=wrong)


def _bias_axis(ops: Backend, here: Record, z: Array) -> Backend:
    db_here = _dense(here).db

    def wrong(x: Array, dz: Array, dw: Array, db: Array, add: bool = False) -> None:
        ops.dense_backward_weights(x, dz, dw, db, add)
        if db is db_here:
            db[...] = dz.reshape(db.size, -1).sum(axis=1)

    return replace(ops, dense_backward_weights=wrong)


def _bias_correction(ops: Backend, here: Record, z: Array) -> Backend:
    def wrong(
        name: str, w: Array, grad: Array, moments: tuple[Array, ...], hyper: Array, n_decayed: int,
        guard: Array,
    ) -> None:  # fmt: skip
        uncorrected = np.append(hyper[:-2], [1.0, 1.0])
        ops.update(name, w, grad, moments, uncorrected, n_decayed, guard)

    return replace(ops, update=wrong)


MISTAKES = {
    "transpose": Mistake(
        "dx = dz @ w with w's numbers in the other shape, where dx = dz @ w.T is right",
        "the layer must not be the first, below which nothing is trained, and have at least two "
        "inputs and two outputs", _transpose,
    ),
    "mean": Mistake(
        "the gradient of the sum of all samples' losses, without the factor 1/n of their mean",
        "there must be at least two samples", _mean,
    ),
    "derivative": Mistake(
        "act'(z) from the wrong array: from z where the formula takes y, or the other way round",
        "the layer must have a curved activation: try activation='tanh' (--activation tanh); relu "
        "and leaky_relu have the same derivative from both, and identity has 1", _derivative,
    ),
    "sign": Mistake("dw = -(x.T @ dz)", "the layer must get a gradient", _sign),
    "bias-axis": Mistake(
        "db = the sum of dz over units, where over samples is right",
        "there must be at least two samples and the layer have at least two units", _bias_axis,
    ),
    "bias-correction": Mistake(
        "m and v used as they are, without dividing by 1 - beta^t",
        "the optimiser must be adam or adamw", _bias_correction,
    ),
}  # fmt: skip
