"""The frame between two frames: how well is a picture the ball half-way between two balls?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.ball import SIDE, ball_centres, ball_images

Array = NDArray[np.float64]

APART = 8.0  # pixels: the least distance of two centres; the balls (of radius 3.5) do not touch
PAIRS_STREAM = 101  # of the ball's centres: other balls than any data set's


@dataclass(frozen=True)
class Measures:
    """Of many midpoints: shares in [0, 1] and a ratio."""

    within_1px: float  # share whose centroid lies within 1 pixel of the true centre
    error_ratio: float  # median of squared error over that of the pixel blend
    area_ok: float  # share with one connected ball of the right area, 25 % more or less


@dataclass(frozen=True)
class Frames:
    """Frames 1 and 3, and the true one between them: each (n, SIDE^2) float32."""

    first: NDArray[np.float32]
    true: NDArray[np.float32]
    last: NDArray[np.float32]
    centres: Array  # of ``true``: (n, 2), x and y

    @property
    def blend(self) -> NDArray[np.float32]:
        """What averaging pixels gives: two ghosts."""
        return (self.first + self.last) / np.float32(2)


def ball_pairs(n: int, seed: int) -> Frames:
    """n pairs of balls whose centres are at least APART pixels from each other."""
    found: Array = np.empty((0, 2, 2))
    draw = 2 * n + 16
    while len(found) < n:
        both = ball_centres(2 * draw, seed, PAIRS_STREAM).reshape(-1, 2, 2)
        distance = np.linalg.norm(both[:, 0] - both[:, 1], axis=1)
        found = both[distance >= APART]
        draw *= 2
    a, b = found[:n, 0], found[:n, 1]
    middle = (a + b) / 2
    return Frames(ball_images(a), ball_images(middle), ball_images(b), middle)


def measure(pictures: NDArray[np.float32], frames: Frames) -> Measures:
    """``pictures`` (n, SIDE^2), meant to be ``frames.true``."""
    distance = np.linalg.norm(centroids(pictures) - frames.centres, axis=1)
    error = np.square(pictures - frames.true).sum(axis=1, dtype=np.float64)
    blended = np.square(frames.blend - frames.true).sum(axis=1, dtype=np.float64)
    inside, truly = _square(pictures) > 0.5, _square(frames.true) > 0.5
    area, right = (mask.sum(axis=(1, 2)) for mask in (inside, truly))
    ball = connected(inside) & (np.abs(area - right) <= 0.25 * right)
    return Measures(
        within_1px=float((distance <= 1).mean()),
        error_ratio=float(np.median(error / blended)),
        area_ok=float(ball.mean()),
    )


def centroids(pictures: NDArray[np.float32]) -> Array:
    """Means of x and of y weighted by brightness, (n, 2); NaN where all is black."""
    square = _square(pictures).astype(np.float64)
    axis = np.arange(SIDE)
    with np.errstate(invalid="ignore"):
        mass = square.sum(axis=(1, 2))
        x, y = square.sum(axis=1) @ axis / mass, square.sum(axis=2) @ axis / mass
    return np.stack([x, y], axis=1)


def connected(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the pixels of each mask (n, h, w) hang together, edge to edge; False for none.

    Every pixel starts with a number of its own and takes the largest of its neighbours', again
    and again: in the end a connected part has one number.
    """
    _, h, w = masks.shape
    numbers = np.where(masks, np.arange(1, h * w + 1).reshape(h, w), 0)
    while True:
        padded = np.pad(numbers, ((0, 0), (1, 1), (1, 1)))
        around = np.maximum.reduce(
            [padded[:, 1:-1, 1:-1], padded[:, :-2, 1:-1], padded[:, 2:, 1:-1],
             padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]]
        )  # fmt: skip
        spread = np.where(masks, around, 0)
        if (spread == numbers).all():
            break
        numbers = spread
    largest = numbers.max(axis=(1, 2))
    least = np.where(masks, numbers, h * w + 1).min(axis=(1, 2))
    result: NDArray[np.bool_] = (largest == least) & (largest > 0)
    return result


def _square(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    return pictures.reshape(-1, SIDE, SIDE)
