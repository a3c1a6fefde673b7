"""ContractiveAutoencoder: the penalty against finite differences, its training by hand."""

from __future__ import annotations

import pickle
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families.updates import assert_ten_updates, assert_trained_alike
from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, ContractiveAutoencoder, gradcheck
from tinyae.data.rows import as_rows
from tinyae.families.contractive import OWN
from tinyae.gradient_check import float64_loss
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATIONS
from tinyae.kernels.reference.random import random_bernoulli
from tinyae.learn.tracing import trace
from tinyae.net import streams

RNG = np.random.default_rng(0)
X = RNG.random((60, 6))
HOLED = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
# (hidden, code_activation, estimate): one row of the closed forms; rows by the Gram matrix, all at
# once; random rows, fewer than the first layer has units and more
PATHS = (((), "sigmoid", 0), ((5,), "identity", 0), ((5,), "tanh", 0), ((7, 5), "identity", 0),
         ((7, 5), "tanh", 1), ((5,), "sigmoid", 3))  # fmt: skip


def make(**options: Any) -> ContractiveAutoencoder:
    settings = {"contraction": 0.3, "hidden": (5,), "code": 3, "activation": "tanh", "epochs": 3,
                "batch_size": 16, "random_state": 1, "dtype": "float64",
                "backend": "numpy"}  # fmt: skip
    return ContractiveAutoencoder(**{**settings, **options})


def of(path: tuple[Any, str, int], **options: Any) -> ContractiveAutoencoder:
    hidden, code, estimate = path
    return make(hidden=hidden, code_activation=code, estimate=estimate, **options)


def penalty(model: ContractiveAutoencoder, x: np.ndarray, seed: int = 0) -> float:
    """What the term adds to the mean loss."""
    loss = float64_loss(model, x, "numpy", seed)
    whole = loss.value(loss.x, loss.records)[0]
    loss.objective.terms = ()
    return whole - loss.value(loss.x, loss.records)[0]


# ---- the penalty and its gradient


EVERY = [
    pytest.param(path, activation, marks=[pytest.mark.slow] * ("tanh" not in (activation, path[1])))
    for path, activation in product(PATHS, ACTIVATIONS)
]


@pytest.mark.parametrize(("path", "activation"), EVERY)
def test_the_gradient(path: tuple[Any, str, int], activation: str) -> None:
    model = of(path, activation=activation, missing="allow", initializer="glorot").fit(HOLED)
    check = gradcheck(model, HOLED[:7])
    assert check.max_error <= 1e-7 and check.straddled <= 20


def test_the_gradient_of_every_activation_of_the_code() -> None:
    for code, hidden in product(ACTIVATIONS, ((), (5,))):
        model = make(code_activation=code, hidden=hidden, initializer="glorot").fit(X)
        assert gradcheck(model, X[:7]).max_error <= 1e-7, (code, hidden)


def test_the_jacobian_is_the_derivative_of_encode() -> None:
    """Central differences of h = 1e-5: h^2 |z'''| / 6 and eps |z| / h are below 1e-9."""
    data = 10 * X + 3
    for hidden, code in (((), "tanh"), ((5, 4), "identity"), ((5,), "silu")):
        model = make(hidden=hidden, code_activation=code, scale="standard").fit(data)
        found = model.jacobian(data[:4])
        assert found.shape == (4, 3, 6)
        for j in range(6):
            step = np.eye(6)[j] * 1e-4
            slope = (model.encode(data[:4] + step) - model.encode(data[:4] - step)) / 2e-4
            np.testing.assert_allclose(found[:, :, j], slope, rtol=0, atol=1e-8)
        norms = np.sqrt(((found * model.scaling_.spread) ** 2).sum(axis=(1, 2)))
        np.testing.assert_allclose(model.jacobian_norms(data[:4]), norms, rtol=1e-12)


@pytest.mark.parametrize("path", [path for path in PATHS if not path[2]])
@pytest.mark.parametrize("activation", ("tanh", "relu", "silu"))
def test_the_exact_penalty(path: tuple[Any, str, int], activation: str) -> None:
    model = of(path, activation=activation).fit(X)
    expected = 0.3 * np.square(model.jacobian_norms(X)).mean()
    assert penalty(model, X) == pytest.approx(expected, rel=1e-10)


