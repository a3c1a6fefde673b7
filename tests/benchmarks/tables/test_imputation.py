"""Errors of filled-in cells: by hand, over the taken-out cells alone, and of fillers that cheat."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.tables.imputation import IMPUTERS, error, mean, measured, taken_out
from tinyae.data.rows import Array


def test_error_is_in_standard_deviations_over_the_taken_out_cells() -> None:
    X = np.array([[1.0, 10.0], [3.0, 10.0], [1.0, 30.0], [3.0, 30.0]])  # deviations 1 and 10
    gone = np.array([[True, False], [False, False], [False, True], [False, False]])
    filled = X.copy()
    filled[0, 0] += 3
    filled[2, 1] -= 40
    assert error(X, gone, filled) == pytest.approx(np.sqrt((3**2 + 4**2) / 2))


@pytest.mark.parametrize("cheat", ["a cell that was there", "NaN", "another shape"])
def test_what_is_not_imputed_is_refused(cheat: str) -> None:
    X = np.arange(12.0).reshape(6, 2)
    gone = taken_out(X.shape, 0.3, 0)
    filled = X[:5] if cheat == "another shape" else X.copy()
    if cheat == "a cell that was there":
        filled[tuple(np.argwhere(~gone)[0])] += 1
    elif cheat == "NaN":
        filled[0, 0] = np.nan
    with pytest.raises(ValueError, match="as they were" if "cell" in cheat else "finite"):
        error(X, gone, filled)


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_so_many_cells_are_taken_out_and_no_row_or_column_whole(fraction: float) -> None:
    gone = taken_out((4000, 8), fraction, 1)
    assert gone.mean() == pytest.approx(fraction, abs=0.01)
    assert (gone == taken_out((4000, 8), fraction, 1)).all()
    for seed in range(20):
        small = taken_out((3, 2), 0.9, seed)
        assert not small.all(axis=0).any() and not small.all(axis=1).any()


def test_every_imputer_gets_the_same_cells_and_its_errors() -> None:
    pytest.importorskip("sklearn", reason="its imputers are the rivals")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 5)) + 7
    X[:, 3] = 1.0  # constant: left out
    seen: list[Array] = []

    def complete(given: Array, seed: int) -> Array:
        """Not to be had outside of a test."""
        seen.append(np.isnan(given))
        return np.delete(X, 3, axis=1)

    rivals = {name: IMPUTERS[name] for name in ("KNNImputer", "IterativeImputer")}
    found = measured(X, 0.1, {"complete": complete, "mean": mean, **rivals}, seeds=2)
    errors = {name: np.mean(row["error"]) for name, row in found.items()}
    assert errors["complete"] == 0 and errors["mean"] == pytest.approx(1, abs=0.3)
    assert errors["IterativeImputer"] < errors["mean"] > errors["KNNImputer"]
    assert len(seen) == 2 and seen[0].shape == (80, 4) and (seen[0] != seen[1]).any()
