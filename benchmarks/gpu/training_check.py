"""Does a backend train as NumPy does, and twice to the same bits?"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cases import nets
from tests.train.test_backend_training import TOLERANCE, X, curve, make
from tinyae import Autoencoder

STEPS, EPOCHS, BATCH = 40, 10, 128
ADAM = {"output": "sigmoid", "loss": "bce", "optimizer": "adam", "learning_rate": 0.01}


def check(backend: str, matmul: str = "fp32") -> dict[str, Any]:
    """Losses of 40 steps and of 10 epochs of ``fit`` against NumPy's, in units of eps, and two
    epochs of the deep net run twice. What is allowed is derived in the tests."""
    result: dict[str, Any] = {"matmul": matmul, "allowed_eps": TOLERANCE}
    for dtype in ("float32", "float64") if matmul == "fp32" else ("float32",):
        courses = []
        for name, how in (("numpy", "fp32"), (backend, matmul)):
            options = {**ADAM, "dtype": dtype, "matmul": how}
            fitted = make(name, epochs=EPOCHS, **options).fit(X)
            courses.append([*curve(make(name, **options), STEPS), *fitted.history_["loss"]])
        reference, ours = np.array(courses)
        off = np.abs(ours / reference - 1).max() / np.finfo(dtype).eps
        result[f"off_eps_{dtype}"] = round(float(off), 2)
    result["same_bits"] = _trained(backend, matmul) == _trained(backend, matmul)
    offs = [value for name, value in result.items() if name.startswith("off_eps")]
    result["clean"] = bool(result["same_bits"] and max(offs) <= TOLERANCE)
    return result


def _trained(backend: str, matmul: str) -> bytes:
    """The weights and the history after two epochs of the deep net."""
    *hidden, code = nets.NETS["deep"]
    ae = Autoencoder(hidden=hidden, code=code, batch_size=BATCH, epochs=2, random_state=0,
                     backend=backend, matmul=matmul).fit(nets.pixels(BATCH))  # fmt: skip
    weights = b"".join(value.tobytes() for value in ae.parameters().values())
    return weights + np.array(ae.history_["loss"]).tobytes()