def test_rows_in_several_parts_add_up() -> None:
    """A batch so large that the rows of the identity do not fit into one part."""
    data = np.tile(X, (50, 1))
    model = make(hidden=(7, 5), code_activation="tanh", epochs=1).fit(data)
    expected = 0.3 * np.square(model.jacobian_norms(data)).mean()
    assert penalty(model, data) == pytest.approx(expected, rel=1e-10)
    assert gradcheck(model, data, mode="directional", directions=3).max_error <= 1e-7


def test_the_estimate_has_the_mean_and_the_variance_that_are_stated() -> None:
    """Over 600 draws of one sample: the mean within 4 of its standard deviations, the variance
    within 35 %, 4 of its own for draws of a kurtosis of 5.6."""
    model = make(hidden=(7,), code_activation="tanh", code=4, contraction=1.0).fit(X)
    a = model.jacobian(X[:1])[0]
    a = a @ a.T
    variance = 2 * ((a**2).sum() - (np.diag(a) ** 2).sum())
    for k in (1, 3):
        model.set_params(estimate=k)
        model._built_params["estimate"] = k
        draws = np.array([penalty(model, X[:1], seed) for seed in range(600)])
        assert abs(draws.mean() - np.trace(a)) <= 4 * np.sqrt(variance / k / 600)
        assert draws.var() == pytest.approx(variance / k, rel=0.35)


def test_the_estimate_is_of_the_rows_that_were_drawn() -> None:
    model = make(hidden=(7, 5), estimate=2, contraction=1.0).fit(X)
    mask = np.empty((2 * 7, 3))
    random_bernoulli(streams.state(0, streams.PROBES), 0.5, mask)
    v = (2 * mask - 1).reshape(2, 7, 3)
    rows = np.einsum("kni,nij->knj", v, model.jacobian(X[:7]))
    assert penalty(model, X[:7]) == pytest.approx((rows**2).sum() / 2 / 7, rel=1e-10)


# ---- training


def ten_updates_by_hand(p: dict[str, np.ndarray], rate: float, weight: float) -> list[float]:
    """SGD of a net 6-3-6 with a code s = sigmoid(x w + b), with the closed form of Rifai et al.:
    ||J||^2 = sum over units of (s (1 - s))^2 |w_j|^2; changes p, returns the losses."""
    w1, b1, w2, b2 = p.values()
    n, losses = len(X), []
    for _ in range(10):
        s = 1 / (1 + np.exp(-(X @ w1 + b1)))
        error, slope = s @ w2 + b2 - X, s * (1 - s)
        squares = (w1**2).sum(axis=0)
        losses.append(((error**2).sum() + weight * (slope**2 @ squares).sum()) / n)
        d2 = 2 * error / n
        d1 = (d2 @ w2.T) * slope + weight / n * 2 * slope * slope * (1 - 2 * s) * squares
        direct = weight / n * 2 * w1 * (slope**2).sum(axis=0)
        for parameter, gradient in ((w1, X.T @ d1 + direct), (b1, d1.sum(0)), (w2, s.T @ d2),
                                    (b2, d2.sum(0))):  # fmt: skip
            parameter -= rate * gradient
    return losses


@pytest.mark.parametrize("how", ("partial_fit", "fit"))
def test_ten_updates_by_hand(backend: Backend, how: str) -> None:
    model = make(
        hidden=(), code_activation="sigmoid", output="identity", loss="mse", optimizer="sgd",
        learning_rate=0.05, schedule="constant", warmup=0.0, shuffle=False, batch_size=len(X),
        epochs=0, initializer="glorot", backend=backend.name, contraction=2.0,
    ).fit(X)  # fmt: skip
    weights = model.parameters()
    losses = ten_updates_by_hand(weights, 0.05, 2.0)
    assert_ten_updates(model, how, X, losses, weights)


@pytest.mark.parametrize("dtype", ("float64", "float32"))
@pytest.mark.parametrize("path", PATHS)
def test_all_backends_train_alike(backend: Backend, path: tuple[Any, str, int], dtype: str) -> None:
    """12 updates, replayed where a backend replays steps."""
    options = {"dtype": dtype, "learning_rate": 0.01, "validation_fraction": 0.2}
    ours, right = (of(path, **options, backend=name).fit(X) for name in (backend.name, "numpy"))
    assert_trained_alike(ours, right, dtype)


