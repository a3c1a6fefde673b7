"""``tinyae tune``: what it measures, what it keeps, and that training uses it.

On the CPU nothing is timed: a stand-in for the clock says which plan is the fastest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinyae.cli.machine import timing
from tinyae.cli.machine import tune as tuning
from tinyae.cli.machine.tune import WrongResult, candidates, problems, tune
from tinyae.cli.main import main
from tinyae.kernels import columns
from tinyae.kernels.backend import Backend
from tinyae.kernels.columns import BackendUnavailable, cuda_c, get_backend
from tinyae.kernels.cuda import measured_plans
from tinyae.kernels.cuda.driver import missing_gpu
from tinyae.kernels.cuda.plan import TILES, Plan, Problem, choose
from tinyae.kernels.cuda_host.host import HostRunner
from tinyae.kernels.reference import memory

Output = pytest.CaptureFixture[str]

FORWARD = Problem("fp32", "float32", "dense_forward", 40, 50, 130)
KERNELS = ("dense_forward", "dense_backward_input", "dense_backward_weights")


class Runner(HostRunner):
    """Notes the plan of each product that it launches."""

    device_name = "NVIDIA Stand-In 1"
    compute_capability = 90

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[tuple[str, int]] = []  # kernel, parts

    def launch(self, file: str, kernel: str, dtype: str, grid: Any, *how: Any) -> None:
        if kernel.startswith("dense"):
            self.launched.append((kernel, grid[2]))
        super().launch(file, kernel, dtype, grid, *how)


@pytest.fixture
def host() -> Backend:
    try:
        return get_backend("cuda-host")
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Backend) -> None:
    """The compiled kernels stay where they are: only plans are kept elsewhere."""
    monkeypatch.setattr(measured_plans, "user_cache", lambda: tmp_path / "cache")


def clock(runner: Runner, fastest: str, parts: int, gain: float = 0.5) -> timing.Timer:
    def seconds(work: Callable[[], None]) -> float:
        work()
        return 1e-5 * (gain if runner.launched[-1] == (fastest, parts) else 1)

    return seconds


def test_the_products_of_a_step() -> None:
    found = problems([(6, 2), (2, 6)], [5, 5, 7])
    assert found[:5] == [
        Problem("fp32", "float32", *sizes)
        for sizes in (
            ("dense_forward", 5, 2, 6), ("dense_backward_weights", 6, 2, 5),
            ("dense_forward", 5, 6, 2), ("dense_backward_weights", 2, 6, 5),
            ("dense_backward_input", 5, 2, 6),  # of the first layer nobody wants dx
        )
    ]  # fmt: skip
    assert len(found) == len(set(found)) == 10


@pytest.mark.parametrize("sizes", [(1, 1, 1), (128, 30, 250), (1024, 1000, 784), (4096,) * 3])
def test_candidates(sizes: tuple[int, int, int]) -> None:
    plans = list(candidates(Problem("fp32", "float32", "dense_forward", *sizes)))
    assert plans[0] == choose(*sizes) and len(plans) == len(set(plans))
    assert {plan[:2] for plan in plans} == set(TILES)
    for plan in plans[1:]:
        assert plan.splits == 1 or sizes[2] // plan.splits >= 32


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("matmul", ["fp32", "3xtf32", "tf32"])
def test_the_fastest_is_found(host: Backend, kernel: str, matmul: str) -> None:
    runner, problem = Runner(), FORWARD._replace(kernel=kernel, matmul=matmul)
    tuned = tune(runner, host, problem, clock(runner, f"{kernel}_64x64", 3))
    assert tuned.usual == choose(40, 50, 130) and tuned.plan == Plan(64, 64, 3)
    assert (tuned.usual_seconds, tuned.seconds) == (1e-5, 0.5e-5)
    assert tuned.fastest[:2] == [tuned.plan, tuned.usual] and len(tuned.fastest) > 4


def test_what_may_be_noise_is_not_taken(host: Backend) -> None:
    runner = Runner()
    tuned = tune(runner, host, FORWARD, clock(runner, "dense_forward_64x64", 3, gain=0.99))
    assert tuned.plan == tuned.usual and tuned.seconds == tuned.usual_seconds


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_wrong_kernel_is_not_timed(host: Backend, kernel: str) -> None:
    class Forgetful(Runner):
        """Adds up a part too few."""

        def launch(self, file: str, kernel: str, *how: Any) -> None:
            dtype, grid, block, args, *more = how
            if kernel.startswith("sum"):
                args = (args[0], args[1] - np.int32(1), *args[2:])
            super().launch(file, kernel, dtype, grid, block, args, *more)

    runner, problem = Forgetful(), FORWARD._replace(kernel=kernel)
    with pytest.raises(WrongResult, match=f"kernel='{kernel}'.*more than rounding explains"):
        tune(runner, host, problem, clock(runner, "none", 0))


def test_plans_are_kept_and_used(host: Backend) -> None:
    runner = Runner()
    other = FORWARD._replace(m=7)
    tuning.save("NVIDIA H200", {FORWARD: Plan(32, 64, 2)})
    tuning.save("NVIDIA H200", {other: Plan(128, 128, 1)})
    plans = measured_plans.load("NVIDIA H200")
    assert plans == {FORWARD: Plan(32, 64, 2), other: Plan(128, 128, 1)}
    assert measured_plans.load("NVIDIA H100") == {}
    column = cuda_c(runner, plans=plans)
    x, w, b, y = (np.ones(s, np.float32) for s in ((40, 130), (130, 50), (50,), (40, 50)))
    column.dense_forward(x, w, b, "identity", y, None)
    assert runner.launched == [("dense_forward_32x64", 2)] and (y == 131).all()


@pytest.mark.parametrize(
    "old, new",
    [
        ('"kernels": "', '"kernels": "0'),  # measured with others
        ("[32, 64, 2]", "[33, 64, 2]"),
        ("[32, 64, 2]", "[32, 64, 0]"),
        ("[32, 64, 2]", "[32, 64, 33]"),
        ("[32, 64, 2]", "[32, 64, 2.5]"),
        ("[32, 64, 2]", '[32, 64, "2"]'),
        ("[32, 64, 2]", "[32, 64]"),
        ('"fp32"', '"bf16"'),
        ("]\n}", ""),
        ('"plans"', '"plan"'),
        ('"plans": ', '"plans": ' + "[" * 100_000),
    ],
)
def test_what_does_not_fit_counts_as_absent(old: str, new: str) -> None:
    tuning.save("a", {FORWARD: Plan(32, 64, 2)})
    path = measured_plans.file_for("a")
    text = path.read_text()
    assert measured_plans.load("a") and old in text
    path.write_text(text.replace(old, new))
    assert measured_plans.load("a") == {}


def test_each_kind_of_gpu_has_a_file() -> None:
    path = measured_plans.file_for("NVIDIA GeForce RTX 4090 (Laptop)")
    assert path.name == "nvidia-geforce-rtx-4090-laptop.json"


@pytest.mark.parametrize("graph", [True, False])
def test_launches_are_timed(monkeypatch: pytest.MonkeyPatch, graph: bool) -> None:
    """In a graph, or as they are called."""
    now, calls = [0.0], []

    class Event:
        def record(self) -> None:
            self.at = now[0]

        def synchronize(self) -> None: ...

    elapsed = lambda start, stop: stop.at - start.at  # noqa: E731
    cupy = SimpleNamespace(cuda=SimpleNamespace(Event=Event, get_elapsed_time=elapsed))
    monkeypatch.setitem(sys.modules, "cupy", cupy)  # type: ignore[arg-type]
    milliseconds = iter([100.0, 3, 2, 5, 4, 1, 6, 7])  # the first one does not count

    def work() -> None:
        calls.append(1)
        if not graph and len(calls) % timing.LAUNCHES == 0:
            now[0] += next(milliseconds)

    def record(work: Callable[[], None]) -> Callable[[], None]:
        work()
        return lambda: now.__setitem__(0, now[0] + next(milliseconds))

    timer = timing.gpu_timer(SimpleNamespace(record=record), graph)  # type: ignore[arg-type]
    assert timer(work) == pytest.approx(4e-3 / timing.LAUNCHES)
    assert len(calls) == (timing.LAUNCHES if graph else timing.CALLS)


# ---- the command


@pytest.fixture
def gpu(host: Backend, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner on the CPU in the place of a GPU's, whose arrays lie in host memory."""
    runner = Runner()
    device: Any = ModuleType("tinyae.kernels.cuda.device")
    device.DeviceRunner = lambda: runner
    monkeypatch.setitem(sys.modules, device.__name__, device)
    monkeypatch.setitem(sys.modules, "tinyae.kernels.cuda.memory", memory)
    monkeypatch.setattr(columns, "get_backend", lambda name, matmul: host)
    return runner


