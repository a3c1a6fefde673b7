"""What a GPU should reach: judged from rows made by hand, and measured as far as a CPU can."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.cases import nets
from benchmarks.cases.cases import SUITES, Options
from benchmarks.contestants.contestants import CONTESTANTS, cases_of, chosen
from benchmarks.gpu import branch_gain, goals, gpu_check, gpu_goals, mnist_race, training_check
from tinyae.cli.main import build_parser
from tinyae.data.datasets import Dataset
from tinyae.data.rows import Rows
from tinyae.kernels.columns import BackendUnavailable

# seconds of every row, so that each goal is just met
SPEED = {"cupy": 1.0, "cupy-3xtf32": 0.5, "cupy-tf32": 0.2, "cublas": 1.0, "cublas-tf32": 0.1,
         "torch-eager-gpu": 1.0, "torch-compile-gpu": 1.5, "torch-cuda-graphs": 1.3}  # fmt: skip
ERROR = {"cupy-3xtf32": 2e-8, "cupy-tf32": 1e-4, "cublas-tf32": 1e-4}
COPY = 4000.0


def rows_of(arguments: list[str]) -> dict[str, Any]:
    """Results with a row for every case that this command measures on a GPU."""
    given = build_parser().parse_args(["bench", *arguments])
    options = Options(given.only, given.sizes, given.batches, given.nets, False, 0.1)
    rows, about = [], {}
    for contestant in chosen(given.backends, given.rivals):
        name = contestant.name
        about[name] = {"kind": contestant.kind, "available": True, "reason": ""}
        rows += [
            {"suite": case.suite, "op": case.op, "case": case.case, "size": case.size,
             "net": case.net, "batch": case.batch, "contestant": name, "error": "",
             "median": 20e-6 * SPEED[name], "gbs": 0.9 * COPY,
             "rms_error": ERROR.get(name, 1e-8) if case.multiplies else None}
            for suite in SUITES for case in cases_of(contestant, options, suite)
        ]  # fmt: skip
    return {"contestants": about, "ceilings": {"gpu": {"gbs": COPY}}, "rows": rows}


def race(seconds: float | None, error: float) -> dict[str, Any]:
    return {"epochs": 200, "seconds_to_target": seconds, "squared_error": error}


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    """All parts, all of whose goals are met."""
    return {
        **{part: rows_of(arguments) for part, arguments in gpu_goals.BENCH.items()},
        **{part: {"clean": True} for part in goals.CHECKS},
        "curve": {"cupy": {"off_eps_float32": 2.0, "off_eps_float64": 140.0, "allowed_eps": 140,
                           "same_bits": True},
                  "cupy-3xtf32": {"off_eps_float32": 2.0, "same_bits": True}},
        "mnist-tinyae": race(12.0, 3.1234), "mnist-torch": race(24.0, 3.2),
    }  # fmt: skip


@pytest.fixture
def parts(everything: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(everything)


def verdicts(parts: dict[str, Any]) -> dict[str, goals.Goal]:
    return {f"{g.criterion} {g.what} {g.wanted[:6]}": g for g in goals.judge(parts)}


def open_or_missed(parts: dict[str, Any]) -> dict[str, str]:
    return {name: g.measured for name, g in verdicts(parts).items() if not g.met}


def change(parts: dict[str, Any], part: str, contestant: str, **new: Any) -> None:
    rows = [row for row in parts[part]["rows"] if row["contestant"] == contestant]
    assert rows
    for row in rows:
        row.update(new)


def test_all_that_is_judged_is_measured(parts: dict[str, Any]) -> None:
    """The commands that gpu_goals runs give each goal the rows that it is judged from."""
    assert open_or_missed(parts) == {}
    assert {goal.criterion for goal in goals.judge(parts)} == set("123456")
    assert "26 met, 0 missed, 0 not measured" in goals.table(goals.judge(parts))


def test_what_was_not_run_stays_open() -> None:
    assert all(goal.met is None for goal in goals.judge({}))
    text = goals.table(goals.judge({}))
    assert "0 met, 0 missed, 26 not measured" in text
    assert "not measured: steps-deep was not run" in text


@pytest.mark.parametrize(
    ("part", "contestant", "new", "missed"),
    (
        ("products-4096", "cupy", {"median": 21.5e-6}, {"1 fp32 products at 4096^3 >= 95 ":
                                                        "93.0 % (dense_backward_input)"}),
        ("products-small", "cupy", {"median": 30e-6}, {
            f"1 the nets' products, B = {batch} >= 100": "87.4 % (66.7 % to 100 %)"
            for batch in goals.BATCHES}),
        ("products-4096", "cupy-3xtf32", {"median": 10.1e-6}, {
            "2 3xTF32 products at 4096^3 >= 2 t": "1.98 (dense_backward_input)"}),
        ("products-4096", "cupy-3xtf32", {"rms_error": 2.1e-8}, {
            "2 3xTF32's error against float64 <= 2 t": "2.10 (dense_forward)"}),
        ("steps-small", "cupy", {"median": 31e-6}, {
            "3 a step, small net, B = 128 <= 30.": "31.0 us (3xTF32 10.0 us)",
            **{f"3 a step, small net, B = {batch} >= 1.3": "0.839 (beside torch-cuda-graphs)"
               for batch in goals.BATCHES}}),
        # without graphs it is faster: then that is the rival
        ("steps-deep", "torch-compile-gpu", {"median": 25e-6}, {
            f"3 a step, deep net, B = {batch} >= 1.3": "1.25 (beside torch-compile-gpu)"
            for batch in goals.BATCHES}),
        ("memory", "cupy", {"gbs": 0.89 * COPY}, {
            "4 loss, beyond L2 >= 90 ": "89.0 % (bce 65536x784)",
            "4 adam, beyond L2 >= 90 ": "89.0 % (2837314)",
            "4 gather, beyond L2 >= 90 ": "89.0 % (65536 of 262144x784 uint8)"}),
        ("memory", "cupy", {"error": "wrong result: w", "median": None, "gbs": None}, {
            f"4 {op}, beyond L2 >= 90 ": "cupy: wrong result: w"
            for op in ("loss", "adam", "gather")}),
    ),
)  # fmt: skip
def test_what_is_missed(
    part: str, contestant: str, new: dict[str, Any], missed: dict[str, str], parts: dict[str, Any]
) -> None:
    change(parts, part, contestant, **new)
    assert open_or_missed(parts) == missed
    assert all(goal.met is False for name, goal in verdicts(parts).items() if name in missed)


@pytest.mark.parametrize(
    ("part", "rival", "n_open"),
    (("products-4096", "cublas", 3), ("products-deep", "torch-eager-gpu", 3),
     ("steps-small", "torch-cuda-graphs", 3)),
)  # fmt: skip
def test_without_the_rival_nothing_is_judged(
    part: str, rival: str, n_open: int, parts: dict[str, Any]
) -> None:
    results = parts[part]
    results["rows"] = [row for row in results["rows"] if row["contestant"] != rival]
    results["contestants"][rival] |= {"available": False, "reason": "torch not installed"}
    found = [goal for goal in goals.judge(parts) if not goal.met]
    assert len(found) == n_open
    for goal in found:
        assert goal.met is None
        assert goal.measured == f"not measured: no {rival} (torch not installed)"


def test_mnist_and_checks(parts: dict[str, Any]) -> None:
    said = {goal.what: goal.measured for goal in goals.judge(parts)}
    assert said["MNIST, deep net: to a test squared error of 3.5"] == "12.0 s, PyTorch 24.0 s"
    assert said["MNIST, deep net: after 200 epochs"] == "3.123, PyTorch 3.200"
    parts["mnist-tinyae"]["seconds_to_target"] = None
    parts["memcheck"] = {"clean": False}
    parts["racecheck"] = {"clean": False, "missing": "compute-sanitizer comes with the toolkit"}
    parts["curve"]["cupy"] |= {"off_eps_float32": 141.0}
    parts["curve"]["cupy-3xtf32"] |= {"same_bits": False}
    found = {goal.what: (goal.measured, goal.met) for goal in goals.judge(parts) if not goal.met}
    assert found == {
        "MNIST, deep net: to a test squared error of 3.5": ("never, PyTorch 24.0 s", False),
        "memcheck": ("NOT CLEAN", False),
        "racecheck": ("not measured: compute-sanitizer comes with the toolkit", None),
        "the loss curve": ("141 eps", False),
        "two runs of the same seed": ("they differ", False),
    }
    parts["mnist-torch"]["epochs"] = 2
    judged = {goal.what: goal for goal in goals.judge(parts)}
    assert judged["MNIST, deep net: after 200 epochs"].measured == (
        "not measured: 2 epochs of mnist-torch"
    )


# ---- the command


def test_parts_are_chosen_by_name_and_by_family() -> None:
    assert gpu_goals.parse([]).only == gpu_goals.ALL
    only = gpu_goals.parse(["--only", "memory,steps,products-4096"]).only
    assert only == ("products-4096", "steps-deep", "steps-small", "branches", "memory")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    (
        (["--only", "speed"], "must be of check, tune, products, .*got 'speed'"),
        (["--backend", "numba"], "--backend numba is for --only mnist"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
    ),
)
def test_wrong_arguments(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        gpu_goals.main(arguments)
    assert stop.value.code == 2
    assert re.search(complaint, " ".join(capsys.readouterr().err.split()))


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> None:
        raise BackendUnavailable(name, "there is no NVIDIA driver")

    monkeypatch.setattr(gpu_goals, "get_backend", absent)
    assert gpu_goals.main([]) == 1
    said = capsys.readouterr()
    assert "there is no NVIDIA driver" in said.err and "--only mnist --backend numba" in said.err
    assert said.out == ""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were one."""
    monkeypatch.setattr(gpu_goals, "get_backend", lambda name: None)


