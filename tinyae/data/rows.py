"""Samples by the row, wherever they lie: an array, a memory map, or a selection of either."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..checks import unmasked
from ..kernels.checks import rows_exist
from ..kernels.conventions import DATA
from ..kernels.reference.gather import gather
from .tables.coded import Numbers
from .tables.frames import columns_of, feature_names, matrix, table_of
from .tables.schema import Schema, learn_schema

log = logging.getLogger(__name__)

Array = NDArray[Any]

CHUNK_BYTES = 8 << 20  # read at a time where all samples are visited once
SMALL_BYTES = 32 << 20  # up to here, as float64, data that lie awkwardly are copied into order


class Rows:
    """n samples of n_features each, read in minibatches and never copied as a whole.

    ``array`` (n, n_features) may have any real dtype, order and strides; uint8 counts as pixels
    and is scaled to [0, 1] as it is read. ``indices`` (int64) selects and orders rows of it; None
    is all of them. Of more than two dimensions, all after the first are features. ``dtype`` is
    what samples are read in: float64 where the array's own is none of ``conventions.DATA``.
    ``direct``: the array can be given to the operation ``gather`` as it is. ``names``: those of
    the features, where the samples came as a DataFrame. ``schema``: what the columns of their
    table are, where some are categories. ``still``: a sample is the same whenever it is read.
    """

    still = True

    def __init__(
        self, array: Array, indices: NDArray[np.int64] | None = None,
        names: tuple[str, ...] | None = None, schema: Schema | None = None,
    ) -> None:  # fmt: skip
        self.array = array
        self.indices = indices
        self.names = names
        self.schema = schema
        self.scale = 1 / 255 if array.dtype == np.uint8 else 1.0
        known = array.dtype.isnative and array.dtype.name in DATA
        self.dtype: np.dtype[Any] = array.dtype if known else np.dtype(np.float64)
        in_order = array.ndim == 2 and array.flags.c_contiguous and array.flags.aligned
        self.direct = known and in_order

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Training on these samples begins its next epoch."""

    def held(self, positions: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Which of ``positions``, by their index, this process can ``take``; None: all."""
        return None

    def mapped(self, apply: Callable[[Array], Array]) -> Rows:
        """With ``apply``, of arrays (n, n_features), as they are read."""
        return MappedRows(self, apply)

    def spread(self) -> Array:
        """64 samples spread over the data, or all, float64."""
        positions = spread_over(len(self))
        out = np.empty((len(positions), self.shape[1]))
        self.take(positions, out)
        return out

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), math.prod(self.array.shape[1:])

    @property
    def ndim(self) -> int:
        return 2

    def __len__(self) -> int:
        return len(self.array) if self.indices is None else len(self.indices)

    def __getitem__(self, where: Any) -> Any:
        """Of a slice, of positions or of a mask (n,): those samples, as a view, Rows of the same
        ``dtype``; ``np.asarray`` makes an array of it, see ``__array__``. Of a position: that
        sample, (n_features,). Raises IndexError for what is none of these."""
        if isinstance(where, tuple) and where[1:] == (...,):  # so scikit-learn takes samples
            where = where[0]
        chosen = np.arange(len(self))[where]
        return self.select(chosen) if chosen.ndim else np.asarray(self.select(chosen[None]))[0]

    def label(self, column: int) -> str:
        """What errors call a column: by its name, else by its number from 0."""
        return str(column) if self.names is None else repr(self.names[column])

    def plain(self, dtype: DTypeLike) -> bool:
        """Is ``array`` what is read, in order, and may a kernel have it as it is?"""
        return bool(
            self.direct and self.indices is None and self.scale == 1 and self.dtype == dtype
            and type(self.array) is np.ndarray and self.array.flags.writeable
        )  # fmt: skip

    def select(self, positions: NDArray[np.int64]) -> Rows:
        """The samples at these positions, as a view."""
        chosen = positions if self.indices is None else self.indices[positions]
        return Rows(self.array, chosen, self.names, self.schema)

    def take(self, positions: NDArray[np.int64], out: Array) -> None:
        """out[i] = sample positions[i], scaled and in out's dtype."""
        chosen = positions if self.indices is None else self.indices[positions]
        rows_exist(chosen, len(self.array))
        if self.direct:
            gather(self.array, chosen, self.scale, out)
        else:
            gather(self._read(chosen), np.arange(len(chosen)), self.scale, out)

    def _read(self, where: NDArray[np.int64] | slice) -> Array:
        """Stored samples, in order and in ``dtype``."""
        part = self.array[where]
        return np.require(part.reshape(len(part), self.shape[1]), self.dtype, ["C", "A"])

    def stored(self, positions: NDArray[np.int64]) -> Array:
        """The samples at these positions, unscaled, in ``dtype``."""
        return self._read(positions if self.indices is None else self.indices[positions])

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        """All samples in order, unscaled, in ``dtype``, a few megabytes at a time."""
        n, n_features = self.shape
        size = max(1, CHUNK_BYTES // (self.dtype.itemsize * n_features))
        for start in range(0, n, size):
            part = slice(start, min(start + size, n))
            where = part if self.indices is None else self.indices[part]
            yield part, self.array[where] if self.direct else self._read(where)

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


def spread_over(n: int) -> NDArray[np.int64]:
    """64 of the positions 0 .. n - 1, the first and the last among them, or all."""
    return np.unique(np.linspace(0, n - 1, 64).astype(np.int64))


class MappedRows(Rows):
    """``raw`` with ``apply``, of arrays (n, n_features), as they are read; small data at once."""

    def __init__(self, raw: Rows, apply: Callable[[Array], Array]) -> None:
        self.raw, self.apply = raw, apply
        if 8 * raw.shape[0] * raw.shape[1] <= SMALL_BYTES:
            with np.errstate(over="ignore", invalid="ignore"):
                super().__init__(apply(raw.__array__(np.float64)), names=raw.names)
            return
        super().__init__(raw.array, raw.indices, raw.names)
        self.scale, self.dtype, self.direct = 1.0, np.dtype(np.float64), False

    def select(self, positions: NDArray[np.int64]) -> Rows:
        return MappedRows(self.raw.select(positions), self.apply)

    def take(self, positions: NDArray[np.int64], out: Array) -> None:
        if self.direct:
            super().take(positions, out)
            return
        values = np.empty(out.shape)
        self.raw.take(positions, values)
        with np.errstate(over="ignore", invalid="ignore"):
            out[...] = self.apply(values)

    def stored(self, positions: NDArray[np.int64]) -> Array:
        out = np.empty((len(positions), self.shape[1]), self.dtype)
        self.take(positions, out)
        return out

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        if self.direct:
            yield from super().pieces()
            return
        n, n_features = self.shape
        size = max(1, CHUNK_BYTES // (8 * n_features))
        for start in range(0, n, size):
            part = np.empty((min(size, n - start), n_features))
            self.take(np.arange(start, start + len(part)), part)
            yield slice(start, start + len(part)), part


def as_rows(
    X: ArrayLike | Rows, name: str = "X", flatten: bool = False, *, schema: Schema | None = None,
    learn: bool = False,
) -> Rows:  # fmt: skip
    """``X`` (n, n_features) as Rows; with ``flatten`` it may have more dimensions.

    A DataFrame is read by ``schema``. Without one its columns must be numbers, or, to ``learn``,
    its schema is learnt where some are not; what is left out of it is logged.
    Whatever its order, strides or byte order, an array of real numbers of more than SMALL_BYTES
    is not copied. Raises ValueError for a wrong number of dimensions, no samples or no features,
    TypeError or ValueError for data that are no real numbers, masked or sparse; of a DataFrame,
    names the column.
    """
    if isinstance(X, Rows):
        rows = X
    elif (schema or learn) and (table := table_of(X)) is not None:
        if schema is None and not all(isinstance(column, Numbers) for _, column in table):
            schema, notes = learn_schema(table)
            for note in notes:
                log.warning("%s: %s", name, note)
        if schema is None:
            rows = as_rows(X, name, flatten)
        else:
            rows = Rows(schema.matrix(table), names=schema.names, schema=schema)
    elif (columns := columns_of(X)) is not None:
        real = _as_real_array(matrix(X, columns, name), name, flatten)
        rows = Rows(real, names=feature_names(columns))
    else:
        rows = Rows(_as_real_array(X, name, flatten))
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


def _as_real_array(X: ArrayLike, name: str, flatten: bool) -> Array:
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError(
            f"{name} is a sparse matrix, dense data is required: convert it with {name}.toarray()"
        )
    unmasked(name, X)
    if hasattr(X, "collect"):
        raise TypeError(f"{name} is a {type(X).__name__}, not data yet: use {name}.collect()")
    array = np.asarray(X)
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name} must hold real numbers: {error}") from None
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 2 and not (flatten and array.ndim > 2):
        raise ValueError(
            f"Expected 2D array {name} (samples, features), got {array.ndim}D array of shape "
            f"{array.shape}. "
            "Reshape your data: array.reshape(len(array), -1) makes a row of each sample, "
            "array.reshape(1, -1) is a single sample."
        )
    if array.size * 8 > SMALL_BYTES and not array.flags.c_contiguous:
        return array
    array = array.reshape(len(array), math.prod(array.shape[1:]))
    rows = Rows(array)
    if rows.direct or array.size * 8 > SMALL_BYTES:
        return array
    # infinity and signalling NaN are found where values are checked
    with np.errstate(over="ignore", invalid="ignore"):
        return np.require(array, rows.dtype, ["C", "A"])


def value_range(
    rows: Rows, name: str, dtype: DTypeLike = np.float64, missing: bool = False, hint: str = ""
) -> tuple[float, float]:
    """(smallest, largest) value of all samples as they are read; visits the data once.

    Raises ValueError for infinity, numbers beyond ``dtype`` and NaN, naming the first sample and
    column that hold one. With ``missing`` NaN is passed over, (0, 0) where there is nothing else;
    else ``hint`` says what to do about it.
    """
    low, high = np.inf, -np.inf
    with np.errstate(all="ignore"):
        for part, stored in rows.pieces():
            low_here, high_here = float(stored.min()) * rows.scale, float(stored.max()) * rows.scale
            if missing and np.isnan(low_here):
                low_here, high_here = (
                    float(f.reduce(stored, axis=None)) for f in (np.fmin, np.fmax)
                )
            bad = np.isinf if missing else lambda x: ~np.isfinite(x)
            if bad(np.array([low_here, high_here], dtype)).any():
                row, column = np.argwhere(bad(stored.astype(dtype)))[0].tolist()
                value = float(stored[row, column])
                where = f"(first in sample {part.start + row}, column {rows.label(column)})"
                if np.isfinite(value):
                    raise ValueError(
                        f"Input {name} contains {value:.6g} {where}, too large for "
                        f"{np.dtype(dtype).name}: scale the data, or use dtype='float64'"
                    )
                kind = f"NaN {where}{hint}" if np.isnan(value) else f"infinity {where}"
                raise ValueError(f"Input {name} contains {kind}")
            low, high = min(low, low_here), max(high, high_here)  # as they were for NaN
    return (low, high) if low <= high else (0.0, 0.0)


def far_outside(
    low: float, high: float, trained: tuple[float, float] | None, pixels: bool, name: str = "X"
) -> str:
    """What is wrong with data in [low, high] for a net trained on data in ``trained``, or "".

    Far outside is beyond the range of training, extended to 0, by more than its width: new data
    often go a little beyond, and a few samples to train on lie close together. Pixels lie in
    [0, 1] whatever they are: they are far off where the training data go far beyond that.
    """
    if trained is None or (trained[0] <= low and high <= trained[1] and not pixels):
        return ""

    def beyond(a: float, b: float, low: float, high: float) -> bool:
        low, high = min(low, 0.0), max(high, 0.0)
        return a < low - (high - low) or b > high + (high - low)

    if not (beyond(low, high, *trained) or (pixels and beyond(*trained, 0.0, 1.0))):
        return ""
    pixels = pixels or (trained[0] >= 0 and trained[1] <= 1)
    return (
        f"{name} ranges over [{low:g}, {high:g}], the training data over [{trained[0]:g}, "
        f"{trained[1]:g}]: is it in their units?"
        + (" (uint8 is scaled to [0, 1], floats are not)" if pixels else "")
    )
