"""Samples by the row, wherever they lie: an array, a memory map, or a selection of either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..kernels.checks import rows_exist
from ..kernels.reference.gather import gather
from .frames import columns_of, feature_names, matrix

Array = NDArray[Any]

CHUNK_BYTES = 8 << 20  # read at a time where all samples are visited once


class Rows:
    """n samples of n_features each, read in minibatches and never copied as a whole.

    ``array`` (n, n_features) may have any real dtype; uint8 counts as pixels and is scaled to
    [0, 1] as it is read. ``indices`` (int64) selects and orders rows of it; None is all of them.
    ``names``: those of the features, where the samples came as a DataFrame.
    """

    def __init__(
        self, array: Array, indices: NDArray[np.int64] | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:  # fmt: skip
        self.array = array
        self.indices = indices
        self.names = names
        self.scale = 1 / 255 if array.dtype == np.uint8 else 1.0

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.array.shape[1]

    @property
    def ndim(self) -> int:
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array) if self.indices is None else len(self.indices)

    def select(self, positions: NDArray[np.int64]) -> Rows:
        """The samples at these positions, as a view."""
        chosen = positions if self.indices is None else self.indices[positions]
        return Rows(self.array, chosen, self.names)

    def take(self, positions: NDArray[np.int64], out: Array) -> None:
        """out[i] = sample positions[i], scaled and in out's dtype."""
        chosen = positions if self.indices is None else self.indices[positions]
        rows_exist(chosen, len(self.array))
        gather(self.array, chosen, self.scale, out)

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        """All samples in order as they are stored, a few megabytes at a time."""
        n, n_features = self.shape
        size = max(1, CHUNK_BYTES // (self.dtype.itemsize * n_features))
        for start in range(0, n, size):
            part = slice(start, min(start + size, n))
            yield part, self.array[part if self.indices is None else self.indices[part]]

    def chunks(self, dtype: DTypeLike = np.float64) -> Iterator[tuple[slice, Array]]:
        """All samples in order, a few thousand at a time; each array is overwritten by the next."""
        n, n_features = self.shape
        size = max(1, min(n, CHUNK_BYTES // (8 * max(n_features, 1))))
        buffer = np.empty((size, n_features), dtype)
        for start in range(0, n, size):
            stop = min(start + size, n)
            part = buffer[: stop - start]
            self.take(np.arange(start, stop), part)
            yield slice(start, stop), part

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """All samples as one new array, scaled: float64 unless they are float32."""
        if dtype is None:
            dtype = np.float32 if self.dtype == np.float32 else np.float64
        out = np.empty(self.shape, dtype)
        self.take(np.arange(len(self)), out)
        return out


def as_rows(X: ArrayLike | Rows, name: str = "X") -> Rows:
    """``X`` as Rows, without a copy where it is a C-contiguous real array already.

    Raises ValueError for a wrong number of dimensions, no samples or no features, TypeError or
    ValueError for data that are no real numbers; of a DataFrame, names the column.
    """
    if isinstance(X, Rows):
        rows = X
    elif (columns := columns_of(X)) is not None:
        real = _as_real_matrix(matrix(X, columns, name), name)
        rows = Rows(real, names=feature_names(columns))
    else:
        rows = Rows(_as_real_matrix(X, name))
    n, n_features = rows.shape
    if n == 0:
        raise ValueError(
            f"Found array {name} with 0 sample(s) (shape={rows.shape}) while a minimum of 1 is "
            "required."
        )
    if n_features == 0:
        raise ValueError(
            f"Found array {name} with 0 feature(s) (shape={rows.shape}) while a minimum of 1 is "
            "required."
        )
    return rows


def _as_real_matrix(X: ArrayLike, name: str) -> Array:
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError(
            f"{name} is a sparse matrix, dense data is required: convert it with {name}.toarray()"
        )
    if hasattr(X, "collect"):
        raise TypeError(f"{name} is a {type(X).__name__}, not data yet: use {name}.collect()")
    array = np.asarray(X)
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name} must hold real numbers: {error}") from None
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array {name} (samples, features), got {array.ndim}D array of shape "
            f"{array.shape}. "
            "Reshape your data: array.reshape(len(array), -1) makes a row of each sample, "
            "array.reshape(1, -1) is a single sample."
        )
    if array.dtype.byteorder not in "=|" or array.dtype == np.float16 or array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return np.ascontiguousarray(array)


def value_range(rows: Rows, name: str) -> tuple[float, float]:
    """(smallest, largest) value of all samples as they are read; visits the data once.

    Raises ValueError for NaN or infinity, naming the first sample and column that hold one.
    """
    if rows.dtype == np.uint8 and rows.indices is None:
        return float(rows.array.min()) * rows.scale, float(rows.array.max()) * rows.scale
    low, high = np.inf, -np.inf
    with np.errstate(all="ignore"):
        for part, chunk in rows.chunks():
            low_here, high_here = float(chunk.min()), float(chunk.max())
            if not np.isfinite(high_here - low_here) and not np.isfinite(chunk).all():
                row, column = np.argwhere(~np.isfinite(chunk))[0].tolist()
                kind = "NaN" if np.isnan(chunk).any() else "infinity"
                label = column if rows.names is None else repr(rows.names[column])
                raise ValueError(
                    f"Input {name} contains {kind} (first in sample {part.start + row}, "
                    f"column {label})"
                )
            low, high = min(low, low_here), max(high, high_here)
    return low, high
