"""What tests of families share: updates that were worked out by hand, and backends that agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyae import Autoencoder


def assert_ten_updates(
    model: Autoencoder, how: str, x: Any, losses: list[float], weights: Mapping[str, Any]
) -> None:
    """Ten updates from all of x, by ``fit`` or ``partial_fit``, have these losses before each, and
    lead to these weights."""
    if how == "fit":
        found = model.set_params(epochs=10).fit(x).history_["loss"]
    else:
        found = [model.partial_fit(x).loss_ for _ in range(10)]
    np.testing.assert_allclose(found, losses, rtol=1e-10)
    for name, value in model.parameters().items():
        np.testing.assert_allclose(value, weights[name], rtol=0, atol=1e-10, err_msg=name)


def assert_trained_alike(ours: Autoencoder, right: Autoencoder, dtype: str) -> None:
    """After 12 updates with a learning rate of 0.01: an update moves a weight by at most that, of
    which rounding changes 1e4 eps, as in test_missing.py."""
    slack = 1e4 * float(np.finfo(dtype).eps)
    for name, array in ours.parameters().items():
        np.testing.assert_allclose(array, right.parameters()[name], rtol=0, atol=12 * slack * 0.01)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(ours.history_[name], right.history_[name], rtol=slack)