def test_parts_are_merged_over_calls(
    gpu: None, parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """What fails is said and tried again in the next call; what is there stays."""
    out = tmp_path / "g.json"

    def run_part(part: str, given: Any) -> Any:
        if part == "steps-small" and not out.exists():
            raise ImportError("no torch")
        return parts[part]

    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(SystemExit, match="holds no goals"):
        gpu_goals.main(["--out", str(tmp_path / "other.json")])
    monkeypatch.setattr(gpu_goals, "run_part", run_part)
    assert gpu_goals.main(["--only", "steps-small", "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "steps-small did not run: ImportError: no torch" in said.err
    assert "did not run: steps-small" in said.out
    assert gpu_goals.main(["--only", "steps-small", "--out", str(out)]) == 0
    assert gpu_goals.main(["--only", "memory", "--out", str(out)]) == 0
    assert "7 met, 0 missed, 19 not measured" in capsys.readouterr().out
    found = json.loads(out.read_text(encoding="utf-8"))
    assert set(found["parts"]) == set(found["about"]) == {"steps-small", "memory"}
    assert found["about"]["memory"]["versions"]["numpy"] == np.__version__
    assert sum(goal["met"] is True for goal in found["goals"]) == 7


def test_an_interruption_keeps_the_parts_before_it(
    gpu: None, parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_part(part: str, given: Any) -> Any:
        if part == "steps-small":
            raise KeyboardInterrupt
        return parts[part]

    monkeypatch.setattr(gpu_goals, "run_part", run_part)
    out = tmp_path / "g.json"
    assert gpu_goals.main(["--only", "steps,memory", "--out", str(out)]) == 1
    assert set(json.loads(out.read_text(encoding="utf-8"))["parts"]) == {"steps-deep"}


def test_its_file_is_named_after_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"device": {"name": "NVIDIA H100 80GB HBM3"}}
    monkeypatch.setattr(gpu_check, "describe_machine", lambda: machine)
    path = gpu_goals.default_out("cupy")
    assert path == gpu_check.RESULTS / "gpu-goals-nvidia-h100-80gb-hbm3.json"


def test_tinyae_bench_is_run_as_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--only", "adam", "--nets", "small", "--backends", "numpy", "--rivals", "none",
                 "--quick"]  # fmt: skip
    seen: list[list[str]] = []

    def run(command: list[str], **options: Any) -> Any:
        seen.append(command)
        results = {"date": "", "command": f"--out {command[-1]}", "quick": True, "machine": {},
                   "versions": {}, "contestants": {}, "ceilings": {}, "rows": []}  # fmt: skip
        (Path(command[-1]) / "results.json").write_text(json.dumps(results))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    results = gpu_goals.bench(arguments, 0.01)
    assert results["command"] == f"tinyae bench {' '.join(arguments)} --seconds 0.01"  # no folder
    assert seen[0][1:4] == ["-m", "tinyae", "bench"]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    with pytest.raises(RuntimeError, match="tinyae bench ended with 1"):
        gpu_goals.bench(arguments, 0.01)


# ---- MNIST, and training as NumPy does


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A small net instead of the deep one, on a few pictures of 784 pixels."""
    monkeypatch.setitem(nets.NETS, "deep", (24, 8))
    rng = np.random.default_rng(0)
    shapes = rng.random((4, 784)) < 0.2
    train, test = (
        Rows((shapes[rng.integers(0, 4, n)] * rng.integers(128, 256, (n, 1))).astype(np.uint8))
        for n in (200, 40)
    )
    return Dataset("pictures", train, test, None, None, (28, 28), None)


RECIPE = {**mnist_race.RECIPE, "batch_size": 32, "learning_rate": 0.01}


# PyTorch is no part of what the tests need
RACES = {"tinyae": lambda *a: mnist_race.tinyae(a[0], "numpy", "fp32", *a[1:])}
if importlib.util.find_spec("torch"):
    RACES["PyTorch"] = lambda *a: mnist_race.pytorch(a[0], False, *a[1:])


def test_those_who_race_train_the_same_net(tiny: Dataset) -> None:
    """With all samples in one minibatch their orders are the same, and so are their errors."""
    courses = []
    for name, race in RACES.items():
        said: list[str] = []
        run = race(tiny, 20, said.append, {**RECIPE, "batch_size": 200})
        assert len(said) == 20 and said[-1].startswith("epoch 20 of 20: squared error on test ")
        assert run["by"].startswith(name)
        assert len(run["errors"]) == run["epochs"] == 20
        assert run["errors"][-1] == run["squared_error"] < run["errors"][0] / 2
        assert run["when"] == sorted(run["when"]) and run["when"][-1] == run["seconds"] > 0
        courses.append(json.loads(json.dumps(run))["errors"])
    for course in courses:
        np.testing.assert_allclose(course, courses[0], rtol=1e-3)


def test_a_race_with_a_shorter_last_minibatch(tiny: Dataset) -> None:
    for race in RACES.values():
        run = race(tiny, 3, lambda line: None, RECIPE)
        assert run["squared_error"] < run["errors"][0]


def test_seconds_to_the_target() -> None:
    course = mnist_race._course([9.0, 3.5, 3.6], [1.0, 2.0, 1.0], 3, {})
    assert (course["seconds_to_target"], course["squared_error"]) == (3.0, 3.6)
    assert mnist_race._course([9.0], [1.0], 1, {})["seconds_to_target"] is None


def test_a_try_without_a_gpu(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The whole command on the CPU: no goal is judged from it."""
    monkeypatch.setattr(gpu_goals, "load_dataset", lambda source: {tmp_path: tiny}[source])
    arguments = ["--only", "mnist-tinyae", "--backend", "numpy", "--epochs", "1", "--mnist",
                 str(tmp_path), "--out", str(tmp_path / "g.json")]  # fmt: skip
    assert gpu_goals.main(arguments) == 0
    said = capsys.readouterr()
    assert "tinyae, numpy: squared error" in said.out and "no goal is judged" in said.out
    assert "epoch 1 of 1" in said.err


def test_training_is_checked(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """numba passes; a seed of its own for each run, or a loss that is off, does not."""
    monkeypatch.setattr(training_check.nets, "pixels", lambda batch: tiny.train.array)
    found = training_check.check("numba")
    assert found["clean"] and found["same_bits"]
    assert 0 < found["off_eps_float64"] <= found["allowed_eps"]
    trained = iter([b"a", b"b"])
    monkeypatch.setattr(training_check, "_trained", lambda *_: next(trained))
    monkeypatch.setattr(training_check, "curve", lambda model, steps: [float(model.n_off)])
    make = training_check.make

    def off(name: str, **options: Any) -> Any:
        model = make(name, **options)
        model.n_off = 1 + (name == "numba") * 1e-4
        return model

    monkeypatch.setattr(training_check, "make", off)
    found = training_check.check("numba")
    assert not found["clean"] and not found["same_bits"]
    assert found["off_eps_float32"] > found["allowed_eps"]
    assert CONTESTANTS["cupy-3xtf32"].column == "cupy"


def test_branches_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded and timed with the branch and without; it is on again in the end."""
    recorded: list[bool] = []
    runner, said = SimpleNamespace(branching=True), []

    def step(net: str, batch: int) -> Any:
        recorded.append(runner.branching)
        return SimpleNamespace(run=lambda: None)

    monkeypatch.setattr(branch_gain.own, "load", lambda name: SimpleNamespace(step=step))
    monkeypatch.setattr(branch_gain.gpu_timing, "EventTimer", lambda cuda: None)
    seconds = lambda run, timer, seconds: 2e-5 if runner.branching else 3e-5  # noqa: E731
    monkeypatch.setattr(branch_gain.gpu_timing, "seconds_of", seconds)
    rows = branch_gain.measure(runner, None, ["small"], [128, 1024], said.append)
    assert rows[1] == {"net": "small", "batch": 1024, "beside": 2e-5, "after": 3e-5}
    assert recorded == [True, False] * 2 * branch_gain.TURNS and runner.branching
    assert said[0] == "  small, batch 128: 1.50 times as fast"


def test_tune_is_asked_for_the_shapes_that_are_measured() -> None:
    parser = build_parser()
    asked = [parser.parse_args(["tune", *how]) for how in gpu_goals.TUNE]
    assert [(a.matmul, a.square) for a in asked[::3]] == [("fp32", [4096]), ("3xtf32", [4096])]
    assert (asked[1].hidden, asked[1].code) == ([1000, 500, 250], 30)
    assert (asked[2].hidden, asked[2].code) == ([128], 32)
    assert asked[1].batch_size == list(goals.BATCHES)
