"""Values that a net cannot take as they are: an error or one warning, never NaN or silence."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder, DivergenceError, NotFittedError
from tinyae.data.pca import fit_pca
from tinyae.kernels.backend import Backend

X = np.random.default_rng(0).random((40, 6))


def make(**options: Any) -> Autoencoder:
    return Autoencoder(**{"hidden": (8,), "code": 6, "epochs": 3, "random_state": 0, **options})


def with_value(value: Any, dtype: str = "float64") -> Any:
    wild = X.astype(dtype)
    wild[17, 2] = value
    return wild


# Everything that takes data of six columns.
ENTRIES: dict[str, Callable[[Autoencoder, Any], object]] = {
    "fit": lambda ae, x: ae.fit(x),
    "fit_transform": lambda ae, x: ae.fit_transform(x),
    "warm fit": lambda ae, x: ae.set_params(warm_start=True).fit(x),
    "validation": lambda ae, x: ae.fit(X, validation=x),
    "partial_fit": lambda ae, x: ae.partial_fit(x),
    "first partial_fit": lambda ae, x: make(loss="mse", scale=None).partial_fit(x),
    "encode": lambda ae, x: ae.encode(x),
    "decode": lambda ae, x: ae.decode(x),
    "reconstruct": lambda ae, x: ae.reconstruct(x),
    "score": lambda ae, x: ae.score(x),
    "score_samples": lambda ae, x: ae.score_samples(x),
    "zero_units": lambda ae, x: ae.zero_units(x),
}
every_entry = pytest.mark.parametrize("entry", ENTRIES)


@every_entry
@pytest.mark.parametrize("value", [-9e38, 3.5e38, 1e300, np.longdouble("1e400")])
def test_a_value_beyond_float32_is_named(entry: str, value: Any) -> None:
    wild = with_value(value, "longdouble")
    kind = "infinity" if np.abs(value) > 1e308 else rf"{float(value):.6g}".replace("+", r"\+")
    with pytest.raises(ValueError, match=rf"contains {kind} \(first in sample 17, column 2\)"):
        ENTRIES[entry](make(loss="mse", output="identity", scale=None).fit(X), wild)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e6, 1e19, 1e30, 3e38, 1e160, 1e307])
@pytest.mark.parametrize("options", [{}, {"loss": "mse", "output": "identity"}])
def test_a_wild_sample_has_the_lowest_score_or_an_error(
    dtype: str, size: float, options: dict[str, Any], backend: Backend
) -> None:
    """It has a finite code, too, or an error that names it."""
    ae = make(dtype=dtype, backend=backend.name, **options).fit(X)
    wild = with_value(-size)
    if size > float(np.finfo(dtype).max):
        with pytest.raises(ValueError, match="sample 17, column 2"):
            ae.score_samples(wild)
        return
    with pytest.warns(UserWarning, match="ranges over"):
        try:
            scores = ae.score_samples(wild)
            assert np.isfinite(scores).all() and scores.argmin() == 17
            assert not np.isnan(ae.score(wild))
            assert np.isfinite(ae.encode(wild)).all() and np.isfinite(ae.reconstruct(wild)).all()
        except ValueError as error:
            assert "sample 17 overflows" in str(error) and "(column 2)" in str(error)


@pytest.mark.parametrize("loss", ["mse", "huber", "l1"])
@pytest.mark.parametrize("patience", [None, 2])
def test_validation_data_that_overflow_stop_training(loss: str, patience: int | None) -> None:
    ae = make(loss=loss, output="identity", patience=patience)
    with pytest.warns(UserWarning, match="validation ranges over"):
        try:
            ae.fit(X, validation=with_value(1e38) * 3)
            assert np.isfinite(ae.history_["val_loss"]).all()
        except DivergenceError as error:
            assert str(error).startswith("the validation loss became")
            assert np.isfinite(ae.encode(X)).all()


def test_integers_beyond_float32s_24_bits_are_only_rounded() -> None:
    for dtype in (np.int64, np.uint64):
        big = np.full((20, 6), np.iinfo(dtype).max) - np.arange(20, dtype=dtype)[:, None]
        codes = make(epochs=0, output="identity").fit(big).encode(big)
        assert np.isfinite(codes).all()
    with pytest.raises(ValueError, match="X must hold real numbers: int too large"):
        make().fit([[10**400, 1], [2, 3]])


@every_entry
@pytest.mark.parametrize("kind", ["masked", "masked rows", "matrix", "sparse"])
def test_what_numpy_would_read_as_something_else(entry: str, kind: str) -> None:
    data: Any
    if kind == "sparse":
        data = pytest.importorskip("scipy.sparse", reason="scipy makes them").csr_array(X)
    elif kind == "matrix":
        data = X.view(np.matrix)
    else:
        data = np.ma.masked_array(X, X > 0.9)
        data = list(data) if kind == "masked rows" else data
    with pytest.raises(TypeError, match=r"\.filled\(|np\.asarray|\.toarray\("):
        ENTRIES[entry](make().fit(X), data)


@pytest.mark.parametrize(
    "entry", [name for name in ENTRIES if name not in ("decode", "fit_transform")]
)
@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_far_outside_is_warned_of_once(entry: str, output: str, tmp_path: Path) -> None:
    """Of training data, but for those that follow a ``fit``, only what is out of reach."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 6), np.uint8)
    make(loss="mse", output=output).fit(pixels).save(tmp_path / "m.npz")
    ae = Autoencoder.load(tmp_path / "m.npz")
    trains = entry in ("fit", "warm fit", "first partial_fit")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(1 if trains or entry == "validation" else 3):
            ENTRIES[entry](ae, pixels.astype(float))
    if trains and (output == "identity" or entry == "first partial_fit"):  # reaches everything
        assert not caught
        return
    (warning,) = caught
    known = "but output='sigmoid' reaches only" if trains else "the training data over"
    assert re.search(rf"(X|validation) ranges over \[0, 255\], {known} \[0", str(warning.message))


