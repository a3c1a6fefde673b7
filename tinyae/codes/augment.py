"""New labelled samples from few: between neighbours of a class, with noise, or moved a little.

``interpolate`` and ``add_noise`` take points of any space: pixels, or codes whose decoding gives
the new samples. Every class gets the same number of new ones, its samples serve as base equally
often (or once more), and the seed decides everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import integer, number
from ..data.rows import Rows
from ..kernels.reference.random import random_normal, random_permutation, random_uniform
from ..net import streams
from .classifiers import labelled_points, nearest

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NewSamples:
    """points float64 (m, features), class after class; labels (m,); base int64 (m,): the position
    of the sample that each was made of."""

    points: Floats
    labels: NDArray[Any]
    base: Integers


def interpolate(
    points: ArrayLike | Rows, labels: ArrayLike, per_class: int, seed: int = 0, neighbours: int = 5
) -> NewSamples:
    """Somewhere on the way from a sample to one of its nearest neighbours of the same class.

    points (n, features), labels (n,). base + u (neighbour - base), u uniform in [0, 1), the
    neighbour any of the ``neighbours`` nearest, or of all others where a class has fewer:
    Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE", JAIR 16, 2002; in code space DeVries and
    Taylor, "Dataset augmentation in feature space", 2017.

    Raises ValueError or TypeError for shapes that do not fit, values that are not finite, numbers
    out of range and a class of a single sample.
    """
    integer("neighbours", neighbours, 1)
    x = _checked(points, labels, per_class, seed)
    bases, new = [], []
    for step, members in _classes(labels):
        own = x[members]
        base = _bases(len(own), per_class, seed, step)
        mates = _neighbours(own, base, min(neighbours, len(own) - 1))
        draws = np.empty((per_class, 2))
        random_uniform(streams.state(seed, streams.AUGMENT, step), 0.0, 1.0, draws)
        which, u = (draws[:, 0] * mates.shape[1]).astype(np.int64), draws[:, 1:]
        mate = mates[np.arange(per_class), which]
        new.append(own[base] + u * (own[mate] - own[base]))
        bases.append(members[base])
    return _joined(new, labels, bases)


def add_noise(
    points: ArrayLike | Rows, labels: ArrayLike, per_class: int, seed: int = 0, scale: float = 0.5
) -> NewSamples:
    """base + scale std g: g standard normal, std each feature's standard deviation in the class.

    points (n, features), labels (n,). DeVries and Taylor 2017, there with the deviation over all
    classes. Raises what ``interpolate`` raises.
    """
    number("scale", scale, above=0)
    x = _checked(points, labels, per_class, seed)
    bases, new = [], []
    for step, members in _classes(labels):
        own = x[members]
        base = _bases(len(own), per_class, seed, step)
        noise = np.empty((per_class, x.shape[1]))
        random_normal(streams.state(seed, streams.AUGMENT, step), 0.0, scale, noise)
        noise *= own.std(axis=0)
        new.append(own[base] + noise)
        bases.append(members[base])
    return _joined(new, labels, bases)


def shift_images(
    images: ArrayLike | Rows,
    labels: ArrayLike,
    per_class: int,
    image_shape: tuple[int, ...],
    seed: int = 0,
    pixels: int = 2,
) -> NewSamples:
    """Pictures moved by up to ``pixels`` in each direction, but never by nothing.

    images (n, features) of image_shape (height, width) or (height, width, channels), labels (n,).
    What comes in repeats the edge. Raises what ``interpolate`` raises, and ValueError for an
    image_shape that does not fit.
    """
    integer("pixels", pixels, 1)
    x = _checked(images, labels, per_class, seed)
    h, w, *channels = image_shape if len(image_shape) >= 2 else (0, 0)
    if h < 1 or len(channels) > 1 or np.prod(image_shape) != x.shape[1]:
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, channels) for {x.shape[1]} "
            f"features, got {image_shape}"
        )
    border = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    span = 2 * pixels + 1
    bases, new = [], []
    for step, members in _classes(labels):
        base = _bases(len(members), per_class, seed, step)
        draws = np.empty(per_class)
        random_uniform(streams.state(seed, streams.AUGMENT, step), 0.0, span**2 - 1.0, draws)
        place = draws.astype(np.int64)  # of all but the middle one
        dy, dx = np.divmod(place + (place >= span**2 // 2), span)
        wide = np.pad(x[members[base]].reshape(per_class, h, w, -1), border, mode="edge")
        rows, columns = dy[:, None] + np.arange(h), dx[:, None] + np.arange(w)
        moved = wide[np.arange(per_class)[:, None, None], rows[:, :, None], columns[:, None, :]]
        new.append(moved.reshape(per_class, -1))
        bases.append(members[base])
    return _joined(new, labels, bases)


def _classes(labels: ArrayLike) -> Iterator[tuple[int, Integers]]:
    """(number, positions of its samples) of every class."""
    values = np.asarray(labels)
    for step, kind in enumerate(np.unique(values)):
        yield step, np.flatnonzero(values == kind)


def _bases(n: int, per_class: int, seed: int, step: int) -> Integers:
    """per_class of 0 .. n - 1, in random order, again and again."""
    order = np.empty(n, np.int64)
    random_permutation(streams.state(seed, streams.AUGMENT_BASE, step), n, 0, order)
    return order[np.arange(per_class) % n]


def _neighbours(own: Floats, base: Integers, k: int) -> Integers:
    """The k nearest others of each base, nearest first: (len(base), k)."""
    mates = np.empty((len(base), k), np.int64)
    for where, found in nearest(own, Rows(own[base]), k + 1):
        itself = found == base[where, None]
        itself[~itself.any(axis=1), k] = True  # more than k are equal to it
        mates[where] = found[~itself].reshape(-1, k)
    return mates


def _joined(new: list[Floats], labels: ArrayLike, bases: list[Integers]) -> NewSamples:
    base = np.concatenate(bases)
    return NewSamples(np.concatenate(new), np.asarray(labels)[base], base)


def _checked(points: ArrayLike | Rows, labels: ArrayLike, per_class: int, seed: int) -> Floats:
    """The points in float64."""
    integer("per_class", per_class, 1)
    integer("seed", seed, 0)
    x, kinds, which = labelled_points("points", points, labels)
    counts = np.bincount(which)
    if counts.min() < 2:
        raise ValueError(
            f"class {kinds[counts.argmin()]} has a single sample: new ones are made from at least 2"
        )
    return x
