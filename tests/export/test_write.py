"""What ``export`` refuses, and what it leaves as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from tinyae import Autoencoder


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    return Autoencoder(hidden=(4,), code=2, epochs=0, backend="numpy").fit(np.eye(5))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    (
        ("net.txt", {}, "must end in .py or .h or .onnx or .safetensors"),
        ("net", {}, "must end in .py or .h or .onnx or .safetensors"),
        ("net.txt", {"to": "c"}, "to='c' makes a .h file"),
        ("net.py", {"to": "rust"}, "to must be of numpy, c, onnx, safetensors, got 'rust'"),
        ("net.py", {"part": "middle"}, "part must be of all, encoder, decoder, got 'middle'"),
        ("net.py", {"quantize": "int4"}, "quantize must be of None, float16, int8, got 'int4'"),
        ("net.h", {"quantize": "float16"}, "quantize='float16' is not for to='c'"),
        ("net.h", {"weights": "w.npz"}, "weights='w.npz' is for to='numpy'"),
        ("net.onnx", {"weights": "w.npz"}, "weights='w.npz' is for to='numpy'"),
        ("net.safetensors", {"quantize": "int8"}, "quantize='int8' is not for to='safetensors'"),
        ("net.py", {"weights": "w.txt"}, "weights must be a .npz in the folder of"),
        ("net.py", {"weights": "/w.npz"}, "weights must be a .npz in the folder of"),
    ),
)
def test_what_cannot_be_meant(
    ae: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
    options: dict[str, str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        ae.export(name, **options)
    assert not list(tmp_path.iterdir())


def test_without_weights(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        Autoencoder().export(tmp_path / "net.py")


def test_weights_that_float16_cannot_hold(ae: Autoencoder, tmp_path: Path) -> None:
    large = {name: value + 1e5 for name, value in ae.parameters().items()}
    other = Autoencoder(hidden=(4,), code=2, epochs=0, backend="numpy").fit(np.eye(5))
    other.set_parameters(large)
    with pytest.raises(ValueError, match=r"up to 65,504, but encoder.0.weight has"):
        other.export(tmp_path / "net.py", quantize="float16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ("net.py", "net.h", "w.npz", "net.onnx", "net.safetensors"))
def test_files_of_others_stay(ae: Autoencoder, tmp_path: Path, name: str) -> None:
    """An older export is replaced, whatever its part and form."""
    file = tmp_path / name
    how = {"weights": file} if name == "w.npz" else {}
    out = tmp_path / "net.py" if how else file
    fewer = "float16" if name == "net.safetensors" else "int8"
    for part, quantize in (("all", None), ("encoder", fewer), ("decoder", None)):
        ae.export(out, part=part, quantize=quantize, **how)
    if how:
        np.savez(file, a=np.zeros(3))
    else:
        file.write_text("print('mine')\n", encoding="utf-8")
    before = {f: f.read_bytes() for f in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=f"{name} holds .* stays as it is"):
        ae.export(out, **how)
    assert {f: f.read_bytes() for f in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("suffix", "needs"), ((".h", ()), (".onnx", ("onnx",)), (".safetensors", ("safetensors",)))
)
def test_numbers_that_the_files_type_cannot_hold(
    tmp_path: Path, suffix: str, needs: tuple[str, ...]
) -> None:
    """Infinities, or a spread that becomes 0, would give wrong numbers without a word."""
    for package in needs:
        pytest.importorskip(package, reason=f"needs {package}")
    X = np.random.default_rng(0).random((20, 4))
    file = tmp_path / f"net{suffix}"
    if suffix != ".safetensors":  # it has float64
        large = Autoencoder(hidden=(3,), code=2, epochs=0, dtype="float64").fit(X)
        large.set_parameters({name: 1e60 + value for name, value in large.parameters().items()})
        with pytest.raises(ValueError, match=r"in float32, which cannot hold 1e\+60"):
            large.export(file)
    if suffix != ".onnx":  # it scales in float64
        spread = np.array([1, 1e-50, 1, 1])
        small = Autoencoder(
            hidden=(3,), code=2, epochs=0, random_state=0, scale=(np.zeros(4), spread)
        )
        small.fit(X * spread)
        with pytest.raises(ValueError, match="in float32, which cannot hold"):
            small.export(file)
    if suffix == ".safetensors":
        small.set_params(scale=(np.zeros(4), np.array([1, 1e-9, 1, 1]))).fit(X * spread)
        small.export(file)
        with pytest.raises(ValueError, match="in float16, which cannot hold"):
            small.export(file, quantize="float16")
    else:
        assert not file.exists()
