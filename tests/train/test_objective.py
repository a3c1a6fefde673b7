"""Noise on the code and blurred targets: what they compute, when they end, what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.kernels.backend import Backend
from tinyae.kernels.columns import get_backend
from tinyae.net.layers import DenseSpec, NoiseSpec
from tinyae.net.network import Architecture, Network, Workspace, forward
from tinyae.train.code_noise import CodeNoise
from tinyae.train.objective import Objective, Term
from tinyae.train.terms.target_blur import TargetBlur, blur_matrix

X = np.random.default_rng(0).random((60, 12))


def make(**options: Any) -> Autoencoder:
    settings = {"hidden": (9,), "code": 2, "code_activation": "tanh", "epochs": 4, "batch_size": 16,
                "random_state": 1}  # fmt: skip
    return Autoencoder(**{**settings, **options})


# ---- blur


@pytest.mark.parametrize("shape", [(1, 1), (4, 5), (3, 4, 3)])
def test_blur_is_a_weighted_mean_of_neighbours(shape: tuple[int, ...]) -> None:
    """Against the sum over all pixels, channel by channel."""
    sigma = 0.9
    picture = np.random.default_rng(1).random(shape)
    height, width = shape[:2]
    expected = np.empty(shape)
    for i in range(height):
        for j in range(width):
            di, dj = np.arange(height)[:, None] - i, np.arange(width)[None] - j
            weights = np.exp(-(di**2 + dj**2) / (2 * sigma**2))
            expected[i, j] = np.tensordot(weights / weights.sum(), picture, 2)
    blurred = picture.reshape(1, -1) @ blur_matrix(shape, sigma)
    np.testing.assert_allclose(blurred.reshape(shape), expected, rtol=1e-12)


def test_blur_falls_to_nothing_at_half(backend: Backend) -> None:
    params = {"image_shape": (3, 4), "target_blur": 4.0}
    blur = TargetBlur(params, small_net(backend, dtype="float32"), 60)
    x = backend.to_device(X.astype(np.float32))
    spread = []
    for progress in (0.0, 0.25, 0.45):
        blur.prepare(progress)
        target = backend.to_host(blur.target(backend, x, x))
        sigma = 4.0 * (1 - 2 * progress)
        np.testing.assert_allclose(target, X @ blur_matrix((3, 4), sigma), atol=1e-5)
        spread.append(target.std())
    assert spread == sorted(spread)
    for progress in (0.48, 0.5, 0.9):
        blur.prepare(progress)
        assert blur.target(backend, x, x) is x


# ---- noise


def small_net(backend: Backend, code_activation: str = "tanh", dtype: str = "float64") -> Network:
    """12 -> 7 -> 2, noise, -> 7 -> 12"""
    layers = (
        DenseSpec("a", 12, 7, "tanh"), DenseSpec("b", 7, 2, code_activation), NoiseSpec("noise"),
        DenseSpec("c", 2, 7, "tanh"), DenseSpec("d", 7, 12, "identity"),
    )  # fmt: skip
    return Network(backend, Architecture(layers, 2, "bce", "sigmoid"), dtype)


def test_noise_goes_from_the_first_width_to_the_last(backend: Backend) -> None:
    network = small_net(backend)
    noise = CodeNoise(network, seed=3, first=0.5, last=0.1)
    records = Workspace(network, 4000, training=True).records(4000, noisy=True)[2:3]
    z = backend.to_device(np.ones((4000, 2)))
    draws = []
    for update, progress in ((0, 0.0), (5, 0.5), (9, 1.0)):
        noise.prepare(update, progress)
        draws.append(backend.to_host(forward(backend, z, records)) - 1)
        std = 0.5 - 0.4 * progress
        # 8,000 draws: the estimate of std errs by std / sqrt(16,000), here allowed 4 times
        assert draws[-1].std() == pytest.approx(std, rel=4 / np.sqrt(16_000))
    assert abs(np.corrcoef(draws[0].reshape(-1), draws[1].reshape(-1))[0, 1]) < 4 / np.sqrt(8000)
    noise.prepare(5, 0.5)
    again = backend.to_host(forward(backend, z, records)) - 1
    np.testing.assert_array_equal(again, draws[1])


@pytest.mark.parametrize("code_activation", ["tanh", "gelu"])
def test_gradient_with_noise_against_finite_differences(
    backend: Backend, code_activation: str
) -> None:
    """The same draw each time, so the loss is a smooth function of the weights.

    Central differences: h^2 f''' / 6 is about 1e-10 and 40 eps / h 1e-9, of a gradient of about 1.
    """
    network = small_net(backend, code_activation)
    objective = Objective(network, CodeNoise(network, 1, 0.3, 0.3))
    gradient, differences = gradients(objective)
    np.testing.assert_allclose(gradient, differences, atol=1e-7 * np.abs(gradient).max())
    without, _ = gradients(Objective(network))
    assert np.abs(without - gradient).max() > 1e-3  # it matters


def gradients(objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """The objective's gradient for 6 samples and other targets, and central differences."""
    network, backend = objective.network, objective.network.backend
    parameters, totals = network.parameters, backend.to_device(np.zeros(2))
    flat = np.random.default_rng(2).standard_normal(parameters.size) * 0.5
    records = Workspace(network, 6, training=True).records(6, noisy=objective.noise is not None)
    x, target = backend.to_device(X[:6]), backend.to_device(X[6:12])

    def value(flat: np.ndarray) -> float:
        backend.write(flat, parameters.values)
        objective.gradient(backend, x, target, records, totals)
        return float(backend.to_host(totals)[0]) / 6

    value(flat)
    gradient = backend.to_host(parameters.gradients)
    h, differences = 1e-6, np.empty_like(flat)
    for i in range(len(flat)):
        step = np.zeros_like(flat)
        step[i] = h
        differences[i] = (value(flat + step) - value(flat - step)) / (2 * h)
    return gradient, differences


class Ridge(Term):
    """0.3 n |w|^2 / 2 over all parameters w, and the code's squares / 2, each as a term can."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def value(self, ops: Backend, records: Any, totals: Any) -> None:
        w, self.code = self.network.parameters.values, records[1]
        totals[0] += 0.3 * len(self.code.y) * (w @ w) / 2 + (self.code.y**2).sum() / 2

    def visit(self, layer: Any, x: Any, dz: Any) -> None:
        if layer is self.code.layer:
            dz += self.code.y / len(x) * (1 - self.code.y**2)  # tanh'

    def gradient(self, ops: Backend, parameters: Any) -> None:
        parameters.gradients += 0.3 * parameters.values


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_term_adds_to_the_value_to_dz_and_to_gradients(name: str) -> None:
    network = small_net(get_backend(name))
    seen: list[tuple[Any, ...]] = []
    visit = lambda layer, x, dz: seen.append((layer.name, x.shape, dz.shape))  # noqa: E731
    gradient, differences = gradients(Objective(network, None, [Ridge(network)], [visit]))
    np.testing.assert_allclose(gradient, differences, atol=1e-7 * np.abs(gradient).max())
    without, _ = gradients(Objective(network))
    assert np.abs(without - gradient).max() > 1e-3
    assert seen[:2] == [("d", (6, 7), (6, 12)), ("c", (6, 2), (6, 7))]
    assert seen[2:4] == [("b", (6, 7), (6, 2)), ("a", (6, 12), (6, 7))]


def test_noise_acts_in_training_only() -> None:
    noisy, plain = make(code_noise=0.2).fit(X), make().fit(X)
    assert noisy.history_["loss"] != plain.history_["loss"]
    np.testing.assert_array_equal(noisy.encode(X), noisy.encode(X))
    np.testing.assert_array_equal(noisy.reconstruct(X), noisy.decode(noisy.encode(X)))
    z = noisy.encode(X)
    assert np.abs(z).max() <= 1  # tanh, and nothing on top of it


# ---- both in a run


OPTIONS: dict[str, Any] = {"code_noise": (0.1, 0.02), "target_blur": 3.0, "image_shape": (3, 4)}


def test_every_backend_trains_alike(backend: Backend) -> None:
    reference, model = (
        make(**OPTIONS, dtype="float64", backend=name, validation_fraction=0.2).fit(X)
        for name in ("numpy", backend.name)
    )
    for key in ("loss", "val_loss"):
        np.testing.assert_allclose(model.history_[key], reference.history_[key], rtol=1e-11)


def test_losses_are_against_the_blurred_targets_until_half() -> None:
    """Constant targets, all but: a strong blur leaves the mean, which is learnt at once."""
    blurred = make(target_blur=50.0, image_shape=(3, 4), learning_rate=1e-9, warmup=0.0,
                   loss="mse").fit(X)  # fmt: skip
    plain = make(learning_rate=1e-9, warmup=0.0, loss="mse").fit(X)
    ratio = np.divide(blurred.history_["squared_error"], plain.history_["squared_error"])
    assert (ratio[:2] < 0.6).all()
    np.testing.assert_allclose(ratio[2:], 1, rtol=1e-5)


def test_save_load_and_partial_fit(tmp_path: Path) -> None:
    model = make(**OPTIONS).fit(X)
    model.save(tmp_path / "m.npz")
    loaded = Autoencoder.load(tmp_path / "m.npz")
    assert list(loaded.code_noise) == [0.1, 0.02] and loaded.target_blur == 3.0
    np.testing.assert_array_equal(loaded.encode(X), model.encode(X))
    step = make(code_noise=0.3).partial_fit(X).partial_fit(X)
    assert step.loss_ != make().partial_fit(X).partial_fit(X).loss_


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code_noise": -0.1}, "code_noise must be a number >= 0, got -0.1"),
        ({"code_noise": (0.1, "b")}, "code_noise must be a number >= 0, got 'b'"),
        ({"code_noise": (0.1, 0.2, 0.3)}, "code_noise must be a number >= 0, got \\(0.1"),
        ({"target_blur": -1}, "target_blur must be a number >= 0, got -1"),
        ({"target_blur": 2}, "target_blur .* needs image_shape=.height, width.*, got None"),
        ({"image_shape": (12,)}, r"image_shape must be .*, got \(12,\)"),
        ({"image_shape": (3, 0)}, "image_shape must be an integer >= 1, got 0"),
        ({"image_shape": (3, 5), "target_blur": 1}, r"image_shape=\(3, 5\) is 15 features, but X"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(**options).fit(X)


def test_pictures_too_large_to_blur_are_refused() -> None:
    wide = np.zeros((2, 4097))
    with pytest.raises(ValueError, match="at most 4096 features, X has 4097"):
        make(target_blur=1.0, image_shape=(1, 4097)).fit(wide)
