"""Finite differences of the loss with respect to anything that a step computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..gradient_check import STEP, LossFunction, stencil
from ..kernels.backend import Array, Backend
from ..kernels.reference.random import random_normal
from ..net import streams
from ..net.layers import Record
from .record import TOLERANCE, Floats, Quantity

Value = Callable[[], tuple[float, bytes]]

WHOLE = 256  # up to so many elements each has its finite difference; else twice SOME of them
SOME = 16
# A loss is known to about 16 roundings, and the stencil divides that by its step.
RESOLUTION = 16 * float(np.finfo(np.float64).eps) / STEP


class Differences:
    """Of ``loss``, whose value at the parameters as they are is ``value``."""

    def __init__(self, loss: LossFunction, value: float) -> None:
        self.loss = loss
        self._resolution = RESOLUTION * abs(value) / TOLERANCE

    def layers_from(self, i: int, x: Floats) -> Value:
        """The loss with x as the input of layer i, whatever x holds when it is called."""
        return lambda: self.loss.value(x, self.loss.records[i - 1 :])

    def given(self, i: int, given: Floats, activation: str) -> Value:
        """The loss with act(given) as the output of layer i."""
        record = replace(self.loss.records[i - 1], layer=_Given(), activation=activation)
        return lambda: self.loss.value(given, [record, *self.loss.records[i:]])

    def checked(
        self, name: str, about: str, gradient: Floats, formula: str, moved: Floats,
        value: Value,
    ) -> Quantity:  # fmt: skip
        """``gradient`` beside the finite differences of ``value`` where elements of ``moved``
        change."""
        steepest = float(np.abs(gradient).max(initial=0))
        scale = max(steepest, self._resolution) or 1.0
        start = moved.copy()

        def along(direction: Floats) -> float:
            def at(step: float) -> tuple[float, bytes]:
                moved[...] = start + step * direction
                return value()

            try:
                return stencil(at)
            finally:
                moved[...] = start

        expected, direction = np.full(gradient.shape, np.nan), np.zeros(gradient.shape)
        for place in _some(gradient):
            direction.flat[place] = 1
            expected.flat[place] = along(direction)
            direction.flat[place] = 0
        off = 0.0
        if gradient.size > WHOLE:
            random_normal(streams.state(0, streams.CHECK), 0, 1, direction)
            direction /= np.linalg.norm(direction)
            gap = abs(along(direction) - float(np.vdot(gradient, direction)))
            off = 0.0 if math.isnan(gap) else gap / max(float(np.linalg.norm(gradient)), scale)
        return Quantity(name, about, gradient, formula, expected, scale, off)


class _Given:
    """A layer whose output is the activation of what it is given."""

    name, training_only = "given", False
    parameters: dict[str, Array] = {}  # noqa: RUF012

    def record(self, ops: Backend, capacity: int, training: bool, below: Record | None) -> Record:
        raise NotImplementedError

    def forward(self, ops: Backend, x: Array, record: Record) -> Array:
        ops.activation_forward(x, record.activation, record.y)
        return record.y

    def backward(self, ops: Backend, x: Array, dz: Array, below: Record | None) -> None:
        raise NotImplementedError


def _some(gradient: Floats) -> list[int]:
    """Places of all elements, or of the steepest and of some that lie evenly apart."""
    size = gradient.size
    if size <= WHOLE:
        return list(range(size))
    steepest = np.argsort(np.abs(gradient), axis=None)[-SOME:]
    return sorted({*steepest.tolist(), *np.linspace(0, size - 1, SOME, dtype=int).tolist()})
