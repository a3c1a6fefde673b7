"""VariationalAutoencoder: its training step by step by hand, and densities that are known."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.test_numpy_file import module
from tests.reference import sigmoid
from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, DivergenceError, FileError, VariationalAutoencoder, gradcheck
from tinyae.arguments import ARGUMENTS
from tinyae.cli.main import main
from tinyae.data.rows import as_rows
from tinyae.export.chain import rounded
from tinyae.families import likelihood
from tinyae.kernels.backend import Backend
from tinyae.kernels.reference.random import random_normal
from tinyae.learn.tracing import trace
from tinyae.net import streams
from tinyae.sklearn_api import NotFittedError
from tinyae.storage.files import META

RNG = np.random.default_rng(0)
X = (RNG.random((60, 6)) < 0.2 + 0.6 * RNG.random((60, 1))).astype(
    float
)  # in the corners of a cube
HOLED = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
NUMBERS: dict[str, Any] = {"loss": "mse", "output": "identity"}


def make(**options: Any) -> VariationalAutoencoder:
    settings = {"hidden": (5,), "code": 2, "activation": "tanh", "epochs": 3, "batch_size": 16,
                "random_state": 1, "dtype": "float64"}  # fmt: skip
    return VariationalAutoencoder(**{**settings, **options})


def assert_same_history(a: Autoencoder, b: Autoencoder) -> None:
    assert a.history_ | {"seconds": []} == b.history_ | {"seconds": []}


# ---- training


@pytest.mark.parametrize("data", (X, HOLED), ids=("whole", "holed"))
@pytest.mark.parametrize("options", ({}, NUMBERS), ids=("bce", "mse"))
def test_the_gradient(options: dict[str, Any], data: Any) -> None:
    """Of the whole loss, with the draws that are the same at each of its values."""
    model = make(**options, beta=0.7, missing="allow").fit(data)
    assert gradcheck(model, data[:9]).max_error <= 1e-7


class ByHand:
    """x -> tanh -> (m, v) -> z = m + exp(v / 2) g -> tanh -> output, and plain descent."""

    def __init__(self, model: VariationalAutoencoder, rate: float) -> None:
        self.p, self.rate, self.update = model.parameters(), rate, 0

    def step(self, x: np.ndarray, loss: str, beta: float) -> float:
        p, n = self.p, len(x)
        w = [p[f"{name}.weight"] for name in ("encoder.0", "encoder.1", "decoder.0", "decoder.1")]
        b = [p[f"{name}.bias"] for name in ("encoder.0", "encoder.1", "decoder.0", "decoder.1")]
        g = np.empty((n, 2))
        random_normal(streams.state(1, streams.LATENT, self.update), 0.0, 1.0, g)
        h = np.tanh(x @ w[0] + b[0])
        pair = h @ w[1] + b[1]
        m, v = pair[:, :2], pair[:, 2:]
        z = m + np.exp(v / 2) * g
        k = np.tanh(z @ w[2] + b[2])
        out = k @ w[3] + b[3]
        divergence = -0.5 * (1 + v - m**2 - np.exp(v)).sum()
        if loss == "bce":
            value = (np.logaddexp(0, out) - x * out).sum() + beta * divergence
            d_out = (sigmoid(out) - x) / n
        else:
            value, beta = ((out - x) ** 2).sum() + 2 * beta * divergence, 2 * beta
            d_out = 2 * (out - x) / n
        d_k = d_out @ w[3].T * (1 - k**2)
        d_z = d_k @ w[2].T
        d_m = d_z + beta / n * m
        d_v = d_z * g * np.exp(v / 2) / 2 + beta / n * (np.exp(v) - 1) / 2
        d_pair = np.hstack([d_m, d_v])
        d_h = d_pair @ w[1].T * (1 - h**2)
        for i, (below, dz) in enumerate(((x, d_h), (h, d_pair), (z, d_k), (k, d_out))):
            w[i] -= self.rate * below.T @ dz
            b[i] -= self.rate * dz.sum(axis=0)
        self.update += 1
        return float(value) / n


@pytest.mark.parametrize(("options", "beta"), (({"loss": "bce"}, 1.0), (NUMBERS, 0.3)))
def test_ten_updates_by_hand(backend: Backend, options: dict[str, Any], beta: float) -> None:
    model = make(**options, beta=beta, backend=backend.name, optimizer="sgd", learning_rate=0.1,
                 scale=None).initialize(6)  # fmt: skip
    model.partial_fit(X[:20])  # settles the output; its weights are where both begin
    hand = ByHand(model, 0.1)
    hand.update = 1
    for i in range(10):
        batch = X[5 * i : 5 * i + 10]
        value = hand.step(batch, model.loss_name_, beta)
        model.partial_fit(batch)
        assert model.loss_ == pytest.approx(value, rel=1e-12)
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, hand.p[name], rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("dtype", ("float64", "float32"))
def test_all_backends_train_alike(backend: Backend, dtype: str) -> None:
    """12 updates, replayed where a backend replays steps: a draw of its own for each. An update
    moves a weight by at most 0.01, of which rounding changes 1e4 eps, as in test_missing.py."""
    options = {"dtype": dtype, "learning_rate": 0.01, "kl_warmup": 0.5, "validation_fraction": 0.2}
    ours, plain = (make(**options, backend=name).fit(X) for name in (backend.name, "numpy"))
    slack = 1e4 * float(np.finfo(dtype).eps)
    for name, array in ours.parameters().items():
        np.testing.assert_allclose(array, plain.parameters()[name], rtol=0, atol=12 * slack * 0.01)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(ours.history_[name], plain.history_[name], rtol=slack)


def test_validation_counts_the_whole_divergence() -> None:
    """With weights that do not move: the same at each epoch, whatever beta is in training."""
    options = {"validation_fraction": 0.5, "learning_rate": 1e-300, "beta": 2.0}
    warm, full = (make(**options, kl_warmup=part).fit(X) for part in (1.0, 0.0))
    assert len({*warm.history_["val_loss"], *full.history_["val_loss"]}) == 1
    loss = warm.history_["loss"]
    assert loss[0] < loss[2] < full.history_["loss"][2]


def test_pca_is_the_start() -> None:
    """As of the plain net, with codes of variance 1 and variances all the same."""
    data = RNG.standard_normal((50, 6)) @ RNG.standard_normal((6, 6))
    options = {**NUMBERS, "hidden": (8,), "activation": "relu", "epochs": 0, "scale": None}
    model = make(**options, initializer="pca").fit(data)
    arguments = {k: v for k, v in model.get_params().items() if k in ARGUMENTS}
    plain = Autoencoder(**arguments).fit(data)
    np.testing.assert_allclose(model.reconstruct(data), plain.reconstruct(data), atol=1e-9)
    means, deviations = model.posterior(data)
    np.testing.assert_array_equal(means, model.encode(data))
    np.testing.assert_allclose(means.std(axis=0), 1, atol=1e-9)
    np.testing.assert_allclose(deviations, np.exp(-2.0), rtol=1e-12)


@pytest.mark.parametrize(
    "options", ({"binarize": True}, {"free_bits": 1.0}, {"samples": 3}), ids=lambda o: next(iter(o))
)
@pytest.mark.parametrize("epoch", (1, 2))
def test_a_resumed_run_ends_with_the_same_bytes(
    tmp_path: Path, epoch: int, options: dict[str, Any]
) -> None:
    def model() -> VariationalAutoencoder:
        return make(kl_warmup=0.8, validation_fraction=0.2, patience=3, **options)

    file = tmp_path / "checkpoint.npz"
    whole = model().fit(X)
    for step in (1, 2):
        with pytest.raises(Stop):
            model().fit(X, checkpoint=file, callback=stop_at(epoch, step))
        again = model().fit(X, checkpoint=file, resume=True)
        assert_same_weights(whole, again)
        assert_same_history(whole, again)
        file.unlink(missing_ok=True)
    model().fit(X, checkpoint=file)
    with pytest.raises(ValueError, match=r"kl_warmup=0\.8.*kl_warmup=0\.0"):
        model().set_params(epochs=9).fit(X, checkpoint=file, resume=True)


def test_files_and_copies(tmp_path: Path) -> None:
    model, file = make(beta=0.5, scale="standard", **NUMBERS).fit(X), tmp_path / "model.npz"
    model.save(file)
    for same in (Autoencoder.load(file), VariationalAutoencoder.load(file),
                 pickle.loads(pickle.dumps(model))):  # fmt: skip
        assert type(same) is VariationalAutoencoder and same.beta == 0.5
        assert_same_weights(model, same)
        same.partial_fit(X[:8])
    np.testing.assert_array_equal(Autoencoder.load(file).encode(X), model.encode(X))
    Autoencoder(hidden=(4,), code=2, epochs=0).fit(X).save(file)
    with pytest.raises(FileError, match="of no family"):
        VariationalAutoencoder.load(file)


def test_an_older_file(tmp_path: Path) -> None:
    """Of before there were these arguments: without them, that is."""
    file = tmp_path / "model.npz"
    model = make().fit(X)
    model.save(file)
    with np.load(file) as archive:
        arrays = dict(archive)
    raw = arrays[META].dtype == np.uint8
    meta = json.loads(arrays[META].tobytes() if raw else str(arrays[META]))
    for name in ("free_bits", "samples", "binarize"):
        del meta["params"][name]
    text = json.dumps(meta)
    arrays[META] = np.frombuffer(text.encode(), np.uint8) if raw else np.array(text)
    np.savez(file, **arrays)
    older = VariationalAutoencoder.load(file)
    assert all(getattr(older, name) == getattr(model, name) for name in model.own)
    assert_same_weights(older, model)


# ---- what it knows


def exact_posterior() -> tuple[VariationalAutoencoder, np.ndarray]:
    """A linear net x = z W + b + noise whose encoder is the posterior, and log p(X): with W W' =
    diag(d), p(z|x) is normal, with mean (x - b) W' / (1 + d) and variance 1 / (1 + d), and p(x)
    has covariance W'W + 1 (Tipping and Bishop 1999)."""
    model = make(**NUMBERS, hidden=(), scale=None).initialize(6)
    w = np.linalg.qr(RNG.standard_normal((6, 2)))[0].T * np.array([[2.0], [0.7]])
    d, b = np.square(w).sum(axis=1), RNG.standard_normal(6)
    model.set_parameters({
        "encoder.0.weight": np.hstack([w.T / (1 + d), np.zeros((6, 2))]),
        "encoder.0.bias": np.concatenate([-b @ w.T / (1 + d), -np.log1p(d)]),
        "decoder.0.weight": w, "decoder.0.bias": b,
    })  # fmt: skip
    covariance = w.T @ w + np.eye(6)
    e = X - b
    log_p = -(np.einsum("ni,ij,nj->n", e, np.linalg.inv(covariance), e)
              + np.linalg.slogdet(2 * np.pi * covariance)[1]) / 2  # fmt: skip
    return model, log_p