def test_ordinary_data_are_not_warned_of() -> None:
    normal = np.random.default_rng(0).standard_normal((2000, 6))
    ae = make().fit(normal[:100], validation=normal[100:])
    ae.encode(normal), ae.score(normal * 1.5), ae.partial_fit(normal), ae.encode(np.zeros((1, 6)))
    batches = make()
    for row in normal[:200]:
        batches.partial_fit(row[None])
    batches.encode(normal[:200])


def test_pixels_for_a_net_that_was_trained_on_their_floats() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 6), np.uint8)
    with pytest.warns(UserWarning, match="uint8 is scaled to"):
        make().fit(pixels.astype(float)).encode(pixels)


def test_files_of_earlier_versions_know_no_range(tmp_path: Path) -> None:
    make().fit(X).save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as file:
        arrays = dict(file)
    text = str(arrays["meta"]).replace('"range"', '"unknown"').replace('"zero_units"', '"unread"')
    np.savez(tmp_path / "old.npz", **{**arrays, "meta": np.array(text)})
    ae = Autoencoder.load(tmp_path / "old.npz")
    assert ae.data_range_ is None and ae.zero_units_ is None
    ae.encode(X * 1000)


@pytest.mark.parametrize("wild", [X - 0.5, X * 2, X - 0.01, X + 1])
def test_bce_takes_probabilities_alone(wild: Any) -> None:
    fitted, again = make().fit(X), make(loss="bce")
    for train in (
        lambda: again.fit(wild), lambda: again.partial_fit(wild), lambda: fitted.partial_fit(wild),
        lambda: fitted.fit(X, validation=wild),
        lambda: fitted.set_params(warm_start=True).fit(wild),
    ):  # fmt: skip
        before = fitted.parameters()
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\] for loss='bce'.* ranges over"):
            train()
        for name, value in fitted.parameters().items():
            np.testing.assert_array_equal(value, before[name])
    make(loss="bce").fit(X / X.max() * (1 + 1e-9))  # a scaler's rounding


