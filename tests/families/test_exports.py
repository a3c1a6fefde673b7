"""What training alone has, corruption or a penalty, is in no export: the numbers of the net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export import test_c_file as in_c
from tests.export.test_numpy_file import expect_same_bits, module
from tinyae import Autoencoder
from tinyae.families import made

RNG = np.random.default_rng(0)
UNIT = RNG.random((40, 7))
HOLED = np.where(RNG.random(UNIT.shape) < 0.2, np.nan, 5 * UNIT - 2)
HOLED[0] = 0.5
SCALED = {"scale": "standard", "missing": "allow", "loss": "mse", "output": "identity"}

# of sparsity="top-k" see test_sparse.py
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "denoising": ({"family": "denoising", "level": 0.5, "activation": "gelu"}, UNIT),
    "masking": ({"family": "denoising", "corruption": "masking", **SCALED}, HOLED),
    "contractive": ({"family": "contractive", "code_activation": "sigmoid"}, UNIT),
    "contractive, estimate": ({"family": "contractive", "estimate": 2, **SCALED}, HOLED),
    "l1": ({"family": "sparse", "sparsity": "l1", "code_activation": "relu", "code": 9}, UNIT),
    "kl": (
        {
            "family": "sparse",
            "sparsity": "kl",
            "code_activation": "sigmoid",
            "hidden": (),
            **SCALED,
        },
        HOLED,
    ),
    "tied": ({"family": "tied", **SCALED}, HOLED),
    "variational": ({"family": "variational", "binarize": True}, UNIT),
    "variational, samples": ({"family": "variational", "samples": 3}, UNIT),
}


@pytest.fixture(scope="module")
def nets() -> dict[str, tuple[Autoencoder, Any]]:
    """After some updates, which make what training alone has felt."""
    settings = {"hidden": (6, 5), "code": 3, "activation": "tanh", "epochs": 5, "batch_size": 10,
                "learning_rate": 0.01, "random_state": 0, "backend": "numpy"}  # fmt: skip
    return {name: (made({**settings, **own}).fit(X), X) for name, (own, X) in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_numpy_has_the_same_bits(nets: Any, name: str, tmp_path: Path) -> None:
    ae, X = nets[name]
    ae.export(tmp_path / "net.py")
    expect_same_bits(module(tmp_path / "net.py"), ae, X)


@in_c.GCC
def test_c_is_within_its_bound(nets: Any, tmp_path: Path) -> None:
    """Of the roundings of each sum, as of plain nets: see tests/export/test_c_file.py."""
    cases = list(nets.values())
    found = in_c.run(tmp_path, cases, ["gcc", "-std=c99", "-O1", *in_c.STRICT])
    in_c.expect_near(cases, found)


@pytest.mark.parametrize("name", CASES)
def test_onnx_is_near(nets: Any, name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from tests.export.test_onnx import expect_near, run

    ae, X = nets[name]
    found = run(ae.export(tmp_path / "net.onnx")[0], x=X.astype(np.float32))
    expect_near(found["code"], ae.encode(X))
    expect_near(found["reconstruction"], ae.reconstruct(X))
