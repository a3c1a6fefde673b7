"""What ``tinyae bench`` measures, and what it refuses to: no assertion here depends on speed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_timing, machine, timing
from benchmarks.cases import (
    counts,
    dense_cases,
    net_cases,
    nets,
    random_cases,
    reference_random,
    reference_updates,
)
from benchmarks.cases.cases import GROUPS, SUITES, Options, data_rng, select
from benchmarks.contestants import contestants, rival_blas
from benchmarks.contestants.contestants import CONTESTANTS, chosen, why_absent
from benchmarks.contestants.rival_blas import Blas
from benchmarks.reports import merging
from benchmarks.suites import bench_kernels
from tinyae.kernels.conventions import MATMULS

ROOT = Path(__file__).parents[2]

# ---- counts


def test_products_are_counted_as_in_the_textbook() -> None:
    """2 m n k for each; a net's step is three products a layer, but no dx of the first."""
    for op in GROUPS["dense"]:
        assert getattr(counts, op)(3, 5, 7).flops == 2 * 3 * 5 * 7
    assert counts.dense_forward(3, 5, 7).bytes == 4 * (15 + 35 + 7 + 21)  # x, w, b, y
    assert counts.dense_backward_input(3, 5, 7).bytes == 4 * (21 + 35 + 15 + 15)  # + saved
    assert counts.dense_backward_weights(3, 5, 7).bytes == 4 * (15 + 21 + 35 + 7)
    assert counts.parameters(nets.layers("deep")) == 2_837_314
    assert counts.parameters(nets.layers("small")) == 209_968
    products = sum(2 * 32 * a * b for a, b in nets.layers("small"))
    step = counts.step(nets.layers("small"), 32)
    assert step.flops == 3 * products - 2 * 32 * 784 * 128
    assert counts.epoch(nets.layers("small"), 32, 64, 1).flops == 2 * step.flops


@pytest.mark.parametrize("net", nets.NETS)
def test_the_parts_of_a_step_add_up(net: str) -> None:
    parts = [net_cases.part_counts(op, net, 32).flops for op in GROUPS["dense"]]
    assert sum(parts) == counts.step(nets.layers(net), 32).flops


def test_elementwise_operations_are_counted() -> None:
    arrays = {"sgd": 3, "momentum": 5, "nesterov": 5, "adam": 7, "adamw": 7}
    for optimizer, passes in arrays.items():
        assert counts.update(10, optimizer).bytes == 4 * 10 * passes
    assert counts.loss(10, "mse").bytes == 120
    assert counts.activation_forward(10, "relu") == (10, 80)
    assert counts.activation_backward(10, "relu") == (20, 120)
    assert counts.gather(2, 784, 1).bytes == 2 * (784 * 5 + 8)
    assert counts.random(8, "random_permutation") == (0, 64)


# ---- what is asked for


def test_only_selects_operations_and_groups() -> None:
    for group, ops in GROUPS.items():
        found = {
            case.op.partition("/")[0].removesuffix("_mse").replace("matmul", "ladder")
            for suite in SUITES
            for case in select(suite, Options(only=(group,)))
        }
        assert found == ({"to_device", "to_host"} if group == "transfer" else set(ops))
    (case,) = select("kernel", Options(only=("adam",), nets=("small",)))
    assert (case.op, case.net) == ("adam", "small")


def test_sizes_nets_and_batches() -> None:
    dense = select("kernel", Options(only=("dense_forward",), sizes=(8, 16)))
    assert [(case.size, case.case) for case in dense] == [(8, "8x8x8"), (16, "16x16x16")]
    small = Options(only=("dense_forward",), sizes=(8,), nets=("small",), batches=(3,))
    assert [case.case for case in select("kernel", small)] == [
        "8x8x8", "3x784x128", "3x128x32", "3x32x128", "3x128x784",
    ]  # fmt: skip
    steps = select("step", Options(only=("step",), nets=("small",), batches=(32, 64)))
    assert {(case.net, case.batch) for case in steps} == {("small", 32), ("small", 64)}
    sizes = {case.size for case in select("kernel", Options(only=("dense",))) if case.size}
    assert {128, 4096, 8192} <= sizes
    huge = [case for case in select("kernel", Options()) if case.size == 8192]
    assert all(CONTESTANTS["cupy"].takes(c) and not CONTESTANTS["numpy"].takes(c) for c in huge)


