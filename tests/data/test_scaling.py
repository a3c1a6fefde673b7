"""Features on one scale: hand-worked, undone, of any layout and size, in files and in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.data import rows as rows_module
from tinyae.data.rows import Rows, as_rows
from tinyae.data.scaling import HOW, Scaling, fit_scaling, scaled, scaling_from

X = np.array([[0.0, 10.0, 5.0], [1.0, 30.0, 5.0], [2.0, 20.0, 5.0], [5.0, 40.0, 5.0]])
TABLE = np.random.default_rng(0).normal(size=(60, 5)) * [1, 1e3, 1e-3, 7, 0] + [5, -1e6, 0, 2, 3]


@pytest.mark.parametrize(
    ("how", "center", "spread"),
    [
        ("standard", [2.0, 25.0, 5.0], [np.sqrt(3.5), np.sqrt(125.0), 1.0]),
        ("minmax", [0.0, 10.0, 5.0], [5.0, 30.0, 1.0]),
        ("robust", [1.5, 25.0, 5.0], [2.0, 15.0, 1.0]),  # quartiles 0.75, 2.75; 17.5, 32.5
    ],
)
def test_by_hand(how: str, center: list[float], spread: list[float]) -> None:
    found = fit_scaling(as_rows(X), how)
    np.testing.assert_allclose(found.center, center, rtol=1e-15)
    np.testing.assert_allclose(found.spread, spread, rtol=1e-15)
    np.testing.assert_allclose(found.undo(found.apply(X)), X, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("how", HOW)
def test_a_column_that_is_constant_but_for_rounding_is_not_blown_up(how: str) -> None:
    column = np.full((1000, 1), 0.1) * np.linspace(1, 1 + 3e-16, 1000)[:, None]
    assert fit_scaling(as_rows(column), how).spread[0] == 1.0


def test_robust_of_a_column_that_is_mostly_one_value() -> None:
    column = np.zeros((10, 1))
    column[0] = 10.0
    found = fit_scaling(as_rows(column), "robust")
    assert found.center[0] == 0.0 and found.spread[0] == pytest.approx(3.0)  # standard deviation


def layouts() -> dict[str, Rows]:
    return {
        "float32": as_rows(TABLE.astype(np.float32)),
        "Fortran": as_rows(np.asfortranarray(TABLE)),
        "big-endian": as_rows(TABLE.astype(">f8")),
        "selection": as_rows(TABLE).select(np.arange(59, -1, -1)),
        "uint8": as_rows(np.arange(40, dtype=np.uint8).reshape(8, 5)),
    }


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("layout", layouts())
def test_every_layout_reads_as_its_scaled_copy(
    layout: str, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, or batch by batch where the data are large."""
    rows = layouts()[layout]
    how = fit_scaling(rows, "standard")
    expected = how.apply(rows.__array__(np.float64))
    monkeypatch.setattr(rows_module, "SMALL_BYTES", 1 << 20 if small else 0)
    lazy = scaled(rows, how)
    assert lazy.direct == small and lazy.shape == rows.shape
    np.testing.assert_array_equal(lazy.__array__(np.float64), expected)
    np.testing.assert_array_equal(np.concatenate([p for _, p in lazy.pieces()]), expected)
    some = np.array([3, 1, 1])
    np.testing.assert_array_equal(np.asarray(lazy.select(some)), expected[some])
    out = np.empty((3, 5), np.float32)
    lazy.take(some, out)
    np.testing.assert_array_equal(out, expected[some].astype(np.float32))


