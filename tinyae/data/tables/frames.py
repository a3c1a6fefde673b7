"""DataFrames of pandas and polars, told by their methods: neither library is imported for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .coded import Column, coded, is_gone, number_of, text_of

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
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{whose} has dtype {column.dtype}: {error}") from None
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        raise ValueError(f"{whose} has dtype {column.dtype}")
    return array


def filled_in(X: Any, columns: Mapping[str, Array]) -> Any:
    """A copy of the DataFrame ``X`` with values of these columns where its own are missing.

    Numbers (float64) and text are those of ``Schema.back``, by the names of ``table_of``. A column
    without a missing value stays as it is, as do those that are not named; one of text keeps its
    type, unless that cannot hold the levels.
    """
    own, pandas = columns_of(X) or [], library_of(X) == "pandas"
    new = X.copy() if pandas else X
    for place, (name, column) in enumerate(table_of(X) or []):
        if name not in columns or not (gone := is_gone(column)).any():
            continue
        values, kept = columns[name], own[place][1]
        if pandas:
            new.isetitem(place, values if values.dtype != object else _pandas(kept, gone, values))
        else:
            new = new.with_columns(_polars(kept, gone, values))
    return new


def _pandas(column: Any, gone: Array, levels: Array) -> Any:
    own = column.cat.categories if hasattr(column, "cat") else column.dropna().unique()
    values = {text_of(value): value for value in own}  # a level may be the text of a number
    found = [values.get(level, level) for level in levels[gone]]
    if hasattr(column, "cat"):
        new = column.cat.add_categories([*({*found} - {*own})])
    elif getattr(column.dtype, "kind", "O") in "biuf":
        new = column.astype(object)
        found = [level if (v := number_of(str(level))) is None else v for level in found]
    else:
        new = column.copy()
    new.iloc[np.flatnonzero(gone)] = found
    return new


def _polars(column: Any, gone: Array, values: Array) -> Any:
    import polars

    new = polars.Series(column.name, values.tolist())
    if values.dtype != object:
        return new
    try:
        typed = new.cast(column.dtype)
    except polars.exceptions.PolarsError:  # an Enum without one of the levels
        typed, column = new, column.cast(polars.String)
    return column.zip_with(polars.Series(~gone), typed)


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
