"""DataFrames of pandas and polars, told by their methods: neither library is imported for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .coded import Column, coded

Array = NDArray[Any]


def columns_of(X: object) -> list[tuple[Any, Any]] | None:
    """(name, column) of every column of a DataFrame; None for what is none."""
    if hasattr(X, "iter_columns"):  # polars
        return [(column.name, column) for column in X.iter_columns()]
    if hasattr(X, "iloc") and hasattr(X, "columns"):  # pandas
        return list(X.items())  # type: ignore[attr-defined]
    return None


def table_of(X: object) -> list[tuple[str, Column]] | None:
    """(name, column) as ``learn_schema`` and ``Schema.matrix`` take them; None for no DataFrame.

    What is no text is named by its text. Raises TypeError where only some names are.
    """
    if (columns := columns_of(X)) is None:
        return None
    names = feature_names(columns) or map(str, (name for name, _ in columns))
    return [(name, coded(column)) for name, (_, column) in zip(names, columns, strict=True)]


def library_of(X: object) -> str | None:
    """ "pandas" or "polars", None for no DataFrame: what ``as_frame`` makes one of."""
    if columns_of(X) is None:
        return None
    return "polars" if hasattr(X, "iter_columns") else "pandas"


def feature_names(columns: Sequence[tuple[Any, Any]]) -> tuple[str, ...] | None:
    """The columns' names, None where they are no strings.

    Raises TypeError where some are strings and others are not, as scikit-learn does.
    """
    names = tuple(name for name, _ in columns)
    kinds = sorted({type(name).__name__ for name in names})
    if len(kinds) > 1 and any(isinstance(name, str) for name in names):
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your "
            f"input has {kinds} as feature name / column name types: "
            "X.columns = X.columns.astype(str) makes strings of them"
        )
    return names if kinds == ["str"] else None


def matrix(X: Any, columns: Sequence[tuple[Any, Any]], name: str) -> Array:
    """The DataFrame ``X`` as (n, n_features), float64 where its columns have no common dtype.

    A missing value is NaN. Raises ValueError or TypeError for a column that does not hold real
    numbers.
    """
    numbers = [_numbers(column, f"{name} must hold real numbers, but its column {label!r}")
               for label, column in columns]  # fmt: skip
    whole = np.asarray(X)
    return whole if whole.dtype.kind in "biuf" or not numbers else np.column_stack(numbers)


def _numbers(column: Any, whose: str) -> Array:
    """A column of numbers, (n,): float64 where it is stored as objects or as text."""
    array = np.asarray(column)
    try:
        if array.dtype.kind in "OUT":
            # pandas has a missing value that NumPy does not know
            missing = {"na_value": np.nan} if hasattr(column, "iloc") else {}
            array = column.to_numpy(**missing).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{whose} has dtype {column.dtype}: {error}") from None
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        raise ValueError(f"{whose} has dtype {column.dtype}")
    return array


def with_columns(X: Any, columns: Mapping[str, Array]) -> Any:
    """The DataFrame ``X`` with these columns in the place of its own."""
    if library_of(X) == "pandas":
        return X.assign(**columns)
    import polars

    return X.with_columns(polars.Series(name, columns[name].tolist()) for name in columns)


def as_frame(library: str, array: Array | Mapping[str, Array], names: Any, like: object) -> Any:
    """``array`` as a DataFrame of "pandas" or "polars"; pandas keeps the index of ``like``.

    It is (n, columns), with their ``names``, or the columns by name, as of ``Schema.back``.
    Raises ImportError where the library is not installed.
    """
    try:
        if library == "polars":
            import polars

            if isinstance(array, Mapping):  # of an array of objects text would be no text
                return polars.DataFrame({name: array[name].tolist() for name in array})
            return polars.DataFrame(array, schema=names.tolist(), orient="row")
        import pandas
    except ImportError:
        raise ImportError(
            f"set_output(transform={library!r}) needs {library}: pip install {library}"
        ) from None
    index = like.index if isinstance(like, (pandas.DataFrame, pandas.Series)) else None
    return pandas.DataFrame(array, index=index, columns=names)