@pytest.mark.parametrize(
    ("options", "complaint"),
    (
        ({"only": ("conv",)}, "--only must be of .*adam.*, got 'conv'"),
        ({"nets": ("wide",)}, "--nets must be of deep, small, got 'wide'"),
        ({"sizes": (0,)}, "--sizes must be integers >= 1, got 0"),
        ({"batches": (-1,)}, "--batches must be integers >= 1, got -1"),
        ({"seconds": 0.0}, "--seconds must be > 0, got 0"),
    ),
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Options(**options)


# ---- who takes part


def names(*given: Any) -> list[str]:
    return [contestant.name for contestant in chosen(*given)]


def test_contestants_are_chosen_by_name_and_by_family() -> None:
    assert names(("numpy",), ("none",)) == ["numpy"]
    assert names(("numba",), ("blas", "jax")) == ["numba", "blas", "jax"]
    assert names(("cupy",), ("cublas",)) == ["cupy", "cublas"]  # not what multiplies otherwise
    assert names(("cupy-tf32",), ("cublas-tf32",)) == ["cupy-tf32", "cublas-tf32"]
    torch = names((), ("torch",))
    assert len(torch) == 5 and all(name.startswith("torch-") for name in torch)
    assert set(names(None, None)) == set(CONTESTANTS)
    for given in ((("torch-eager",), None), ((), ("numpy",)), (("fortran",), None)):
        with pytest.raises(ValueError, match=r"must be of .*, got '(torch-eager|numpy|fortran)'"):
            chosen(*given)


def test_what_runs_gpu_kernels_on_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="cuda-host executes GPU kernels on the CPU"):
        chosen(("numpy", "cuda-host"), None)
    monkeypatch.setitem(contestants.columns._LOADERS, "numba-cuda", lambda: None)
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    with pytest.raises(ValueError, match="simulate the GPU in Python.*unset it"):
        why_absent(CONTESTANTS["numba-cuda"])


def test_absent_contestants_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "jax", "cupy"):
        monkeypatch.setitem(sys.modules, package, None)
    assert why_absent(CONTESTANTS["torch-eager"]) == "torch not installed: pip install torch"
    assert why_absent(CONTESTANTS["jax"]) == "jax not installed: pip install jax"
    monkeypatch.setattr(contestants, "missing_gpu", lambda: "there is no NVIDIA driver")
    assert why_absent(CONTESTANTS["cublas"]) == "there is no NVIDIA driver"
    monkeypatch.setattr(contestants, "missing_gpu", lambda: "")
    assert "cupy not installed: pip install" in why_absent(CONTESTANTS["cupy"])
    monkeypatch.delitem(contestants.columns._LOADERS, "numba-cuda", raising=False)
    assert "has no backend 'numba-cuda'" in why_absent(CONTESTANTS["numba-cuda"])
    assert why_absent(CONTESTANTS["numpy"]) == ""
    monkeypatch.setattr(contestants, "_installed", lambda package: True)
    assert why_absent(CONTESTANTS["torch-compile"]) == ""
    assert "longer than --quick" in why_absent(CONTESTANTS["torch-compile"], quick=True)


# ---- checks: each must fail for a result that is slightly wrong


def right(case: Any, backend: str = "numpy") -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the case gives, what the backend makes of it)"""
    from benchmarks.contestants.own import Own

    own = Own(backend)
    given = case.make(data_rng())
    moved = own._moved(given)
    own.op(case.op)(**moved)
    return given, {name: moved[name] for name in case.outputs}


QUICK = Options(quick=True, sizes=(40,), nets=("small",), batches=(16,))
KERNELS = [case for case in select("kernel", QUICK) if "random" not in case.op]


@pytest.mark.parametrize("case", KERNELS, ids=lambda case: case.id)
def test_a_check_passes_what_is_right_and_nothing_else(case: Any) -> None:
    given, result = right(case)
    case.check(given, result)
    for name, value in result.items():
        for spoil in (lambda v: v * 1.01 + 1e-3, lambda v: v * np.nan):
            with pytest.raises(AssertionError):
                case.check(given, {**result, name: spoil(value)})


def product(matmul: str, case: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case, and what cuda-host makes of it with tensor cores' arithmetic."""
    from benchmarks.contestants.own import Own

    own = Own("cuda-host", matmul)
    given = case.make(data_rng())
    moved = own._moved(given)
    own.op(case.op)(**moved)
    return given, {name: moved[name] for name in case.outputs}


