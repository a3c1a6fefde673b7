"""The sizes and errors of exported files: measured on the files, and what the page says of them."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import export_files
from tinyae import Autoencoder
from tinyae import export as export_room
from tinyae.export.chain import rounded


def test_each_file_is_measured(tmp_path: Path) -> None:
    for package in ("onnx", "safetensors"):
        pytest.importorskip(package)
    X = np.random.default_rng(0).random((600, 20), np.float32)
    ae = Autoencoder(hidden=(8,), code=3, epochs=1, random_state=0, backend="numpy").fit(X)
    rows = {(row["to"], row["weights"]): row for row in export_files.measured(ae, X, tmp_path)}
    assert len(rows) == 10
    expected = {"float32": ae, **{how: rounded(ae, how) for how in ("float16", "int8")}}
    assert len({-net.score(X) for net in expected.values()}) == 3
    for (to, weights), row in rows.items():
        assert row["bytes"] > 0
        known = to == "numpy" or (to == "onnx" and importlib.util.find_spec("onnxruntime"))
        assert (row["squared_error"] is not None) == bool(known)
        if known:  # of sums in another order
            assert row["squared_error"] == pytest.approx(-expected[weights].score(X), rel=1e-5)
    assert rows["safetensors", "float16"]["bytes"] == (tmp_path / "net.safetensors").stat().st_size


def test_the_page_says_what_was_measured() -> None:
    page = (Path(export_room.__file__).parent / "README.md").read_text(encoding="utf-8")
    rows = json.loads(export_files.RESULTS.read_text(encoding="utf-8"))["files"]
    for weights in ("float32", "float16", "int8"):
        (line,) = re.findall(rf"^\| {weights} \| (.*) \|$", page, re.MULTILINE)
        of = {row["to"]: row for row in rows if row["weights"] == weights}
        sizes = (f"{of[to]['bytes'] / 1e6:.1f}" if to in of else "-"
                 for to in ("numpy", "onnx", "safetensors", "c"))  # fmt: skip
        assert line == " | ".join([f"{of['numpy']['squared_error']:.4f}", *sizes])
