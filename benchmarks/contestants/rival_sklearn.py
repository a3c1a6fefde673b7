"""scikit-learn's MLPRegressor as a rival: an epoch of the same net on squared error.

It knows no other loss, applies ReLU to the code as well, and works on float32 data: the case
``epoch_mse`` has tinyae do the same. (Its loss is half of ours, which Adam does not see.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neural_network import MLPRegressor

from benchmarks.cases import nets
from benchmarks.contestants.loaded import Loaded
from benchmarks.contestants.rival_blas import blas_threads


def load(name: str) -> Sklearn:
    return Sklearn()


class Sklearn(Loaded):
    note = "MLPRegressor.partial_fit"

    def threads(self) -> int | None:
        return blas_threads()

    def epoch(self, op: str, net: str, batch: int, quick: bool) -> Callable[[], float]:
        X = (nets.pixels(batch, quick) / np.float32(255)).astype(np.float32)
        model: Any = MLPRegressor(
            hidden_layer_sizes=nets.widths(net)[1:-1], activation="relu", solver="adam", alpha=0,
            batch_size=batch, learning_rate_init=nets.LEARNING_RATE, beta_1=nets.BETAS[0],
            beta_2=nets.BETAS[1], epsilon=nets.EPS, shuffle=True, random_state=0,
        )  # fmt: skip

        def epoch() -> float:
            model.partial_fit(X, X)
            return 2 * nets.N_FEATURES * float(model.loss_)  # per sample, as ours

        return epoch