@pytest.mark.parametrize("op", GROUPS["dense"])
def test_products_are_checked_as_they_were_multiplied(op: str) -> None:
    """TF32 passes for TF32 only; what is wrong by a hundredth passes for nothing."""
    (case,) = select("kernel", Options(only=(op,), sizes=(40,)))
    errors = {}
    for matmul in MATMULS:
        given, result = product(matmul, case)
        errors[matmul] = case.check(given, result, matmul)
        spoilt = {name: value * 1.01 for name, value in result.items()}
        with pytest.raises(AssertionError):
            case.check(given, spoilt, matmul)
        if matmul == "tf32":
            for other in ("fp32", "3xtf32"):
                with pytest.raises(AssertionError):
                    case.check(given, result, other)
    assert 0 < errors["3xtf32"] < 4 * errors["fp32"] < 1e-6 < errors["tf32"] < 2**-10


def test_the_error_of_a_product_counts_what_relu_lets_through() -> None:
    """A relative error of 1e-5 in each element, in parts of the terms' magnitudes."""
    (case,) = dense_cases.layer_cases(30, 40, 20, "relu", "identity")[:1]
    given = case.make(np.random.default_rng(0))
    x, w, b = (given[name].astype(np.float64) for name in ("x", "w", "b"))
    z, magnitudes = x @ w + b, np.abs(x) @ np.abs(w) + np.abs(b)
    expected = np.sqrt(np.mean((1e-5 * z / magnitudes)[z > 0] ** 2))
    y = np.maximum(z * (1 + 1e-5), 0)
    assert case.check(given, {"y": y}, "tf32") == pytest.approx(expected, rel=1e-3)


def test_a_step_in_tf32_is_checked_as_such() -> None:
    """On cuda-host: the gradient is further off than float32's, and no wrong layer passes."""
    from benchmarks.contestants.own import Own

    own = Own("cuda-host", "tf32")
    step = own.step("small", 8)
    step.run()
    loss, moments = step.results()
    net_cases.check_step("small", 8, loss, moments, "tf32")
    with pytest.raises(AssertionError):
        net_cases.check_step("small", 8, loss, moments)
    moments[1] = (1.2 * np.asarray(moments[1][0]), moments[1][1])
    with pytest.raises(AssertionError, match="dw of layer 1"):
        net_cases.check_step("small", 8, loss, moments, "tf32")
    for op in GROUPS["dense"]:
        part, check = own.part(op, "small", 8)
        check()
        part()


class FakeLinalg:
    """CuPy's switch of TF32, which is the whole process's."""

    COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = 1, 7
    mode = 7  # as with CUPY_TF32=1

    def set_compute_type(self, dtype: Any, mode: int) -> None:
        assert dtype == np.float32
        self.mode = mode

    def matmul(self, a: Any, b: Any, out: Any) -> None:
        if self.mode == self.COMPUTE_TYPE_TF32:
            a, b = (in_tf32(factor) for factor in (a, b))
        np.matmul(a, b, out=out)


def in_tf32(x: Any) -> Any:
    """Rounded to 11 bits."""
    fraction, exponent = np.frexp(x)
    return np.ldexp(np.round(fraction * 2**11), exponent - 11).astype(np.float32)


