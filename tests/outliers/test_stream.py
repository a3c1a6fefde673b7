"""What is kept of rows that pass by in parts."""

from __future__ import annotations

import numpy as np
import pytest

from tinyae.data.rows import Rows
from tinyae.outliers import stream
from tinyae.outliers.stream import Columns, passed


def test_columns_of_parts_are_those_of_the_whole() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)) * (1, 1e3, 0) + (0, 1e6, 4)
    found = Columns.of(x[:1]).merged(Columns.of(x[1:20])).merged(Columns.of(x[20:]))
    assert found.n == 50 and found.constant.tolist() == [False, False, True]
    np.testing.assert_allclose(found.mean, x.mean(axis=0))
    np.testing.assert_allclose(found.scaling().spread[:2], x.std(axis=0)[:2])
    assert found.scaling().spread[2] == 1
    np.testing.assert_array_equal([found.low, found.high], [x.min(axis=0), x.max(axis=0)])


def test_a_few_rows_are_all_kept_in_order_and_of_many_each_is_as_likely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "KEPT", 20)
    x = np.arange(100.0)[:, None]
    begun = passed(None, Rows(x[:15]), 0)
    np.testing.assert_array_equal(begun.rows, x[:15])
    counts = np.zeros(100)
    for seed in range(400):
        found = passed(passed(begun, Rows(x[15:60]), seed), Rows(x[60:]), seed)
        assert len(found.rows) == 20 and found.columns.n == 100
        counts[found.rows[:, 0].astype(int)] += 1
    np.testing.assert_array_equal(begun.rows, x[:15])  # as it was
    assert counts.sum() == 20 * 400
    assert abs(counts - 80).max() < 5 * 8  # five standard deviations of a binomial number
