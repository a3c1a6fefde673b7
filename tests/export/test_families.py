"""Every family, exported to every format: the numbers of its own ``encode`` and ``reconstruct``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.test_c_file import STRICT, run
from tests.export.test_numpy_file import expect_same_bits, module
from tinyae import Autoencoder
from tinyae.families import FAMILIES

Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, (60, 9)).astype(np.float32)
X[RNG.random(X.shape) < 0.1] = np.nan


@pytest.fixture(params=FAMILIES)
def ae(request: pytest.FixtureRequest) -> Autoencoder:
    own = {"sparse": {"k": 3}}.get(request.param, {})
    kind = FAMILIES[request.param]
    made = kind(hidden=(7,), code=5, activation="tanh", epochs=3, scale="standard",
                missing="allow", random_state=0, backend="numpy", **own)  # fmt: skip
    return made.fit(X)


def expect_near(found: Array, expected: Array) -> None:
    """Within 1e-5 of the largest number: sums of at most 9 terms, in three layers of float32."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_numpy(ae: Autoencoder, tmp_path: Path) -> None:
    ae.export(tmp_path / "net.py")
    expect_same_bits(module(tmp_path / "net.py"), ae, X)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_c(ae: Autoencoder, tmp_path: Path) -> None:
    ((codes, out, scores),) = run(tmp_path, [(ae, X)], ["gcc", "-std=c99", *STRICT])
    expect_near(codes, ae.encode(X))
    expect_near(out, ae.reconstruct(X))
    expect_near(scores, -ae.score_samples(X))


def test_onnx(ae: Autoencoder, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx")
    ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    ae.export(tmp_path / "net.onnx")
    session = ort.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    codes, out = session.run(["code", "reconstruction"], {"x": X})
    expect_near(codes, ae.encode(X))
    expect_near(out, ae.reconstruct(X))
