"""Backpropagation against finite differences: the proof that the gradient is the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .assemble import objective
from .estimator import Autoencoder
from .kernels.backend import Array
from .kernels.columns import get_backend
from .kernels.conventions import ACTIVATION_FACTS, ACTIVATIONS, HUBER_DELTA, LOSSES
from .kernels.reference.random import random_normal, random_uniform
from .net import streams
from .net.layers import Record
from .net.network import Network, Workspace
from .net.parameters import Parameters
from .train.objective import Objective

# The stencil (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h errs by h^4 f'''''/30 and by about
# eps f / h from rounding (Abramowitz and Stegun 25.3.6): in float64 h = 1e-3 balances the two.
STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
STEP = 1e-3

# what belongs to training alone is left out
TERMLESS = {"code_noise": 0.0, "target_blur": 0.0}


@dataclass(frozen=True)
class GradientCheck:
    """Relative errors |analytic - numeric| / max |gradient|, per parameter or direction.

    ``straddled`` counts derivatives that could not be taken because a kink of relu, leaky_relu,
    elu, l1, huber or a selection of units lies within the smallest step.
    """

    errors: dict[str, float]
    straddled: int

    @property
    def max_error(self) -> float:
        return max(self.errors.values())


def gradcheck(
    model: Autoencoder, X: ArrayLike, *, mode: str = "elementwise", directions: int = 16,
    seed: int = 0,
) -> GradientCheck:  # fmt: skip
    """Compares the gradient of the loss of ``model`` on ``X`` with finite differences, in float64.

    ``model`` is left as it is; without weights yet, it is initialized for X. ``mode``
    "elementwise" perturbs every weight by itself (for small nets: each costs four forward
    passes), "directional" all of them at once along ``directions`` random directions.

    Raises ValueError for an unknown mode and wherever ``model`` would for X.
    """
    if mode not in ("elementwise", "directional"):
        raise ValueError(f"mode must be 'elementwise' or 'directional', got {mode!r}")
    loss = float64_loss(with_weights(model, X), X, model.backend, seed)
    network, analytic = loss.network, loss.gradient()
    errors: dict[str, float] = {}
    probes, straddled = _directional(analytic, directions, seed), 0
    if mode == "elementwise":
        errors = dict.fromkeys(network.parameters.shapes, 0.0)
        probes = _elementwise(network.parameters, analytic)
    for name, direction, scale in probes:
        gap = abs(loss.derivative(direction) - float(analytic @ direction))
        if np.isnan(gap):
            straddled += 1
        else:
            errors[name] = max(errors.get(name, 0.0), gap / scale)
    return GradientCheck(errors or {"no direction": float("inf")}, straddled)


def with_weights(model: Autoencoder, X: ArrayLike) -> Autoencoder:
    """``model``, or one like it, initialized for X, where it has no weights yet."""
    if hasattr(model, "n_features_in_"):
        return model
    untrained = {"epochs": 0, "validation_fraction": 0.0, "patience": None}
    probe = type(model)(**{**model.get_params(), **untrained})
    return probe.fit(np.ascontiguousarray(X, np.float64))


def float64_loss(
    model: Autoencoder, X: ArrayLike, backend: str, seed: int = 0, family: bool = True
) -> LossFunction:
    """The loss of ``model`` on X (samples, features) in float64, without what belongs to training
    alone but, with ``family``, its family's terms, which draw by ``seed``; ``model``, which has
    weights, is left as it is."""
    x = np.ascontiguousarray(X, np.float64)
    if model.scaling_ is not None:
        x = model.scaling_.apply(x)
    network = Network(get_backend(backend), model._network.architecture, "float64")
    network.parameters.set(model.parameters())
    if model.fill_ is not None:
        network.fill = network.backend.to_device(model.fill_)
    params = model._built_params | TERMLESS
    terms = model._terms(params, network, seed, len(x)) if family else ()
    goal = objective(params, network, seed, len(x), terms)
    return LossFunction(network, goal, x)


class LossFunction:
    """The mean loss as a function of the flat parameters, or of what a layer is given."""

    def __init__(self, network: Network, objective: Objective, x: NDArray[np.float64]) -> None:
        backend = network.backend
        self.network, self.objective, self.n = network, objective, len(x)
        self.host_x, self.x = x, backend.to_device(x)
        self.target = objective.target(backend, self.x)
        self.records = Workspace(network, self.n, training=True).records(self.n)
        self.totals = backend.to_device(np.zeros(2))
        self.start = backend.to_host(network.parameters.values)

    def gradient(self) -> NDArray[np.float64]:
        ops = self.network.backend
        self.objective.gradient(ops, self.x, self.target, self.records, self.totals)
        return self.network.backend.to_host(self.network.parameters.gradients)

    def value(self, x: Array, records: Sequence[Record]) -> tuple[float, bytes]:
        """(mean loss, which side of every kink each unit is on) of x through these last layers"""
        backend, terms = self.network.backend, self.objective.terms
        self.objective.value(backend, x, self.target, records, self.totals, terms)
        sides = [
            backend.to_host(record.y) > 0
            for record in records
            if ACTIVATION_FACTS[record.activation].kinked  # a stencil must not straddle it
        ]
        sides += [backend.to_host(a) > 0 for term in terms for a in term.kinks(records)]
        name = self.network.architecture.loss
        if name in ("l1", "huber"):
            error = backend.to_host(records[-1].y) - self.host_x
            sides += [error > 0] if name == "l1" else [np.abs(error) > HUBER_DELTA]
        value = float(backend.to_host(self.totals)[0]) / self.n
        return value, b"".join(np.packbits(side).tobytes() for side in sides)

    def derivative(self, direction: NDArray[np.float64]) -> float:
        """d loss / d direction by the stencil; NaN where a kink is too near."""

        def at(move: float) -> tuple[float, bytes]:
            parameters = self.network.parameters
            self.network.backend.write(self.start + move * direction, parameters.values)
            return self.value(self.x, self.records)

        return stencil(at)


def stencil(at: Callable[[float], tuple[float, bytes]]) -> float:
    """The derivative at 0 of what ``at(move)`` gives first, by finite differences; NaN where what
    it gives second, the sides of kinks, differs within the smallest step."""
    for h in (STEP, STEP / 10, STEP / 100):
        points = [(c, *at(k * h)) for k, c in STENCIL]
        if len({side for _, _, side in points}) == 1:
            return sum(c * value for c, value, _ in points) / h
    return float("nan")


# (name of the error, direction, what the error is relative to)
Directions = Iterator[tuple[str, NDArray[np.float64], float]]


def _elementwise(parameters: Parameters, analytic: NDArray[np.float64]) -> Directions:
    """Each weight by itself; relative to the steepest one of its parameter."""
    direction = np.zeros_like(analytic)
    places = parameters.split(np.arange(analytic.size))
    for name, gradient in parameters.split(analytic).items():
        steepest = float(np.abs(gradient).max(initial=0))
        for i in places[name].reshape(-1):
            direction[i] = 1
            yield name, direction, steepest or 1.0
            direction[i] = 0


def _directional(analytic: NDArray[np.float64], count: int, seed: int) -> Directions:
    """Random ones; relative to the steepest direction: along a level line both are nearly zero."""
    direction = np.empty_like(analytic)
    for i in range(count):
        random_normal(streams.state(seed, streams.CHECK, i), 0, 1, direction)
        direction /= np.linalg.norm(direction)
        yield f"direction {i}", direction, float(np.linalg.norm(analytic))


def gradcheck_table(
    activations: tuple[str, ...] = ACTIVATIONS,
    names: tuple[str, ...] = LOSSES,
    depths: tuple[int, ...] = (1, 2, 3),
    mode: str = "elementwise",
    seed: int = 0,
    backend: str = "auto",
    report: Callable[[int, int], object] = lambda done, total: None,
) -> Iterator[tuple[str, str, int, GradientCheck]]:
    """Checks a small net for every activation x loss x depth (hidden layers of the encoder).

    Yields (activation, loss, depth, check); ``report(done, total)`` is called after each.
    """
    total = len(activations) * len(names) * len(depths)
    X = np.empty((5, 6))
    random_uniform(streams.state(seed, streams.CHECK), 0.05, 0.95, X)
    for i, (activation, loss, depth) in enumerate(
        (a, n, d) for a in activations for n in names for d in depths
    ):
        model = Autoencoder(
            hidden=(5, 4, 5)[:depth], code=3, activation=activation, code_activation="tanh",
            output="sigmoid" if loss == "bce" else "identity", loss=loss, dtype="float64",
            random_state=seed, backend=backend,
        ).initialize(6)  # fmt: skip
        model.set_parameters(_lively(model.parameters(), seed))
        yield activation, loss, depth, gradcheck(model, X, mode=mode, seed=seed)
        report(i + 1, total)


def _lively(parameters: dict[str, NDArray[Any]], seed: int) -> dict[str, NDArray[Any]]:
    """Normal weights and biases: no unit rests on its kink, no gradient drowns in rounding."""
    for i, value in enumerate(parameters.values()):
        random_normal(streams.state(seed, streams.CHECK, i + 1), 0, 0.8, value)
    return parameters
