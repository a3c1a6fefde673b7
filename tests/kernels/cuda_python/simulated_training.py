"""Training on numba-cuda in Numba's simulator: run by test_target.py in a process of its own.

Only what a simulator at a tenth of a second per launch can do: few and small steps. On a GPU the
column has all the tests of train/test_backend_training.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.train.test_backend_training import RATES, curve
from tinyae import Autoencoder
from tinyae.kernels.columns import get_backend

X = np.random.default_rng(0).random((12, 5))

# As in train/test_backend_training.py: two layers with sums of at most 5 terms
TOLERANCE = 2 * (5 + 2)


def make(backend: str, **options: Any) -> Autoencoder:
    settings = {"hidden": (), "code": 2, "code_activation": "tanh", "batch_size": 4, "epochs": 1,
                "random_state": 1, "weight_decay": 0.01, "dtype": "float64"}  # fmt: skip
    return Autoencoder(**{**settings, **options}, backend=backend)


@pytest.mark.parametrize(
    ("loss", "optimizer", "dtype"),
    [("bce", "adam", "float32"), ("huber", "nesterov", "float64")],
)
def test_loss_curve(loss: str, optimizer: str, dtype: str) -> None:
    options = {"loss": loss, "output": "sigmoid", "optimizer": optimizer, "dtype": dtype,
               "learning_rate": RATES[optimizer], "clip_norm": 0.1}  # fmt: skip
    curves = [curve(make(name, **options), 3) for name in ("numpy", "numba-cuda")]
    assert (np.abs(np.diff(curves[0])) > 1e3 * np.finfo(dtype).eps).any()  # something is learnt
    np.testing.assert_allclose(curves[1], curves[0], rtol=TOLERANCE * np.finfo(dtype).eps)


def test_fit_with_shuffling_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole loop on uint8 pixels; the host reads results once an epoch, not once a step."""
    get_backend("numba-cuda")
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    pixels = (X * 255).astype(np.uint8)
    reads: list[tuple[int, ...]] = []
    copy_to_host = FakeCUDAArray.copy_to_host

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        reads.append(self.shape)
        return copy_to_host(self, *args, **kwargs)

    monkeypatch.setattr(FakeCUDAArray, "copy_to_host", counted)
    options = {"code_noise": 0.1, "optimizer": "adam"}
    reference = make("numpy", **options).fit(pixels)
    counts = []
    for batch_size in (4, 6):
        reads.clear()
        model = make("numba-cuda", **options, batch_size=batch_size).fit(pixels)
        counts.append(len(reads))
        if batch_size == 4:
            tolerance = TOLERANCE * np.finfo(float).eps
            np.testing.assert_allclose(
                model.history_["loss"], reference.history_["loss"], rtol=tolerance
            )
            np.testing.assert_allclose(
                model.encode(pixels), reference.encode(pixels), rtol=1e-12, atol=1e-12
            )
    assert counts[0] == counts[1] > 0, "the host has waited within an epoch"
