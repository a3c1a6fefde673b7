"""TiedAutoencoder: one array of weights, its training step by step by hand, PCA's subspace."""

from __future__ import annotations

import copy
import pickle
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.test_numpy_file import module
from tests.families.updates import assert_ten_updates, assert_trained_alike
from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, FileError, TiedAutoencoder, gradcheck
from tinyae.data.rows import as_rows
from tinyae.export.chain import rounded
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATIONS, LOSSES
from tinyae.learn.tracing import trace

RNG = np.random.default_rng(0)
X = RNG.random((60, 9))
HOLED = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
NORMAL = RNG.standard_normal((80, 9)) @ RNG.standard_normal((9, 9))


def make(**options: Any) -> TiedAutoencoder:
    settings = {"hidden": (8, 5), "code": 3, "activation": "tanh", "epochs": 3, "batch_size": 16,
                "random_state": 1, "backend": "numpy"}  # fmt: skip
    return TiedAutoencoder(**{**settings, **options})


def plain(**options: Any) -> Autoencoder:
    return Autoencoder(**make(**options).get_params())


# ---- training


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient(activation: str, loss: str) -> None:
    model = make(activation=activation, loss=loss, output="sigmoid", dtype="float64").fit(HOLED)
    check = gradcheck(model, HOLED[:7])
    assert check.max_error <= 1e-7 and check.straddled <= 10


def ten_updates_by_hand(p: dict[str, np.ndarray], rate: float) -> list[float]:
    """SGD on the mean of |x - x'|^2 of a net 9-5-3-5-9 of tanh; changes p, returns the losses."""
    w, v = p["encoder.0.weight"], p["encoder.1.weight"]
    b, c, d, e = (p[f"{n}.bias"] for n in ("encoder.0", "encoder.1", "decoder.0", "decoder.1"))
    losses = []
    for _ in range(10):
        h = np.tanh(X @ w + b)
        z = np.tanh(h @ v + c)
        k = np.tanh(z @ v.T + d)
        error = k @ w.T + e - X
        losses.append((error**2).sum() / len(X))
        d_out = 2 * error / len(X)
        d_k = (d_out @ w) * (1 - k**2)
        d_z = (d_k @ v) * (1 - z**2)
        d_h = (d_z @ v.T) * (1 - h**2)
        w -= rate * (X.T @ d_h + d_out.T @ k)
        v -= rate * (h.T @ d_z + d_k.T @ z)
        for bias, dz in ((b, d_h), (c, d_z), (d, d_k), (e, d_out)):
            bias -= rate * dz.sum(0)
    return losses


@pytest.mark.parametrize("how", ("partial_fit", "fit"))
def test_ten_updates_by_hand(backend: Backend, how: str) -> None:
    model = make(
        hidden=(5,), code_activation="tanh", output="identity", loss="mse", optimizer="sgd",
        learning_rate=0.05, schedule="constant", warmup=0.0, shuffle=False, batch_size=len(X),
        epochs=0, dtype="float64", initializer="glorot", backend=backend.name,
    ).fit(X)  # fmt: skip
    weights = model.parameters()
    losses = ten_updates_by_hand(weights, 0.05)
    assert_ten_updates(model, how, X, losses, weights)


@pytest.mark.parametrize("dtype", ("float64", "float32"))
@pytest.mark.parametrize(
    "options", ({}, {"code_noise": 0.1, "optimizer": "adamw", "clip_norm": 0.1})
)
def test_all_backends_train_alike(backend: Backend, dtype: str, options: dict[str, Any]) -> None:
    """12 updates, replayed where a backend replays steps."""
    options = {**options, "dtype": dtype, "learning_rate": 0.01, "scale": "standard",
               "validation_fraction": 0.2}  # fmt: skip
    ours, right = (make(**options, backend=name).fit(HOLED) for name in (backend.name, "numpy"))
    assert_trained_alike(ours, right, dtype)


@pytest.mark.parametrize("initializer", ("pca", "glorot"))
def test_a_linear_code_finds_the_subspace_of_pca(initializer: str) -> None:
    """The sine of the largest angle between the decoder's rows and PCA's directions."""
    model = make(hidden=(), code=3, loss="mse", output="identity", epochs=1000, batch_size=80,
                 initializer=initializer, learning_rate=0.01, scale=None, dtype="float64",
                 backend="numpy").fit(NORMAL)  # fmt: skip
    pca = np.linalg.svd(NORMAL - NORMAL.mean(0), full_matrices=False)[2][:3]
    w = np.linalg.qr(model.parameters()["encoder.0.weight"])[0]
    assert np.linalg.norm(w - pca.T @ (pca @ w), 2) < 1e-3
    weights = model.parameters()["encoder.0.weight"]
    np.testing.assert_allclose(weights.T @ weights, np.eye(3), atol=1e-3)  # and is orthonormal


