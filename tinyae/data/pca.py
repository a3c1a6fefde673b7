"""Principal component analysis: the best linear autoencoder, and the baseline of every table.

Among all linear encoders and decoders with k code units, projection onto the k leading principal
directions has the least squared error (Eckart and Young 1936; for linear autoencoders Baldi and
Hornik 1989). The directions are the right singular vectors of the centred data; which matrix is
decomposed depends on its shape, see ``fit_pca``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import integer, unmasked
from ..kernels.reference.random import random_normal
from ..net import streams
from .missing import known_shares
from .reading import Progress, silent
from .rows import Rows, as_rows

Floats = NDArray[np.float64]

DIRECT_SIZE = 1 << 20  # numbers; up to here the data themselves are decomposed, not X'X
EXACT_LIMIT = 4096  # a full decomposition takes O(min(samples, features)^3)
OVERSAMPLING = 20  # directions more than are asked for, they sharpen the last ones
POWER_ITERATIONS = 8


@dataclass(frozen=True)
class PCA:
    """A fitted principal component analysis; all arrays are float64.

    mean (features,); components (k, features), orthonormal rows, the strongest first;
    variances (k,), the data's variance along each component; total_variance, along all
    directions (both divided by the number of samples, so that the squared error of the fitted
    samples is ``total_variance - variances.sum()``); approximate is True where the components
    come from the randomised method.
    """

    mean: Floats
    components: Floats
    variances: Floats
    total_variance: float
    approximate: bool = False

    def encode(self, x: ArrayLike | Rows) -> Floats:
        """The code of x (n, features): float64 (n, k). uint8 counts as pixels, see Rows; a missing
        value (NaN) as the mean of its column.

        Raises ValueError or TypeError for anything but real numbers of that shape.
        """
        rows = self._checked(x)
        code = np.empty((len(rows), len(self.components)))
        for where, part in rows.chunks():
            _centre(part, self.mean)
            np.matmul(part, self.components.T, out=code[where])
        return code

    def decode(self, z: ArrayLike) -> Floats:
        """The reconstruction from the code z (n, k): float64 (n, features).

        Raises ValueError for another shape, TypeError for an array with a mask.
        """
        unmasked("z", z)
        code = np.asarray(z, np.float64)
        if code.ndim != 2 or code.shape[1] != len(self.components):
            raise ValueError(f"z must have shape (n, {len(self.components)}), got {code.shape}")
        x: Floats = code @ self.components
        x += self.mean
        return x

    def squared_error(self, x: ArrayLike | Rows) -> float:
        """Sum over features of (x - reconstruction)^2, averaged over the samples x (n, features);
        missing values count as none.

        Raises ValueError or TypeError for anything but real numbers of that shape.
        """
        rows = self._checked(x)
        return float(self.column_errors(rows) @ known_shares(rows))

    def column_errors(self, x: ArrayLike | Rows) -> Floats:
        """Mean squared error of each feature, (features,), of the samples x (n, features), where
        they are not missing.

        Measured on the differences themselves: taking |code|^2 from |x|^2 would cancel. Raises
        ValueError or TypeError for anything but real numbers of that shape.
        """
        rows = self._checked(x)
        total, known = np.zeros(self.mean.size), np.full(self.mean.size, len(rows))
        for _, part in rows.chunks():
            missing = _centre(part, self.mean)
            part -= (part @ self.components.T) @ self.components
            if missing is not None:
                part[missing] = 0
                known -= missing.sum(axis=0)
            total += np.einsum("ij,ij->j", part, part)
        errors: Floats = total / np.maximum(known, 1)
        return errors

    def _checked(self, x: ArrayLike | Rows) -> Rows:
        rows = as_rows(x, "x")
        if rows.shape[1] != self.mean.size:
            raise ValueError(f"x must have shape (n, {self.mean.size}), got {rows.shape}")
        return rows


def fit_pca(
    x: ArrayLike | Rows, n_components: int, seed: int = 0, report: Progress = silent
) -> PCA:
    """The n_components leading principal components of x (n, features), n >= 1.

    There are at most min(n - 1, features) directions in which n samples vary: asking for more
    gives all of these. Each component's sign is fixed: its largest entry is positive.

    - Wide data (n < features) and small data: thin SVD of the centred data.
    - Tall data: SVD of their scatter matrix (features, features), summed chunk by chunk, so that
      the samples are never in memory together. Squaring costs accuracy only in directions that
      are about 1e8 times weaker than the strongest.
    - min(n, features) > EXACT_LIMIT: subspace iteration from a random start, drawn by Philox
      from ``seed`` in [0, 2^64) (Halko, Martinsson and Tropp, "Finding structure with
      randomness", SIAM Review 53, 2011, algorithms 4.4 and 5.1); ``approximate`` is then True.

    A missing value (NaN) counts as the mean of its column's others.
    ``report(done, total)`` is called after each chunk, of all that are visited.
    Raises ValueError where x has another shape or holds infinities or numbers whose squares
    overflow, TypeError or ValueError for an n_components that is no integer >= 1.
    """
    rows = as_rows(x, "x")
    n, features = rows.shape
    integer("n_components", n_components, 1)
    k = min(n_components, n - 1, features)
    approximate = min(n, features) > EXACT_LIMIT
    samples = _Reporting(rows, 3 + POWER_ITERATIONS if approximate else 3, report)
    mean, total = _moments(samples)
    if approximate:
        squares, directions = _by_sketch(samples, mean, k, seed)
    elif n < features or n * features <= DIRECT_SIZE:
        squares, directions = _by_data(samples, mean)
    else:
        squares, directions = _by_scatter(samples, mean)
    components = with_fixed_signs(directions[:k])
    return PCA(mean, components, squares[:k] / n, total / n, approximate)


def plane(codes: ArrayLike | Rows) -> tuple[ArrayLike | Rows, list[str]]:
    """Codes (n, k) as points (n, min(k, 2)) to draw, and what their two coordinates are.

    More than two units are projected onto the codes' own two principal directions. Raises what
    ``fit_pca`` raises.
    """
    rows = as_rows(codes, "codes")
    if rows.shape[1] <= 2:
        return codes, ["code unit 1", "code unit 2"]
    pca = fit_pca(rows, 2)
    points = np.zeros((len(rows), 2))  # zeros: a single point has no directions
    points[:, : len(pca.components)] = pca.encode(rows)
    shares = [v / pca.total_variance if v else 0.0 for v in (*pca.variances, 0.0, 0.0)]
    return points, [f"principal direction {i} of the code ({share:.0%} of its variance)"
                    for i, share in enumerate(shares[:2], 1)]  # fmt: skip


class _Reporting:
    """Rows that are gone through so many times in all."""

    def __init__(self, rows: Rows, passes: int, report: Progress) -> None:
        self._rows, self.shape = rows, rows.shape
        self._begun, self._passes, self._report = 0, passes, report

    def chunks(self) -> Iterator[tuple[slice, Floats]]:
        n = len(self._rows)
        before, self._begun = self._begun * n, self._begun + 1
        for where, part in self._rows.chunks():
            yield where, part
            self._report(before + where.stop, self._passes * n)


def _moments(rows: _Reporting) -> tuple[Floats, float]:
    """The mean (features,) and the sum of all squared deviations from it, in two passes."""
    mean, missing = np.zeros(rows.shape[1]), np.zeros(rows.shape[1], np.int64)
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for _, part in rows.chunks():
            mean += np.nansum(part, axis=0)
            missing += np.isnan(part).sum(axis=0)
        mean /= np.maximum(rows.shape[0] - missing, 1)
        for _, part in rows.chunks():
            _centre(part, mean)
            total += float(np.vdot(part, part))
    if not np.isfinite(total):
        raise ValueError("x must be finite and its squares must not overflow: it holds infinity "
                         "or very large numbers")  # fmt: skip
    return mean, total


def _centre(part: Floats, mean: Floats) -> NDArray[np.bool_] | None:
    """Subtracts the mean in place, with 0 where a value is missing; gives these places, if any."""
    part -= mean
    if not np.isnan(np.vdot(part, part)):
        return None
    missing = np.isnan(part)
    part[missing] = 0
    return missing


def _by_data(rows: _Reporting, mean: Floats) -> tuple[Floats, Floats]:
    """Squared singular values and right singular vectors (min(n, features), features)."""
    centred = np.empty(rows.shape)
    for where, part in rows.chunks():
        _centre(part, mean)
        centred[where] = part
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    return s**2, vt


def _by_scatter(rows: _Reporting, mean: Floats) -> tuple[Floats, Floats]:
    """The same from X'X = V S^2 V', X the centred data."""
    scatter = np.zeros((mean.size, mean.size))
    for _, part in rows.chunks():
        _centre(part, mean)
        scatter += part.T @ part
    _, squares, vt = np.linalg.svd(scatter, hermitian=True)
    return squares, vt


def _by_sketch(rows: _Reporting, mean: Floats, k: int, seed: int) -> tuple[Floats, Floats]:
    """The same, approximately, from X'X seen only through its products with a few vectors."""
    width = min(k + OVERSAMPLING, *rows.shape)
    basis = np.empty((mean.size, width))
    random_normal(streams.state(seed, streams.SKETCH), 0.0, 1.0, basis)
    basis = np.linalg.qr(basis)[0]
    for _ in range(POWER_ITERATIONS):
        product = np.zeros_like(basis)
        for _, part in rows.chunks():
            _centre(part, mean)
            product += part.T @ (part @ basis)
        basis = np.linalg.qr(product)[0]  # else all columns turn into the strongest direction
    scatter = np.zeros((width, width))
    for _, part in rows.chunks():
        _centre(part, mean)
        code = part @ basis
        scatter += code.T @ code
    _, squares, vt = np.linalg.svd(scatter, hermitian=True)
    return squares, vt @ basis.T


def with_fixed_signs(directions: Floats) -> Floats:
    """Every row times 1 or -1. Of equally large entries the first counts, whatever the rounding."""
    size = np.abs(directions)
    first = (size >= (1 - 1e-6) * size.max(axis=1, keepdims=True)).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), first])
    return np.ascontiguousarray(directions * signs[:, None])
