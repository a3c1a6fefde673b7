"""DenoisingAutoencoder: what it reads, its training step for step by hand, on every backend."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda_host.cuda_sanitize import begin_step, end_step
from tests.train.stopping import Stop, assert_same_weights, stop_at
from tests.train.test_backend_device import fake_column, on_device
from tinyae import Autoencoder, DenoisingAutoencoder, gradcheck
from tinyae.families.denoising import OWN
from tinyae.families.terms.corruption import KINDS, Corruption
from tinyae.kernels import columns
from tinyae.kernels.backend import Backend, Recorder
from tinyae.kernels.conventions import LOSSES
from tinyae.kernels.reference.random import random_bits, random_normal
from tinyae.net import streams
from tinyae.train.draws import Draws

RNG = np.random.default_rng(0)
X = RNG.random((60, 9))
HOLED = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
TOLERANCE = 1e4 * np.finfo(float).eps  # as in tests/train/terms/test_missing.py
EXTREMES = (-2.0, 2.0)  # pepper and salt of data that are scaled by their spread


def make(**options: Any) -> DenoisingAutoencoder:
    settings = {"level": 0.3, "hidden": (8, 5), "code": 3, "activation": "tanh", "epochs": 3,
                "batch_size": 16, "random_state": 1}  # fmt: skip
    return DenoisingAutoencoder(**{**settings, **options})


def plain(**options: Any) -> Autoencoder:
    rest = {k: v for k, v in make(**options).get_params().items() if k not in OWN}
    return Autoencoder(**rest)


def by_hand(
    kind: str, level: float, x: np.ndarray, update: int, seed: int = 1,
    extremes: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:  # fmt: skip
    """x corrupted at this update, from the words and the normals of the stream."""
    state = streams.state(seed, streams.CORRUPTION, update)
    if kind == "gaussian":
        g = np.empty(x.shape, x.dtype)
        random_normal(state, 0.0, 1.0, g)
        return x + x.dtype.type(level) * g
    words = np.empty(x.size, np.uint32)
    random_bits(state, words)
    w = words.reshape(x.shape) / 2.0**32
    pepper, salt = (0.0, 0.0) if kind == "masking" else extremes
    out = np.where(w < level / 2, salt, np.where(w < level, pepper, x))
    return np.where(np.isnan(x), np.nan, out).astype(x.dtype)


# ---- what the net reads


@pytest.mark.parametrize("kind", KINDS)
def test_corruption_by_hand(backend: Backend, kind: str, dtype: str) -> None:
    """Bit for bit, but for normals: those are a backend's own, as near as test_random asks."""
    for n, level in ((60, 0.3), (7, 0.0), (1, 0.9)):
        data = HOLED[:n].astype(dtype)
        draws = Draws(backend, 5, streams.CORRUPTION)
        term = Corruption(backend, X.shape, dtype, kind, level, EXTREMES, draws)
        for update in (0, 3):
            draws.prepare(update)
            x = backend.to_device(data)
            clean = backend.to_host(term.target(backend, x, x))
            np.testing.assert_array_equal(clean, data)
            expected = by_hand(kind, level, data, update, 5, EXTREMES)
            # 24 eps of the radius of a pair of normals, which is below 9, and two roundings
            bound = (24 * 9 * level + 2 * 9) * np.finfo(dtype).eps if kind == "gaussian" else 0
            np.testing.assert_allclose(backend.to_host(x), expected, rtol=0, atol=bound)


def test_the_words_are_as_frequent_as_the_level_says() -> None:
    x = np.full((200, 500), 0.5)
    model = make(corruption="salt-pepper", level=0.4, epochs=0).fit(x[:5, :9])
    noisy = np.concatenate([model.corrupt(x[:, :9], seed=s) for s in range(20)])
    n = noisy.size
    for value, p in ((0.0, 0.2), (1.0, 0.2), (0.5, 0.6)):
        assert abs((noisy == value).sum() - n * p) <= 4 * np.sqrt(n * p * (1 - p))


