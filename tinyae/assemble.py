"""From the arguments of ``Autoencoder`` to the parts that train: network, optimiser, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .net.initializers import initial_weights
from .net.network import Architecture, Network
from .train.optimizers import Hyper, Optimizer
from .train.training import Settings


def architecture(
    params: Mapping[str, Any], n_features: int, output: str, loss: str
) -> Architecture:
    """Layer widths and activations, with "auto" already resolved into ``output`` and ``loss``."""
    hidden, decoder = tuple(params["hidden"]), params["decoder_hidden"]
    return Architecture(
        n_features=n_features,
        encoder=(*hidden, params["code"]),
        decoder=hidden[::-1] if decoder is None else tuple(decoder),
        activation=params["activation"],
        code_activation=params["code_activation"],
        output=output,
        loss=loss,
    )


def initialize(network: Network, initializer: str, seed: int) -> None:
    """Draws the initial weights of all layers; biases are zero."""
    parameters = network.parameters
    values = {name: np.zeros(s, network.dtype) for name, s in parameters.shapes.items()}
    for i, (name, _, _, activation) in enumerate(network.architecture.layers()):
        initial_weights(initializer, activation, values[f"{name}.weight"], seed, i)
    parameters.set(values)


def optimizer(params: Mapping[str, Any], network: Network) -> Optimizer:
    beta1, beta2 = params["betas"]
    hyper = Hyper(
        momentum=params["momentum"],
        betas=(beta1, beta2),
        eps=params["eps"],
        weight_decay=params["weight_decay"],
        clip_norm=params["clip_norm"],
    )
    return Optimizer(params["optimizer"], network.parameters, hyper)


def settings(params: Mapping[str, Any], seed: int) -> Settings:
    return Settings(
        epochs=params["epochs"],
        batch_size=params["batch_size"],
        shuffle=params["shuffle"],
        learning_rate=params["learning_rate"],
        schedule=params["schedule"],
        schedule_options=dict(params["schedule_options"] or {}),
        warmup=params["warmup"],
        patience=params["patience"],
        code_noise=noise_range(params["code_noise"]),
        target_blur=params["target_blur"],
        image_shape=tuple(params["image_shape"] or ()),
        seed=seed,
    )


def noise_range(code_noise: float | Sequence[float]) -> tuple[float, float]:
    """(first, last) of a ``code_noise``: a single number is both."""
    if isinstance(code_noise, Sequence):
        first, last = code_noise
        return first, last
    return code_noise, code_noise


def expected_arrays(plan: Architecture, dtype: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every parameter by name, for a file that should hold them."""
    expected: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, n_in, n_out, _ in plan.layers():
        expected[f"{name}.weight"] = ((n_in, n_out), dtype)
        expected[f"{name}.bias"] = ((n_out,), dtype)
    return expected
