"""The command ``tinyae bench``, end to end: what it writes, refuses and survives."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import run_bench
from benchmarks.cases.cases import GROUPS
from benchmarks.contestants import contestants
from benchmarks.reports import rows
from tests.benchmarks.made_results import made
from tinyae.cli.machine import bench as bench_command
from tinyae.cli.main import main
from tinyae.kernels.cuda import driver as cuda_driver

ROOT = Path(__file__).parents[2]
Bench = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker of pytest-xdist pytest-benchmark would switch itself off."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """bench(plugin, arguments): runs the command without ceilings; its processes load the plugin.
    Returns the exit code and the results."""
    child = run_bench._child
    monkeypatch.setattr(
        run_bench, "_child",
        lambda options, files, *rest: {"rows": []} if "bench_ceilings.py" in files
        else child(options, files, *rest),
    )  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p plugin")

    monkeypatch.chdir(tmp_path)

    def run(plugin: str, arguments: str) -> tuple[int, dict[str, Any]]:
        Path("plugin.py").write_text(plugin, encoding="utf-8")
        code = main(["bench", "--seconds", "0.002", "--out", "out", *arguments.split()])
        return code, rows.load("out/results.json")

    return run


PLANT = """
import dataclasses
from tinyae.kernels import columns

def plant(name, right, by):
    def wrong(x, w, b, activation, y, pre):
        right.dense_forward(x, w, b, activation, y, pre)
        y[-1, -1] += by

    columns._loaded[name] = dataclasses.replace(right, dense_forward=wrong)
"""


def test_a_wrong_kernel_gets_no_time(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """One element of one operation is off."""
    monkeypatch.setattr(cuda_driver, "missing_gpu", lambda: "there is no NVIDIA driver")
    monkeypatch.setattr(contestants, "missing_gpu", lambda: "there is no NVIDIA driver")
    code, results = bench(
        PLANT + "plant('numpy', columns.get_backend('numpy'), 0.01)",
        "--only dense --sizes 24,40 --backends numpy,cupy --rivals blas --plot out.png",
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    for row in results["rows"]:
        if (row["contestant"], row["op"]) == ("numpy", "dense_forward"):
            assert row["runs"] == [] and row["median"] is None
            assert row["error"].startswith("wrong result: y: 1 of ")
        else:
            assert len(row["runs"]) == 2 and row["median"] > 0 and row["error"] == ""
    assert len(results["rows"]) == 2 * 3 * 2
    assert {row["size"] for row in results["rows"]} == {24, 40}
    assert "wrong result: y: 1 of" in said.out and "there is no NVIDIA driver" in said.out
    about = results["contestants"]
    assert about["numpy"]["available"] and about["numpy"]["threads"] >= 1
    assert not about["cupy"]["available"]
    assert results["machine"]["cores"] >= 1 and results["versions"]["numpy"] == np.__version__
    assert (tmp_path / "out.png").stat().st_size > 0
    assert "pass 2 of 2: blas" in said.err and "left" in said.err


STAND_IN = """
from tinyae.kernels.cuda import driver as cuda_driver

cuda_driver.missing_gpu = lambda: ""
columns._loaded["cupy 3xtf32"] = columns.get_backend("cuda-host", "3xtf32")
plant("cupy tf32", columns.get_backend("cuda-host", "tf32"), 0.1)
"""


def test_tensor_cores_take_part_and_a_wrong_product_gets_no_time(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuda-host stands in for a GPU; nobody sees its times but this test."""
    (tmp_path / "cupy.py").write_text("", encoding="utf-8")  # it is asked whether it is there
    monkeypatch.setattr(contestants, "missing_gpu", lambda: "")
    monkeypatch.setattr(contestants, "_installed", lambda package: True)
    names = "--backends cupy-3xtf32,cupy-tf32 --rivals none"
    code, results = bench(PLANT + STAND_IN, f"--only dense_forward --sizes 40 {names}")
    exact, planted = results["rows"]
    assert code == 0
    assert (exact["contestant"], exact["matmul"]) == ("cupy-3xtf32", "3xtf32")
    assert exact["median"] > 0 and 0 < exact["rms_error"] < 1e-6
    assert (planted["contestant"], planted["matmul"]) == ("cupy-tf32", "tf32")
    assert planted["median"] is planted["rms_error"] is None
    assert planted["error"].startswith("wrong result: y: 1 of 1600")
    assert results["contestants"]["cupy-tf32"]["matmul"] == "tf32"


