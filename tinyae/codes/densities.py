"""Probability densities fitted to codes, to draw new codes from.

All three are mixtures of normals: ``fit_gaussian`` takes one for all codes, ``fit_mixture`` a
few, found by EM, and ``fit_kernel`` a small one around every code.

Units are fitted in terms of their own standard deviation, so their scales play no part. No
variance, along any direction of these standardised units, is taken for less than ``FLOOR``: a
normal neither collapses onto a single code nor becomes singular where units depend on each other.
A unit that never varies (a dead one) has no density: it is drawn as it always was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import integer
from ..data.reading import Progress, silent
from ..data.rows import as_rows, value_range
from ..kernels.reference.random import random_normal, random_uniform
from ..net import streams

Floats = NDArray[np.float64]

FLOOR = 1e-4  # a hundredth of a standard deviation, squared
COMPONENTS = 10
MAX_ROUNDS = 500
CHUNK = 1 << 20  # numbers: codes times components at a time


@dataclass(frozen=True)
class Mixture:
    """A mixture of m normals over codes of k units; all arrays are float64.

    weights (m,), positive, of sum 1; means (m, k); roots (m, k, k), or (1, k, k) for one that all
    share: the covariances are ``roots @ roots.T``. A unit without variance has zeros there.
    """

    weights: Floats
    means: Floats
    roots: Floats

    @property
    def covariances(self) -> Floats:
        """(m, k, k), or (1, k, k)"""
        covariances: Floats = self.roots @ self.roots.mT
        return covariances

    def sample(self, n: int, seed: int = 0) -> Floats:
        """n codes, float64 (n, k); the first ones do not depend on n. seed in [0, 2^64)."""
        integer("n", n, 0)
        place, noise = np.empty(n), np.empty((n, self.means.shape[1]))
        random_uniform(streams.state(seed, streams.DRAW, 0), 0.0, 1.0, place)
        random_normal(streams.state(seed, streams.DRAW, 1), 0.0, 1.0, noise)
        which = _pick(self.weights, place)
        codes: Floats = self.means[which]
        for j, root in enumerate(self.roots):
            rows = which == j if len(self.roots) > 1 else slice(None)
            codes[rows] += noise[rows] @ root.T
        return codes

    def log_density(self, z: ArrayLike) -> Floats:
        """The log density at each code z (n, k): float64 (n,).

        It is one over the units that vary; codes that differ in any other have minus infinity.
        Raises ValueError for another shape.
        """
        codes = np.asarray(z, np.float64)
        if codes.ndim != 2 or codes.shape[1] != self.means.shape[1]:
            raise ValueError(f"z must have shape (n, {self.means.shape[1]}), got {codes.shape}")
        varies = self.roots.any(axis=(0, 2))
        means, roots = self.means[:, varies], self.roots[:, varies][:, :, varies]
        out = np.empty(len(codes))
        size = max(1, CHUNK // len(means))
        for start in range(0, len(codes), size):
            part = codes[start : start + size]
            joint = np.log(self.weights) + _log_normals(part[:, varies], means, roots)
            out[start : start + size] = _log_sum_exp(joint)
        out[(codes[:, ~varies] != self.means[0, ~varies]).any(axis=1)] = -np.inf
        return out


def fit_gaussian(codes: ArrayLike) -> Mixture:
    """The normal with the mean and the covariance (divided by n) of codes (n, k).

    Raises ValueError or TypeError where codes are no finite real numbers of that shape.
    """
    frame = Frame.of(codes)
    covariance = frame.units.T @ frame.units / len(frame.units)
    mean = np.zeros((1, len(covariance)))
    return frame.restore(np.ones(1), mean, _root(covariance)[None])


def fit_mixture(
    codes: ArrayLike, components: int | None = None, seed: int = 0, tolerance: float = 1e-3,
    report: Progress = silent,
) -> Mixture:  # fmt: skip
    """The mixture of ``components`` normals that makes codes (n, k) likely, by EM.

    None: COMPONENTS, or as many as there are different codes.

    Expectation-maximisation (Dempster, Laird and Rubin 1977; Bishop, "Pattern Recognition and
    Machine Learning", 9.2) from the start that ``seed`` in [0, 2^64) draws, until a round adds
    less than ``tolerance`` to the mean log-likelihood, or MAX_ROUNDS. It finds a local maximum:
    another seed may find another one. ``report(round, MAX_ROUNDS)`` is called after each.

    Raises ValueError for more components than there are different codes, and what
    ``fit_gaussian`` raises.
    """
    if components is not None:
        integer("components", components, 1)
    frame = Frame.of(codes)
    different = len(np.unique(frame.units, axis=0)) if components != 1 else 1
    if components is None:
        components = min(COMPONENTS, different)
    if components > different:
        raise ValueError(
            f"components must be at most {different}, the number of different codes, "
            f"got {components}"
        )
    last = -np.inf
    rounds = islice(em_rounds(frame.units, components, seed), MAX_ROUNDS)
    for i, (parts, likelihood) in enumerate(rounds, start=1):
        report(i, MAX_ROUNDS)
        best = parts
        if likelihood - last < tolerance:
            break
        last = likelihood
    return frame.restore(*best)


def fit_kernel(codes: ArrayLike, bandwidth: str | float = "scott") -> Mixture:
    """A normal around each of the codes (n, k), each with h^2 times their joint covariance.

    ``bandwidth`` is h, or a rule for it: "scott", n^(-1 / (k + 4)), or "silverman",
    (n (k + 2) / 4)^(-1 / (k + 4)), k counting the units that vary (Silverman, "Density Estimation
    for Statistics and Data Analysis", 1986, 4.3.2; Scott, "Multivariate Density Estimation",
    1992). Both fit one normal cloud: for codes in several clusters they are too wide, the more so
    the more units there are.

    Raises ValueError for a bandwidth that is neither, and what ``fit_gaussian`` raises.
    """
    frame = Frame.of(codes)
    n, k = frame.units.shape
    if bandwidth == "scott":
        h = n ** (-1 / (k + 4))
    elif bandwidth == "silverman":
        h = (n * (k + 2) / 4) ** (-1 / (k + 4))
    elif not isinstance(bandwidth, str) and 0 < bandwidth < np.inf:
        h = float(bandwidth)
    else:
        raise ValueError(
            f"bandwidth must be 'scott', 'silverman' or a positive number, got {bandwidth!r}"
        )
    root = h * _root(frame.units.T @ frame.units / n)
    return frame.restore(np.full(n, 1 / n), frame.units, root[None])


@dataclass(frozen=True)
class Frame:
    """Codes in standardised units, and the way back."""

    centre: Floats  # (k,): of a unit that varies the mean, else its value
    scale: Floats  # (k,): the standard deviation, 0 for a unit that does not vary
    units: Floats  # (n, units that vary)

    @classmethod
    def of(cls, codes: ArrayLike) -> Frame:
        rows = as_rows(codes, "codes")
        value_range(rows, "codes")
        z = np.asarray(rows, np.float64)
        low = z.min(axis=0)
        varies = low < z.max(axis=0)  # in rounding, equal values may have a deviation
        centre = np.where(varies, z.mean(axis=0), low)
        scale = np.where(varies, z.std(axis=0), 0.0)
        return cls(centre, scale, (z - centre)[:, varies] / scale[varies])

    def restore(self, weights: Floats, means: Floats, roots: Floats) -> Mixture:
        """The mixture of the codes from that of their standardised units."""
        varies = np.flatnonzero(self.scale)
        full_means = np.tile(self.centre, (len(means), 1))
        full_means[:, varies] += means * self.scale[varies]
        full_roots = np.zeros((len(roots), self.scale.size, self.scale.size))
        full_roots[:, varies[:, None], varies] = self.scale[varies, None] * roots
        return Mixture(weights, full_means, full_roots)


Parts = tuple[Floats, Floats, Floats]  # weights, means and roots of a mixture


def em_rounds(u: Floats, components: int, seed: int) -> Iterator[tuple[Parts, float]]:
    """Round by round, the mixture and its mean log-likelihood of u (n, k), which never falls."""
    centres = _spread_centres(u, components, seed)
    nearest = np.stack([_squares(u - centre) for centre in centres], axis=1).argmin(axis=1)
    shares = np.eye(components)[nearest]  # (n, m): whose code it is, and at first it is all his
    while True:
        weights, means, roots = _maximise(u, shares)
        joint = np.log(weights) + _log_normals(u, means, roots)
        log_density = _log_sum_exp(joint)
        yield (weights, means, roots), float(log_density.mean())
        shares = np.exp(joint - log_density[:, None])


def _maximise(u: Floats, shares: Floats) -> Parts:
    """The M step: weights, means and roots of covariances of u (n, k), weighted by shares."""
    size = np.maximum(shares.sum(axis=0), np.finfo(float).tiny)
    means = shares.T @ u / size[:, None]
    roots = np.empty((len(size), u.shape[1], u.shape[1]))
    for j, mean in enumerate(means):
        away = u - mean
        roots[j] = _root((away * shares[:, j, None]).T @ away / size[j])
    return size / size.sum(), means, roots


def _root(covariance: Floats) -> Floats:
    """The symmetric square root, with no eigenvalue of the covariance below FLOOR.

    Of all covariances with that bound, raising the eigenvalues below it gives the most likely
    one, so that EM still never loses likelihood; and unlike eigenvectors, or a factor made of
    them, the symmetric root has no free signs.
    """
    squares, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(squares, FLOOR)) @ vectors.T
    return root


def _spread_centres(u: Floats, count: int, seed: int) -> Floats:
    """Rows of u far from each other: each is drawn in proportion to its squared distance from
    those before it (k-means++: Arthur and Vassilvitskii 2007)."""
    place = np.empty(count)
    random_uniform(streams.state(seed, streams.START), 0.0, 1.0, place)
    distance = np.ones(len(u))
    centres = np.empty((count, u.shape[1]))
    for i in range(count):
        centres[i] = u[_pick(distance, place[i])]
        from_it = _squares(u - centres[i])
        distance = from_it if i == 0 else np.minimum(distance, from_it)
    return centres


def _pick(weights: Floats, place: Any) -> Any:
    """Indices drawn in proportion to weights, by numbers in [0, 1); never one of weight 0."""
    ends = np.cumsum(weights)
    return np.searchsorted(ends / ends[-1], place, side="right")


def _squares(rows: Floats) -> Floats:
    total: Floats = np.einsum("ij,ij->i", rows, rows)
    return total


def _log_normals(u: Floats, means: Floats, roots: Floats) -> Floats:
    """The log density of each of u (n, k) in each normal: (n, m)."""
    inverse = np.linalg.inv(roots)
    if len(roots) < len(means):  # one covariance for all: whiten once
        a, b = u @ inverse[0].T, means @ inverse[0].T
        distance = np.maximum(_squares(a)[:, None] + _squares(b) - 2 * (a @ b.T), 0.0)
    else:
        distance = np.stack(
            [_squares((u - mean) @ inv.T) for mean, inv in zip(means, inverse, strict=True)], axis=1
        )
    log_volume = np.linalg.slogdet(roots)[1] + 0.5 * u.shape[1] * np.log(2 * np.pi)
    result: Floats = -0.5 * distance - log_volume
    return result


def _log_sum_exp(joint: Floats) -> Floats:
    """log of the sum of exp over each row, (n, m) -> (n,), without overflow."""
    top = joint.max(axis=1)
    total: Floats = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
    return total