def test_the_likelihood_is_exact_where_the_posterior_is() -> None:
    """Then each draw weighs p(x): one is enough. The bound is the likelihood, and the loss is twice
    that less d log(2 pi)."""
    model, log_p = exact_posterior()
    for samples in (1, 7, 5000):
        found = model.log_likelihood(X[:9], samples=samples)
        np.testing.assert_allclose(found, log_p[:9], atol=1e-10)
    model.set_params(backend="numpy")
    divergence = model.divergence(X)
    m, s = model.posterior(X)
    by_hand = 0.5 * (m**2 + s**2 - 1).sum(axis=1) - np.log(s).sum(axis=1)
    np.testing.assert_allclose(divergence, by_hand, rtol=1e-12)
    model.partial_fit(X)  # its loss has another draw: the bound is exact only on average
    bound = -(model.loss_ + 6 * np.log(2 * np.pi)) / 2
    assert bound == pytest.approx(log_p.mean(), abs=4 * 2.5 / np.sqrt(len(X)))


def test_a_likelihood_with_missing_values() -> None:
    """Of what is there: a normal's margin. The encoder reads numbers in their place, so its
    posterior is not exact: 20,000 draws come near."""
    model, _ = exact_posterior()
    model._fill_in(X.mean(axis=0))
    found = model.log_likelihood(HOLED[:5], samples=20_000)
    w, b = (model.parameters()[f"decoder.0.{name}"] for name in ("weight", "bias"))
    for row, estimate in zip(HOLED[:5], found, strict=True):
        there = ~np.isnan(row)
        covariance = w[:, there].T @ w[:, there] + np.eye(there.sum())
        e = row[there] - b[there]
        exact = -(e @ np.linalg.inv(covariance) @ e
                  + np.linalg.slogdet(2 * np.pi * covariance)[1]) / 2  # fmt: skip
        assert estimate == pytest.approx(exact, abs=0.1)


