"""``OutlierDetector``: rows of a table that are unlike the others, and why."""

from __future__ import annotations

import os
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import plain, seed_from
from ..data.missing import column_means, expect_values, filled, missing_counts
from ..data.rows import Rows, as_rows, value_range
from ..data.scaling import fit_scaling
from ..sklearn_api import EstimatorBase, NotFittedError
from .detector_file import load_detector, save_detector
from .drift import Moved, moved
from .explain import Explanation, explained, precision
from .members import PIECE, Members, draw, fit_members
from .nets import Floats
from .options import OPTIONS
from .stream import Columns, Stream, passed
from .threshold import p_values, threshold


class OutlierDetector(EstimatorBase):
    """Finds the rows of a table that are unlike the others, and says by which columns.

    An ensemble of small autoencoders, each of a few rows drawn at random. A member's squared
    distance of a row is the squared error of its reconstruction plus the mean squared distance of
    its code to the nearest codes of the member's own rows; columns count in spreads, for half of
    the members in standard deviations, for the others in interquartile ranges. A row's score is
    the geometric mean of these distances. It takes numbers as ``Autoencoder`` does, DataFrames of
    them too; a missing value counts as the mean of its column. A row that the members know is not
    its own neighbour.

    Attributes
    ----------
    offset_ : ``decision_function`` is ``score_samples - offset_``; below 0 is an outlier.
    columns_ : means, ranges and such of the training rows.
    n_features_in_, feature_names_in_, seed_ : as of ``Autoencoder``.
    """

    _arguments = OPTIONS

    # fmt: off
    def __init__(
        self, *, members: int = 100, rows: int = 64, neighbours: int = 5, code: int | None = None,
        updates: int = 0, learning_rate: float = 1e-3, contamination: float | str = "auto",
        random_state: Any = None,
    ) -> None:
        self.members, self.rows, self.neighbours, self.code = members, rows, neighbours, code
        self.updates, self.learning_rate = updates, learning_rate
        self.contamination, self.random_state = contamination, random_state
    # fmt: on

    # ---- learning ------------------------------------------------------------------------

    def fit(self, X: ArrayLike | Rows, y: object = None) -> OutlierDetector:
        """Learns from X (n, n_features), which may hold outliers; ``y`` is ignored.

        X is read chunk by chunk and may be larger than memory: of more than 10,000 rows a random
        10,000 are learnt from, and the columns' numbers from all. A missing value (NaN) counts as
        the mean of its column, here and in all that follows. Raises ValueError or TypeError
        for wrong arguments or data, for a single row, and where every column is constant.
        """
        self._check()
        rows = as_rows(X)
        expect_values(rows)
        value_range(rows, "X", missing=True)
        rows = filled(rows, column_means(rows))
        self._learn(None, rows, seed_from(self.random_state))
        return self

    def partial_fit(self, X: ArrayLike | Rows, y: object = None) -> OutlierDetector:
        """Learns from X beside all that came before: as ``fit`` of all, up to random choices.

        10,000 random rows of all are kept, and the members are made anew from them, which takes
        about a second. Not after ``load``: the rows are not in the file.
        """
        if not hasattr(self, "n_features_in_"):
            return self.fit(X)
        self._check()
        if self._stream is None:
            raise ValueError(
                "this detector was loaded from a file, which does not hold the training rows that "
                "partial_fit goes on from: fit it anew, or keep it by pickle"
            )
        self._learn(self._stream, self._checked(X), self.seed_)
        return self

    def _learn(self, stream: Stream | None, new: Rows, seed: int) -> None:
        stream = passed(stream, new, seed)
        rows, columns = stream.rows, stream.columns
        n, features = rows.shape
        if n < 2:
            raise ValueError(
                "Found array X with 1 sample(s) while a minimum of 2 is required: a row alone is "
                "unlike nothing"
            )
        if columns.constant.all():
            raise ValueError(
                f"X must hold rows that differ, but in {columns.n:,} rows every column is constant"
            )
        size = min(self.rows, max(2, n // 2))
        code = -(-3 * features // 4) if self.code is None else self.code
        drawn = draw(seed, self.members, size, n)
        members = fit_members(
            rows[drawn], (columns.scaling(), fit_scaling(Rows(rows), "robust")),
            min(code, size - 1, features), min(self.neighbours, size - 1), self.updates,
            self.learning_rate,
        )  # fmt: skip
        logs = np.concatenate([part for _, part in members.log_distances(rows)], axis=1)
        known = np.zeros(logs.shape, bool)
        known[np.arange(len(members))[:, None], drawn] = True
        known &= ~known.all(axis=0)  # of two or three rows, each is known to all members
        held_out = np.ma.array(logs, mask=known).mean(axis=0).data
        above = threshold(logs.mean(axis=0), held_out, plain(self.contamination))
        self._stream, self._members, self.columns_, self.seed_ = stream, members, columns, seed
        self._held_out = np.sort(held_out)
        self._precision = precision(rows, columns.scaling())
        self.offset_ = -float(np.exp(above))
        if new.shape[0] == columns.n:  # all there is
            self._name_features(new.names)
        self.n_features_in_ = features

    # ---- judging -------------------------------------------------------------------------

    def score_samples(self, X: ArrayLike | Rows) -> Floats:
        """Minus the score of each row, float64 (n,): lower is more of an outlier.

        The score is the geometric mean over members of squared distances in spreads.
        """
        return np.asarray(-np.exp(self._logs(X)))

    def decision_function(self, X: ArrayLike | Rows) -> Floats:
        """``score_samples(X) - offset_``, (n,): higher is more normal, below 0 is an outlier."""
        return np.asarray(self.score_samples(X) - self.offset_)

    def predict(self, X: ArrayLike | Rows, alpha: float | None = None) -> NDArray[np.int64]:
        """-1 for outliers and 1 for other rows, (n,).

        With ``alpha`` in (0, 1) outliers are the rows with a p-value of at most alpha: that flags
        a share alpha of rows like those of the training, whatever ``contamination`` is.
        """
        if alpha is None:
            return np.where(self.decision_function(X) < 0, -1, 1)
        if not isinstance(alpha, Real) or not 0 < alpha < 1:
            raise ValueError(f"alpha must be a number in (0, 1), got {alpha!r}")
        return np.where(self.p_values(X) <= alpha, -1, 1)

    def fit_predict(self, X: ArrayLike | Rows, y: object = None) -> NDArray[np.int64]:
        """``fit(X)`` and then ``predict(X)``."""
        return self.fit(X, y).predict(X)

    def p_values(self, X: ArrayLike | Rows) -> Floats:
        """How often a row like those of the training is at least so unlike the others, (n,).

        From the training rows, each scored by the members that do not know it: the least p-value
        is 1 / (rows + 1), of at most 10,000 rows. They are for new rows; training rows get nearly
        the same.
        """
        logs = self._logs(X)
        return p_values(self._held_out, logs)

    def explain(self, X: ArrayLike | Rows) -> Explanation:
        """What each column contributes to the score of each row; see ``Explanation``."""
        members = self._fitted()
        x = self._checked(X).__array__(np.float64)
        deviation = self.columns_.scaling().spread
        found = explained(members, x, deviation, self._precision, self._column_names())
        return replace(found, values=np.asarray(as_rows(X), np.float64))

    def moved(self, X: ArrayLike | Rows) -> list[Moved]:
        """Columns of X that have moved since the training: outliers found there say little else.

        Their mean, by more than half a standard deviation and four standard errors; their range,
        if at least 5 % of the rows, and three, lie beyond it; "missing": they hold no value.
        """
        self._fitted()
        old, new, outside = self.columns_, None, np.zeros(self.n_features_in_, np.int64)
        rows = self._checked(X)
        empty = missing_counts(as_rows(X)) == len(rows)
        for _, part in rows.chunks():
            here = Columns.of(part)
            new = here if new is None else new.merged(here)
            outside += ((part < old.low) | (part > old.high)).sum(axis=0)
        assert new is not None  # there is at least one row
        return moved(old, new, outside, empty, self._column_names())

    # ---- files ---------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a ``.npz`` that ``load`` reads: no pickle, and not the training rows, but codes
        of them. Raises what ``Autoencoder.save`` does."""
        self._fitted()
        save_detector(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OutlierDetector:
        """The detector that ``save`` wrote; raises FileNotFoundError or FileError."""
        return load_detector(path, cls)

    # ---- inside --------------------------------------------------------------------------

    _stream: Stream | None
    _members: Members
    _held_out: Floats
    _precision: Floats
    columns_: Columns

    def _check(self) -> None:
        for name, argument in OPTIONS.items():
            value = plain(getattr(self, name))
            if value is not None or argument.default is not None:
                argument.kind.check(name, value)

    def _fitted(self) -> Members:
        if not hasattr(self, "_members"):
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet: call fit or partial_fit "
                "first"
            )
        return self._members

    def _checked(self, X: ArrayLike | Rows) -> Rows:
        rows = as_rows(X)
        self._expect_features(rows)
        value_range(rows, "X", missing=True)
        return filled(rows, self.columns_.mean)

    def _logs(self, X: ArrayLike | Rows) -> Floats:
        """The logarithmic score of each row, (n,)."""
        members, rows = self._fitted(), self._checked(X)
        out = np.empty(len(rows))
        for start in range(0, len(rows), PIECE):  # as they are cut for several processes too
            where = np.arange(start, min(start + PIECE, len(rows)))
            for _, logs in members.log_distances(rows.select(where).__array__(np.float64)):
                out[where] = logs.mean(axis=0)
        return out

    def _column_names(self) -> tuple[str, ...]:
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return tuple(f"column {j}" for j in range(self.n_features_in_))
        return tuple(names)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type="outlier_detector",
            target_tags=TargetTags(required=False),
            input_tags=InputTags(allow_nan=True),
        )
