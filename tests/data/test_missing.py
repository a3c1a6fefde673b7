"""Moments of columns with missing values, against NumPy's own functions that pass over NaN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae.data import rows as rows_module
from tinyae.data.missing import cells, choose_missing, column_means, missing_counts
from tinyae.data.pca import fit_pca
from tinyae.data.rows import Rows, as_rows, value_range
from tinyae.data.scaling import fit_scaling, scaled
from tinyae.data.tables.schema import Category, Schema

AUTO = {"missing": "auto", "target_blur": 0.0}


def holed(n: int = 57, n_features: int = 5, share: float = 0.3, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(3.0, [1, 10, 0.1, 5, 2], (n, n_features))
    x[rng.random(x.shape) < share] = np.nan
    return x


@pytest.fixture(params=["whole", "in pieces", "selected", "a memory map of float16"])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    x = holed()
    if request.param == "in pieces":
        monkeypatch.setattr(rows_module, "CHUNK_BYTES", 8 * 5 * 7)
    if request.param == "selected":
        return as_rows(np.vstack([x, x])).select(np.arange(30, 80))
    if request.param == "a memory map of float16":
        np.save(tmp_path / "x.npy", x.astype(np.float16))
        return as_rows(np.load(tmp_path / "x.npy", mmap_mode="r"))
    return as_rows(x)


def test_counts_means_and_range(rows: Any) -> None:
    x = np.asarray(rows)
    np.testing.assert_array_equal(missing_counts(rows), np.isnan(x).sum(axis=0))
    np.testing.assert_allclose(column_means(rows), np.nanmean(x, axis=0), rtol=1e-12)
    assert value_range(rows, "X", missing=True) == (np.nanmin(x), np.nanmax(x))
    with pytest.raises(ValueError, match=r"X contains NaN \(first in sample \d+, column \d\): say"):
        value_range(rows, "X", hint=": say")


@pytest.mark.parametrize("how", ["standard", "robust", "minmax"])
def test_scaling_passes_over_them(rows: Any, how: str) -> None:
    x, scaling = np.asarray(rows), fit_scaling(rows, how)
    low, middle, high = np.nanquantile(x, (0.25, 0.5, 0.75), axis=0)
    center, spread = {
        "standard": (np.nanmean(x, axis=0), np.nanstd(x, axis=0)),
        "robust": (middle, high - low),
        "minmax": (np.nanmin(x, axis=0), np.nanmax(x, axis=0) - np.nanmin(x, axis=0)),
    }[how]
    np.testing.assert_allclose(scaling.center, center, rtol=1e-9)
    np.testing.assert_allclose(scaling.spread, spread, rtol=1e-9)
    there = np.isnan(np.asarray(scaled(rows, scaling)))
    np.testing.assert_array_equal(there, np.isnan(x))


@pytest.mark.parametrize("how", ["standard", "robust", "minmax"])
def test_a_column_without_values_is_left_as_it_is(how: str) -> None:
    x = holed()
    x[:, 3] = np.nan
    scaling = fit_scaling(as_rows(x), how)
    assert (scaling.center[3], scaling.spread[3]) == (0, 1)
    assert column_means(as_rows(x))[3] == 0
    assert np.isfinite(scaling.center).all() and (scaling.spread > 0).all()


def test_pca_takes_them_for_the_mean(rows: Any) -> None:
    """Of the data with means in their place; errors are of what is there."""
    x = np.asarray(rows, np.float64)
    missing = np.isnan(x)
    filled = np.where(missing, np.nanmean(x, axis=0), x)
    pca, other = fit_pca(rows, 2), fit_pca(filled, 2)
    np.testing.assert_allclose(pca.mean, other.mean, rtol=1e-12)
    np.testing.assert_allclose(pca.components, other.components, atol=1e-9)
    np.testing.assert_allclose(pca.variances, other.variances, rtol=1e-9)
    np.testing.assert_allclose(pca.encode(rows), other.encode(filled), atol=1e-9)
    error = other.decode(other.encode(filled)) - x
    np.testing.assert_allclose(pca.column_errors(rows), np.nanmean(error**2, axis=0), rtol=1e-9)


def test_pca_of_many_samples_takes_them_for_the_mean() -> None:
    x = holed(250_000, 5)  # more than are decomposed themselves
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    pca, other = fit_pca(x, 2), fit_pca(filled, 2)
    np.testing.assert_allclose(pca.components, other.components, atol=1e-9)


def test_a_category_is_one_missing_value() -> None:
    schema = Schema((Category("kind", ("a", "b", "c")), "size"))
    x = np.array([[1, 0, 1, 0], [np.nan, 1, 0, 0], [2, *[np.nan] * 3], [3, *[np.nan] * 3]])
    counts = missing_counts(as_rows(x))
    assert (cells(counts, schema) == [1, 2]).all() and cells(counts, None) is counts
    how, why = choose_missing(Rows(x, schema=schema), AUTO)
    assert how == "allow" and why.startswith("missing 37.50% of the values, in 2 of 2 columns")


def test_what_auto_comes_to() -> None:
    x = holed()
    assert choose_missing(as_rows(np.nan_to_num(x)), AUTO) == ("error", "")
    assert choose_missing(as_rows((x > 0).astype(np.uint8)), AUTO) == ("error", "")
    assert choose_missing(as_rows(x), AUTO | {"target_blur": 1.0})[0] == "error"
    how, why = choose_missing(as_rows(x), AUTO)
    assert how == "allow" and why.startswith(
        f"missing {np.isnan(x).mean():.2%} of the values, in 5"
    )
    x[:, 2] = np.nan
    with pytest.raises(ValueError, match="column 2 of X holds no value"):
        choose_missing(as_rows(x), AUTO)
    with pytest.raises(ValueError, match="X holds no value"):
        column_means(as_rows(np.full((3, 2), np.nan)))
    with pytest.raises(ValueError, match="numbers of column 1 are too large"):
        column_means(as_rows(np.array([[1, 1e308], [np.nan, 1e308]])))