@pytest.mark.parametrize("capability", ("75", "80"))
def test_cublas_multiplies_in_the_mode_of_its_name(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    linalg = FakeLinalg()
    stream = SimpleNamespace(use=lambda: None)
    cuda = SimpleNamespace(
        Device=lambda: SimpleNamespace(compute_capability=capability),
        Stream=lambda non_blocking: stream,
    )
    cupy = SimpleNamespace(cuda=cuda, matmul=linalg.matmul, array=np.array, asnumpy=np.array)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy._core", SimpleNamespace(_routines_linalg=linalg))
    if capability == "75":
        with pytest.raises(RuntimeError, match="TF32 needs compute capability 8.0"):
            rival_blas.load("cublas-tf32")
    (case,) = select("kernel", Options(only=("dense_forward",), sizes=(64,)))
    loaded = [rival_blas.load("cublas")]
    loaded += [rival_blas.load("cublas-tf32")] if capability == "80" else []
    errors = []
    for each in loaded:
        assert ("TF32 off" in each.note) == (each.matmul == "fp32")
        _, check = each.prepared(case, data_rng(), sets=1)
        errors.append(check())
    assert errors[0] < 1e-7 and all(error > 1e-5 for error in errors[1:])


def test_random_numbers_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_cases, "LARGE", 20_000)
    cases = select("kernel", Options(only=("random",)))
    assert {case.op for case in cases} == set(GROUPS["random"])
    for case in cases:
        given, result = right(case)
        case.check(given, result)
        shifted = np.roll(result["out"], 1)
        if case.op == "random_permutation":
            shifted = np.arange(shifted.size)
        with pytest.raises(AssertionError):
            case.check(given, {"out": shifted})


def test_rows_of_large_products_are_drawn() -> None:
    rows = dense_cases._rows(10_000, 10_000)
    assert rows[0] == 0 and rows[-1] == 9_999 and len(rows) >= dense_cases.ROWS_CHECKED
    assert dense_cases._rows(2048, 2048) == slice(None)


@pytest.mark.parametrize("wrong", (None, "loss", "dw", "db"))
def test_a_step_is_checked_by_its_gradient(wrong: str | None) -> None:
    loss, gradients = net_cases.first_step("small", 8)
    moments = [(0.1 * dw, 0.1 * db) for dw, db in gradients]
    if wrong == "dw":
        moments[1] = (1.01 * moments[1][0], moments[1][1])
    if wrong == "db":
        moments[2] = (moments[2][0], -moments[2][1])
    if wrong is None:
        net_cases.check_step("small", 8, loss, moments)
    else:
        with pytest.raises(AssertionError, match=wrong):
            net_cases.check_step("small", 8, loss * (1.001 if wrong == "loss" else 1), moments)


def test_an_epoch_is_checked_by_its_losses() -> None:
    net_cases.check_epoch((5.0, 4.0), 5.01, 1e-2)
    for losses, what in (((5.0, 5.1), "does not learn"), ((6.0, 5.0), "instead of 5")):
        with pytest.raises(AssertionError, match=what):
            net_cases.check_epoch(losses, 5.0, 1e-2)
    with pytest.raises(AssertionError, match="does not learn"):
        net_cases.check_epoch((float("nan"), float("nan")), None, 1e-2)


@pytest.mark.parametrize("backend", ("numpy", "numba"))
def test_steps_and_their_parts(backend: str) -> None:
    """What is timed trains as the float64 chain rule says, as a whole and in its parts."""
    from benchmarks.contestants.own import Own

    own = Own(backend)
    step = own.step("small", 8)
    step.run()
    net_cases.check_step("small", 8, *step.results())
    for op in net_cases.PARTS:
        part, check = own.part(op, "small", 8)
        check()
        part()


def test_a_recorded_step_is_the_step() -> None:
    """Where a backend replays its training steps, so is what is timed: the first run, then two
    from the record, against NumPy's three with the same numbers."""
    from benchmarks.contestants.own import Own, replayed

    host, device = Own("numpy"), Own("cuda-host")
    assert device.backend.recorder is not None
    run = device.step("small", 4)
    work = host._work("small", 4, host.backend)
    numbers = work.optimizer.next_numbers(nets.LEARNING_RATE)
    for _ in range(3):
        run.run()
        work.step(4, numbers, work.totals)
        loss, moments = run.results()
        right, expected = host._results(work, 4)
        assert loss == pytest.approx(right, rel=1e-5)
        for ours, theirs in zip(moments, expected, strict=True):
            np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-5)
    log: list[str] = []
    again = replayed(lambda work: lambda: log.append("replayed"), lambda: log.append("run"))
    for _ in range(3):
        again()
    assert log == ["run", "replayed", "replayed"]


