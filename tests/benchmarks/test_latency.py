"""Every contestant's result is compared before it is timed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import latency


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(latency, "NETS", {"tiny": ((7, 5), 3)})
    monkeypatch.setattr(latency, "ROWS", (1, 3))
    monkeypatch.setattr(latency, "SECONDS", 0.002)
    latency.make("tiny", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "by hand",
        "tinyae, numpy",
        "tinyae, numba",
        "export, NumPy",
        "onnxruntime",
        "onnxruntime, 1 thread",
    ],
)
def test_seconds_of_a_call(folder: Path, name: str) -> None:
    pytest.importorskip(latency.NEEDS.get(name, "numpy"), reason=f"{name} is a contestant")
    found = latency.time_here(name, folder)
    assert len(found) == 2 and all(0 < seconds < 1 for seconds in found)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("name", latency.IN_C)
def test_the_program_in_c(folder: Path, name: str) -> None:
    found = latency.time_in_c(name, folder)
    assert len(found) == 2 and all(0 < seconds < 1 for seconds in found)


def test_nets_keep_their_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those of other versions."""
    monkeypatch.setattr(latency, "RESULTS", tmp_path / "latency.json")
    monkeypatch.setattr(latency, "versions", lambda: {"numpy": "1"})
    for net, seconds in (("deep", 3), ("small", 1), ("deep", 2)):
        latency.keep(net, [{"net": net, "contestant": "by hand", "seconds": [seconds]}])
    found = json.loads(latency.RESULTS.read_text())["times"]
    assert [(row["net"], row["seconds"]) for row in found] == [("small", [1]), ("deep", [2])]
    monkeypatch.setattr(latency, "versions", lambda: {"numpy": "2"})
    latency.keep("small", [])
    assert json.loads(latency.RESULTS.read_text())["times"] == []


def test_a_wrong_result_has_no_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_: Path) -> latency.Call:
        return lambda x: latency.by_hand(folder)(x) + np.float32(1e-3)

    monkeypatch.setitem(latency.CONTESTANTS, "wrong", wrong)
    with pytest.raises(ValueError, match="wrong is off by 0.001"):
        latency.time_here("wrong", folder)
