"""Encoding, decoding and scoring data of any length, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import integer
from .data.missing import HINT, missing_counts
from .data.rows import Rows, as_rows, far_outside, value_range
from .data.scaling import Scaling, scaled
from .data.tables.frames import as_frame, filled_in, library_of
from .data.tables.schema import Schema
from .kernels.backend import Array
from .net.layers import Record
from .net.network import Network, Workspace, forward
from .train.batches import Feeder

BATCH = 512

# a stretch of the net: (batch, n_in) -> (batch, n_out)
Stretch = Callable[[Array, Sequence[Record]], Array]


class Inference:
    """What an autoencoder with weights does with samples; nothing here changes the weights."""

    # what the estimator has
    n_features_in_: int
    data_range_: tuple[float, float] | None
    scaling_: Scaling | None
    fill_: NDArray[np.float64] | None
    schema_: Schema | None
    frame_: str | None
    _network: Network
    _code: int
    _fitted: Callable[[], Network]
    _expect_features: Callable[[Rows], None]
    _expect_width: Callable[[Rows, int, str], None]
    _limited_threads: Callable[[], AbstractContextManager[Any]]
    _warn: Callable[[str], None]

    def encode(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """X (n, n_features) -> codes (n, code). uint8 is scaled to [0, 1], as in ``fit``."""
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            return run(network, network.encode, rows, self._code)

    def decode(self, Z: ArrayLike | Rows) -> Any:
        """Codes Z (n, code) -> reconstructions (n, n_features), in the units of the data.

        Of a net that was trained on a DataFrame with categories: a DataFrame, with the likeliest
        level of each. Of one that was trained on such a table from a file: the numbers, and the
        probability of each level, of which ``schema_.back`` makes columns.
        """
        network, rows = self._fitted(), as_rows(Z, "Z")
        self._expect_width(rows, self._code, "Z")
        value_range(rows, "Z", network.dtype)
        with self._limited_threads():
            x = self._unscaled(run(network, network.decode, rows, self.n_features_in_))
        return self._as_table(x, self.frame_, Z)

    def reconstruct(self, X: ArrayLike | Rows) -> Any:
        """decode(encode(X)), (n, n_features); of a DataFrame with categories a DataFrame."""
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            x = self._unscaled(run(network, network.reconstruct, rows, self.n_features_in_))
        return self._as_table(x, library_of(X), X)

    def impute(self, X: ArrayLike | Rows, *, n_iter: int = 2) -> Any:
        """X (n, n_features) with its missing values (NaN) filled in; the others stay as they are.

        A missing value becomes that of the reconstruction, for which it was read as ``fill_``; then
        ``n_iter`` - 1 times half of the way to the reconstruction of the sample filled so far. Many
        more seldom help, since no training has shown what such a sample leads to. float32 for
        float32, else float64. Of a DataFrame with categories a copy, where also these are filled.

        Raises what ``encode`` does, and ValueError or TypeError for an ``n_iter`` that is no
        integer >= 1.
        """
        integer("n_iter", n_iter, 1)
        network, rows = self._fitted(), self._checked(X)
        x, out = np.asarray(rows), as_rows(X, schema=self.schema_).__array__()
        missing = np.isnan(x)
        with self._limited_threads():
            for step in range(n_iter if missing.any() else 0):
                found = run(network, network.reconstruct, Rows(x), self.n_features_in_)[missing]
                x[missing] = found if step == 0 else (x[missing] + found) / 2
        out[missing] = self._unscaled(x)[missing]
        if self.schema_ is None or library_of(X) is None:
            return out
        return filled_in(X, self.schema_.back(out))

    def score_samples(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """Minus the squared error of each sample, (n,) in the net's dtype: higher is better.

        Errors are on the scale of ``scaling_``, as the loss is; missing values count as none. What
        is beyond the dtype becomes its least finite number.
        """
        scores = -self._squared_errors(X)
        return np.maximum(scores, np.finfo(self._fitted().dtype).min).astype(self._fitted().dtype)

    def score(self, X: ArrayLike | Rows, y: object = None) -> float:
        """Minus the squared error per sample, as of ``score_samples``: higher is better."""
        with np.errstate(over="ignore"):
            return -float(self._squared_errors(X).mean())

    def column_errors(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        """Mean squared error of each feature, (n_features,), on the scale of ``scaling_``, where it
        is not missing.

        Times ``scaling_.spread ** 2`` they are in the units of the data.
        """
        network, rows = self._fitted(), self._checked(X)
        total = np.zeros(self.n_features_in_)
        known = len(rows) - (0 if self.fill_ is None else missing_counts(rows))
        with self._limited_threads():
            for _, error in _errors(network, rows):
                total += np.einsum("ij,ij->j", error, error, dtype=np.float64)
        return total / np.maximum(known, 1)

    def zero_units(self, X: ArrayLike | Rows) -> dict[str, int]:
        """How many units of each layer before the output are 0 for all samples X (n, n_features).

        Layers without such units are left out. A relu unit that is 0 for all training data is
        dead: it no longer learns.
        """
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            return zero_units(network, rows)

    def _squared_errors(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            return squared_errors(network, rows)

    def _checked(self, X: ArrayLike | Rows) -> Rows:
        """X as samples of the right width, finite in the net's dtype."""
        rows = as_rows(X, schema=self.schema_)
        self._expect_features(rows)
        dtype = self._network.dtype if self.scaling_ is None else "float64"
        span = value_range(rows, "X", dtype, self.fill_ is not None, HINT)
        self._warn(far_outside(rows, *span, self.data_range_))
        return scaled(rows, self.scaling_)

    def _as_table(self, x: NDArray[Any], library: str | None, like: object) -> Any:
        if self.schema_ is None or library is None:
            return x
        return as_frame(library, self.schema_.back(x), None, like)

    def _unscaled(self, x: NDArray[Any]) -> NDArray[Any]:
        return x if self.scaling_ is None else self.scaling_.undo(x)


