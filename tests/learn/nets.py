"""What NumPy says of the nets that stand in a page: their weights are rounded to float16."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinyae import Autoencoder
from tinyae.assemble import objective
from tinyae.data.ball import SIDE, ball_centres, ball_images
from tinyae.export.chain import rounded
from tinyae.gradient_check import TERMLESS
from tinyae.kernels.columns import get_backend
from tinyae.net.network import Network, Workspace
from tinyae.train.optimizers import Optimizer

SHAPE = (SIDE, SIDE)
GREY = 255  # steps in which a page holds pictures


def balls(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Pictures of the ball in the steps of grey that a page holds."""
    return np.asarray(np.rint(ball_images(ball_centres(n, seed)) * GREY) / GREY, np.float64)


def small(X: np.ndarray[Any, Any], **how: Any) -> Autoencoder:
    """A net that starts as PCA and is trained for two epochs."""
    options: dict[str, Any] = {
        "hidden": (12,), "code": 2, "epochs": 2, "random_state": 0, "backend": "numpy", **how
    }  # fmt: skip
    return Autoencoder(**options).fit(X)


class Step(NamedTuple):
    """Of a batch: codes, reconstructions as the net gives them, mean loss, gradients, and the
    parameters after a step of Adam; the last two flat."""

    codes: np.ndarray[Any, Any]
    reconstructions: np.ndarray[Any, Any]
    loss: float
    gradients: np.ndarray[Any, Any]
    parameters: np.ndarray[Any, Any]


def step(ae: Autoencoder, X: np.ndarray[Any, Any], learning_rate: float = 0.01) -> Step:
    """In float64. X (n, n_features) in the units of the data, NaN where a value is missing."""
    ae, ops = rounded(ae, "float16"), get_backend("numpy")
    x = X / 255 if X.dtype == np.uint8 else X.astype(np.float64)
    x = x if ae.scaling_ is None else ae.scaling_.apply(x)
    network = Network(ops, ae._network.architecture, "float64")
    network.parameters.set({k: v.astype(np.float64) for k, v in ae.parameters().items()})
    network.fill = None if ae.fill_ is None else ae.fill_.astype(np.float64)
    totals, records = np.zeros(2), Workspace(network, len(x), training=True).records(len(x))
    codes = network.encode(x, records).copy()
    reconstructions = network.decode(codes, records).copy()
    aim = objective(ae._built_params | TERMLESS, network, 0, len(x))
    aim.gradient(ops, network.filled(x), aim.target(ops, x), records, totals)
    gradients = network.parameters.gradients.copy()
    adam = Optimizer(network.parameters, "adam")
    adam.apply(ops, adam.next_numbers(learning_rate), totals)
    return Step(
        codes, reconstructions, totals[0] / len(x), gradients, network.parameters.values.copy()
    )
