"""The exported module needs no newer NumPy than it says: 1.22, on Python 3.10.

Where the variable TINYAE_OLD_PYTHON names a Python with such a NumPy, it runs the modules:

    python3.10 -m venv old && old/bin/pip install numpy==1.22.0
    TINYAE_OLD_PYTHON=$PWD/old/bin/python pytest tests/export/test_old_numpy.py
"""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.nets import nets
from tests.export.test_numpy_file import module
from tinyae import Autoencoder, SparseAutoencoder

OLD = os.environ.get("TINYAE_OLD_PYTHON")
# of NumPy's main namespace what the modules use, all of it in the reference of NumPy 1.22
OF_1_22 = {
    "abs", "argsort", "asarray", "exp", "expm1", "float32", "float64", "float16", "isnan", "load",
    "log1p", "maximum", "minimum", "put_along_axis", "take_along_axis", "tanh", "uint8", "where",
    "zeros_like",
}  # fmt: skip
# what runs with the old NumPy: each net.py of the folder on its samples
PROGRAM = """
import importlib.util, pathlib, sys
import numpy as np

print(np.__version__, *sys.version_info[:2])
for path in pathlib.Path().glob("n*.py"):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    net = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(net)
    x = np.load(path.stem + "-x.npy")
    z = net.encode(x)
    np.savez(path.stem + "-y.npz", z=z, y=net.decode(z), both=net.reconstruct(x), s=net.score(x))
"""


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, int]:
    """The folder, and how many modules n0.py, n1.py ... are there: every activation, scales,
    missing values, fewer bits, weights beside the text, the k greatest, categories."""
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    made: list[tuple[Autoencoder, Any]] = list(nets(48, ("float32", "float64")))
    rng = np.random.default_rng(0)
    X = rng.random((9, 12))
    sparse = SparseAutoencoder(k=3, code=8, epochs=1, random_state=0, backend="numpy")
    made.append((sparse.fit(X), X))
    table = pandas.DataFrame({"a": rng.normal(size=40), "b": rng.choice(list("xyz"), 40)})
    kinds = Autoencoder(code=2, epochs=1, random_state=0, backend="numpy").fit(table)
    made.append((kinds, rng.random((9, kinds.n_features_in_))))
    for i, (ae, X) in enumerate(made):
        archive = tmp_path / f"w{i}.npz" if i % 7 == 0 else None
        ae.export(tmp_path / f"n{i}.py", weights=archive)
        np.save(tmp_path / f"n{i}-x.npy", X)
    for i, quantize in enumerate(("int8", "float16"), len(made)):
        made[0][0].export(tmp_path / f"n{i}.py", quantize=quantize)
        np.save(tmp_path / f"n{i}-x.npy", made[0][1])
    return tmp_path, len(made) + 2


@pytest.mark.filterwarnings("ignore:X ranges over")
def test_no_name_is_younger(exported: tuple[Path, int]) -> None:
    folder, n = exported
    used = set[str]()
    for i in range(n):
        text = (folder / f"n{i}.py").read_text(encoding="utf-8")
        tree = ast.parse(text, feature_version=(3, 10))
        used |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "np"
        }
    assert used <= OF_1_22, used - OF_1_22
    assert len(used) >= 15


@pytest.mark.skipif(OLD is None, reason="TINYAE_OLD_PYTHON names no Python with NumPy 1.22")
@pytest.mark.filterwarnings("ignore:X ranges over")
def test_an_old_numpy_gives_the_same(exported: tuple[Path, int]) -> None:
    """As here, where other tests compare them; of another version exponentials may differ in their
    last bits."""
    folder, n = exported
    (folder / "program.py").write_text(PROGRAM)
    done = subprocess.run([str(OLD), "-W", "error", "program.py"], cwd=folder, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("1.22"), done.stdout
    for i in range(n):
        x, net = np.load(folder / f"n{i}-x.npy"), module(folder / f"n{i}.py")
        z, y, scores = net.encode(x), net.reconstruct(x), net.score(x)
        rtol = 1e-4 if z.dtype == np.float32 else 1e-12
        with np.load(folder / f"n{i}-y.npz") as found:
            np.testing.assert_allclose(found["z"], z, rtol=rtol, atol=rtol)
            np.testing.assert_allclose(found["y"], y, rtol=rtol, atol=rtol)
            np.testing.assert_array_equal(found["y"], found["both"])
            np.testing.assert_allclose(found["s"], scores, rtol=10 * rtol, atol=10 * rtol)
