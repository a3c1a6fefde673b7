"""From the arguments of ``Autoencoder`` to the parts that train: layers, objective, optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .net.initializers import initial_weights
from .net.layers import DenseSpec, NoiseSpec, Spec
from .net.losses import head
from .net.network import Architecture, Network
from .train.code_noise import CodeNoise
from .train.objective import Objective
from .train.optimizers import Hyper, Optimizer
from .train.target_blur import TargetBlur
from .train.training import Settings

# The terms that arguments can ask for: each makes itself from them, or None.
TERMS = (TargetBlur,)


def architecture(
    params: Mapping[str, Any], n_features: int, output: str, loss: str
) -> Architecture:
    """All layers, with "auto" already resolved into ``output`` and ``loss``."""
    hidden, code, decoder = tuple(params["hidden"]), params["code"], params["decoder_hidden"]
    decoder = hidden[::-1] if decoder is None else tuple(decoder)
    act, (last, link) = params["activation"], head(output, loss)
    layers: list[Spec] = [
        *_dense("encoder", (n_features, *hidden, code), act, params["code_activation"]),
        NoiseSpec("code_noise"),
        *_dense("decoder", (code, *decoder, n_features), act, last),
    ]
    return Architecture(tuple(layers), len(hidden) + 1, loss, link)


def _dense(part: str, widths: Sequence[int], activation: str, last: str) -> list[DenseSpec]:
    """Layers from each width to the next; ``last`` is the activation of the last one."""
    activations = [activation] * (len(widths) - 2) + [last]
    sizes = zip(widths, widths[1:], activations, strict=False)
    return [DenseSpec(f"{part}.{i}", *size) for i, size in enumerate(sizes)]


def initialize(network: Network, initializer: str, seed: int) -> None:
    """Draws the initial weights of all layers; biases are zero."""
    parameters = network.parameters
    values = {name: np.zeros(s, network.dtype) for name, s in parameters.shapes.items()}
    for i, spec in enumerate(network.architecture.dense):
        initial_weights(initializer, spec.activation, values[f"{spec.name}.weight"], seed, i)
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
        shuffle=params["shuffle"],
        learning_rate=params["learning_rate"],
        schedule=params["schedule"],
        schedule_options=dict(params["schedule_options"] or {}),
        warmup=params["warmup"],
        patience=params["patience"],
        seed=seed,
    )


def objective(params: Mapping[str, Any], network: Network, seed: int, capacity: int) -> Objective:
    """The loss with its noise and terms, for batches of up to ``capacity`` samples."""
    first, last = noise_range(params["code_noise"])
    noise = CodeNoise(network, seed, first, last) if first or last else None
    terms = [term.make(params, network, capacity) for term in TERMS]
    return Objective(network, noise, [term for term in terms if term is not None])


def noise_range(code_noise: float | Sequence[float]) -> tuple[float, float]:
    """(first, last) of a ``code_noise``: a single number is both."""
    if isinstance(code_noise, Sequence):
        first, last = code_noise
        return first, last
    return code_noise, code_noise


def expected_arrays(plan: Architecture, dtype: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every parameter by name, for a file that should hold them."""
    shapes = [shape for spec in plan.layers for shape in spec.shapes().items()]
    return {name: (shape, dtype) for name, shape in shapes}
