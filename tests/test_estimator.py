"""The public face: results, files, errors."""

from __future__ import annotations

import copy
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder, DivergenceError, FileError, NotFittedError
from tinyae.kernels.conventions import ACTIVATIONS

X = np.random.default_rng(0).random((40, 6))


def make(**options: Any) -> Autoencoder:
    return Autoencoder(**{"hidden": (8,), "code": 3, "epochs": 3, "random_state": 0, **options})


def test_rows_of_ones_own_need_the_others() -> None:
    with pytest.raises(ValueError, match="rows='local' needs comm"):
        Autoencoder(epochs=1).fit(np.zeros((4, 3)), rows="local")


def test_the_names_of_parameters() -> None:
    names = list(make(hidden=(5, 4)).initialize(6).parameters())
    assert names == [
        f"{part}.{i}.{kind}" for part in ("encoder", "decoder") for i in range(3)
        for kind in ("weight", "bias")
    ]  # fmt: skip


def test_encode_decode_and_scores_agree_with_the_formulas() -> None:
    ae = make(dtype="float64", activation="tanh").fit(X)
    p = ae.parameters()
    h = np.tanh(X @ p["encoder.0.weight"] + p["encoder.0.bias"])
    z = h @ p["encoder.1.weight"] + p["encoder.1.bias"]
    g = np.tanh(z @ p["decoder.0.weight"] + p["decoder.0.bias"])
    x = 1 / (1 + np.exp(-(g @ p["decoder.1.weight"] + p["decoder.1.bias"])))
    for result, expected in (
        (ae.encode(X), z), (ae.transform(X), z), (ae.decode(z), x), (ae.inverse_transform(z), x),
        (ae.reconstruct(X), x), (-ae.score_samples(X), ((X - x) ** 2).sum(axis=1)),
        (-ae.score(X), ((X - x) ** 2).sum(axis=1).mean()),
    ):  # fmt: skip
        np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert (ae.output_, ae.loss_name_, ae.n_features_in_, ae.n_iter_) == ("sigmoid", "bce", 6, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_nets_dtype(dtype: str) -> None:
    """Errors of a float32 net are known to float32, whatever they are summed in."""
    ae = make(dtype=dtype).fit(X)
    results = (ae.encode(X), ae.decode(ae.encode(X)), ae.reconstruct(X), ae.score_samples(X))
    assert [r.dtype.name for r in results] == [dtype] * 4
    assert ae.score(X) == pytest.approx(
        float(ae.score_samples(X).mean()), rel=4 * float(np.finfo(dtype).eps)
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_save_and_load(tmp_path: Path, activation: str, dtype: str) -> None:
    ae = make(activation=activation, dtype=dtype, decoder_hidden=(5, 7), random_state=None).fit(X)
    ae.save(tmp_path / "m.npz")
    for same in (
        Autoencoder.load(tmp_path / "m.npz"),
        pickle.loads(pickle.dumps(ae)),
        copy.deepcopy(ae),
    ):
        np.testing.assert_array_equal(same.reconstruct(X), ae.reconstruct(X))
        assert same.history_ == ae.history_ and same.seed_ == ae.seed_
        assert same.reconstruct(X).dtype == dtype
    assert list(tmp_path.iterdir()) == [tmp_path / "m.npz"]


def test_what_set_params_says_later_is_for_the_next_fit(tmp_path: Path) -> None:
    ae = make().fit(X)
    ae.set_params(hidden=(3,), code=1, dtype="float64")
    ae.save(tmp_path / "m.npz")
    assert Autoencoder.load(tmp_path / "m.npz").encode(X).shape == (40, 3)
    assert pickle.loads(pickle.dumps(ae)).encode(X).shape == (40, 3)
    assert ae.fit(X).encode(X).shape == (40, 1)


def meta(old: str, new: str) -> Any:
    """A change of the file's meta data."""
    return lambda a: a.update(meta=np.char.replace(a["meta"], old, new))


def damaged(tmp_path: Path, change: Any) -> Path:
    """A model file whose arrays went through ``change(dict)``."""
    make().fit(X).save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as file:
        arrays = dict(file)
    change(arrays)
    np.savez(tmp_path / "bad.npz", **arrays)
    return tmp_path / "bad.npz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("encoder.0.bias"), "missing .*encoder.0.bias"),
        (lambda a: a.update(extra=np.zeros(3)), "unknown .*extra"),
        (lambda a: a.update({"encoder.0.bias": np.zeros(9, "f4")}), "encoder.0.bias must have"),
        (lambda a: a.update({"encoder.0.bias": np.zeros(8)}), "dtype float32"),
        (lambda a: a["decoder.0.weight"].fill(np.nan), "decoder.0.weight must be finite"),
        (lambda a: a.pop("meta"), "no tinyae meta data"),
        (lambda a: a.update(meta=np.array("{")), "broken"),
        (lambda a: a.update(meta=np.array('{"format": "other"}')), "its format is 'other'"),
        (lambda a: a.update(meta=np.array([{"a": 1}], object)), "broken"),
        (meta('"version": 1', '"version": 9'), "version 9"),
        (meta('"code": 3', '"code": -3'), "code must be"),
        (meta('"momentum"', '"wings"'), "wings"),
        (meta('"n_features": 6', '"n_features": "6"'), "n_features"),
        (meta('"n_features": 6', '"n_features": 7'), r"must have shape \(7, 8\)"),
        (meta('"n_iter": ', '"n_iter": -'), "n_iter must be an integer >= 0"),
        (meta('"zero_units": null', '"zero_units": {"x": 1}'), "zero_units.'x'. must be .* <= 0"),
        (meta('"seed": ', '"seed": -1'), "seed must be"),
        (meta('"output": "sigmoid", "loss"', '"output": "auto", "loss"'), "output must be one of"),
        (meta('"loss": [', '"loss": "12", "x": ['), "'loss' must be a list of numbers"),
        (meta('"fitted"', '"fit"'), "describes no autoencoder: KeyError 'fitted'"),
    ],
)  # fmt: skip
def test_damaged_model_files(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(FileError, match=message):
        Autoencoder.load(damaged(tmp_path, change))


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    make().fit(X).save(tmp_path / "good.npz")
    whole, file = (tmp_path / "good.npz").read_bytes(), tmp_path / "bad.npz"
    for size in range(0, len(whole), 211):
        file.write_bytes(whole[:size])
        with pytest.raises(FileError, match="broken or truncated"):
            Autoencoder.load(file)
    for at in range(0, len(whole), 97):  # flipped bits: an error, or bytes that do not matter
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            Autoencoder.load(file)
        except FileError:
            pass
    np.save(tmp_path / "array.npy", X)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    for name in ("array.npy", "other.zip"):
        with pytest.raises(FileError):
            Autoencoder.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Autoencoder.load(tmp_path / "nowhere.npz")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        make().fit(X).save(tmp_path / "nowhere" / "m.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    from tinyae.storage.files import write_atomically

    target = tmp_path / "file"
    write_atomically(target, lambda f: f.write(b"old"))

    def fail(file: Any) -> None:
        file.write(b"new")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        write_atomically(target, fail)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_nothing_works_before_there_are_weights(tmp_path: Path) -> None:
    ae = make()
    for call in (
        lambda: ae.encode(X), lambda: ae.decode(X), lambda: ae.reconstruct(X), lambda: ae.score(X),
        lambda: ae.parameters(), lambda: ae.set_parameters({}), lambda: ae.save(tmp_path / "m"),
    ):  # fmt: skip
        with pytest.raises(NotFittedError, match="not fitted yet"):
            call()


def test_wrong_data() -> None:
    ae = make().fit(X)
    with pytest.raises(ValueError, match="X has 5 features, but Autoencoder is expecting 6"):
        ae.encode(X[:, :5])
    with pytest.raises(ValueError, match="Z has 4 features"):
        ae.decode(np.zeros((2, 4)))
    for bad, word in ((np.nan, "NaN"), (np.inf, "infinity")):
        wrong = X.copy()
        wrong[17, 2] = bad
        with pytest.raises(ValueError, match=f"Input X contains {word} .*sample 17"):
            ae.set_params(missing="error").fit(wrong)
    with pytest.raises(ValueError, match="validation has 5 features"):
        ae.fit(X, validation=X[:, :5])
    with pytest.raises(ValueError, match="validation_fraction=0.9 of 2 samples"):
        make(validation_fraction=0.9).fit(X[:2])
    with pytest.raises(ValueError, match="decoder.0.bias must have shape"):
        ae.set_parameters({**ae.parameters(), "decoder.0.bias": np.zeros(3)})
    with pytest.raises(ValueError, match="missing: encoder.0.weight"):
        ae.set_parameters({k: v for k, v in ae.parameters().items() if k != "encoder.0.weight"})


def test_parameters_are_copies() -> None:
    ae = make().initialize(6)
    before = ae.encode(X)
    ae.parameters()["encoder.0.weight"][:] = 0
    np.testing.assert_array_equal(ae.encode(X), before)
    assert ae.set_parameters(ae.parameters()) is ae


def test_uint8_is_pixels() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 6), dtype=np.uint8)
    a = make(initializer="he").fit(pixels)
    b = make(initializer="he").fit(pixels.astype(np.float32) * np.float32(1 / 255))
    np.testing.assert_array_equal(a.encode(pixels), b.encode(pixels * np.float32(1 / 255)))
    assert a.output_ == "sigmoid"


