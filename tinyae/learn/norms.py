"""Norms of each layer in the course of training, and four nets that show what can go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.ball import ball_centres, ball_images
from ..estimator import Autoencoder
from ..gradient_check import TERMLESS
from ..kernels.backend import Array
from ..net.layers import Dense, Layer


class LayerNorms(NamedTuple):
    layer: str
    units: int
    output: float  # root mean square of y
    dz: float  # root mean square of dL/dz
    dw: float  # Euclidean norm of dL/dw
    zero_units: int  # that are 0 for every sample: a dead relu gets no gradient any more


@dataclass(frozen=True)
class Moment:
    """What a training step met, before its update."""

    step: int
    loss: float
    layers: list[LayerNorms]


def norms(model: Autoencoder, X: ArrayLike, steps: Sequence[int]) -> list[Moment]:
    """Trains a new net of ``model``'s arguments on X (samples, features), all of it in each step,
    and gives the norms that the steps of these numbers, 1, 2, ..., meet.

    It ends before a step whose loss is not finite, with the last finite one. ``model`` is left as
    it is. Raises ValueError for wrong arguments or data.
    """
    x = np.ascontiguousarray(X, np.float64)
    params = {**model.get_params(), "dtype": "float64", "backend": "numpy", "scale": None}
    fresh = Autoencoder(**{**params, "epochs": 0, "batch_size": len(x)}).fit(x)
    built = fresh._built_params
    work = fresh._work(built | TERMLESS, fresh.seed_, len(x))
    seen: dict[str, float] = {}

    def visit(layer: Layer, x: Array, dz: Array) -> None:
        seen[layer.name] = _rms(dz)

    work.objective.visits.append(visit)
    moments: list[Moment] = []
    with np.errstate(all="ignore"):
        for step in range(1, max(steps) + 1):
            work.workspace.input[...] = x
            numbers = fresh._optimizer.next_numbers(built["learning_rate"])
            work.step(len(x), numbers, work.totals)
            loss = float(work.totals[0]) / len(x)
            if not np.isfinite(loss):
                break
            if step in steps:
                found = [
                    _of_layer(r.layer, r.y, seen[r.layer.name])
                    for r in work.workspace.records(len(x))
                    if isinstance(r.layer, Dense)
                ]
                moments.append(Moment(step, loss, found))
    return moments


def _of_layer(layer: Dense, y: NDArray[Any], dz: float) -> LayerNorms:
    zero = int((y == 0).all(axis=0).sum())
    return LayerNorms(
        layer.name, y.shape[1], _rms(y), dz, float(np.linalg.norm(layer.dw)), zero
    )  # fmt: skip


def _rms(array: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(array))))


class Prepared(NamedTuple):
    name: str
    about: str
    options: dict[str, Any]  # of Autoencoder, over ``COMMON``


COMMON: dict[str, Any] = {
    "hidden": (32, 32, 32), "code": 32, "output": "identity", "loss": "mse", "random_state": 0,
}  # fmt: skip
STEPS = (1, 2, 10, 100)
PREPARED = (
    Prepared(
        "sigmoid, 8 layers",
        "sigmoid' is 1/4 at most, so that each layer passes on less of the gradient: it vanishes "
        "towards the first layer (dz, dw)",
        {"activation": "sigmoid", "code_activation": "sigmoid", "initializer": "glorot",
         "learning_rate": 1e-3},
    ),
    Prepared(
        "relu, learning rate too large",
        "the first update overshoots: at step 2 gradients have exploded, and the updates that "
        "follow leave layers of units that are 0 for every sample: these are dead, and no gradient "
        "comes to them or to the layers below any more",
        {"activation": "relu", "code_activation": "relu", "initializer": "he",
         "learning_rate": 0.1},
    ),
    Prepared(
        "relu, 16 layers, from he",
        "a relu halves what passes, and he's weights make up for it: outputs and gradients keep "
        "their size",
        {"hidden": (32,) * 7, "activation": "relu", "code_activation": "relu", "initializer": "he",
         "learning_rate": 1e-4},
    ),
    Prepared(
        "relu, 16 layers, from lecun",
        "the same net from lecun's weights, half the variance: outputs and gradients shrink by "
        "1/sqrt(2) at each layer",
        {"hidden": (32,) * 7, "activation": "relu", "code_activation": "relu",
         "initializer": "lecun", "learning_rate": 1e-4},
    ),
)  # fmt: skip


def prepared_norms(net: Prepared, steps: Sequence[int] = STEPS) -> list[Moment]:
    """Those of a prepared net on 128 pictures of the ball."""
    return norms(Autoencoder(**COMMON | net.options), ball_images(ball_centres(128)), steps)
