"""Initial weights; biases start at zero.

Drawn on the host by the NumPy column, so that a seed means the same net on every backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.conventions import ACTIVATION_FACTS
from ..kernels.reference.random import random_normal, random_permutation, random_uniform
from . import streams

Array = NDArray[Any]

SPARSE_INPUTS = 15


def glorot(w: Array, seed: int, layer: int) -> None:
    """Uniform with variance 2 / (n_in + n_out) (Glorot and Bengio 2010)."""
    bound = float(np.sqrt(6 / sum(w.shape)))
    random_uniform(streams.state(seed, streams.WEIGHTS, layer), -bound, bound, w)


def he(w: Array, seed: int, layer: int) -> None:
    """Normal with variance 2 / n_in: a relu halves what passes (He et al. 2015)."""
    std = float(np.sqrt(2 / w.shape[0]))
    random_normal(streams.state(seed, streams.WEIGHTS, layer), 0, std, w)


def lecun(w: Array, seed: int, layer: int) -> None:
    """Normal with variance 1 / n_in (LeCun et al. 1998)."""
    std = float(np.sqrt(1 / w.shape[0]))
    random_normal(streams.state(seed, streams.WEIGHTS, layer), 0, std, w)


def sparse(w: Array, seed: int, layer: int) -> None:
    """Each unit sees 15 inputs (or all, if fewer) with standard normal weights (Martens 2010).

    Units take the next 15 of a random permutation of the inputs, and a new permutation when
    one is used up, so that no unit sees an input twice and the inputs are used evenly.
    """
    n_in, n_out = w.shape
    k = min(SPARSE_INPUTS, n_in)
    per_round = n_in // k
    normal = np.empty((n_out, k), w.dtype)
    random_normal(streams.state(seed, streams.WEIGHTS, layer), 0, 1, normal)
    w[...] = 0
    order = np.empty(per_round * k, np.int64)
    for r, start in enumerate(range(0, n_out, per_round)):
        units = np.arange(start, min(start + per_round, n_out))
        random_permutation(streams.state(seed, streams.SPARSE, layer << 16 | r), n_in, 0, order)
        inputs = order.reshape(per_round, k)[: len(units)]
        w[inputs, units[:, None]] = normal[units]


INITIALIZERS: dict[str, Callable[[Array, int, int], None]] = {
    "glorot": glorot,
    "he": he,
    "lecun": lecun,
    "sparse": sparse,
}


def initial_weights(initializer: str, activation: str, w: Array, seed: int, layer: int) -> None:
    """Fills w (n_in, n_out); "random" is he before a rectifier and glorot elsewhere."""
    if initializer == "random":
        initializer = ACTIVATION_FACTS[activation].initializer
    INITIALIZERS[initializer](w, seed, layer)