STARTS = ("identity", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu")


@pytest.mark.parametrize("activation", STARTS)
def test_pca_is_the_start(activation: str) -> None:
    """That of the plain net to the last digits, also of logits, whose slope is 8 both ways."""
    for code, data, hidden in product(
        ("identity", "leaky_relu", "elu"), (X, NORMAL), ((), (12,), (20, 12))
    ):
        options = {"hidden": hidden, "code": 4, "activation": activation, "epochs": 0,
                   "code_activation": code, "dtype": "float64", "initializer": "pca",
                   "scale": None}  # fmt: skip
        ours, right = make(**options).fit(data), plain(**options).fit(data)
        np.testing.assert_allclose(ours.reconstruct(data), right.reconstruct(data), atol=1e-9)


def test_what_pca_does_not_need_learns_from_the_start() -> None:
    """Each weight of a net that is PCA moves with the first update but one."""
    model = make(hidden=(20,), activation="relu", epochs=0, initializer="pca").fit(NORMAL)
    start = model.parameters()["encoder.0.weight"]
    assert (start[:, 6:] == 0).all()
    model.partial_fit(NORMAL).partial_fit(NORMAL)
    assert (np.abs(model.parameters()["encoder.0.weight"] - start) > 0).any(axis=0).all()


def test_where_pca_is_no_start() -> None:
    for options in ({"activation": "tanh"}, {"activation": "relu", "code_activation": "sigmoid"}):
        make(**options).fit(X)  # from random weights
        with pytest.raises(ValueError, match="needs layers that hold PCA both ways, and activ"):
            make(**options, initializer="pca").fit(X)
    with pytest.raises(ValueError, match="needs data"):
        make(activation="relu", initializer="pca").initialize(9)


def test_tables_with_categories() -> None:
    pandas = pytest.importorskip("pandas", reason="a table")
    data = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": np.array(["x", "y", "z"] * 20)})
    for activation in ("relu", "elu"):
        model = make(hidden=(8,), activation=activation, dtype="float64", missing="allow").fit(data)
        assert list(model.reconstruct(data).columns) == list(data.columns)
        assert gradcheck(model, np.asarray(as_rows(data, schema=model.schema_))).max_error <= 1e-7


def test_an_interrupted_run_goes_on_to_the_same_bytes(backend: Backend, tmp_path: Path) -> None:
    whole, file = make(backend=backend.name).fit(X), tmp_path / "c.npz"
    with pytest.raises(Stop):
        make(backend=backend.name).fit(X, checkpoint=file, callback=stop_at(2, 2))
    assert_same_weights(whole, make(backend=backend.name).fit(X, checkpoint=file, resume=True))


# ---- files


def test_half_the_weights_in_files_and_memory(tmp_path: Path) -> None:
    options = {"hidden": (200,), "code": 100, "epochs": 0, "scale": "standard"}
    ours, other = make(**options).fit(X), plain(**options).fit(X)
    sizes = []
    for model in (ours, other):
        model.save(tmp_path / "m.npz")
        sizes.append((tmp_path / "m.npz").stat().st_size)
    weights = 9 * 200 + 200 * 100
    assert sum(p.size for p in ours.parameters().values()) == weights + 200 + 100 + 200 + 9
    assert ours._network.parameters.values.size == other._network.parameters.values.size - weights
    assert sizes[1] - sizes[0] >= 4 * weights
    loaded = Autoencoder.load(tmp_path / "m.npz")
    assert type(loaded) is Autoencoder
    with pytest.raises(FileError, match="of no family"):
        TiedAutoencoder.load(tmp_path / "m.npz")


def test_copies_pickles_and_files_go_on_alike(tmp_path: Path) -> None:
    model = make(scale="standard").fit(HOLED)
    model.save(tmp_path / "m.npz")
    assert_same_weights(model, Autoencoder.load(tmp_path / "m.npz"))
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    steps = [ae.partial_fit(HOLED).partial_fit(HOLED) for ae in (model, *others)]
    for other in steps[1:]:
        assert_same_weights(model, other)


def test_exports_and_what_fewer_bits_do(tmp_path: Path) -> None:
    model = make(scale="standard").fit(X)
    model.export(tmp_path / "net.py")
    net = module(tmp_path / "net.py")
    np.testing.assert_allclose(net.encode(X), model.encode(X), rtol=0, atol=1e-5)
    np.testing.assert_allclose(net.decode(net.encode(X)), model.reconstruct(X), rtol=0, atol=1e-5)
    coarse = rounded(model, "int8")
    model.export(tmp_path / "coarse.py", quantize="int8")
    net = module(tmp_path / "coarse.py")
    np.testing.assert_allclose(net.decode(net.encode(X)), coarse.reconstruct(X), rtol=0, atol=1e-5)


def test_untied_it_is_a_plain_net_with_the_same_numbers() -> None:
    model = make(scale="standard").fit(HOLED)
    apart = model.untied()
    assert type(apart) is Autoencoder and apart.history_ == model.history_
    np.testing.assert_array_equal(apart.encode(HOLED), model.encode(HOLED))
    np.testing.assert_allclose(apart.reconstruct(HOLED), model.reconstruct(HOLED), atol=1e-5)
    weights = model.parameters()
    apart.partial_fit(HOLED)
    assert (apart.parameters()["decoder.2.weight"].T != weights["encoder.0.weight"]).any()
    assert_same_weights(model, model.set_parameters(weights))


# ---- bad input


def test_a_decoder_of_another_shape() -> None:
    make(decoder_hidden=(5, 8)).fit(X)
    for options in ({"decoder_hidden": (8, 5)}, {"decoder_hidden": (4,), "hidden": "auto"}):
        with pytest.raises(ValueError, match="decoder_hidden of a tied autoencoder must be None"):
            make(**options).fit(X)


def test_a_trace_is_of_layers_with_weights_of_their_own() -> None:
    with pytest.raises(TypeError, match="of nets of dense layers alone.*'decoder.0'"):
        trace(make().fit(X), X[:5])
