"""What a trace holds: arrays by name, each beside what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Quantity:
    """An array of the step; ``expected`` is what it should be, NaN where that was not computed.

    ``expected`` comes from finite differences or, of the update, from its formula; None where
    there is nothing to compare with. ``along`` is the error along a random direction, where not
    every element was checked.
    """

    name: str
    about: str
    array: Floats
    formula: str = ""
    expected: Floats | None = None
    scale: float = 1.0
    along: float = 0.0

    @property
    def errors(self) -> Floats:
        """|array - expected| relative to the largest of the array, NaN where nothing is expected"""
        if self.expected is None:
            return np.full(self.array.shape, np.nan)
        lost = ~np.isfinite(self.array) & ~np.isnan(self.expected)
        return np.where(lost, np.inf, np.abs(self.array - self.expected) / self.scale)

    @property
    def error(self) -> float:
        """The largest, 0 where there is none."""
        return max(self.along, float(np.nanmax(self.errors, initial=0)))

    @property
    def wrong(self) -> bool:
        return not self.error <= TOLERANCE


@dataclass(frozen=True)
class Part:
    """What is shown together: a layer on its way forward, or back, or its update."""

    title: str
    quantities: list[Quantity]


@dataclass(frozen=True)
class StepRecord:
    """The numbers of one step by name: ``trace["dw2"]``. All are float64.

    Layers count from 1. Of layer i: ``xi`` (n, n_in), ``wi`` (n_in, n_out), ``bi`` (n_out,), ``zi``
    and ``yi`` (n, n_out), and the gradients ``dyi``, ``dzi``, ``dwi``, ``dbi``, ``dxi`` of the loss
    with respect to them; ``slopei`` is dy/dz. ``t`` is the target and ``loss`` what is minimised.
    Of the update of wi: ``wi.g``, its moments, ``wi.step`` and ``wi.new``; the same of bi.
    """

    title: str
    activations: tuple[str, ...]
    loss_name: str
    optimizer: str
    hyper: dict[str, float]  # the numbers of the update, and its number t
    parts: list[Part]
    mistake: str = ""
    arrays: dict[str, Floats] = field(default_factory=dict)  # all, also those that no part shows

    def __getitem__(self, name: str) -> Floats:
        return self.arrays[name]

    @property
    def quantities(self) -> list[Quantity]:
        """In the order in which the step computes them."""
        return [q for part in self.parts for q in part.quantities]

    @property
    def max_error(self) -> float:
        return max(q.error for q in self.quantities)

    @property
    def first_wrong(self) -> Quantity | None:
        return next((q for q in self.quantities if q.wrong), None)