def test_a_bernoulli_likelihood_by_quadrature() -> None:
    """p(x) = E_q[w] and the variance of w by 80 nodes of Gauss and Hermite, where the integrand is
    smooth; the estimate of 4,000 draws is off by 5 standard errors at most."""
    model = make(code=1, epochs=30, learning_rate=0.02).fit(X)
    m, s = model.posterior(X)
    nodes, heights = np.polynomial.hermite_e.hermegauss(80)
    heights /= np.sqrt(2 * np.pi)
    z = m + s * nodes  # (n, nodes)
    p = model.decode(z.reshape(-1, 1)).reshape(*z.shape, 6)
    log_p = np.where(X[:, None] > 0, np.log(p), np.log1p(-p)).sum(axis=2)
    w = np.exp(log_p - z**2 / 2 + nodes**2 / 2) * s
    mean, square = (w @ heights), (w**2 @ heights)
    relative = np.sqrt(square / mean**2 - 1) / np.sqrt(4000)
    found = model.log_likelihood(X, samples=4000)
    assert (np.abs(found - np.log(mean)) <= 5 * relative + 1e-6).all()
    bound = model.log_likelihood(X, samples=1, random_state=3).mean()
    assert bound < model.log_likelihood(X, samples=20, random_state=3).mean() < 0