def test_without_a_penalty_it_is_the_plain_net() -> None:
    model = make(contraction=0.0, estimate=3)
    rest = {k: v for k, v in model.get_params().items() if k not in OWN}
    assert_same_weights(Autoencoder(**rest).fit(X), model.fit(X))


def test_it_contracts() -> None:
    options = {"code_activation": "sigmoid", "epochs": 60, "hidden": (), "code": 4,
               "learning_rate": 0.05}  # fmt: skip
    weak, strong = (make(contraction=c, **options).fit(X) for c in (0.0, 5.0))
    assert strong.jacobian_norms(X).mean() < 0.5 * weak.jacobian_norms(X).mean()


@pytest.mark.parametrize("path", (PATHS[0], PATHS[4]))
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    path: tuple[Any, str, int], tmp_path: Path
) -> None:
    options = {"validation_fraction": 0.2, "patience": 3, "dtype": "float32"}
    whole, file = of(path, **options).fit(X), tmp_path / "c.npz"
    with pytest.raises(Stop):
        of(path, **options).fit(X, checkpoint=file, callback=stop_at(2, 2))
    again = of(path, **options).fit(X, checkpoint=file, resume=True)
    assert_same_weights(whole, again)
    assert again.history_["val_loss"] == whole.history_["val_loss"]


def test_batches_of_many_sizes() -> None:
    """More sizes than are remembered, forward and back: as a model that has seen none of them."""
    model, sizes = make(hidden=(7, 5), code_activation="tanh").fit(X), (*range(1, 13), 3, 12)
    other = pickle.loads(pickle.dumps(model))
    for n in sizes:
        model.partial_fit(X[:n])
        other.partial_fit(X[:n])
        other = pickle.loads(pickle.dumps(other))
    assert_same_weights(model, other)


# ---- what it shows


def test_directions_are_singular_vectors() -> None:
    model = make(code_activation="tanh").fit(X)
    found, jacobian = model.directions(X[:5], 2), model.jacobian(X[:5])
    assert found.shape == (5, 2, 6)
    values = np.linalg.svd(jacobian, compute_uv=False)[:, :2]
    lengths = np.linalg.norm(np.einsum("ncj,nkj->nkc", jacobian, found), axis=2)
    np.testing.assert_allclose(lengths, values, rtol=1e-9)
    assert (found.max(axis=2) >= -found.min(axis=2)).all()
    with pytest.raises(ValueError, match="n_directions must be an integer <= 3, got 4"):
        model.directions(X, 4)


def test_pictures_and_measures() -> None:
    model = make().fit(X)
    shown = model._rows_shown(X[:4])
    assert [*shown] == ["original", "reconstruction", *(f"direction {i}" for i in (1, 2, 3))]
    low, high = model.data_range_
    for i in (1, 2, 3):
        picture = shown[f"direction {i}"]
        assert picture.shape == (4, 6) and low <= picture.min() and picture.max() <= high
    ((name, (what, norm)),) = model._measures(as_rows(X)).items()
    assert name == "jacobian_norm" and "of the first 60" in what
    assert norm == pytest.approx(np.sqrt(np.square(model.jacobian_norms(X)).mean()))


# ---- bad input


@pytest.mark.parametrize(("options", "message"), [
    ({"contraction": -1}, "contraction must be a number >= 0, got -1"),
    ({"contraction": float("nan")}, "contraction must be a number >= 0, got nan"),
    ({"estimate": -1}, "estimate must be an integer >= 0, got -1"),
    ({"estimate": 4}, "estimate must be at most code=3, of which 0 takes all rows, got 4"),
])  # fmt: skip
def test_arguments_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options).fit(X)
    with pytest.raises(TypeError, match="estimate must be an integer >= 0, got 0.5"):
        make(estimate=0.5).fit(X)


def test_a_trace_leaves_the_penalty_out() -> None:
    for hidden in ((5,), (7, 5)):
        model = make(hidden=hidden, code_activation="tanh").fit(X)
        assert trace(model, X[:5]).first_wrong is None
