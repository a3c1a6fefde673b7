"""Few labels, many samples: what augmentation in pixels and in codes does for a classifier.

The autoencoder has seen the samples without their labels. A few of them keep the label; new ones
are made from these alone, in pixel space or in code space, and classifiers learn from both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.datasets import Labels
from ..data.rows import Rows
from ..estimator import Autoencoder
from ..kernels.reference.random import random_permutation
from ..net import streams
from .augment import NewSamples, add_noise, interpolate, shift_images
from .classifiers import fit_softmax, knn_predict

Array = NDArray[Any]

CLASSIFIERS = ("pixels k-NN", "pixels softmax", "codes k-NN", "codes softmax")


@dataclass(frozen=True)
class Samples:
    """The same samples as pixels (n, features) and as codes (n, k), and their labels (n,)."""

    x: Array | Rows
    z: Array
    labels: Labels

    def joined(self, more: Samples) -> Samples:
        pairs = ((self.x, more.x), (self.z, more.z), (self.labels, more.labels))
        return Samples(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Augmentation:
    """How many new samples of each class, and how strongly they differ."""

    per_class: int = 100
    neighbours: int = 5  # interpolation, as in ``augment.interpolate``
    noise: float = 0.5  # as in ``augment.add_noise``
    pixels: int = 1  # as in ``augment.shift_images``


def labelled(labels: Labels, per_class: int, seed: int) -> NDArray[np.int64]:
    """Positions of per_class samples of every class, at random, class after class.

    Raises ValueError where a class has fewer.
    """
    chosen = []
    for step, kind in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == kind)
        if len(members) < per_class:
            raise ValueError(
                f"class {kind} has {len(members)} training samples, fewer than the {per_class} "
                "that are to keep their label"
            )
        order = np.empty(per_class, np.int64)
        random_permutation(streams.state(seed, streams.FEW_LABELS, step), len(members), 0, order)
        chosen.append(members[order])
    return np.concatenate(chosen)


def augmented(
    ae: Autoencoder, known: Samples, how: Augmentation, image_shape: Any, seed: int
) -> tuple[dict[str, Samples], NDArray[np.int64]]:
    """New samples from the known ones by each way there is, by its name, and their bases (m,).

    Those made in pixel space are encoded, those made in code space decoded. All ways begin with
    the same known samples, the bases. Without an image_shape there is nothing to shift.
    """
    x, z = np.asarray(known.x), known.z
    y, n = known.labels, how.per_class

    def in_pixels(new: NewSamples) -> Samples:
        points = new.points.clip(x.min(), x.max())
        return Samples(points, ae.encode(points), new.labels)

    def in_codes(new: NewSamples) -> Samples:
        return Samples(ae.decode(new.points), new.points, new.labels)

    between = interpolate(x, y, n, seed, how.neighbours)
    made = {"pixel interpolation": in_pixels(between)}
    made["pixel noise"] = in_pixels(add_noise(x, y, n, seed, how.noise))
    if image_shape is not None:
        made["pixel shift"] = in_pixels(shift_images(x, y, n, image_shape, seed, how.pixels))
    made["code interpolation"] = in_codes(interpolate(z, y, n, seed, how.neighbours))
    made["code noise"] = in_codes(add_noise(z, y, n, seed, how.noise))
    return made, between.base


def accuracies(train: Samples, test: Samples, neighbours: int = 5) -> dict[str, float]:
    """The share of test samples that each of CLASSIFIERS gets right."""
    spaces = {"pixels": (train.x, test.x), "codes": (train.z, test.z)}
    classifiers: dict[str, Callable[..., Array]] = {
        "k-NN": lambda x, queries: knn_predict(x, train.labels, queries, neighbours),
        "softmax": lambda x, queries: fit_softmax(x, train.labels).predict(queries),
    }
    return {
        f"{space} {name}": float(np.mean(classify(*points) == test.labels))
        for space, points in spaces.items()
        for name, classify in classifiers.items()
    }