@pytest.mark.parametrize("options", ({}, NUMBERS), ids=("bce", "mse"))
def test_a_likelihood_in_float32(backend: Backend, options: dict[str, Any]) -> None:
    """Of one draw, against the formula in float64. Normals of two backends differ by 48 eps of
    their radius (test_random.py), which is below 6; a sum of n products errs by n + 2 eps of its
    parts, tanh by 4 eps; an output's logarithm by 8 eps of its parts, and with the output by at
    most 1 (bce) or its error (mse) times as much."""
    model = make(**options, dtype="float32", learning_rate=0.02).fit(X)
    m, v = (a.astype(np.float64) for a in likelihood.means_and_log_variances(model, X))
    g = np.empty(m.shape, np.float32)
    random_normal(streams.state(0, streams.LIKELIHOOD, 0), 0.0, 1.0, g)
    wide, small = g.astype(np.float64), float(np.finfo(np.float32).eps)
    s = np.exp(v / 2)
    z, off_g = m + s * wide, 48 * 6 * small
    p = {name: array.astype(np.float64) for name, array in model.parameters().items()}
    y, off = z, small * np.abs(z) + off_g * s
    for layer in ("decoder.0", "decoder.1"):
        w, b = p[f"{layer}.weight"], p[f"{layer}.bias"]
        rounding = (len(w) + 2) * small * (np.abs(y) @ np.abs(w) + np.abs(b))
        y, off = y @ w + b, off @ np.abs(w) + rounding
        if layer == "decoder.0":
            y, off = np.tanh(y), off + 4 * small
    if options:
        logs, slope = -((y - X) ** 2 + np.log(2 * np.pi)) / 2, np.abs(y - X)
        parts = (y - X) ** 2 + np.abs(X * y)
    else:
        logs, slope = X * y - np.logaddexp(0, y), 1.0
        parts = np.abs(X * y) + np.logaddexp(0, y)
    expected = logs.sum(axis=1) + ((wide**2 + v - z**2) / 2).sum(axis=1)
    bound = (slope * off + off**2 + 8 * small * parts).sum(axis=1)
    bound += (off_g * (np.abs(wide) + s * np.abs(z) + off_g * (1 + s**2))).sum(axis=1)
    found = model.set_params(backend=backend.name).log_likelihood(X, samples=1)
    assert (np.abs(found - expected) <= bound).all() and bound.max() < 0.01