NET = ["--features", "20", "--hidden", "", "--code", "3", "--batch-size", "40"]
WEIGHTS = Problem("fp32", "float32", "dense_backward_weights", 20, 3, 40)


@pytest.mark.parametrize("step, kept", [(0.9, "64x64"), (1.0, "32x32"), (1.1, "32x32")])
def test_the_command(
    gpu: Runner, monkeypatch: pytest.MonkeyPatch, capsys: Output, step: float, kept: str
) -> None:
    """64x64 is the fastest tile for dw alone; it is kept if a step gets faster with it."""
    alone = clock(gpu, "dense_backward_weights_64x64", 1)

    def of_a_step(work: Callable[[], None]) -> float:
        gpu.launched.clear()
        work()
        return 1e-4 * (step if ("dense_backward_weights_64x64", 1) in gpu.launched else 1)

    timers = {True: alone, False: of_a_step}
    monkeypatch.setattr(tuning, "gpu_timer", lambda runner, graph=True: timers[graph])
    assert main(["tune", *NET]) == 0
    said = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert f"dense_backward_weights 20 x 3 x 40 32x32 10 64x64 5 2 {kept}" in said
    assert ("40 100 90 1.11" if step < 1 else "40 100 100 1") in said
    path = measured_plans.file_for(gpu.device_name)
    assert any(str(path) in line for line in said)
    assert len(json.loads(path.read_text())["plans"]) == 5
    rows, tile_columns = map(int, kept.split("x"))
    assert measured_plans.load(gpu.device_name)[WEIGHTS] == Plan(rows, tile_columns, 1)