DIE = """
import os
import sys

if "blas" in sys.argv:
    print("killed for want of memory", flush=True)
    os._exit(9)
"""


def test_a_contestant_that_dies_takes_only_its_own_figures(bench: Bench, tmp_path: Path) -> None:
    code, results = bench(DIE, "--only dense_forward --sizes 24 --backends numpy --rivals blas")
    assert code == 0
    assert [(row["contestant"], len(row["runs"])) for row in results["rows"]] == [("numpy", 2)]
    assert not results["contestants"]["blas"]["available"]
    reason = "the benchmarks did not run: killed for want of memory"
    assert results["contestants"]["blas"]["reason"] == reason
    assert reason in (tmp_path / "out" / "table.txt").read_text(encoding="utf-8")


INTERRUPT = """
import os
import signal
import sys
import time

def pytest_runtest_setup(item):
    if "blas" in sys.argv and "dense_backward_weights" in item.name:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)  # to be ended from outside
"""


def test_what_was_measured_before_ctrl_c_is_kept(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """numpy's three products, and two of blas, from the first of two passes."""
    code, results = bench(INTERRUPT, "--only dense --sizes 24 --backends numpy --rivals blas")
    assert code == 1
    assert "interrupted; " in capsys.readouterr().err
    assert results["interrupted"] == "by Ctrl-C, at pass 1 of 2: blas"
    measured = [(row["contestant"], row["op"], len(row["runs"])) for row in results["rows"]]
    assert measured == [
        *(("numpy", op, 1) for op in GROUPS["dense"]),
        *(("blas", op, 1) for op in GROUPS["dense"][:2]),
    ]


def test_pytest_benchmarks_own_options(tmp_path: Path) -> None:
    """pytest on the folder, from the repository's root."""
    out = tmp_path / "x.json"
    options = ("--benchmark-only --contestants numpy --only adam --nets small --seconds 0.002 "
               "--ceilings none -q")  # fmt: skip
    command = [sys.executable, "-m", "pytest", "benchmarks/suites", f"--benchmark-json={out}"]
    done = subprocess.run(
        [*command, *options.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(out.read_text(encoding="utf-8"))["benchmarks"]
    assert found["extra_info"]["op"] == "adam" and found["extra_info"]["bytes"] == 28 * 209_968


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    (
        ("--backends cuda-host", "cuda-host executes GPU kernels on the CPU"),
        ("--only conv", "--only must be of"),
        ("--sizes many", "invalid list of integers value: 'many'"),
        ("--compare nowhere.json", "--compare nowhere.json"),
        ("--compare empty.json", "empty.json holds no results of 'tinyae bench'"),
        ("--compare broken.json", "broken.json is no JSON"),
        ("--compare nested.json", "nested.json is no JSON"),
        ("--compare row.json", "row.json holds no results of 'tinyae bench'"),
        ("--plot picture.xyz", "--plot must end in .png, got 'picture.xyz'"),
        ("--out broken.json", "broken.json must be a folder, or a place for one"),
        ("--only epoch --backends numba-cuda --rivals cublas", "nothing to measure"),
    ),
)
def test_wrong_arguments(
    arguments: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Each is refused before anything is measured."""
    monkeypatch.chdir(tmp_path)
    Path("empty.json").write_text('{"rows": []}', encoding="utf-8")
    Path("broken.json").write_text('{"rows": ', encoding="utf-8")
    Path("nested.json").write_text("[" * 100_000, encoding="utf-8")
    Path("row.json").write_text(json.dumps(made() | {"rows": [{"suite": "step"}]}))
    assert main(["bench", *arguments.split()]) == 2
    assert complaint in capsys.readouterr().err


def test_what_is_missing_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pytest-benchmark, then the repository."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pytest_benchmark" else find(name)
    )
    assert main(["bench"]) == 1
    assert 'need pytest_benchmark: pip install -e ".[bench]"' in capsys.readouterr().err
    monkeypatch.setattr(bench_command, "FOLDER", tmp_path / "benchmarks")
    assert main(["bench"]) == 1
    said = capsys.readouterr().err
    assert "are in the repository" in said and 'pip install -e ".[bench]"' in said