def test_a_code_that_overflows_in_the_decoder() -> None:
    model = make(activation="relu", dtype="float32").fit(X)
    values = model.parameters()
    values["encoder.1.bias"][:2] = 3e38
    values["decoder.0.weight"][:] = 9
    values["decoder.1.weight"][:] = 9
    match = "a code drawn for sample 0 overflows float32 in the decoder"
    with pytest.raises(ValueError, match=match):
        model.set_parameters(values).log_likelihood(X, samples=3)


def test_samples_are_decoded_draws_of_the_prior() -> None:
    model = make().fit(X)
    some = model.sample(500, 7)
    np.testing.assert_array_equal(some, model.sample(500, 7))
    assert some.shape == (500, 6) and (some != model.sample(500, 8)).any()
    z = np.empty((500, 2))
    random_normal(streams.state(7, streams.PRIOR), 0.0, 1.0, z)
    np.testing.assert_array_equal(some, model.decode(z))


def test_the_divergence_switches_units_off() -> None:
    """A beta that outweighs all: every code is the prior's, and the mean says nothing."""
    model = make(beta=1e3, epochs=150, learning_rate=0.02).fit(X)
    assert model.active_units(X) == 0
    assert model.divergence(X).mean() < 0.01
    assert make(beta=1e-3, epochs=40, learning_rate=0.02).fit(X).active_units(X) == 2


def test_an_export_has_the_means(tmp_path: Path) -> None:
    model = make(scale="standard", hidden=(7,), **NUMBERS).fit(X)
    model.export(tmp_path / "net.py")
    model.export(tmp_path / "small.py", quantize="int8")
    for name, ours in (("net.py", model), ("small.py", rounded(model, "int8"))):
        net = module(tmp_path / name)
        # a product of fewer columns may be summed in another order: two layers of at most 7 terms
        np.testing.assert_allclose(net.encode(X), ours.encode(X), rtol=0, atol=1e-13)
        np.testing.assert_allclose(net.reconstruct(X), ours.reconstruct(X), rtol=0, atol=1e-13)


# ---- what is refused, and the ecosystem


