"""The visit of a GPU, rehearsed on cuda-host, and the trainings that it compares."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.cases import nets
from benchmarks.gpu import mnist_race, operations, tools, training, visit
from benchmarks.reports import visit as report
from tinyae.cli.machine.tune import WrongResult
from tinyae.data.datasets import Dataset
from tinyae.data.rows import Rows

ROOT = Path(__file__).parents[2]


def go(out: Path, *arguments: str) -> list[dict[str, Any]]:
    """Calls the command with --backend cuda-host; all rows that are there afterwards."""
    assert visit.main(["--backend", "cuda-host", "--out", str(out), *arguments]) == 0
    text = (out / "visit.jsonl").read_text(encoding="utf-8")
    return [row for row in map(json.loads, text.splitlines()) if "begun" not in row]


def given(out: Path, **other: Any) -> argparse.Namespace:
    return argparse.Namespace(backend="cuda-host", kernels=None, out=out, seconds=60, **other)


def test_a_rehearsal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of several parts; the next call goes on with what is missing or has failed."""
    (tmp_path / "no-sources").mkdir()
    rows = go(tmp_path, "--only", "products", "--kernels", str(tmp_path / "no-sources"))
    assert [(row["part"], row.get("ended")) for row in rows] == [("machine", None), ("products", 1)]
    assert rows[0]["versions"]["numpy"] == np.__version__ and rows[0]["machine"]["cores"] >= 1
    rows = go(tmp_path, "--only", "products,kernels")
    by_part = {part: [row for row in rows if row["part"] == part] for part in visit.PARTS}
    products = [row for row in by_part["products"] if "kernel" in row]
    assert {(row["matmul"], row["kernel"]) for row in products} == {
        (matmul, kernel) for matmul in ("fp32", "3xtf32", "tf32") for kernel in operations.KERNELS
    }
    for row in products:
        assert row["times"][row["best"]] == min(row["times"].values()) > 0
    assert {row["op"] for row in by_part["kernels"][:-1]} >= {"adam", "gather", "loss bce"}
    assert not any("error" in row for row in rows)
    assert by_part["products"][-1]["done"] is by_part["kernels"][-1]["done"] is True
    assert "products: done" in capsys.readouterr().out
    assert go(tmp_path, "--only", "products,kernels") == rows
    # the try that failed counts no more
    counted = report.load(tmp_path / "visit.jsonl")
    assert [row["done"] for row in counted if "ended" in row] == [True, True]
    said = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert said.startswith("# a rehearsal without a GPU, ") and "| products | done | " in said


@pytest.mark.slow
def test_a_whole_rehearsal(tmp_path: Path) -> None:
    """Every part ends well, and every row is of a part and JSON as others read it."""
    go(tmp_path, "--minutes", "30")
    rows = report.load(tmp_path / "visit.jsonl")
    assert {row["part"] for row in rows if row.get("done")} == set(visit.PARTS)
    assert {row["part"] for row in rows} == {"machine", *visit.PARTS}
    assert not [row for row in rows if "error" in row or "wrong" in row]
    assert all(row["clean"] for row in rows if "clean" in row)
    json.dumps(rows, allow_nan=False)


def test_the_summary_of_a_gpu(tmp_path: Path) -> None:
    """Of the visit that is kept, with a part that failed and one that lacks its program."""
    rows = report.load(ROOT / "benchmarks" / "results" / "gpu-h200.jsonl")
    rows = [row for row in rows if row["part"] not in ("curve", "counters")]
    rows += [{"part": "curve", "clean": False}, {"part": "counters", "absent": "no ncu"}]
    rows += [{"part": part, "done": code == 0, "ended": code, "seconds": 3.0}
             for part, code in (("curve", 1), ("counters", 0))]  # fmt: skip
    said = report.summary(rows)
    assert said.startswith("# NVIDIA H200, 2026-")
    assert "| curve | 1 | 3 | 1 rows with a fault |" in said
    assert "| counters | done | 3 | no ncu |" in said
    assert report.products(rows) in said and report.memory(rows) in said


def test_a_visit_that_is_cut_off_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = []

    class Process:
        def __init__(self, command: list[str], **options: Any) -> None:
            self.part = command[command.index("--part") + 1]
            self.pid = self.part
            assert options["start_new_session"]  # so that what it starts ends with it

        def wait(self, seconds: float | None) -> int:
            if seconds is None:
                return -9
            if self.part == "products" and not killed:
                raise subprocess.TimeoutExpired(self.part, seconds)
            return 0

    # the visit's alone: what asks the machine for its name starts processes too
    own = SimpleNamespace(**vars(subprocess) | {"Popen": Process})
    monkeypatch.setattr(visit, "subprocess", own)
    monkeypatch.setattr(visit.os, "killpg", lambda pid, signal: killed.append(pid))
    rows = go(tmp_path, "--only", "curve,products")
    assert killed == ["products"]
    assert [row["done"] for row in rows[1:]] == [True, False]
    assert rows[2]["ended"] == "cut off after 300 s"
    rows = go(tmp_path, "--only", "curve,products,steps", "--minutes", "0")
    assert len(rows) == 3 and "steps: no time left" in capsys.readouterr().out
    rows = go(tmp_path, "--only", "curve,products,steps")
    assert [(row["part"], row["done"]) for row in rows[3:]] == [("products", True), ("steps", True)]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGKILL))