def test_rungs() -> None:
    """Each contestant's own; rivals have one, their product."""
    numba_cuda, cupy = (contestants.rungs(CONTESTANTS[name]) for name in ("numba-cuda", "cupy"))
    assert set(numba_cuda) < set(cupy) and len(cupy) == 7
    assert contestants.rungs(CONTESTANTS["blas"]) == ("blas",)
    (case,) = contestants.cases_of(CONTESTANTS["blas"], Options(only=("ladder",), sizes=(8,)),
                                   "ladder")  # fmt: skip
    assert case.op == "blas"


def test_products_alone() -> None:
    blas = Blas()
    for case in KERNELS:
        if case.op in GROUPS["dense"]:
            calls, check = blas.prepared(case, data_rng())
            check()
            assert len(calls) == 1
    part, check = blas.part("dense_backward_input", "small", 8)
    check()
    part()
    assert "np.matmul" in blas.note and blas.threads() is not None


def test_references_agree_with_the_tests() -> None:
    """The vectorised formulas here, the numbers one by one there."""
    from tests.kernels.test_random import word

    words = [word(random_cases.STATE, j) for j in range(9)]
    assert reference_random.bits(random_cases.STATE, 9).tolist() == words
    from tests.kernels.test_update import Weight, hyper

    given = {"w": np.array([0.7], "f4"), "grad": np.array([-1.25], "f4"), "hyper": hyper(1),
             "m": np.zeros(1, "f4"), "v": np.zeros(1, "f4"), "n_decayed": 1}  # fmt: skip
    for op in counts.UPDATES:
        weight = Weight(w=float(given["w"][0]), decay=0.1)
        weight.update(op, -1.25)
        (found,), _ = reference_updates.updated(op, given, 1e-7)["w"]
        assert found == pytest.approx(weight.w, rel=1e-12)


# ---- clocks


@pytest.mark.parametrize("once", (1e-7, 1e-4, 1e-2, 1.0, 100.0))
def test_rounds_are_long_enough_and_few_enough(once: float) -> None:
    rounds, iterations = timing.plan(once, seconds=0.5)
    assert rounds >= 3 and once * iterations >= timing.SHORTEST
    assert rounds == 3 or rounds * iterations * once <= timing.PATIENCE * 0.5


class Device:
    """A GPU's time line: launches take their time there, and events look at it."""

    def __init__(self, kernel: float, launch: float) -> None:
        self.kernel, self.launch_cost = kernel, launch
        self.host = self.busy_until = 0.0
        self.recording: list[float] | None = None

    def launch(self) -> None:
        if self.recording is not None:
            self.recording.append(self.kernel)
            return
        self.host += self.launch_cost
        self.busy_until = max(self.busy_until, self.host) + self.kernel

    def capture(self, call: Callable[[], object]) -> Callable[[], object]:
        self.recording = []
        call()
        total, self.recording = sum(self.recording), None

        def replay() -> None:
            self.host += self.launch_cost
            self.busy_until = max(self.busy_until, self.host) + total

        return replay

    def Event(self) -> Any:
        event = SimpleNamespace(at=0.0)

        def record() -> None:
            event.at = self.busy_until = max(self.busy_until, self.host)

        def synchronize() -> None:
            self.host = max(self.host, self.busy_until)

        event.record, event.synchronize = record, synchronize
        return event

    def get_elapsed_time(self, first: Any, second: Any) -> float:
        return float(np.float32(1e3 * (second.at - first.at)))


