"""What an autoencoder with weights does with samples: encode, decode, reconstruct, score."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import DTYPES
from .checks import integer
from .data.missing import HINT, missing_counts
from .data.rows import Rows, as_rows, far_outside, value_range
from .data.scaling import Scaling, scaled
from .data.tables.frames import as_frame, filled_in, library_of
from .data.tables.schema import Schema
from .net.network import Network
from .passes import (
    BY_NUMPY,
    FEW,
    Stretch,
    at_once,
    errors,
    errors_of_few,
    run,
    squared_errors,
    zero_units,
)

LARGEST = {np.dtype(dtype).char: float(np.finfo(dtype).max) for dtype in DTYPES}


class Inference:
    """What an autoencoder with weights does with samples; nothing here changes the weights."""

    # what the estimator has
    n_features_in_: int
    data_range_: tuple[float, float] | None
    scaling_: Scaling | None
    fill_: NDArray[np.float64] | None
    schema_: Schema | None
    frame_: str | None
    threads: int | None
    _network: Network
    _code: int
    _fitted: Callable[[], Network]
    _expect_features: Callable[[Rows], None]
    _expect_width: Callable[[Rows, int, str], None]
    _limited_threads: Callable[[], AbstractContextManager[Any]]
    _warn: Callable[[str], None]

    def encode(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """X (n, n_features) -> codes (n, code). uint8 is scaled to [0, 1], as in ``fit``."""
        if (codes := self._at_once(Network.encode, X)) is not None:
            return codes
        rows = self._checked(X)
        with self._limited_threads():
            return run(self._network, Network.encode, rows, self._code)

    def decode(self, Z: ArrayLike | Rows) -> Any:
        """Codes Z (n, code) -> reconstructions (n, n_features), in the units of the data.

        Of a net that was trained on a DataFrame with categories: a DataFrame, with the likeliest
        level of each. Of one that was trained on such a table from a file: the numbers, and the
        probability of each level, of which ``schema_.back`` makes columns.
        """
        if (x := self._at_once(Network.decode, Z, codes=True)) is None:
            network, rows = self._network, as_rows(Z, "Z")
            self._expect_width(rows, self._code, "Z")
            value_range(rows, "Z", network.dtype)
            with self._limited_threads():
                x = run(network, Network.decode, rows, self.n_features_in_)
        x = self._unscaled(x)
        return self._as_table(x, self.frame_, Z)

    def reconstruct(self, X: ArrayLike | Rows) -> Any:
        """decode(encode(X)), (n, n_features); of a DataFrame with categories a DataFrame."""
        if (x := self._at_once(Network.reconstruct, X)) is None:
            rows = self._checked(X)
            with self._limited_threads():
                x = run(self._network, Network.reconstruct, rows, self.n_features_in_)
        x = self._unscaled(x)
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
                found = run(network, Network.reconstruct, Rows(x), self.n_features_in_)[missing]
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
        scores = self._squared_errors(X)
        dtype = self._network.parameters.values.dtype
        np.negative(scores, out=scores)
        if scores.item(scores.argmin()) < (least := -LARGEST[dtype.char]):
            np.maximum(scores, least, out=scores)
        return scores.astype(dtype, copy=False)

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
            for _, error in errors(network, rows):
                total += np.einsum("ij,ij->j", error, error, dtype=np.float64)
        return total / np.maximum(known, 1)

    def zero_units(self, X: ArrayLike | Rows) -> dict[str, int]:
        """How many units of each layer before the output are 0 for all samples X (n, n_features).

        Layers without such units are left out. A relu unit that is 0 for all training data is
        dead: it no longer learns.
        """
        found = self._zero_units(X)
        return {name: int(units.sum()) for name, units in found.items() if units.any()}

    def _zero_units(self, X: ArrayLike | Rows) -> dict[str, NDArray[np.bool_]]:
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            return zero_units(network, rows)

    def _squared_errors(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        if (found := self._at_once(errors_of_few, X)) is not None:
            return found
        rows = self._checked(X)
        with self._limited_threads():
            return squared_errors(self._network, rows)

    def _at_once(self, stretch: Stretch, X: object, codes: bool = False) -> NDArray[Any] | None:
        """``stretch`` over X (n, n_features), or with ``codes`` (n, code), where it is a plain
        array of a few samples with which nothing is wrong; else None, and ``_checked`` tells."""
        network, scaling = self._fitted(), self.scaling_
        if (
            type(X) is not np.ndarray or self.threads is not None
            or len(shape := X.shape) != 2 or not 0 < shape[0] <= FEW
            or shape[1] != (self._code if codes else self.n_features_in_)
            or network.backend.name not in BY_NUMPY
            or (not codes and hasattr(self, "feature_names_in_"))
        ):  # fmt: skip
            return None
        dtype, own = X.dtype, network.parameters.values.dtype
        kind = dtype.char
        if dtype is not own and (
            kind not in ("fd" if codes or scaling is not None else "fdB") or not dtype.isnative
        ):
            return None
        low, high = X.item(X.argmin()), X.item(X.argmax())  # faster than min and max; finds NaN
        if pixels := kind == "B":
            low, high = low / 255, high / 255
        known = None if codes else self.data_range_
        if pixels or known is None or not (known[0] <= low and high <= known[1]):
            largest = LARGEST[own.char]
            if not (-largest <= low and high <= largest):  # NaN too
                return None
            if far_outside(low, high, known, pixels):
                return None
        if dtype is not own or scaling is not None:
            X = self._read(X, own, codes)
        return at_once(network, stretch, X)

    def _read(self, X: NDArray[Any], dtype: np.dtype[Any], codes: bool) -> NDArray[Any]:
        """X as the net reads it."""
        if codes or self.scaling_ is None:
            return np.multiply(X, 1 / 255, dtype=dtype) if X.dtype == np.uint8 else X.astype(dtype)
        with np.errstate(all="ignore"):
            return self.scaling_.apply(X).astype(dtype)

    def _checked(self, X: ArrayLike | Rows) -> Rows:
        """X as samples of the right width, finite in the net's dtype."""
        rows = as_rows(X, schema=self.schema_)
        self._expect_features(rows)
        dtype = self._network.dtype if self.scaling_ is None else "float64"
        span = value_range(rows, "X", dtype, self.fill_ is not None, HINT)
        self._warn(far_outside(*span, self.data_range_, rows.scale != 1))
        return scaled(rows, self.scaling_)

    def _as_table(self, x: NDArray[Any], library: str | None, like: object) -> Any:
        if self.schema_ is None or library is None:
            return x
        return as_frame(library, self.schema_.back(x), None, like)

    def _unscaled(self, x: NDArray[Any]) -> NDArray[Any]:
        return x if self.scaling_ is None else self.scaling_.undo(x)