def test_a_visit_that_is_killed_takes_its_part_with_it(tmp_path: Path, number: int) -> None:
    """In the middle of a part; and the next visit removes a row that was half written."""
    path = tmp_path / "visit.jsonl"
    command = [sys.executable, visit.__file__, "--backend", "cuda-host", "--out", str(tmp_path)]
    with subprocess.Popen([*command, "--only", "products"], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (path.exists() and "fp32" in path.read_text()):
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait() == (143 if number == signal.SIGTERM else -number)
    end = time.monotonic() + (20 if number == signal.SIGKILL else 0)
    while _processes(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _processes(tmp_path)
    before = path.read_bytes()
    with path.open("a") as file:
        file.write('{"part": "products", "done": tr')
    rows = go(tmp_path, "--only", "products")
    assert path.read_bytes().startswith(before) and rows[-1]["done"]


def _processes(folder: Path) -> list[Path]:
    """Those that have the folder in their command line."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [line] if str(folder).encode() in line.read_bytes() else []
        except OSError:  # a process that has ended meanwhile
            continue
    return found


def test_an_unknown_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        go(tmp_path / "out", "--only", "products,speed")
    assert "--only must be of correct, curve, " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_wrong_product_gets_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = operations.tuning._call

    def wrong(results: dict[str, Any]) -> None:
        raise WrongResult("off by 1")

    monkeypatch.setattr(operations.tuning, "_call", lambda *a: (call(*a)[0], wrong))
    problem = ("dense_forward", 40, 40, 40)
    *plans, end = operations._products(given(tmp_path), "fp32", [problem], True)
    assert [row["wrong"] for row in plans] == ["off by 1"] * 2
    assert end["times"] == {} and end["best"] is end["tflops"] is None


def test_programs_that_are_absent_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    assert list(tools.counters(given(tmp_path))) == [{"absent": "ncu is not on the PATH"}]
    (row,) = tools.sanitizer(given(tmp_path))
    assert row == {"absent": "compute-sanitizer is not on the PATH"}
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    assert list(training.torch_steps(given(tmp_path))) == [{"absent": "PyTorch is not installed"}]
    (row,) = training.mnist(given(tmp_path, mnist=tmp_path / "none"))
    assert row == {"absent": f"--mnist {tmp_path / 'none'} is no folder"}
    monkeypatch.setattr(tools.nvidia, "numba_cuda_version", lambda: None)
    assert list(tools.numba_cuda(given(tmp_path))) == [{"absent": "numba-cuda is not installed"}]


@pytest.mark.parametrize("cut_off", (False, True))
def test_tests_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_off: bool) -> None:
    """Those that failed, and those that were over when the part's time was."""

    class Pytest:
        sent: Any = None

        def __init__(self, command: list[str], stdout: Any, **options: Any) -> None:
            assert "not numba-cuda" in command
            stdout.write("FAILED tests/a.py::b - wrong\n1 failed, 20 passed, 3 skipped in 2 s\n")

        def __enter__(self) -> Pytest:
            return self

        def __exit__(self, *error: object) -> None: ...

        def send_signal(self, number: int) -> None:
            self.sent = number

        def wait(self, seconds: float | None = None) -> int:
            if cut_off and self.sent is None:
                raise subprocess.TimeoutExpired("pytest", seconds or 0)
            return 2 if self.sent == signal.SIGINT else 1

    own = SimpleNamespace(**vars(subprocess) | {"Popen": Pytest})
    monkeypatch.setattr(tools, "subprocess", own)
    on_gpu = given(tmp_path)
    on_gpu.backend = "cupy"
    (row,) = tools.tests(on_gpu)
    counts = {"failed": 1, "passed": 20, "skipped": 3, "failures": ["tests/a.py::b"]}
    assert row == {"clean": False, **counts} | ({"cut_off": True} if cut_off else {})


# ---- training


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A small net instead of the deep one, on a few pictures of 784 pixels."""
    monkeypatch.setattr(nets, "NETS", {"deep": (24, 8)})
    rng = np.random.default_rng(0)
    shapes = rng.random((4, 784)) < 0.2
    train, test = (
        Rows((shapes[rng.integers(0, 4, n)] * rng.integers(128, 256, (n, 1))).astype(np.uint8))
        for n in (200, 40)
    )
    return Dataset("pictures", train, test, None, None, (28, 28), None)


def test_steps_and_epochs(tiny: Dataset, tmp_path: Path) -> None:
    (step,) = training.steps(given(tmp_path))
    assert {"fp32", "fp32 without branch", "3xtf32", "3xtf32 without branch"} < set(step)
    assert training.Device("cuda-host").runner().branching
    (epoch,) = training.epochs(given(tmp_path))
    assert epoch["loss"][-1] < epoch["loss"][0] and len(epoch["seconds"]) == 4


def test_a_step_as_one_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timed beside the replayed one; one that does nothing leaves other weights."""
    monkeypatch.setattr(nets, "NETS", {"small": (24, 8)})
    (row,) = training.one_launch(given(tmp_path))
    assert row["clean"] and row["blocks"] == 4 and row["replayed"] > 0 < row["one launch"]
    nothing = lambda *arguments: None  # noqa: E731
    monkeypatch.setattr(
        training.StepKernels, "make_step", lambda kernels, plan: plan.epoch and nothing
    )
    (row,) = training.one_launch(given(tmp_path))
    assert row["clean"] is False


def test_training_is_checked(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """numba passes; a seed of its own for each run, or a loss that is off, does not."""
    monkeypatch.setattr(nets, "pixels", lambda batch: tiny.train.array)
    found = training.check("numba")
    assert found["clean"] and found["same_bits"]
    assert 0 < found["off_eps_float64"] <= found["allowed_eps"]
    trained = iter([b"a", b"b"])
    monkeypatch.setattr(training, "_trained", lambda *_: next(trained))
    monkeypatch.setattr(training, "curve", lambda model, steps: [float(model.n_off)])
    make = training.make

    def off(name: str, **options: Any) -> Any:
        model = make(name, **options)
        model.n_off = 1 + (name == "numba") * 1e-4
        return model

    monkeypatch.setattr(training, "make", off)
    found = training.check("numba")
    assert not found["clean"] and not found["same_bits"]
    assert found["off_eps_float32"] > found["allowed_eps"]


RECIPE = {**mnist_race.RECIPE, "batch_size": 32, "learning_rate": 0.01}
# PyTorch is no part of what the tests need
RACES = {"tinyae": lambda *a: mnist_race.tinyae(a[0], "numpy", "fp32", *a[1:])}
if importlib.util.find_spec("torch"):
    RACES["PyTorch"] = lambda *a: mnist_race.pytorch(a[0], False, *a[1:])


def test_those_who_race_train_the_same_net(tiny: Dataset) -> None:
    """With all samples in one minibatch their orders are the same, and so are their errors."""
    courses = []
    for name, race in RACES.items():
        run = race(tiny, 20, {**RECIPE, "batch_size": 200})
        assert run["by"].startswith(name)
        assert len(run["errors"]) == run["epochs"] == 20
        assert run["errors"][-1] == run["squared_error"] < run["errors"][0] / 2
        assert run["when"] == sorted(run["when"]) and run["when"][-1] == run["seconds"] > 0
        courses.append(json.loads(json.dumps(run))["errors"])
    for course in courses:
        np.testing.assert_allclose(course, courses[0], rtol=1e-3)


def test_a_race_from_pca_with_silu_and_adamw(tiny: Dataset) -> None:
    """The same net again. The pictures are of full rank: where PCA's start has units that nothing
    reaches, their gradients are rounding alone, which Adam makes as large as any."""
    rng = np.random.default_rng(0)
    train, test = (Rows(rng.integers(0, 256, (n, 784)).astype(np.uint8)) for n in (200, 40))
    data = dataclasses.replace(tiny, train=train, test=test)
    recipe = {**RECIPE, "activation": "silu", "optimizer": "adamw", "weight_decay": 0.3,
              "initializer": "pca", "batch_size": 200}  # fmt: skip
    courses = [race(data, 20, recipe)["errors"] for race in RACES.values()]
    for course in courses:
        assert course[-1] != course[0]
        np.testing.assert_allclose(course, courses[0], rtol=1e-5)


def test_a_race_with_a_shorter_last_minibatch(tiny: Dataset) -> None:
    for race in RACES.values():
        run = race(tiny, 3, RECIPE)
        assert run["squared_error"] < run["errors"][0]


def test_seconds_to_the_target() -> None:
    course = mnist_race._course([9.0, 3.5, 3.6], [1.0, 2.0, 1.0], 3, {})
    assert (course["seconds_to_target"], course["squared_error"]) == (3.0, 3.6)
    assert mnist_race._course([9.0], [1.0], 1, {})["seconds_to_target"] is None