def test_a_target_of_another_term_stays() -> None:
    numpy = columns.get_backend("numpy")
    draws = Draws(numpy, 1, streams.CORRUPTION)
    term = Corruption(numpy, X.shape, "float64", "masking", 0.5, (0, 1), draws)
    x, blurred = X.copy(), X / 2
    assert term.target(numpy, x, blurred) is blurred
    np.testing.assert_array_equal(x, by_hand("masking", 0.5, X, 0))


# ---- training


def ten_updates_by_hand(kind: str, data: np.ndarray, weights: dict[str, np.ndarray],
                        fill: np.ndarray, rate: float) -> list[float]:  # fmt: skip
    """SGD on the mean over samples of |clean - decode(encode(corrupted))|^2 of a net 9-3-9 with
    tanh codes; changes ``weights``, returns the losses."""
    w1, b1, w2, b2 = weights.values()
    losses = []
    for update in range(10):
        read = by_hand(kind, 0.3, data, update)
        read = np.where(np.isnan(read), fill, read)
        z = np.tanh(read @ w1 + b1)
        error = np.where(np.isnan(data), 0, z @ w2 + b2 - data)
        losses.append((error**2).sum() / len(data))
        d2 = 2 * error / len(data)
        d1 = (d2 @ w2.T) * (1 - z**2)
        for parameter, gradient in ((w1, read.T @ d1), (b1, d1.sum(0)), (w2, z.T @ d2),
                                    (b2, d2.sum(0))):  # fmt: skip
            parameter -= rate * gradient
    return losses


@pytest.mark.parametrize("how", ["partial_fit", "fit"])
@pytest.mark.parametrize("data", [X, HOLED], ids=["whole", "missing"])
@pytest.mark.parametrize("kind", KINDS)
def test_ten_updates_by_hand(backend: Backend, kind: str, data: np.ndarray, how: str) -> None:
    model = make(
        corruption=kind, hidden=(), code_activation="tanh", output="identity", loss="mse",
        optimizer="sgd", learning_rate=0.05, schedule="constant", warmup=0.0, shuffle=False,
        batch_size=len(X), epochs=0, dtype="float64", initializer="glorot", backend=backend.name,
    ).fit(data)  # fmt: skip
    fill = np.zeros(9) if model.fill_ is None else model.fill_
    weights = model.parameters()
    losses = ten_updates_by_hand(kind, data, weights, fill, 0.05)
    if how == "fit":
        found = model.set_params(epochs=10).fit(data).history_["loss"]
    else:
        found = [model.partial_fit(data).loss_ for _ in range(10)]
    np.testing.assert_allclose(found, losses, rtol=1e-10)
    for name, value in model.parameters().items():
        np.testing.assert_allclose(value, weights[name], atol=1e-10, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"code_noise": 0.1, "optimizer": "adamw"}])
