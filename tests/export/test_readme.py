"""The Python programs of the room's page, run as they stand there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae import export as export_room

PAGE = (Path(export_room.__file__).parent / "README.md").read_text(encoding="utf-8")
PROGRAMS = [part.partition("```")[0] for part in PAGE.split("```python\n")[1:]]


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, Autoencoder, np.ndarray]:
    X = np.random.default_rng(0).random((20, 6))
    ae = Autoencoder(hidden=(5,), code=2, epochs=2, random_state=0, backend="numpy").fit(X)
    np.save(tmp_path / "samples.npy", X)
    ae.export(tmp_path / "net.py")
    return tmp_path, ae, X


@pytest.mark.parametrize("needs", ("import net\n\ncodes", "onnxruntime"))
def test_programs(folder: tuple[Path, Autoencoder, np.ndarray], needs: str) -> None:
    place, ae, X = folder
    if needs == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="needs onnxruntime")
        ae.export(place / "net.onnx")
    (program,) = (program for program in PROGRAMS if needs in program)
    (place / "program.py").write_text(program + "\nnp.save('codes.npy', codes)\n")
    subprocess.run([sys.executable, "program.py"], cwd=place, check=True)
    np.testing.assert_allclose(np.load(place / "codes.npy"), ae.encode(X), rtol=1e-5, atol=1e-6)


def test_a_handler(folder: tuple[Path, Autoencoder, np.ndarray]) -> None:
    """Its answer, and that the command for its cold start says what NumPy and the module take."""
    place, ae, X = folder
    (program,) = (program for program in PROGRAMS if "def handler" in program)
    (place / "program.py").write_text(
        program + "\nimport json, sys\nprint(json.dumps(handler(json.load(sys.stdin), None)))\n"
    )
    event = json.dumps({"samples": X.tolist()})
    done = subprocess.run([sys.executable, "program.py"], cwd=place, text=True, check=True,
                          input=event, capture_output=True)  # fmt: skip
    np.testing.assert_allclose(json.loads(done.stdout), ae.encode(X), rtol=1e-5, atol=1e-6)
    command = [sys.executable, "-X", "importtime", "-c", "import net"]
    assert 'python -X importtime -c "import net"' in PAGE
    said = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stderr
    lines = [line.split("|") for line in said.splitlines()]
    took = {line[2].strip(): int(line[1]) for line in lines if line[1].strip().isdigit()}
    assert 0 < took["numpy"] < took["net"] and "tinyae" not in took


def test_the_service(folder: tuple[Path, Autoencoder, np.ndarray]) -> None:
    place, ae, X = folder
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    (program,) = (program for program in PROGRAMS if "HTTPServer" in program)
    (place / "service.py").write_text(program.replace("8000", str(port)))
    service = subprocess.Popen([sys.executable, "service.py"], cwd=place, stderr=subprocess.DEVNULL)
    try:
        address, body = f"http://localhost:{port}", json.dumps(X.tolist()).encode()
        for _ in range(200):
            try:
                answer = urllib.request.urlopen(address, body, timeout=20).read()
                break
            except urllib.error.URLError:
                time.sleep(0.05)
        np.testing.assert_allclose(json.loads(answer), ae.encode(X), rtol=1e-5, atol=1e-6)
        empty = urllib.request.urlopen(address, b"[[1, 2, null, 4, 5, 6]]", timeout=20).read()
        assert np.isnan(json.loads(empty)).all()
        wrong = {
            b"[[1, 2]]": "x must have 6 columns",
            b'[[1, 2, "x", 4, 5, 6]]': "could not convert",
        }
        for body, message in wrong.items():
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(address, body, timeout=20)
            assert message in json.loads(caught.value.read())
            caught.value.close()
    finally:
        service.kill()
        service.wait()