class Fixture:
    """pytest-benchmark's fixture, as far as it is used."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer, self.extra_info, self.seconds = timer, {}, []

    def pedantic(self, call: Any, rounds: int, iterations: int, warmup_rounds: int) -> None:
        for _ in range(rounds):
            started = self._timer()
            for _ in range(iterations):
                call()
            self.seconds.append((self._timer() - started) / iterations)


@pytest.mark.parametrize("kernel", (1e-6, 5e-6, 30e-6, 1e-3))
def test_a_gpu_kernel_is_timed_and_not_its_launch(kernel: float) -> None:
    """Below 20 us from a graph; above, launches hide behind the work."""
    device = Device(kernel, launch=8e-6)
    timer = gpu_timing.EventTimer(device)
    fixture = Fixture(timer)
    taken = [0, 0, 0]

    def call(i: int) -> Callable[[], None]:
        def run() -> None:
            taken[i] += 1
            device.launch()

        return run

    gpu_timing.measure(fixture, [call(i) for i in range(3)], timer, 0.05, device.capture)
    assert np.median(fixture.seconds) == pytest.approx(kernel, rel=0.02)
    assert ("launches_in_graph" in fixture.extra_info) == (kernel < 20e-6)
    assert max(taken) - min(taken) <= 1  # buffers take turns


def test_without_a_graph_a_launch_is_what_is_measured() -> None:
    device = Device(1e-6, launch=8e-6)
    timer = gpu_timing.EventTimer(device)
    fixture = Fixture(timer)
    gpu_timing.measure(fixture, [device.launch], timer, 0.05)
    assert np.median(fixture.seconds) == pytest.approx(8e-6, rel=0.02)


def test_events_far_apart_keep_their_precision() -> None:
    """CuPy tells float32 milliseconds: after an hour these are a quarter of a millisecond wide."""
    device = Device(1e-5, launch=0.0)
    timer = gpu_timing.EventTimer(device)
    timer()
    for hour in range(3):
        device.host += 3600.0
        started = timer()
        device.launch()
        assert timer() - started == pytest.approx(1e-5, rel=1e-4), hour


def test_a_contestant_on_a_gpu_is_timed_by_its_events() -> None:
    """Checked first; then as many sets of arrays take turns as its cache asks for."""
    device = Device(5e-6, launch=8e-6)
    device.runtime = SimpleNamespace(
        getDevice=lambda: 0, getDeviceProperties=lambda i: {"l2CacheSize": 20_000}
    )

    class OnGpu(Blas):
        cuda, capture = device, lambda self: device.capture

        def op(self, name: str) -> Callable[..., Any]:
            product = super().op(name)

            def op(**arguments: Any) -> None:
                device.launch()
                product(**arguments)

            return op

    loaded, fixture = OnGpu(), Fixture(lambda: pytest.fail("the host's clock"))
    case = next(c for c in KERNELS if c.op == "dense_forward" and c.size == 40)
    calls, check = loaded.prepared(case, data_rng())
    check()
    assert len(calls) == 4  # of 19,360 bytes each
    loaded.measure(fixture, calls, 0.02, capture=True)
    assert np.median(fixture.seconds) == pytest.approx(5e-6, rel=0.02)


def test_buffers_go_beyond_the_cache() -> None:
    assert gpu_timing.buffers(1e9, 50 * 2**20) == 1
    assert gpu_timing.buffers(10 * 2**20, 50 * 2**20) == 15
    assert gpu_timing.buffers(0, 50 * 2**20) == gpu_timing.MOST_BUFFERS


def test_what_precedes_the_clock_leaves_no_threads_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BLAS has one thread while a case is made and checked, and its own number when it is timed."""
    from benchmarks.contestants.rival_blas import blas_threads

    usual = blas_threads()
    seen: dict[str, Any] = {}
    (case,) = (c for c in select("kernel", QUICK) if c.op == "dense_forward" and c.size)
    blas = Blas()
    prepared = blas.prepared

    def watched(*arguments: Any) -> Any:
        calls, check = prepared(*arguments)

        def checked() -> float | None:
            seen["checked"] = blas_threads()
            return check()

        return calls, checked

    monkeypatch.setattr(blas, "prepared", watched)
    monkeypatch.setattr(blas, "measure", lambda *_, **__: seen.update(timed=blas_threads()))
    fixture = Fixture(time.perf_counter)
    bench_kernels.test_kernel(fixture, CONTESTANTS["blas"], case, blas, QUICK)
    assert seen == {"checked": 1, "timed": usual}
    assert 0 < fixture.extra_info["rms_error"] < 1e-6


def test_a_call_is_warmed_up_until_threads_have_settled() -> None:
    started, calls = time.perf_counter(), []
    timing.warm_up(lambda: calls.append(1), seconds=0.001)
    assert time.perf_counter() - started >= timing.SETTLED and len(calls) > 10
    calls.clear()
    timing.warm_up(lambda: (calls.append(1), time.sleep(0.02)), seconds=0.001)
    assert len(calls) == 1  # longer than there is patience for