def test_a_divergence_names_beta() -> None:
    for train in (lambda model: model.fit(X), lambda model: model.partial_fit(X)):
        with pytest.raises(DivergenceError, match=r"a smaller beta \(it is 1e\+300\), clip_norm=1"):
            train(make(beta=1e300, dtype="float32"))


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"beta": -1}, ValueError, "beta must be a number >= 0, got -1"),
        ({"beta": "much"}, TypeError, "beta must be a number >= 0, got 'much'"),
        ({"kl_warmup": -1}, ValueError, "kl_warmup must be a number >= 0 and <= 1, got -1"),
        ({"kl_warmup": 1.5}, ValueError, "kl_warmup must be a number >= 0 and <= 1, got 1.5"),
        ({"code_noise": 0.1}, ValueError, "code_noise must be 0 for a variational .*got 0.1"),
        ({"code_activation": "tanh"}, ValueError, "code_activation must be 'identity' for .*tanh"),
        ({"loss": "l1"}, ValueError, "loss of a variational autoencoder must be .*got 'l1'"),
        ({"free_bits": -1}, ValueError, "free_bits must be a number >= 0, got -1"),
        ({"samples": 0}, ValueError, "samples must be an integer >= 1, got 0"),
        ({"samples": 2.5}, TypeError, "samples must be an integer >= 1, got 2.5"),
        ({"samples": 2, "free_bits": 1}, ValueError, "free_bits must be 0 with samples=2.*got 1"),
        (
            {"samples": 2, "target_blur": 1, "image_shape": (2, 3)},
            ValueError,
            "target_blur must be 0 with samples=2",
        ),
        ({"binarize": True, "loss": "mse"}, ValueError, "binarize=True is for loss='bce', got"),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make(**wrong).fit(X)


def test_a_bernoulli_likelihood_is_of_numbers_in_0_to_1() -> None:
    model = make().fit(X)
    with (
        pytest.warns(UserWarning, match="training data"),
        pytest.raises(ValueError, match=r"X must lie in \[0, 1\] for loss='bce'"),
    ):
        model.log_likelihood(3 * X, samples=2)
    assert {*model._measures(as_rows(3 * X))} == {"divergence", "active_units"}
    assert "log_likelihood" in model._measures(as_rows(X))


@pytest.mark.parametrize("log_variance", (-400.0, 200.0))
def test_a_divergence_where_float32_cannot_hold_the_deviation(log_variance: float) -> None:
    model = make(dtype="float32").fit(X)
    values = model.parameters()
    values["encoder.1.weight"][:] = 0
    values["encoder.1.bias"][:] = (0, 0, log_variance, log_variance)
    model.set_parameters(values)
    assert np.isin(model.posterior(X)[1], (0, np.inf)).all()
    expected = np.exp(log_variance) - 1 - log_variance  # of two units, halved
    np.testing.assert_allclose(model.divergence(X), np.full(len(X), expected), rtol=1e-12)


def test_a_trace_says_which_layer_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="dense layers alone, and this one has a layer 'sample'"):
        trace(make().fit(X), X[:2])


def test_samples_of_no_weights() -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        make().sample(3)


def test_wrong_use() -> None:
    model = make().fit(X)
    with pytest.raises(ValueError, match=r"n must be .*as fit into the memory.*, got 10{12}$"):
        model.sample(10**12)
    with pytest.raises(ValueError, match="samples must be an integer >= 1, got 0"):
        model.log_likelihood(X, samples=0)
    with pytest.raises(ValueError, match="n must be an integer >= 1, got 0"):
        model.sample(0)
    with pytest.raises(ValueError, match="7 features"):
        model.log_likelihood(np.zeros((2, 7)))


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x_train=np.tile(X, (2, 1)), x_test=X[:20])
    argv = "--data data.npz --hidden 5 --code 2 --epochs 2 --backend numpy --seed 1 --out run"
    options = "--family variational --beta 0.5 --kl-warmup 0.5 --samples 3 --binarize"
    assert main(["train", *argv.split(), *options.split()]) == 0
    assert (tmp_path / "run" / "reconstructions.png").exists()
    capsys.readouterr()
    assert main(["evaluate", "run"]) == 0
    said = capsys.readouterr().out
    assert (
        "log-likelihood of the first 20, 100 draws each" in said
        and "active units, whose means vary" in said
    )
    model = Autoencoder.load("run/model.npz")
    assert isinstance(model, VariationalAutoencoder) and model.samples == 3 and model.binarize
    with (tmp_path / "run" / "history.csv").open() as file:
        columns = next(file).strip().split(",")
    assert {"reconstruction", "divergence", "active_units"} < set(columns)
    assert main(["train", *argv.split(), *options.split(), "--code-noise", "0.1"]) != 0
    assert "Traceback" not in capsys.readouterr().err