def run(network: Network, stretch: Stretch, rows: Rows, width: int) -> NDArray[Any]:
    """``stretch`` (``network.encode``, ``decode`` or ``reconstruct``) over all samples.

    Returns (n, width) in the network's dtype.
    """
    out = np.empty((len(rows), width), network.dtype)
    for start, _, result in _batches(network, stretch, rows):
        out[start : start + len(result)] = result
    return out


def squared_errors(network: Network, rows: Rows) -> NDArray[np.float64]:
    """Sum over features of (x - reconstruction)^2 for each sample, float64 (n,), where x is not
    missing."""
    out = np.empty(len(rows))
    for start, error in _errors(network, rows):
        np.einsum("ij,ij->i", error, error, dtype=np.float64, out=out[start : start + len(error)])
    return out


def _errors(network: Network, rows: Rows) -> Iterator[tuple[int, NDArray[Any]]]:
    """(first position, reconstruction - x) of each batch; 0 where x is missing."""
    for start, x, result in _batches(network, network.reconstruct, rows):
        error = result - network.backend.to_host(x)
        if network.fill is not None:
            error[np.isnan(error)] = 0
        yield start, error


def zero_units(network: Network, rows: Rows) -> dict[str, int]:
    """By layer, how many of its units are 0 for all samples; layers that have none are left out.

    The output is left out too: a pixel may always be 0. Ends once every unit has been seen at work.
    """
    zero: dict[str, NDArray[np.bool_]] = {}

    def look(x: Array, records: Sequence[Record]) -> Array:
        output = forward(network.backend, network.filled(x), records[:-1])
        for record in records[:-1]:
            name = record.layer.name
            still = np.asarray(~network.backend.to_host(record.y).any(axis=0))
            zero[name] = still & zero[name] if name in zero else still
        return output

    for _ in _batches(network, look, rows):
        if not any(units.any() for units in zero.values()):
            break
    return {name: int(units.sum()) for name, units in zero.items() if units.any()}


def _batches(network: Network, stretch: Stretch, rows: Rows) -> Any:
    """(first position, input on the backend, result on the host) of each batch."""
    backend, (n, n_in) = network.backend, rows.shape
    capacity = min(BATCH, n)
    workspace = Workspace(network, capacity)
    feeder = Feeder(backend, rows, capacity, network.dtype)
    inputs = backend.empty((capacity, n_in), network.dtype)
    with np.errstate(all="ignore"):
        for start in range(0, n, capacity):
            size = min(capacity, n - start)
            x = inputs[:size]
            feeder.fill(np.arange(start, start + size), x)
            result = backend.to_host(stretch(x, workspace.records(size)))
            if not np.isfinite(result).all():
                _overflow(start, backend.to_host(x), result)
            yield start, x, result


def _overflow(start: int, x: NDArray[Any], result: NDArray[Any]) -> None:
    """Raises ValueError that names the first sample whose result is not finite."""
    row = int(np.argmin(np.isfinite(result).all(axis=1)))
    column = int(np.nanargmax(np.abs(x[row])))
    raise ValueError(
        f"sample {start + row} overflows {x.dtype} in the net: its largest value is "
        f"{x[row, column]:.6g} (column {column}). Scale the data, or use dtype='float64'"
    )
