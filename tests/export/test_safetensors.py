"""Weights for an ``nn.Sequential`` give the net's numbers by its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.nets import nets
from tinyae import Autoencoder
from tinyae.kernels.reference.activation import activation_forward

Array = np.ndarray[Any, Any]


def sequential(file: Path, x: Array) -> Array:
    """What the modules that the file names make of x, in float64."""
    safetensors = pytest.importorskip("safetensors", reason="needs safetensors")
    with safetensors.safe_open(file, "numpy") as opened:
        modules = opened.metadata()["made"].partition(": ")[2].split(", ")[1:]
        arrays = {name: opened.get_tensor(name).astype(float) for name in opened.keys()}  # noqa: SIM118
    assert {int(name.split(".")[0]) for name in arrays} == {
        i for i, module in enumerate(modules) if module == "Linear"
    }
    for i, module in enumerate(modules):
        if module == "Linear":
            x = x @ arrays[f"{i}.weight"].T + arrays[f"{i}.bias"]
        else:
            activation_forward(x, module, x)
    return x


@pytest.mark.filterwarnings("ignore:X ranges over")
def test_many_nets(tmp_path: Path) -> None:
    written = 0
    for ae, X in nets(60, ("float64",)):
        missing, scaled = ae.fill_ is not None, ae.scaling_ is not None and ae.output != "identity"
        if missing or scaled:
            what = "what is read for missing values" if missing else "a scale after output"
            with pytest.raises(ValueError, match=f"no place for {what}"):
                ae.export(tmp_path / "net.safetensors")
            continue
        (file,) = ae.export(tmp_path / "net.safetensors")
        x = X / 255 if X.dtype == np.uint8 else X
        np.testing.assert_allclose(sequential(file, x), ae.reconstruct(X), rtol=1e-9, atol=1e-9)
        for part, given in (("encoder", x), ("decoder", ae.encode(X))):
            ae.export(file, part=part)
            expected = ae.encode(X) if part == "encoder" else ae.decode(given)
            np.testing.assert_allclose(sequential(file, given), expected, rtol=1e-9, atol=1e-9)
        written += 1
    assert written >= 20


def test_a_table(tmp_path: Path) -> None:
    """The scale of its numbers is within the layers; what has no place is said, and what to do."""
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    rng, file = np.random.default_rng(0), tmp_path / "net.safetensors"
    numbers = pandas.DataFrame({"a": rng.normal(3, 2, 40), "b": rng.normal(size=40)})
    how: dict[str, Any] = {"code": 1, "epochs": 2, "random_state": 0, "dtype": "float64",
                           "missing": "error"}  # fmt: skip
    ae = Autoencoder(**how).fit(numbers)
    ae.export(file)
    expected = ae.reconstruct(numbers)
    np.testing.assert_allclose(sequential(file, numbers.to_numpy()), expected, rtol=1e-9)
    kinds = Autoencoder(**how).fit(numbers.assign(kind=rng.choice(list("xy"), 40)))
    for part in ("all", "decoder"):
        with pytest.raises(ValueError, match="no place for the softmax of categories: use 'numpy'"):
            kinds.export(file, part=part)
    kinds.export(file, part="encoder")
    both = Autoencoder(**{**how, "missing": "allow"}).fit(numbers.assign(kind=["x", "y"] * 20))
    for part in ("all", "encoder", "decoder"):  # no part has a place, so none is advised
        with pytest.raises(ValueError, match="use 'numpy', 'c' or 'onnx'$"):
            both.export(file, part=part)


def test_half_the_bytes(tmp_path: Path) -> None:
    ae = Autoencoder(hidden=(40,), code=9, epochs=0, random_state=0).fit(np.eye(50))
    sizes = [
        ae.export(tmp_path / "net.safetensors", quantize=how)[0].stat().st_size
        for how in (None, "float16")
    ]
    assert sizes[1] < 0.6 * sizes[0]
