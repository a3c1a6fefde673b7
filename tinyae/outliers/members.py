"""The ensemble: small autoencoders, each of a few rows, and how far a row is from all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.scaling import Scaling
from ..kernels.reference.random import random_permutation
from ..net import streams
from .nets import Floats, Layer, active, affine, directions, shapes, trained

PIECE = 2048  # rows at a time: what is computed of them stays in cache
FAR = 1e100  # spreads; beyond, squares would overflow
LEAST = 1e-9  # added to squared distances, whose logarithms are taken
SAME = 1e-12  # a squared distance this much smaller than a code's square is rounding


@dataclass(frozen=True)
class Members:
    """Autoencoders of one shape; row i of ``codes[m]`` is the code of member m's i-th row.

    A member sees y = (x - center) / spread, float64 (members, features) both. ``layers``: four of
    nets that were trained; one, the principal directions without bias, of those that were not:
    they are PCA, and their hidden layers would change nothing.
    """

    center: Floats
    spread: Floats
    layers: list[Layer]
    codes: Floats  # (members, rows, code)
    neighbours: int

    def __len__(self) -> int:
        return len(self.center)

    def log_distances(self, x: Floats) -> Iterator[tuple[slice, Floats]]:
        """x (n, features), some rows at a time: which, and of each member the logarithm of its
        squared distance, float64 (members, rows)."""
        for start in range(0, len(x), PIECE):
            some = x[start : start + PIECE]
            squares = [self._distance(m, self._seen(m, some)) for m in range(len(self))]
            yield slice(start, start + len(some)), np.log(np.stack(squares) + LEAST)

    def expectations(self, x: Floats) -> Iterator[tuple[Floats, Floats]]:
        """By member: the squared distance (n,), and what the nearest codes decode to on average,
        (n, features), in the table's units."""
        for m in range(len(self)):
            squares, expected = self._nearest(m, self._seen(m, x))
            yield squares, self.center[m] + self.spread[m] * expected

    def _seen(self, m: int, x: Floats) -> Floats:
        y: Floats = np.subtract(x, self.center[m])
        with np.errstate(over="ignore"):
            y /= self.spread[m]
        np.clip(y, -FAR, FAR, out=y)
        return y

    def _distance(self, m: int, y: Floats) -> Floats:
        """The mean squared distance to what the nearest codes decode to, (n,).

        With orthonormal directions that is the squared residual plus the mean squared distance to
        the nearest codes, by Pythagoras.
        """
        if len(self.layers) > 1:
            return self._nearest(m, y)[0]
        z = y @ self.layers[0][0][m]
        apart, size = self._apart(m, z)
        k = self.neighbours
        near = np.partition(apart, k, axis=1)[:, : k + 1]
        least = near.min(axis=1)
        total = near.sum(axis=1) - np.where(least <= SAME * size, least, near[:, k])
        residual = np.einsum("ij,ij->i", y, y) - size
        return np.asarray(np.maximum(total, 0) / k + np.maximum(residual, 0))

    def _apart(self, m: int, z: Floats) -> tuple[Floats, Floats]:
        """Squared distances (n, rows) of codes z to the member's own, and the squares of z (n,)."""
        codes, size = self.codes[m], np.einsum("ij,ij->i", z, z)
        apart = z @ (-2 * codes.T)
        apart += size[:, None]
        apart += np.einsum("ij,ij->i", codes, codes)
        return np.maximum(apart, 0, out=apart), size

    def _nearest(self, m: int, y: Floats) -> tuple[Floats, Floats]:
        """``_distance``, (n,), by its definition; and what the nearest codes decode to on average,
        (n, features)."""
        apart, size = self._apart(m, encoded(y, [(w[m], b[m]) for w, b in self.layers]))
        own = np.flatnonzero(apart.min(axis=1) <= SAME * size)
        apart[own, apart[own].argmin(axis=1)] = np.inf
        nearest = np.argpartition(apart, self.neighbours - 1, axis=1)[:, : self.neighbours]
        decoded = self.decoded(m)
        squares, expected = np.zeros(len(y)), np.zeros_like(y)
        for j in range(self.neighbours):
            there = decoded[nearest[:, j]]
            expected += there
            there -= y
            squares += np.einsum("ij,ij->i", there, there)
        return squares / self.neighbours, expected / self.neighbours

    def decoded(self, m: int) -> Floats:
        """What the member's codes decode to, (rows, features), in spreads from its center."""
        if len(self.layers) == 1:
            return np.asarray(self.codes[m] @ self.layers[0][0][m].T)
        layers = [(w[m], b[m]) for w, b in self.layers]
        return active(3, affine(active(2, affine(self.codes[m], layers[2])), layers[3]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """To be saved; ``expected_arrays`` describes them."""
        named = {"center": self.center, "spread": self.spread, "codes": self.codes}
        for i, (weight, bias) in enumerate(self.layers):
            named |= {f"layer.{i}.weight": weight, f"layer.{i}.bias": bias}
        return named


def encoded(y: Floats, layers: list[Layer]) -> Floats:
    """The code of y, of one net or of all at once."""
    if len(layers) == 1:
        return affine(y, layers[0])
    return active(1, affine(active(0, affine(y, layers[0])), layers[1]))


def draw(seed: int, members: int, rows: int, n: int) -> NDArray[np.int64]:
    """Which of n rows each member has, (members, rows).

    Shuffled rows are dealt out until too few are left, then all anew: every row is known to as
    many members as any other, give or take one, so that seeds agree better.
    """
    drawn, hands = np.empty((members, rows), np.int64), n // rows
    for m in range(members):
        state = streams.state(seed, streams.SUBSAMPLE, m // hands)
        random_permutation(state, n, m % hands * rows, drawn[m])
    return drawn


def fit_members(
    rows: Floats, scales: Sequence[Scaling], code: int, neighbours: int, updates: int,
    learning_rate: float,
) -> Members:  # fmt: skip
    """Members of ``rows`` (members, rows of each, features), which see them in one of the scales,
    by turns."""
    members = len(rows)
    by_turns = [scales[m % len(scales)] for m in range(members)]
    center, spread = (np.stack(columns) for columns in zip(*by_turns, strict=True))
    y = (rows - center[:, None]) / spread[:, None]
    mean = y.mean(axis=1)
    y -= mean[:, None]
    v = directions(y, code)
    layers = [(v, np.zeros((members, 1, code)))]
    if updates:
        layers = trained(y, v, updates, learning_rate)
    return Members(center + spread * mean, spread, layers, encoded(y, layers), neighbours)


def expected_arrays(
    members: int, rows: int, features: int, code: int, is_trained: bool
) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each of ``Members.arrays()``."""
    layers = shapes(features, code) if is_trained else [(features, code)]
    found: dict[str, tuple[int, ...]] = dict.fromkeys(("center", "spread"), (members, features))
    found["codes"] = members, rows, code
    for i, (n_in, n_out) in enumerate(layers):
        found[f"layer.{i}.weight"] = members, n_in, n_out
        found[f"layer.{i}.bias"] = members, 1, n_out
    return {name: (shape, "float64") for name, shape in found.items()}


def restored(arrays: Mapping[str, NDArray[Any]], neighbours: int) -> Members:
    """The members whose ``arrays()`` these are."""
    n_layers = sum(name.endswith(".weight") for name in arrays)
    layers = [(arrays[f"layer.{i}.weight"], arrays[f"layer.{i}.bias"]) for i in range(n_layers)]
    return Members(arrays["center"], arrays["spread"], layers, arrays["codes"], neighbours)
