"""Tables with categories: the loss of their groups, on every backend, and the way back."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, FileError, gradcheck
from tinyae.data.rows import Rows, as_rows
from tinyae.data.tables.schema import Category, Schema
from tinyae.kernels.backend import Backend

SCHEMA = Schema(("size", Category("colour", ("blue", "green", "red")), "weight",
                 Category("kind", ("a", "b"))))  # fmt: skip
N = 90


def table(holes: bool = True) -> Any:
    """The matrix of a table whose columns depend on one another: size, weight, colour, kind."""
    rng = np.random.default_rng(0)
    k = rng.integers(0, 3, N)
    numbers = np.stack([k + rng.normal(0, 0.3, N), rng.normal(5, 2, N) - k], axis=1)
    x = np.hstack([numbers, np.eye(3)[k], np.eye(2)[((k > 0) ^ (rng.random(N) < 0.1)).astype(int)]])
    if holes:
        x[::7, 0] = np.nan
        x[::11, 2:5] = np.nan
        x[5::13, 5:] = np.nan
    return x


def rows(holes: bool = True, numbers: Any = None) -> Rows:
    x = table(holes)
    if numbers is not None:
        x[:, :2] = numbers
    return Rows(x, names=SCHEMA.names, schema=SCHEMA)


def make(**options: Any) -> Autoencoder:
    settings = {"hidden": (8,), "code": 2, "activation": "tanh", "epochs": 4, "batch_size": 16,
                "random_state": 1}  # fmt: skip
    return Autoencoder(**{**settings, **options})


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("options", [{}, {"loss": "huber"}, {"output": "sigmoid", "loss": "bce"}])
def test_the_gradient_is_that_of_both_losses(options: dict[str, Any], holes: bool) -> None:
    data = rows(holes, np.random.default_rng(1).random((N, 2)))
    model = make(**options, dtype="float64", epochs=1).fit(data)
    assert model._network.architecture.groups == ((2, 5), (5, 7))
    assert gradcheck(model, np.asarray(data)[:9]).max_error <= 1e-7


def test_the_loss_is_squares_of_numbers_and_cross_entropies() -> None:
    """Against logs of the probabilities that ``reconstruct`` gives."""
    data = rows()
    model = make(dtype="float64", epochs=0, initializer="he").fit(data)
    x, p = np.asarray(data), model.reconstruct(data)
    np.testing.assert_allclose(p[:, 2:5].sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(p[:, 5:].sum(axis=1), 1, rtol=1e-12)
    scaling = model.scaling_
    assert scaling is not None
    np.testing.assert_array_equal(scaling.center[2:], 0)
    np.testing.assert_array_equal(scaling.spread[2:], 1)
    squares = np.nansum(((p - x)[:, :2] / scaling.spread[:2]) ** 2)
    entropies = -np.nansum(x[:, 2:] * np.log(p[:, 2:]))
    expected = (squares + entropies) / N
    assert model.partial_fit(data).loss_ == pytest.approx(expected, rel=1e-9)
    errors = np.nansum(((p - x) / scaling.spread) ** 2, axis=1)
    np.testing.assert_allclose(make(epochs=0, dtype="float64", initializer="he").fit(data)
                               .score_samples(data), -errors, rtol=1e-9)  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"code_noise": 0.1}])
def test_every_backend_follows_numpy(backend: Backend, options: dict[str, Any]) -> None:
    options = {**options, "validation_fraction": 0.2, "patience": 5, "dtype": "float64"}
    reference, other = (
        make(**options, backend=name).fit(rows()) for name in ("numpy", backend.name)
    )
    for name in ("loss", "squared_error", "val_loss", "val_squared_error"):
        np.testing.assert_allclose(
            other.history_[name], reference.history_[name], rtol=1e4 * np.finfo(float).eps
        )
    np.testing.assert_allclose(other.reconstruct(rows()), reference.reconstruct(rows()), atol=1e-9)


def test_pca_starts_near_the_levels() -> None:
    """A code that holds everything: numbers exactly, levels by their largest probability."""
    data = rows(holes=False)
    model = make(code=5, hidden=(16,), activation="relu", epochs=0, dtype="float64").fit(data)
    x, start = np.asarray(data), model.reconstruct(data)
    np.testing.assert_allclose(start[:, :2], x[:, :2], atol=1e-9)
    for a, b in SCHEMA.groups:
        np.testing.assert_array_equal(start[:, a:b].argmax(axis=1), x[:, a:b].argmax(axis=1))
    flat = make(code=1, hidden=(16,), activation="relu", epochs=0, dtype="float64", scale=None)
    constant = np.tile(x[:3], (5, 1)) * [0, 0, 1, 1, 1, 1, 1]
    model = flat.fit(Rows(constant, names=SCHEMA.names, schema=SCHEMA))
    mean = np.repeat(x[:3, 2:5], 5, axis=0).mean(axis=0)
    assert np.abs(model.decode(np.zeros((1, 1)))[0, 2:5] - mean).max() < 0.5


def test_what_a_net_cannot_have_beside_categories() -> None:
    for options in ({"output": "tanh"}, {"output": "sigmoid", "loss": "mse"}):
        with pytest.raises(ValueError, match="leaves the logits of categories no room"):
            make(**options).fit(rows(numbers=np.random.default_rng(0).random((N, 2))))


def test_an_interrupted_run_and_files(tmp_path: Path) -> None:
    whole, file = make().fit(rows()), tmp_path / "c.npz"
    with pytest.raises(Stop):
        make().fit(rows(), checkpoint=file, callback=stop_at(2, 1))
    assert_same_weights(whole, make().fit(rows(), checkpoint=file, resume=True))
    whole.save(tmp_path / "m.npz")
    for other in (Autoencoder.load(tmp_path / "m.npz"), pickle.loads(pickle.dumps(whole))):
        assert other.schema_ == SCHEMA
        np.testing.assert_array_equal(other.reconstruct(rows()), whole.reconstruct(rows()))


def test_a_file_whose_schema_does_not_fit(tmp_path: Path) -> None:
    path, model = tmp_path / "m.npz", make().fit(rows())
    for wrong in (Schema(("a", "b")), Schema(SCHEMA.columns[:3])):
        model.schema_ = wrong
        model.save(path)
        with pytest.raises(FileError, match="schema"):
            Autoencoder.load(path)


# ---- DataFrames


@pytest.fixture(params=["pandas", "polars"])
def frame(request: pytest.FixtureRequest) -> Any:
    library = pytest.importorskip(request.param, reason="DataFrames are those of a library")
    columns = SCHEMA.back(table())
    named = [f"row {i}" for i in range(N)]
    return library.DataFrame({"name": named, **{k: v.tolist() for k, v in columns.items()}})


def listed(frame: Any, column: str) -> list[Any]:
    return [None if v is None or str(v) in ("nan", "<NA>") else v for v in frame[column].to_list()]


def test_a_dataframe_is_learnt_from_and_given_back(
    frame: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = make(epochs=60, learning_rate=0.02).fit(frame)
    assert "column 'name' is left out: its text identifies rows" in caplog.text
    assert model.schema_ == Schema(SCHEMA.columns, ("name",))
    assert model.n_features_in_ == 7 and model.feature_names_in_[2] == "colour=blue"
    np.testing.assert_array_equal(model.encode(frame), model.encode(rows()))
    model.save(tmp_path / "m.npz")
    for ae in (model, Autoencoder.load(tmp_path / "m.npz")):
        for back in (ae.reconstruct(frame), ae.decode(ae.encode(frame))):
            assert type(back) is type(frame) and [*back.columns] == [*SCHEMA.source]
            pairs = zip(listed(back, "colour"), listed(frame, "colour"), strict=True)
            assert np.mean([a == b for a, b in pairs if b is not None]) > 0.9
        np.testing.assert_array_equal(ae.reconstruct(rows()), model.reconstruct(rows()))
    filled = model.impute(frame)
    assert type(filled) is type(frame) and [*filled.columns] == [*frame.columns]
    for column in frame.columns:
        before, after = listed(frame, column), listed(filled, column)
        assert None not in after
        assert all(a == b for a, b in zip(after, before, strict=True) if b is not None)


@pytest.mark.parametrize("missing", ["auto", "allow"])
def test_a_whole_table_does_for_new_levels(frame: Any, missing: str) -> None:
    """As they come in validation data, in folds, in batches and later."""
    names = ("colour", "kind")
    columns: dict[str, list[Any]] = {
        name: [v or "blue" for v in listed(frame, name)] for name in names
    }
    columns["size"] = [i * 0.5 for i in range(N)]
    whole, new = (type(frame)({**columns, **changed}) for changed in ({}, {"kind": ["new"] * N}))
    model = make(missing=missing).fit(whole, validation=new)
    np.testing.assert_array_equal(
        model.encode(whole), make(missing="error").fit(whole).encode(whole)
    )
    assert np.isfinite(model.history_["val_loss"]).all()
    assert np.isfinite(make(missing=missing).partial_fit(whole).partial_fit(new).loss_)
    assert np.isfinite(model.encode(new)).all() and np.isfinite(model.score(new))
    with pytest.raises(ValueError, match="NaN"):
        make(missing="error").fit(whole).encode(new)


def of_every_type(library: Any) -> Any:
    """A table whose columns are each of another type, with every third value missing."""
    text = [None if i % 3 == 2 else ("blue", "red")[i % 5 % 2] for i in range(N)]
    ones = [None if i % 3 == 2 else 1 + i % 5 % 2 for i in range(N)]
    big = [2**53 + i for i in range(N)]  # which float64 cannot hold
    if hasattr(library, "Enum"):
        kinds = {"text": "String", "categorical": "Categorical", "number": "Int64"}
        typed = {name: (ones if name == "number" else text, getattr(library, kind))
                 for name, kind in kinds.items()}  # fmt: skip
        typed |= {"enum": (text, library.Enum(["blue", "red"])), "big": (big, library.Int64),
                  "bool": ([i % 2 == 0 for i in range(N)], library.Boolean)}  # fmt: skip
        return library.DataFrame([library.Series(k, v, t) for k, (v, t) in typed.items()])
    return library.DataFrame({
        "object": library.array(text, dtype=object), "text": library.array(text, dtype="string"),
        "categorical": library.Categorical(text), "numbered": library.Categorical(ones),
        "Int64": library.array(ones, dtype="Int64"), "big": big,
        "bool": [i % 2 == 0 for i in range(N)],
    }, index=[f"row {i}" for i in range(N)])  # fmt: skip


def test_impute_leaves_what_is_there_whatever_its_type(frame: Any) -> None:
    library = pytest.importorskip(type(frame).__module__.split(".")[0])
    typed = of_every_type(library)
    filled = make().fit(typed).impute(typed)
    assert [*filled.columns] == [*typed.columns]
    for name in typed.columns:
        before, after = listed(typed, name), listed(filled, name)
        assert None not in after
        assert all(a == b for a, b in zip(after, before, strict=True) if b is not None)
        if name not in ("number", "Int64"):  # a mean of whole numbers is none
            assert filled[name].dtype == typed[name].dtype
            assert {*map(type, after)} == {*map(type, before)} - {type(None)}
    if hasattr(typed, "iloc"):
        assert filled.index.equals(typed.index)
        numbered = typed.set_axis(range(typed.shape[1]), axis=1)  # names that are no text
        other = make().fit(numbered).impute(numbered)
        assert other.set_axis(typed.columns, axis=1).equals(filled)


def test_impute_keeps_a_level_that_was_not_learnt(frame: Any) -> None:
    model = make().fit(frame)
    kinds = [None if i % 2 else "new" for i in range(N)]
    unseen = type(frame)({**{c: frame[c].to_list() for c in frame.columns}, "kind": kinds})
    kinds = listed(model.impute(unseen), "kind")
    assert {*kinds[::2]} == {"new"} and not {*kinds[1::2]} & {"new", None}


def test_frames_that_do_not_fit(frame: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = make().fit(frame)
    without = frame.drop(columns="colour") if hasattr(frame, "iloc") else frame.drop("colour")
    with pytest.raises(ValueError, match="missing 'colour'"):
        model.encode(without)
    with pytest.raises(ValueError, match="must hold real numbers"):
        make().fit(table(holes=False)).encode(frame)
    with pytest.raises(ValueError, match="expecting 7 features"):
        make().fit(rows()).encode(Rows(np.zeros((3, 4)), names=SCHEMA.names))
    unseen = type(frame)({**{c: frame[c].to_list() for c in frame.columns}, "kind": ["new"] * N})
    with caplog.at_level(logging.WARNING):
        codes = model.encode(unseen)
    assert "kind" in caplog.text and "'new'" in caplog.text and np.isfinite(codes).all()


def test_a_frame_of_numbers_alone_is_read_as_before(frame: Any) -> None:
    numbers = frame[["size", "weight"]]
    model = make(code=1).fit(numbers)
    assert model.schema_ is None and isinstance(model.reconstruct(numbers), np.ndarray)
    np.testing.assert_array_equal(model.encode(numbers), model.encode(as_rows(numbers)))


def test_validation_warm_start_and_partial_fit_know_the_levels(frame: Any) -> None:
    model = make(warm_start=True).fit(frame, validation=frame[:20])
    before = model.schema_
    assert model.fit(frame[:50]).partial_fit(frame[50:]).schema_ is before
    fresh = make().partial_fit(frame).partial_fit(frame[:10])
    assert fresh.schema_ == before and type(fresh.decode(fresh.encode(frame))) is type(frame)