def test_squares_are_no_part_of_a_step(gpu: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    timers = {True: clock(gpu, "dense_forward_64x64", 1)}
    monkeypatch.setattr(tuning, "gpu_timer", lambda runner, graph=True: timers[graph])
    assert main(["tune", "--square", "33", "--matmul", "tf32"]) == 0
    plans = measured_plans.load(gpu.device_name)
    assert len(plans) == 3
    assert plans[Problem("tf32", "float32", "dense_forward", 33, 33, 33)] == Plan(64, 64, 1)


def test_no_numbers(capsys: Output) -> None:
    for option in ("--batch-size", "--square"):
        assert main(["tune", option, ""]) == 2
        assert f"{option}: invalid list of integers value: ''" in capsys.readouterr().err


def test_wrong_numbers(capsys: Output) -> None:
    for option, value, what in (
        ("--code", "0", "an integer"), ("--features", "0", "an integer"),
        ("--hidden", "4,0", "integers"), ("--batch-size", "0", "integers"),
        ("--square", "-1", "integers"),
    ):  # fmt: skip
        assert main(["tune", option, value]) == 2
        assert f"{option}: must be {what} >= 1, got {value}" in capsys.readouterr().err


@pytest.mark.skipif(not missing_gpu(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: Output) -> None:
    assert main(["tune"]) == 1
    assert missing_gpu() in capsys.readouterr().err