def test_training_on_a_scale_is_training_on_scaled_data(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes, whether samples are scaled at once or as they are read."""
    how = fit_scaling(as_rows(TABLE), "standard")
    settings: dict[str, Any] = {
        "hidden": (8,), "code": 2, "epochs": 2, "batch_size": 7, "random_state": 0, "dtype":
        "float64", "backend": backend.name, "output": "identity", "validation_fraction": 0.2,
    }  # fmt: skip
    by_hand = Autoencoder(**settings, scale=None).fit(how.apply(TABLE))
    for size in (1 << 20, 0):
        monkeypatch.setattr(rows_module, "SMALL_BYTES", size)
        ae = Autoencoder(**settings, scale=how).fit(TABLE)
        for name, value in ae.parameters().items():
            np.testing.assert_array_equal(value, by_hand.parameters()[name])
        np.testing.assert_array_equal(ae.encode(TABLE), by_hand.encode(how.apply(TABLE)))
        assert ae.history_["val_loss"] == by_hand.history_["val_loss"]
        undone = how.undo(by_hand.reconstruct(how.apply(TABLE)))
        np.testing.assert_array_equal(ae.reconstruct(TABLE), undone)
        errors = ((ae.reconstruct(TABLE) - TABLE) ** 2).mean(axis=0)
        np.testing.assert_allclose(ae.column_errors(TABLE) * how.spread**2, errors, rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (np.zeros((9, 4), np.uint8), {}, None), (np.linspace(0, 1, 36).reshape(9, 4), {}, None),
        (np.linspace(-1, 1, 36).reshape(9, 4), {}, "standard"),
        (np.linspace(-1, 1, 36).reshape(9, 4), {"output": "tanh"}, None),
        (np.linspace(0, 1, 36).reshape(9, 4), {"scale": "minmax"}, "minmax"),
        (np.linspace(0, 9, 36).reshape(9, 4), {"scale": None}, None),
    ],
)  # fmt: skip
def test_what_auto_comes_to(data: Any, options: dict[str, Any], expected: str | None) -> None:
    ae = Autoencoder(hidden=(4,), code=1, epochs=1, random_state=0, **options)
    scale = {**ae.get_params(), **ae.plan(data).params}["scale"]
    assert scale == expected and (ae.fit(data).scaling_ is None) == (expected is None)


def test_a_file_keeps_the_scale_and_an_older_one_has_none(tmp_path: Path) -> None:
    file, old = tmp_path / "m.npz", tmp_path / "old.npz"
    ae = Autoencoder(hidden=(4,), code=2, epochs=1, random_state=0).fit(TABLE)
    ae.save(file)
    same = Autoencoder.load(file)
    assert ae.scaling_ is not None and same.scaling_ is not None
    np.testing.assert_array_equal(same.scaling_, ae.scaling_)
    np.testing.assert_array_equal(same.reconstruct(TABLE), ae.reconstruct(TABLE))
    with np.load(file) as content:
        arrays = dict(content)
    text = str(arrays["meta"]).replace('"scale": "standard", ', "").replace('"scaling"', '"unread"')
    np.savez(old, **{**arrays, "meta": np.array(text)})
    assert Autoencoder.load(old).scaling_ is None and Autoencoder.load(old).scale is None


def test_minibatches_have_the_first_ones_scale_or_that_which_was_given() -> None:
    first = Autoencoder(hidden=(4,), code=2, random_state=0).partial_fit(TABLE[:20])
    assert first.scaling_ is not None
    np.testing.assert_array_equal(first.scaling_, fit_scaling(as_rows(TABLE[:20]), "standard"))
    kept = first.partial_fit(TABLE[20:]).scaling_
    assert kept is first.scaling_
    whole = fit_scaling(as_rows(TABLE), "robust")
    given = Autoencoder(hidden=(4,), code=2, random_state=0, scale=whole).partial_fit(TABLE[:20])
    np.testing.assert_array_equal(given.scaling_, whole)
    assert Autoencoder(code=2).initialize(5).partial_fit(TABLE[:20]).scaling_ is not None


@pytest.mark.parametrize(
    "found",
    [3, "ab", [[1.0]], [[1.0], [0.0]], [[1.0], [np.inf]], [[1.0, 2.0], [1.0]], [["x"], [1.0]],
     [[10**400], [1.0]]],
)  # fmt: skip
def test_what_is_no_scale_is_refused(found: Any) -> None:
    with pytest.raises(ValueError):
        scaling_from(found, 1)


def test_what_cannot_be_scaled_is_named() -> None:
    wild = TABLE.copy()
    wild[3, 1] = 1e300
    with pytest.raises(ValueError, match="the numbers of column 1 are too large"):
        Autoencoder(code=2, epochs=1).fit(wild)
    with pytest.raises(ValueError, match="scale must be two arrays of 5 numbers"):
        Autoencoder(code=2, epochs=1, scale=Scaling(np.zeros(2), np.ones(2))).fit(TABLE)
