"""The ``ball`` data set: one disc somewhere on a small grey picture, made on the spot.

A disc is told by two numbers, its centre, so that a code of two must be enough for it: the
smallest data on which an autoencoder can be watched finding out what its pictures are made of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kernels.reference.random import random_uniform

SIDE = 28
RADIUS = 3.5
LOW, HIGH = 4.0, 23.0  # the centre's range in x and in y: the disc never leaves the picture


def ball_centres(n: int, seed: int = 0, stream: int = 0) -> NDArray[np.float64]:
    """n centres (x, y), uniform in [4, 23) x [4, 23): float64 (n, 2).

    The same on every machine; the first rows do not depend on n. ``stream`` chooses among
    2^32 independent series of one seed. Raises ValueError unless n >= 0, seed lies in
    [0, 2^64) and stream in [0, 2^32).
    """
    for name, value, stop in (("seed", seed, 2**64), ("stream", stream, 2**32)):
        if not 0 <= value < stop:
            raise ValueError(f"{name} must lie in [0, 2^{stop.bit_length() - 1}), got {value}")
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    state = np.array([seed & 0xFFFFFFFF, seed >> 32, stream, 0], np.uint32)
    centres = np.empty((n, 2))
    random_uniform(state, LOW, HIGH, centres)
    return centres


def ball_images(
    centres: ArrayLike, radius: float = RADIUS, side: int = SIDE
) -> NDArray[np.float32]:
    """A disc at each centre: (n, 2) as (x = column, y = row) -> float32 (n, side * side).

    Pixel (column, row) is clip(radius + 0.5 - its distance to the centre, 0, 1): 1 inside, 0
    outside, and an edge one pixel wide, so that the picture changes smoothly with the centre.
    Raises ValueError for centres of another shape, a radius that is not positive, side < 1.
    """
    xy = np.asarray(centres, np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"centres must have shape (n, 2), got {xy.shape}")
    if not radius > 0:
        raise ValueError(f"radius must be positive, got {radius}")
    if side < 1:
        raise ValueError(f"side must be at least 1, got {side}")
    pixels = np.arange(side)
    dx = pixels - xy[:, :1]
    dy = pixels - xy[:, 1:]
    # sqrt is exactly rounded on every machine; hypot is not
    distance = np.sqrt(dy[:, :, None] ** 2 + dx[:, None, :] ** 2)
    images = np.clip(radius + 0.5 - distance, 0, 1)
    return images.reshape(len(xy), side * side).astype(np.float32)
