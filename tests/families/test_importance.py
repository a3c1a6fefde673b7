"""The importance weighted bound in training: its gradient by hand, and where it is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.families.test_variational import HOLED, NUMBERS, RNG, X, exact_posterior, make
from tests.reference import sigmoid
from tinyae import VariationalAutoencoder, gradcheck
from tinyae.kernels.backend import Backend
from tinyae.kernels.reference.random import random_normal
from tinyae.net import streams

GREY = RNG.random((40, 6))


@pytest.mark.parametrize(
    "options",
    ({}, {"beta": 0.3}, NUMBERS, {"loss": "mse", "output": "tanh", "beta": 2.0}),
    ids=("bce", "bce, beta", "mse", "mse, tanh"),
)
@pytest.mark.parametrize("samples", (2, 5))
def test_the_gradient(options: dict[str, Any], samples: int) -> None:
    model = make(**options, samples=samples, scale=None, backend="numpy").fit(GREY)
    assert gradcheck(model, GREY[:9]).max_error <= 1e-7


class ByHand:
    """As in test_variational.py, but each draw by itself."""

    def __init__(self, model: VariationalAutoencoder, rate: float) -> None:
        self.p, self.rate, self.update, self.k = model.parameters(), rate, 0, model.samples

    def step(self, x: np.ndarray, loss: str, beta: float) -> tuple[float, float]:
        """(loss, reconstruction) of the batch, before the update."""
        p, n, k = self.p, len(x), self.k
        w = [p[f"{name}.weight"] for name in ("encoder.0", "encoder.1", "decoder.0", "decoder.1")]
        b = [p[f"{name}.bias"] for name in ("encoder.0", "encoder.1", "decoder.0", "decoder.1")]
        g = np.empty((k, n, 2))
        random_normal(streams.state(1, streams.LATENT, self.update), 0.0, 1.0, g)
        h = np.tanh(x @ w[0] + b[0])
        m, v = np.split(h @ w[1] + b[1], 2, axis=1)
        draws, logs = [], np.empty((k, n))
        for j in range(k):
            z = m + np.exp(v / 2) * g[j]
            hidden = np.tanh(z @ w[2] + b[2])
            out = hidden @ w[3] + b[3]
            if loss == "bce":
                log_p = (x * out - np.logaddexp(0, out)).sum(axis=1)
            else:
                log_p = -0.5 * ((out - x) ** 2).sum(axis=1)
            prior, posterior = -(z**2).sum(axis=1) / 2, -(g[j] ** 2 + v).sum(axis=1) / 2
            logs[j] = log_p + beta * (prior - posterior)
            draws.append((z, hidden, out, log_p))
        weights = np.exp(logs - logs.max(axis=0))
        weights /= weights.sum(axis=0)
        scale = 1 if loss == "bce" else 2
        value = -scale * np.log(np.exp(logs - logs.max(axis=0)).mean(axis=0)) - scale * logs.max(0)
        slopes: dict[str, np.ndarray] = {name: np.zeros_like(a) for name, a in p.items()}
        d_m, d_v = np.zeros_like(m), np.zeros_like(v)
        for j, (z, hidden, out, _) in enumerate(draws):
            each = scale * weights[j][:, None] / n
            d_out = each * (sigmoid(out) - x if loss == "bce" else out - x)
            d_hidden = d_out @ w[3].T * (1 - hidden**2)
            d_z = d_hidden @ w[2].T + each * beta * z
            d_m += d_z
            d_v += d_z * np.exp(v / 2) * g[j] / 2 - each * beta / 2
            for name, below, dz in (("decoder.1", hidden, d_out), ("decoder.0", z, d_hidden)):
                slopes[f"{name}.weight"] += below.T @ dz
                slopes[f"{name}.bias"] += dz.sum(axis=0)
        d_pair = np.hstack([d_m, d_v])
        d_h = d_pair @ w[1].T * (1 - h**2)
        for name, below, dz in (("encoder.1", h, d_pair), ("encoder.0", x, d_h)):
            slopes[f"{name}.weight"], slopes[f"{name}.bias"] = below.T @ dz, dz.sum(axis=0)
        for name, slope in slopes.items():
            p[name] -= self.rate * slope
        self.update += 1
        return float(value.mean()), -float(np.mean([log_p for *_, log_p in draws]))


@pytest.mark.parametrize(("options", "beta"), (({"loss": "bce"}, 1.0), (NUMBERS, 0.3)))
def test_ten_updates_by_hand(backend: Backend, options: dict[str, Any], beta: float) -> None:
    """Of batches of several sizes; and the history's column."""
    model = make(**options, beta=beta, backend=backend.name, optimizer="sgd", learning_rate=0.1,
                 scale=None, samples=4).initialize(6)  # fmt: skip
    model.partial_fit(GREY[:20])  # settles the output
    hand = ByHand(model, 0.1)
    hand.update = 1
    terms = model._minibatch.objective.terms  # type: ignore[union-attr]
    terms[0].metrics()
    for i in range(10):
        batch = GREY[2 * i : 2 * i + 10 + i % 3]
        value, nats = hand.step(batch, model.loss_name_, beta)
        model.partial_fit(batch)
        assert model.loss_ == pytest.approx(value, rel=1e-12)
        assert terms[0].metrics()["reconstruction"] == pytest.approx(nats, rel=1e-12)
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, hand.p[name], rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("dtype", ("float64", "float32"))
@pytest.mark.parametrize("options", ({}, NUMBERS), ids=("bce", "mse"))
def test_all_backends_train_alike(backend: Backend, dtype: str, options: dict[str, Any]) -> None:
    """As in test_variational.py: 12 updates, replayed where a backend replays steps."""
    given = {"dtype": dtype, "learning_rate": 0.01, "kl_warmup": 0.5, "validation_fraction": 0.2,
             "samples": 3, **options}  # fmt: skip
    ours, plain = (make(**given, backend=name).fit(X) for name in (backend.name, "numpy"))
    slack = 1e4 * float(np.finfo(dtype).eps)
    for name, array in ours.parameters().items():
        np.testing.assert_allclose(array, plain.parameters()[name], rtol=0, atol=12 * slack * 0.01)
    for name in ("loss", "val_loss", "squared_error", "reconstruction", "divergence"):
        np.testing.assert_allclose(ours.history_[name], plain.history_[name], rtol=slack)
    assert ours.history_["active_units"] == plain.history_["active_units"]