def test_fewer_samples_than_a_batch_and_a_short_last_batch() -> None:
    assert make(batch_size=256).fit(X[:3]).n_iter_ == 3
    assert make().fit(X[:1]).encode(X).shape == (40, 3)
    base = make(batch_size=39, shuffle=False, epochs=1).fit(X).parameters()
    other = X.copy()
    other[39] = 1 - other[39]  # the only sample of the last batch
    changed = make(batch_size=39, shuffle=False, epochs=1).fit(other).parameters()
    assert not np.array_equal(base["encoder.0.weight"], changed["encoder.0.weight"])


@pytest.mark.parametrize("loss", ["mse", "bce", "l1", "huber"])
def test_every_loss_goes_down(loss: str) -> None:
    ae = make(loss=loss, epochs=30, learning_rate=0.01).fit(X)
    assert ae.history_["loss"][-1] < 0.97 * ae.history_["loss"][0]


def test_partial_fit() -> None:
    ae = make(code_activation="tanh")
    first = ae.partial_fit(X).loss_
    for _ in range(50):
        ae.partial_fit(X)
    assert ae.loss_ < first and ae.output_ == "sigmoid"
    # after initialize, the first data decide what "auto" means, and the weights stay
    ae = make().initialize(6)
    before = ae.parameters()["encoder.0.weight"]
    assert ae.output_ == "identity"
    ae.set_params(learning_rate=1e-9)
    assert ae.partial_fit(X).output_ == "sigmoid"
    np.testing.assert_allclose(ae.parameters()["encoder.0.weight"], before, atol=1e-6)
    with np.errstate(all="raise"), pytest.raises(DivergenceError, match="smaller learning_rate"):
        make(loss="mse", output="identity", scale=None).initialize(6).partial_fit(X * 1e30)


