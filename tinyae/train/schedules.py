"""The learning rate over the course of training, as a factor of ``learning_rate``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping


def constant(t: float) -> float:
    """1"""
    return 1.0


def step(t: float, every: float = 1 / 3, factor: float = 0.1) -> float:
    """Times ``factor`` after each fraction ``every`` of training."""
    return float(factor ** math.floor(t / every))


def cosine(t: float, end: float = 0.0) -> float:
    """Half a cosine wave from 1 down to ``end`` (Loshchilov and Hutter 2017)."""
    return end + (1 - end) * (1 + math.cos(math.pi * t)) / 2


def one_cycle(t: float, rise: float = 0.3, start: float = 0.04, end: float = 1e-4) -> float:
    """From ``start`` up to 1 during the fraction ``rise``, then down to ``end`` (Smith 2018)."""
    if t < rise:
        return start + (1 - start) * (1 - math.cos(math.pi * t / rise)) / 2
    return cosine((t - rise) / max(1 - rise, 1e-12), end)


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
    "one-cycle": one_cycle,
}


def learning_rate_factor(
    schedule: str, update: int, updates: int, warmup: float, options: Mapping[str, float]
) -> float:
    """The factor of update 0 .. updates - 1.

    The first fraction ``warmup`` of the updates climbs linearly to where the schedule begins;
    the schedule then runs over the rest (warm-up: Goyal et al. 2017).
    """
    climbing = math.ceil(warmup * updates)
    if update < climbing:
        return (update + 1) / (climbing + 1) * SCHEDULES[schedule](0.0, **options)
    return SCHEDULES[schedule]((update - climbing) / (updates - climbing), **options)
