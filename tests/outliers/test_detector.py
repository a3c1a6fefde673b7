"""Scores, thresholds, p-values, reasons, streams, drift, files, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import FileError, NotFittedError, OutlierDetector
from tinyae.outliers import stream


def table(n: int, seed: int, columns: int = 12) -> np.ndarray:
    """Rows of four factors and a little noise, in units of all sizes."""
    factors = np.random.default_rng(99).normal(size=(4, columns))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)) @ factors + 0.3 * rng.normal(size=(n, columns))
    return np.asarray(x * np.logspace(-2, 3, columns) + np.arange(columns))


X = table(300, 0)
FITTED = OutlierDetector(random_state=0).fit(X)


def small(**options: Any) -> OutlierDetector:
    return OutlierDetector(**{"members": 8, "rows": 16, "random_state": 0, **options})


def auc(normal: np.ndarray, outliers: np.ndarray) -> float:
    """How often an outlier's score_samples is below a normal row's."""
    return float((outliers[:, None] < normal).mean())


def test_rows_of_shuffled_columns_are_found_though_no_value_is_odd() -> None:
    new, rng = table(200, 1), np.random.default_rng(0)
    mixed = np.stack([rng.permutation(column) for column in new.T], axis=1)
    assert auc(FITTED.score_samples(new), FITTED.score_samples(mixed)) > 0.87
    trained = OutlierDetector(random_state=0, members=20, updates=30).fit(X)
    assert auc(trained.score_samples(new), trained.score_samples(mixed)) > 0.87


def test_a_group_of_outliers_among_the_training_rows_is_found() -> None:
    far = np.concatenate([table(285, 2), table(15, 3) + 4 * X.std(axis=0)])
    scores = OutlierDetector(random_state=1).fit(far).score_samples(far)
    assert auc(scores[:285], scores[285:]) > 0.97


def test_seeds_agree_and_the_same_seed_gives_the_same() -> None:
    new = np.concatenate([table(100, 1), table(100, 4) + X.std(axis=0)])
    again = OutlierDetector(random_state=0).fit(X)
    np.testing.assert_array_equal(again.score_samples(new), FITTED.score_samples(new))
    logs = [np.log(-OutlierDetector(random_state=s).fit(X).score_samples(new)) for s in range(3)]
    assert np.std(logs, axis=0).max() < 0.1 * np.std(logs[0])
    assert not np.array_equal(logs[0], logs[1])


def test_units_and_offsets_do_not_matter() -> None:
    new, unit = table(50, 1), np.logspace(-6, 6, 12)
    other = OutlierDetector(random_state=0).fit(X * unit - 3 * unit)
    np.testing.assert_allclose(
        other.score_samples(new * unit - 3 * unit), FITTED.score_samples(new), rtol=1e-6
    )


@pytest.mark.parametrize("share", [0.01, 0.1, 0.37, 0.5])
def test_contamination_is_the_share_of_training_rows_that_are_outliers(share: float) -> None:
    detector = small(contamination=share)
    assert (detector.fit_predict(X) == -1).sum() == round(share * 300)
    np.testing.assert_array_equal(
        detector.predict(X) == -1, detector.score_samples(X) < detector.offset_
    )
    np.testing.assert_array_equal(
        detector.decision_function(X), detector.score_samples(X) - detector.offset_
    )


def test_auto_is_tukeys_fence() -> None:
    low, high = np.quantile(FITTED._held_out, (0.25, 0.75))
    np.testing.assert_allclose(np.log(-FITTED.offset_), high + 1.5 * (high - low))
    assert (FITTED.predict(table(1000, 5)) == -1).mean() < 0.02
    assert (FITTED.predict(table(10, 5) + 9 * X.std(axis=0)) == -1).all()


def test_a_p_value_is_the_share_of_held_out_scores_that_are_no_smaller() -> None:
    p = FITTED.p_values(X)
    held_out = FITTED._held_out
    logs = FITTED._logs(X)
    expected = [(1 + (held_out >= score).sum()) / 301 for score in logs]
    np.testing.assert_allclose(p, expected)
    np.testing.assert_array_equal(FITTED.predict(X, alpha=0.1) == -1, p <= 0.1)
    assert FITTED.p_values(X[:1] + 99 * X.std(axis=0)) == 1 / 301


def test_at_alpha_5_percent_about_5_percent_of_new_normal_rows_are_flagged() -> None:
    flagged = []
    for seed in range(12):
        detector = OutlierDetector(members=40, random_state=seed).fit(table(400, 100 + seed))
        flagged.append((detector.predict(table(1000, 200 + seed), alpha=0.05) == -1).mean())
    assert 0.03 < np.mean(flagged) <= 0.06


def test_contributions_add_up_to_the_score_and_say_what_is_expected() -> None:
    new = table(40, 1)
    for detector in (FITTED, small(updates=10).fit(X)):
        found = detector.explain(new)
        assert (found.contributions >= 0).all()
        np.testing.assert_allclose(
            found.contributions.sum(axis=1), -detector.score_samples(new), rtol=1e-6
        )
        np.testing.assert_array_equal(found.values, new)
        np.testing.assert_allclose(found.spreads, (new - found.expected) / X.std(axis=0))
        first, second = found.reasons(0, 2)
        assert first.share >= second.share and first.column == str(first).rsplit(" ", 9)[0]
        j = int(first.column.removeprefix("column "))
        assert (first.value, first.expected) == (found.values[0, j], found.expected[0, j])
    # normal rows are near what is expected of them
    off = FITTED.explain(new).expected - new
    assert (np.square(off / X.std(axis=0)).mean(axis=0) < 0.5).all()


def test_the_reason_of_a_missing_value_is_that_it_is_missing() -> None:
    new = table(40, 1)
    new[:, 3] = np.nan
    found = FITTED.explain(new)
    np.testing.assert_array_equal(found.values, new)
    assert np.isfinite(found.contributions).all() and np.isfinite(found.spreads).all()
    reason = next(r for r in found.reasons(0, 12) if r.column == "column 3")
    assert str(reason).startswith("column 3 missing, expected ")
    assert " (its mean counts: " in str(reason)


def test_a_column_of_noise_is_named_first() -> None:
    rng, new = np.random.default_rng(0), table(1000, 1)
    rows, column = np.arange(1000), rng.integers(0, 12, 1000)
    noise = X.mean(axis=0) + 5 * X.std(axis=0) * rng.normal(size=new.shape)
    new[rows, column] = noise[rows, column]
    found = FITTED.explain(new).contributions.argmax(axis=1)
    assert (found == column).mean() >= 0.9


def test_a_column_that_never_changed_counts_when_it_does() -> None:
    x = np.column_stack([X, np.full(300, 7.0)])
    detector = small().fit(x)
    assert np.isfinite(detector.score_samples(x)).all()
    changed = x[:5].copy()
    changed[:, -1] = 8
    assert (detector.score_samples(changed) < detector.score_samples(x[:5])).all()
    assert detector.explain(changed + np.eye(13)[-1] * 9).reasons(0)[0].column == "column 12"


def test_partial_fit_goes_on_and_is_fit_of_all_while_all_are_kept() -> None:
    parts = small().partial_fit(X[:100]).partial_fit(X[100:250]).partial_fit(X[250:])
    whole = small().fit(X)
    np.testing.assert_allclose(parts.score_samples(X), whole.score_samples(X), rtol=1e-6)
    assert parts.columns_.n == 300
    went_on = small().fit(X[:100]).partial_fit(X[100:])
    np.testing.assert_allclose(went_on.score_samples(X), whole.score_samples(X), rtol=1e-6)


def test_more_rows_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEPT", 60)
    detector = small().fit(X)
    assert detector.columns_.n == 300 and detector._held_out.size == 60
    shift = table(900, 6) + 10 * X.std(axis=0)
    before = detector.score_samples(shift[:50]).mean()
    detector.partial_fit(shift)
    assert detector.score_samples(shift[:50]).mean() > 0.1 * before  # they are usual now
    with pytest.raises(ValueError, match="infinity"):
        detector.partial_fit(np.full((2, 12), np.inf))
    assert detector.columns_.n == 1200


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_few_rows_of_the_same_table_have_not_moved(n: int) -> None:
    for start in range(0, 100, n):
        assert FITTED.moved(table(400, 7)[start : start + n]) == []


def test_a_column_without_a_value_is_said() -> None:
    new = table(400, 7)
    new[:, 4] = np.nan
    new[1:, 5] = np.nan
    assert [m[:2] for m in FITTED.moved(new)] == [("column 4", "missing")]


def test_what_has_moved_is_said() -> None:
    assert FITTED.moved(table(400, 7)) == []
    new = table(400, 7)
    new[:, 2] += 2 * X[:, 2].std()
    new[:40, 5] += 20 * X[:, 5].std()
    moved = FITTED.moved(new)
    assert {(m.column, m.what) for m in moved} >= {("column 2", "mean"), ("column 5", "range")}
    assert {m.column for m in moved} <= {"column 2", "column 5"}
    low, high = X[:, 5].min(), X[:, 5].max()
    text = next(m.text for m in moved if m[:2] == ("column 5", "range"))
    assert f"of 400 rows lie beyond [{low:.4g}, {high:.4g}]" in text


@pytest.mark.parametrize("options", [{}, {"updates": 3, "contamination": 0.1}, {"code": 2}])
def test_a_file_and_a_pickle_keep_all(options: dict[str, Any], tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="a DataFrame of pandas")
    frame = pandas.DataFrame(X, columns=[f"c{i}" for i in range(12)])
    detector = small(**options).fit(frame)
    detector.save(tmp_path / "model.npz")
    loaded = OutlierDetector.load(tmp_path / "model.npz")
    new = pandas.DataFrame(table(20, 1), columns=frame.columns)
    for other in (loaded, pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(other.decision_function(new), detector.decision_function(new))
        np.testing.assert_array_equal(other.p_values(new), detector.p_values(new))
        ours, theirs = detector.explain(new), other.explain(new)
        np.testing.assert_array_equal(ours.contributions, theirs.contributions)
        assert theirs.columns[0] == "c0" and other.moved(new) == detector.moved(new)
        assert other.get_params() == detector.get_params()
    with pytest.raises(ValueError, match="loaded from a file, which does not hold the training"):
        loaded.partial_fit(frame)
    with pytest.raises(ValueError, match="unseen at fit time:\n- d\n"):
        loaded.predict(new.rename(columns={"c3": "d"}))
    loaded.fit(X)
    assert loaded.partial_fit(X).columns_.n == 600 and not hasattr(loaded, "feature_names_in_")


@pytest.mark.parametrize(("name", "change", "words"), [
    ("offset", 1.0, "offset must be a number < 0"),
    ("code", 99, "code must be an integer <= 12"),
    ("neighbours", 16, "neighbours must be an integer <= 15"),
    ("trained", 1, "trained must be true or false"),
    ("n_features", 11, "must have shape"),
    ("spread", -1.0, "spread must be positive"),
    ("held_out", -1.0, "held_out must be in order"),
    ("columns.squares", -1.0, "ranges or deviations below 0"),
    ("precision", -1.0, "positive diagonal"),
])  # fmt: skip
def test_a_file_that_contradicts_itself(name: str, change: Any, words: str, tmp_path: Path) -> None:
    import json

    file = tmp_path / "model.npz"
    small().fit(X).save(file)
    with np.load(file) as archive:
        arrays = dict(archive)
    meta = json.loads(str(arrays["meta"]))
    if name in meta["fitted"] and name != "held_out":
        meta["fitted"][name] = change
    else:
        arrays[name] = arrays[name] * change
    np.savez(file, **arrays | {"meta": np.array(json.dumps(meta))})
    with pytest.raises(FileError, match=words) as caught:
        OutlierDetector.load(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("options", "words"), [
    *(({"contamination": c}, rf"contamination must be 'auto' or a number in \(0, 0.5\], got {c!r}")
      for c in (0.0, 0.51, -1, "much", float("nan"), None)),
    ({"members": 0}, "members must be an integer >= 1, got 0"),
    ({"rows": 1}, "rows must be an integer >= 2, got 1"),
    ({"neighbours": 2.5}, "neighbours must be an integer >= 1, got 2.5"),
    ({"updates": -1}, "updates must be an integer >= 0"),
    ({"learning_rate": 0}, "learning_rate must be a number > 0"),
    ({"random_state": -1}, "random_state must be None, an integer"),
])  # fmt: skip
def test_wrong_arguments(options: dict[str, Any], words: str) -> None:
    for fit in (small(**options).fit, small(**options).partial_fit):
        with pytest.raises((ValueError, TypeError), match=words) as caught:
            fit(X)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("x", "words"), [
    (X[:1], "1 sample.*minimum of 2 is required"),
    (np.ones((9, 3)), "X must hold rows that differ, but in 9 rows every column is constant"),
    (X * np.where(np.arange(12) == 3, np.nan, 1), "column 3 of X holds no value"),
    (np.array([[1e300], [-1e300]]), "squares that do not overflow: column 0 is too large"),
    (X[0], "Expected 2D array"),
    ([["a", "b"]], "real numbers"),
])  # fmt: skip
def test_wrong_data(x: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        small().fit(x)
    with pytest.raises(NotFittedError):
        small().score_samples(X)


def test_wrong_alpha_and_other_columns() -> None:
    for alpha in (0, 1, -0.1, float("nan"), "x"):
        with pytest.raises(ValueError, match=r"alpha must be a number in \(0, 1\), got"):
            FITTED.predict(X, alpha=alpha)
    for method in (FITTED.predict, FITTED.p_values, FITTED.explain, FITTED.moved):
        with pytest.raises(ValueError, match="X has 11 features, but OutlierDetector is expecting"):
            method(X[:, 1:])


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_a_few_rows_will_do(n: int) -> None:
    x = X[:n, :2]
    detector = OutlierDetector(random_state=0).fit(x)
    assert np.isfinite(detector.score_samples(x)).all()
    assert (detector.predict(x + 99 * X[:, :2].std(axis=0)) == -1).all()


def test_values_beyond_all_measure_are_outliers_with_finite_scores() -> None:
    odd = X[:3].copy()
    odd[0, 0], odd[1, 5], odd[2, 3] = 1e308, -1e200, 1e30
    scores = FITTED.score_samples(odd)
    assert np.isfinite(scores).all() and (FITTED.predict(odd) == -1).all()
    assert FITTED.explain(odd).contributions.argmax(axis=1).tolist() == [0, 5, 3]


def test_rows_that_come_many_times_are_normal() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.integers(0, 3, (4, 3)), 100, axis=0).astype(float)
    x = np.concatenate([x, [[9.0, 9, 9]]])
    scores = OutlierDetector(random_state=0).fit(x).score_samples(x)
    assert scores[-1] < scores[:-1].min()