def test_every_backend_follows_numpy(backend: Backend, kind: str, options: dict[str, Any]) -> None:
    """By fit, whose steps may be fused or replayed; the data have holes and are scaled."""
    options = {**options, "corruption": kind, "dtype": "float64", "scale": "standard",
               "validation_fraction": 0.2}  # fmt: skip
    reference, other = (
        make(**options, backend=name).fit(HOLED) for name in ("numpy", backend.name)
    )
    for name in ("loss", "squared_error", "val_loss", "val_squared_error"):
        np.testing.assert_allclose(
            other.history_[name], reference.history_[name], rtol=TOLERANCE, err_msg=name
        )
    assert other.corrupted_error(HOLED) == pytest.approx(reference.corrupted_error(HOLED), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_that_are_replayed_draw_what_others_draw(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As on a GPU, where the host writes no state within an epoch: ``begin_step`` does."""

    def record(work: Callable[[], None]) -> Callable[[], None]:
        return work

    recorder = Recorder(record=record, join=lambda: None, call=lambda do: do(),
                        begin_step=on_device(begin_step),
                        end_step=on_device(end_step))  # fmt: skip
    column = dataclasses.replace(fake_column(), name="replays", recorder=recorder)
    monkeypatch.setitem(columns._LOADERS, "replays", lambda: column)
    monkeypatch.delitem(columns._loaded, "replays", raising=False)
    options = {"corruption": kind, "code_noise": 0.1, "dtype": "float64"}
    right, replayed = (make(**options, backend=name).fit(X) for name in ("numpy", "replays"))
    columns._loaded.pop("replays", None)
    assert replayed.backend_ == "replays"
    assert_same_weights(right, replayed)


def test_without_corruption_it_is_the_plain_net(backend: Backend) -> None:
    options = {"backend": backend.name, "validation_fraction": 0.2}
    right = plain(**options).fit(HOLED)
    for kind in KINDS:
        assert_same_weights(right, make(corruption=kind, level=0, **options).fit(HOLED))


@pytest.mark.parametrize("kind", KINDS)
def test_validation_is_of_corrupted_samples(kind: str) -> None:
    """Near to what another draw gives, the same at every epoch, and training does not see it."""
    options: dict[str, Any] = {"corruption": kind, "level": 0.5, "dtype": "float64", "epochs": 2}
    model = make(**options).fit(X[:40], validation=np.tile(X[40:], (50, 1)))
    val = model.history_["val_squared_error"][-1]
    assert val == pytest.approx(model.corrupted_error(np.tile(X[40:], (50, 1))), rel=0.1)
    assert val != pytest.approx(-model.score(X[40:]), rel=1e-3)
    assert_same_weights(model, make(**options).fit(X[:40]))
    still = make(**options, learning_rate=1e-300).fit(X[:40], validation=X[40:])
    assert still.history_["val_squared_error"][0] == still.history_["val_squared_error"][1]


def test_the_number_of_epochs_is_judged_by_the_noise() -> None:
    """On clean data PCA's start of this table is best, and nothing would be trained."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(200, 8))
    model = DenoisingAutoencoder(level=0.6, code=4, random_state=0, backend="numpy").fit(table)
    start = DenoisingAutoencoder(level=0.6, code=4, random_state=0, backend="numpy", epochs=0)
    assert model.n_iter_ > 0
    assert model.corrupted_error(table) < start.fit(table).corrupted_error(table)


@pytest.mark.parametrize(
    ("kind", "loss"),
    [*(("gaussian", loss) for loss in LOSSES), *((kind, "mse") for kind in KINDS[1:])],
)
def test_gradient_of_a_corrupted_batch(kind: str, loss: str) -> None:
    model = make(loss=loss, output="sigmoid", corruption=kind, dtype="float64").fit(HOLED)
    check = gradcheck(model, HOLED[:7])
    assert check.max_error <= 1e-7 and check.straddled <= 3


def test_gradient_of_a_model_without_weights() -> None:
    assert gradcheck(make(hidden=(4,)), X[:5]).max_error <= 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    backend: Backend, kind: str, tmp_path: Path
) -> None:
    options = {"corruption": kind, "backend": backend.name}
    whole, file = make(**options).fit(X), tmp_path / "c.npz"
    with pytest.raises(Stop):
        make(**options).fit(X, checkpoint=file, callback=stop_at(2, 2))
    assert_same_weights(whole, make(**options).fit(X, checkpoint=file, resume=True))
    for other in (make(**{**options, "level": 0.2}), plain(backend=backend.name)):
        with pytest.raises(ValueError, match="with other settings: .*level"):
            other.fit(X, checkpoint=file, resume=True)


def test_copies_pickles_and_files_go_on_alike(tmp_path: Path) -> None:
    model = make(corruption="salt-pepper", scale="standard").fit(HOLED)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    steps = [ae.partial_fit(HOLED).partial_fit(HOLED) for ae in (model, *others)]
    for other in steps[1:]:
        assert_same_weights(model, other)
    model.save(tmp_path / "m.npz")
    loaded = Autoencoder.load(tmp_path / "m.npz")
    assert isinstance(loaded, DenoisingAutoencoder)
    np.testing.assert_array_equal(loaded.corrupt(HOLED), model.corrupt(HOLED))
    np.testing.assert_array_equal(loaded.denoise(HOLED), model.denoise(HOLED))


# ---- corrupt, denoise, corrupted_error


def test_corrupted_samples_come_in_the_units_of_the_data() -> None:
    data = X * 1000 + 5
    model = make(level=0.5, dtype="float64").fit(data)  # scale: standard
    noise = (model.corrupt(data) - data) / model.scaling_.spread
    assert abs(noise.std() / 0.5 - 1) < 4 / np.sqrt(2 * X.size)
    model = make(corruption="salt-pepper", level=0.5, dtype="float64").fit(data)
    z = (model.corrupt(data) - model.scaling_.center) / model.scaling_.spread
    changed = ~np.isclose(z, (data - model.scaling_.center) / model.scaling_.spread)
    np.testing.assert_allclose(np.abs(z[changed]), 2)
    by_minmax = make(corruption="salt-pepper", level=0.5, scale="minmax", dtype="float64")
    noisy = by_minmax.fit(data).corrupt(data)
    grains = ~np.isclose(noisy, data)
    ends = np.minimum(np.abs(noisy - data.min(0)), np.abs(noisy - data.max(0)))
    assert 0.3 < grains.mean() < 0.6 and ends[grains].max() < 1e-9


def test_corrupted_error_is_that_of_the_corrupted_samples() -> None:
    model = make(dtype="float64").fit(HOLED)
    noisy = model.corrupt(HOLED, seed=3)
    np.testing.assert_array_equal(np.isnan(noisy), np.isnan(HOLED))
    expected = np.nansum((model.denoise(noisy) - HOLED) ** 2) / len(HOLED)
    assert model.corrupted_error(HOLED, seed=3) == pytest.approx(expected, rel=1e-9)
    assert model.corrupted_error(HOLED, seed=4) != model.corrupted_error(HOLED, seed=3)
    np.testing.assert_array_equal(noisy, model.corrupt(HOLED, seed=3))
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        model.corrupt(X, seed=-1)


def test_denoising_takes_noise_away() -> None:
    """Of samples in a plane: the projection onto it, shrunk, is the best that a net can do."""
    rng = np.random.default_rng(3)
    data = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 12)) / 3
    options = {"hidden": (32,), "code": 6, "epochs": 30, "activation": "relu", "scale": None}
    model = make(level=0.5, **options).fit(data)
    other = plain(**options).fit(data)
    noisy = model.corrupt(data)
    errors = [((ae.reconstruct(noisy) - data) ** 2).sum(1).mean() for ae in (model, other)]
    assert errors[0] < 0.7 * errors[1]
    assert errors[0] < 0.5 * ((noisy - data) ** 2).sum(1).mean()