def test_validation_and_patience() -> None:
    train, held_out = X[:30], X[30:]
    ae = make(epochs=80, patience=4, learning_rate=0.1).fit(train, validation=held_out)
    values = ae.history_["val_loss"]
    assert ae.n_iter_ == int(np.argmin(values)) + 1 + 4 < 80
    error = ((held_out - ae.reconstruct(held_out)) ** 2).sum(axis=1).mean()
    best = ae.history_["val_squared_error"][int(np.argmin(values))]
    assert error == pytest.approx(best, rel=1e-5)  # the best weights, not the last


def test_warm_start_goes_on_and_fit_starts_anew() -> None:
    ae = make(epochs=5).fit(X)
    again = ae.history_["loss"]
    assert ae.fit(X).history_["loss"] == again
    ae.set_params(warm_start=True)
    assert ae.fit(X).history_["loss"][0] < again[0]


def test_random_state() -> None:
    assert make(random_state=None).fit(X).seed_ != make(random_state=None).fit(X).seed_
    for state in (np.random.RandomState, np.random.default_rng):
        a, b = (make(random_state=state(5)).fit(X) for _ in range(2))
        assert a.history_["loss"] == b.history_["loss"]


def test_a_file_does_not_say_how_many_threads(tmp_path: Path) -> None:
    """The model of a machine with Numba is of use on one without."""
    pytest.importorskip("numba", reason="threads are for the numba backend")
    make(backend="numba", threads=2).fit(X).save(tmp_path / "m.npz")
    assert Autoencoder.load(tmp_path / "m.npz", backend="numpy").encode(X).shape == (40, 3)