REFUSED: list[tuple[dict[str, Any], Any, str]] = [
    ({"loss": "bce"}, X * 2, r"\[0, 1\] for loss='bce'"),
    ({"output": "sigmoid"}, X * 2, r"\[0, 1\] for loss='bce'"),
    ({"initializer": "pca", "activation": "tanh", "output": "identity"}, X * 1e-42, "too small"),
    ({"backend": "numpy", "threads": 2}, X, "threads=2 is for backend='numba'"),
    ({"target_blur": 1.0, "code": 0}, X, "code must be"),
    ({"missing": "error"}, with_value(np.nan), "NaN"),
]  # fmt: skip


@pytest.mark.parametrize("train", ["fit", "partial_fit"])
@pytest.mark.parametrize(("options", "data", "message"), REFUSED)
def test_what_is_refused_leaves_the_model_as_it_was(
    options: dict[str, Any], data: Any, message: str, train: str
) -> None:
    ae = make(**options)
    with pytest.raises(ValueError, match=message):
        getattr(ae, train)(data)
    assert not ae.__sklearn_is_fitted__() and vars(ae) == vars(make(**options))
    with pytest.raises(NotFittedError):
        ae.encode(X)
    fitted = make().fit(X)
    codes = fitted.encode(X)
    fitted.set_params(**options)
    if train == "fit":  # another set of weights
        with pytest.raises(ValueError, match=message):
            fitted.fit(data)
    np.testing.assert_array_equal(fitted.set_params(**vars(make())).encode(X), codes)


def test_weights_of_no_training_wait_for_data_that_are_taken() -> None:
    """What "auto" means is not decided by what is refused."""
    for train in ("fit", "partial_fit"):
        ae = make(output="sigmoid", warm_start=True).initialize(6)
        with pytest.raises(ValueError, match="for loss='bce'"):
            getattr(ae, train)(X * 2)
        assert not ae._settled and ae.data_range_ is None


def test_arrays_with_a_mask_are_no_weights_and_no_codes() -> None:
    ae, pca = make().fit(X), fit_pca(X, 2)
    for name, value in ae.parameters().items():
        for masked in (np.ma.masked_array(value, value > 9), [*np.ma.masked_array(value)]):
            if not np.ma.isMaskedArray(masked) and value.ndim == 1:
                continue  # plain numbers
            with pytest.raises(TypeError, match=rf"^{name} must be .*\.filled\("):
                ae.set_parameters({**ae.parameters(), name: masked})
    with pytest.raises(TypeError, match=r"^z must be .*\.filled\("):
        pca.decode(np.ma.masked_array(pca.encode(X)))


def test_zero_units_are_those_that_never_answer(backend: Backend, dtype: str) -> None:
    data = np.random.default_rng(0).standard_normal((1300, 6))
    ae = make(activation="relu", code_activation="relu", backend=backend.name, dtype=dtype,
              code=3, epochs=0).fit(data)  # fmt: skip
    p = {name: value + name.endswith("bias") for name, value in ae.parameters().items()}
    assert ae.set_parameters(p).zero_units(data) == {}
    p["encoder.0.bias"][1] = p["encoder.1.bias"][0] = p["decoder.0.bias"][2] = -1e3
    p["encoder.0.bias"][5] = -1e12
    ae.set_parameters(p)
    assert ae.zero_units(data) == {"encoder.0": 2, "encoder.1": 1, "decoder.0": 1}
    data[-1] = 1e6 * p["encoder.0.weight"][:, 1]  # the last sample alone wakes one up
    with pytest.warns(UserWarning, match="ranges over"):
        assert ae.zero_units(data)["encoder.0"] == 1