@pytest.mark.parametrize("samples", (2, 30))
def test_the_bound_is_the_likelihood_where_the_posterior_is_exact(
    backend: Backend, samples: int
) -> None:
    """Whatever is drawn: all weights are equal then, and the gradient is that of log p(x)."""
    exact, log_p = exact_posterior()
    model = make(**NUMBERS, hidden=(), scale=None, samples=samples, backend=backend.name)
    model.initialize(6).set_parameters(exact.parameters())
    model.partial_fit(X)
    assert -(model.loss_ + 6 * np.log(2 * np.pi)) / 2 == pytest.approx(log_p.mean(), rel=1e-12)


def losses(trained: VariationalAutoencoder, epochs: int, samples: int) -> np.ndarray:
    """Of epochs on X with weights that do not move, all of one batch."""
    model = make(
        epochs=0,
        learning_rate=1e-300,
        samples=samples,
        warm_start=True,
        batch_size=60,
        backend="numpy",
    )
    model.fit(X).set_parameters(trained.parameters())
    return np.array(model.set_params(epochs=epochs).fit(X).history_["loss"])


def test_one_draw_is_the_ordinary_bound_and_more_are_a_tighter_one() -> None:
    """The weighted bound of one draw has the mean of that with the divergence in closed form, on
    which ``samples=1`` trains: over 100 draws they differ by 4 standard errors at most."""
    model = make(epochs=60, learning_rate=0.02).fit(X)
    closed, few, many = (losses(model, 100, samples) for samples in (1, 3, 30))
    weighted = np.array([
        -model.log_likelihood(X, samples=1, random_state=seed).mean() for seed in range(100)
    ])  # fmt: skip
    error = float(np.hypot(weighted.std(), closed.std())) / np.sqrt(100)
    assert abs(weighted.mean() - closed.mean()) <= 4 * error < 0.1
    assert closed.mean() - 4 * error > few.mean() > many.mean()
    np.testing.assert_allclose(  # 30 draws by the estimate that is not training's
        many.mean(), -model.log_likelihood(X, samples=2000).reshape(-1).mean(), atol=0.05
    )


@pytest.mark.parametrize("data", (HOLED, None), ids=("missing", "categories"))
def test_data_that_it_is_not_for(data: Any) -> None:
    model = make(samples=3)
    if data is None:
        pandas = pytest.importorskip("pandas")
        data = pandas.DataFrame({"a": X[:, 0] + GREY[:1, 0], "b": ["x", "y", "z"] * 20})
    with pytest.raises(ValueError, match="samples=3 is for (data without missing|numbers, and)"):
        model.fit(data)
