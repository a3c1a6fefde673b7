"""DataFrames: numbers of every dtype are read, and a column of anything else is named."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tinyae.data.missing import column_means, expect_values
from tinyae.data.rows import as_rows, value_range
from tinyae.data.scaling import fit_scaling
from tinyae.outliers.detector import OutlierDetector

pd = pytest.importorskip("pandas", reason="it reads DataFrames of pandas")
pl = pytest.importorskip("polars", reason="it reads DataFrames of polars")

N = 4
OTHER = np.linspace(0.5, 2, N)
BITS, WHOLE = np.array([1, 0, 1, 1]), np.array([3, 1, 4, 1])

NUMBERS: dict[str, Any] = {
    **{f"pandas {kind}": pd.Series(WHOLE.astype(kind)) for kind in
       ("int8", "uint8", "uint64", "float32", "float64", "object")},
    **{f"pandas {kind}": pd.array(WHOLE, dtype=kind) for kind in ("Int8", "UInt16", "Float32")},
    "pandas bool": pd.Series(BITS == 1), "pandas boolean": pd.array(BITS == 1, dtype="boolean"),
    "pandas category": pd.Categorical(WHOLE), "pandas text": pd.Series([f"{v}" for v in WHOLE]),
    "pandas sparse": pd.arrays.SparseArray(WHOLE * 1.0),
    "pandas Decimal": pd.Series([Decimal(int(v)) for v in WHOLE]),
    **{f"polars {kind}": pl.Series(WHOLE, dtype=kind) for kind in
       (pl.Int8, pl.UInt8, pl.UInt64, pl.Float32, pl.Float64)},
    "polars Boolean": pl.Series(BITS == 1), "polars text": pl.Series([f"{v}" for v in WHOLE]),
    "polars Decimal": pl.Series([Decimal(int(v)) for v in WHOLE]),
}  # fmt: skip

MISSING: dict[str, Any] = {
    **{f"pandas {kind}": pd.array([1, None, 1, 1], dtype=kind)
       for kind in ("Int64", "Float64", "boolean")},
    "pandas None": pd.Series([1, None, 2, 3], dtype=object),
    "pandas NA": pd.Series([1, pd.NA, 2, 3], dtype=object),
    "pandas nan": pd.Series([1, np.nan, 2, 3]),
    "pandas category": pd.Categorical([1, None, 2, 3]),
    "polars Int64": pl.Series([1, None, 2, 3]), "polars Float64": pl.Series([1.0, None, 2, 3]),
    "polars Boolean": pl.Series([True, None, True, False]),
}  # fmt: skip

DAYS = [date(2020, 1, day) for day in range(1, 1 + N)]
NO_NUMBERS: dict[str, Any] = {
    "pandas text": pd.Series([*"1234x"][1:]), "pandas object": pd.Series([1, {}, 2, 3]),
    "pandas category": pd.Categorical([*"abca"]),
    "pandas datetime": pd.date_range("2020", periods=N),
    "pandas datetime of a zone": pd.date_range("2020", periods=N, tz="UTC"),
    "pandas date": pd.Series(DAYS), "pandas period": pd.period_range("2020", periods=N, freq="D"),
    "pandas timedelta": pd.timedelta_range("1s", periods=N),
    "pandas interval": pd.interval_range(0, N), "pandas complex": pd.Series(OTHER + 1j),
    "pandas list": pd.Series([[1, 2]] * N),
    "pandas huge": pd.Series([10**400, 2, 3, 4], dtype=object),
    "polars text": pl.Series([*"123x"]), "polars Date": pl.Series(DAYS),
    "polars Datetime": pl.Series(DAYS).cast(pl.Datetime),
    "polars Duration": pl.Series([timedelta(1)] * N), "polars Time": pl.Series([time(1)] * N),
    "polars Categorical": pl.Series([*"abca"], dtype=pl.Categorical),
    "polars List": pl.Series([[1, 2]] * N),
    "polars Array": pl.Series([[1, 2]] * N, dtype=pl.Array(pl.Int64, 2)),
    "polars Struct": pl.Series([{"u": 1}] * N), "polars Binary": pl.Series([b"x"] * N),
}  # fmt: skip


def frames(kind: str, column: Any) -> list[Any]:
    """The column by itself, and beside one of floats."""
    make = pd.DataFrame if kind.startswith("pandas") else pl.DataFrame
    return [make({"odd": column}), make({"plain": OTHER, "odd": column})]


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_every_dtype(kind: str) -> None:
    alone, beside = (as_rows(frame) for frame in frames(kind, NUMBERS[kind]))
    expected = BITS if "ool" in kind else WHOLE
    np.testing.assert_array_equal(alone.array, expected[:, None])
    np.testing.assert_array_equal(beside.array, np.column_stack([OTHER, expected]))
    assert (alone.names, beside.names) == (("odd",), ("plain", "odd"))
    assert beside.select(np.arange(2)).names == beside.names


@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_value_is_named(kind: str) -> None:
    for frame in frames(kind, MISSING[kind]):
        with pytest.raises(ValueError, match="X contains NaN .first in sample 1, column 'odd'."):
            value_range(as_rows(frame), "X")


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_column_of_anything_else_is_named(kind: str) -> None:
    for frame in frames(kind, NO_NUMBERS[kind]):
        with pytest.raises(
            (ValueError, TypeError), match="^Z must hold real numbers, but its column 'odd' has .*"
        ):
            as_rows(frame, "Z")


@pytest.mark.parametrize("work", [
    lambda x: fit_scaling(as_rows(x), "standard"), lambda x: column_means(as_rows(x)),
    OutlierDetector().fit, lambda x: expect_values(as_rows(x * [1, np.nan])),
    lambda x: OutlierDetector().fit(x * [1, np.nan]),
])  # fmt: skip
def test_a_column_that_does_not_do_is_named(work: Any) -> None:
    with pytest.raises(ValueError, match="column 'odd'") as caught:
        work(pd.DataFrame({"plain": OTHER, "odd": [1e308, -1e308, 1e308, 1e308]}))
    assert "missing=" not in str(caught.value)  # an argument that not all of them have


def test_names_that_are_no_strings_are_none_and_a_mixture_is_refused() -> None:
    X = np.ones((N, 2))
    for columns in (None, [3, 4], pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])):
        assert as_rows(pd.DataFrame(X, columns=columns)).names is None
    with pytest.raises(TypeError, match="all input features have string names, .*'int', 'str'"):
        as_rows(pd.DataFrame(X, columns=["a", 1]))
    with pytest.raises(TypeError, match="X is a LazyFrame, .* X.collect()"):
        as_rows(pl.LazyFrame(X))


def test_plain_dataframes_are_not_copied_and_pixels_stay_pixels() -> None:
    X = np.arange(N * 2, dtype=np.uint8).reshape(N, 2)
    rows = as_rows(pd.DataFrame(X, copy=False))
    assert np.shares_memory(rows.array, X) and rows.scale == 1 / 255