def test_what_steers_blas_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "environ", {"OPENBLAS_CORETYPE": "Haswell", "HOME": "secret",
                                                "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert machine._environment() == "OMP_NUM_THREADS=1 OPENBLAS_CORETYPE=Haswell"


# ---- merging


def row(seconds: float | None, **about: Any) -> dict[str, Any]:
    run = {"median": seconds, "q1": seconds, "q3": seconds, "rounds": 5} if seconds else None
    return {"suite": "kernel", "op": "loss", "case": "", "size": None, "net": None, "batch": None,
            "contestant": "numpy", "device": "cpu", "dtype": "float32", "matmul": "fp32",
            "flops": 1e9, "bytes": 1e9, "run": run, "rms_error": None,
            "error": "" if seconds else "wrong result: y", **about}  # fmt: skip


CEILING = [
    row(0.01, suite="ceiling", op="gemm", contestant="blas"),  # 100 GFLOP/s
    row(0.02, suite="ceiling", op="gemm", contestant="numba"),
    row(0.04, suite="ceiling", op="copy", contestant="blas"),
    row(0.02, suite="ceiling", op="copy", contestant="numba"),  # 50 GB/s
]


def test_passes_are_merged() -> None:
    first, second = row(0.09), row(0.11)
    rows, ceilings = merging.merge([*CEILING, first, *CEILING, second])
    assert ceilings["cpu"]["gflops"]["float32"] == pytest.approx(100)
    assert ceilings["cpu"]["gbs"] == pytest.approx(50)
    (merged,) = rows
    assert merged["median"] == pytest.approx(0.1) and merged["spread"] == pytest.approx(0.2)
    assert merged["runs"] == [first["run"], second["run"]]
    assert merged["gflops"] == pytest.approx(10) and merged["gbs"] == pytest.approx(10)
    assert (merged["bound"], merged["share"]) == ("memory", pytest.approx(0.2))


def on_gpu(seconds: float | None, matmul: str, **about: Any) -> dict[str, Any]:
    return row(seconds, device="gpu", matmul=matmul, **about)


def test_tensor_cores_have_a_roof_of_their_own() -> None:
    """3xTF32 multiplies three times for one product: a third of TF32's roof is all of it."""
    gemm, copied = (dict(suite="ceiling", op=op) for op in ("gemm", "copy"))
    ceiling = [
        on_gpu(0.02, "fp32", contestant="cublas", **gemm),  # 50 GFLOP/s
        on_gpu(0.0025, "tf32", contestant="cublas-tf32", **gemm),  # 400
        on_gpu(0.001, "fp32", contestant="cublas", **copied),
    ]
    own = [on_gpu(0.01, matmul, contestant=matmul, rms_error=error)  # 100
           for matmul, error in (("fp32", 1e-8), ("3xtf32", 2e-8), ("tf32", 1e-4))]  # fmt: skip
    rows, limits = merging.merge([*ceiling, *own])
    assert limits["gpu"]["gflops"] == pytest.approx({"float32": 50, "tf32": 400})
    assert "in TF32 by cublas-tf32" in limits["gpu"]["note"]
    assert [r["share"] for r in rows] == pytest.approx([2, 0.75, 0.25])
    assert [r["rms_error"] for r in rows] == [1e-8, 2e-8, 1e-4]
    rows, _ = merging.merge([ceiling[0], ceiling[2], *own])
    assert [r["share"] for r in rows] == [pytest.approx(2), None, None]
    (failed,), _ = merging.merge([own[1], on_gpu(None, "3xtf32", contestant="3xtf32")])
    assert failed["rms_error"] is None


def test_one_wrong_result_is_enough_for_no_time() -> None:
    (merged,), _ = merging.merge([row(0.1), row(None)])
    assert merged["runs"] == [] and merged["error"] == "wrong result: y"
    assert merged["median"] is merged["spread"] is merged["gflops"] is merged["share"] is None


def test_without_ceilings_there_are_no_shares() -> None:
    (merged,), ceilings = merging.merge([row(0.1), row(0.1)])
    assert ceilings == {} and merged["share"] is None and merged["gflops"] == pytest.approx(10)