def test_noise_beyond_the_training_data_is_none_to_warn_of() -> None:
    model = make().fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.denoise(X * 100)
    with pytest.warns(UserWarning, match="X ranges over"):
        model.reconstruct(X * 100)


# ---- bad input


@pytest.mark.parametrize(("options", "message"), [
    ({"corruption": "poisson"}, "corruption must be one of 'gaussian', 'masking', 'salt-pepper', "
                                "got 'poisson'"),
    ({"level": -0.1}, "level must be a number >= 0 and < .*, got -0.1"),
    ({"level": np.nan}, "level must be a number >= 0 and < .*, got nan"),
    ({"level": np.inf}, "level must be a number >= 0 and < .*, got inf"),
    ({"level": "much"}, "level must be a number >= 0 and < .*, got 'much'"),
    ({"corruption": "masking", "level": 1.0}, "level of 'masking' is a fraction of the features "
                                              "and must be a number >= 0 and < 1, got 1.0"),
    ({"corruption": "salt-pepper", "level": 3}, "level of 'salt-pepper' is a fraction"),
])  # fmt: skip
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    for call in (make(**options).fit, make(**options).partial_fit, make(**options).plan):
        with pytest.raises((ValueError, TypeError), match=message):
            call(X)
    with pytest.raises((ValueError, TypeError), match=message):
        make(**options).initialize(9)


def test_probabilities_with_noise_are_fine_since_targets_are_clean() -> None:
    assert np.isfinite(make(loss="bce", level=2.0).fit(X).loss_)
