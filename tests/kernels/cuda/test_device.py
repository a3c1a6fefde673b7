"""The cupy runner and memory, on a stand-in for CuPy that compiles and runs on the CPU.

The stand-in is as strict as CuPy where it matters: it takes arrays and NumPy scalars only, and
its arrays are no NumPy arrays. What only a GPU can show is marked ``gpu`` in the other tests.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda_host.cuda_sanitize import run_on_gpu
from tests.train.test_backend_device import DeviceArray
from tinyae import Autoencoder
from tinyae.kernels import columns
from tinyae.kernels.columns import BackendUnavailable, backend_report, get_backend
from tinyae.kernels.cuda import driver as cuda_driver
from tinyae.kernels.cuda.source import NVRTC_OPTIONS, kernel_names
from tinyae.kernels.cuda_host import host as cuda_host

X = np.random.default_rng(0).random((40, 7))


class StandIn(DeviceArray):
    """A cupy.ndarray: memory that only kernels and explicit copies touch."""

    def view(self, dtype: str) -> StandIn:
        return StandIn(self.memory.view(dtype))

    def set(self, host: np.ndarray) -> None:
        assert type(host) is np.ndarray and host.flags.c_contiguous
        assert host.shape == self.memory.shape
        np.copyto(self.memory, host, casting="no")


class RawModule:
    """Compiles for the CPU what it is given; launches as CuPy does."""

    grids: dict[str, tuple[int, ...]] = {}  # a kernel's last

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        assert options == NVRTC_OPTIONS
        self.host = cuda_host.HostRunner()
        self.code = code

    def get_function(self, kernel: str) -> Any:
        assert kernel in kernel_names(self.code)

        def launch(
            grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...],
            enable_cooperative_groups: bool = False,
        ) -> None:  # fmt: skip
            how = (grid, block, args, enable_cooperative_groups)
            if Stream.current.captured is not None:
                Stream.current.captured.append(lambda: launch(*how))
                return
            assert len(grid) == len(block) == 3
            assert all(isinstance(a, (StandIn, np.generic)) for a in args), args
            file = self.code.split('.cu"')[0].rsplit("/", 1)[1] + ".cu"
            dtype = "float64" if "#define REAL double" in self.code else "float32"
            plain = tuple(a.memory if isinstance(a, StandIn) else a for a in args)
            self.host.launch(file, kernel, dtype, grid, block, plain, enable_cooperative_groups)
            RawModule.grids[kernel] = grid

        class Function:
            ptr = len(kernel)
            __call__ = staticmethod(launch)

        launch.kernel = Function()
        return launch


class Event:
    """Notes what is asked of it."""

    log: list[tuple[str, int]] = []

    def __init__(self, disable_timing: bool) -> None:
        assert disable_timing
        self.number = len({number for _, number in Event.log})
        self.stream: Any = None

    def record(self) -> None:
        Event.log.append(("record", self.number))

    def synchronize(self) -> None:
        Event.log.append(("wait", self.number))


class Stream:
    """A stream that can be captured: launches while it is the current one become a graph.

    One that waits for a captured stream is captured too. Its launches run as late as they may: when
    the first stream waits for it in turn.
    """

    current: Stream
    joins = 0

    def __init__(self, non_blocking: bool) -> None:
        assert non_blocking
        self.captured: list[Any] | None = None
        self.first: Stream | None = None  # whose capture this one has joined

    def use(self) -> None:
        Stream.current = self

    def synchronize(self) -> None: ...

    def begin_capture(self) -> None:
        assert Stream.current is self and self.captured is None
        self.captured = []

    def record(self, event: Event) -> Event:
        assert self.captured is not None
        event.stream = self
        return event

    def wait_event(self, event: Event) -> None:
        if event.stream.first is self:
            self.captured += event.stream.captured
            event.stream.captured = []
            Stream.joins += 1
            return
        assert event.stream.first is None and self.first in (None, event.stream)
        self.first = event.stream
        self.captured = self.captured or []
        event.stream.branch = self

    def end_capture(self) -> Any:
        assert not (hasattr(self, "branch") and self.branch.captured), "a branch was not joined"
        launches, self.captured = self.captured, None
        return types.SimpleNamespace(launch=lambda: [launch() for launch in launches or ()])


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``import cupy`` gives the stand-in, and the driver answers."""
    try:
        cuda_host.find_compiler()
    except cuda_host.CompilerMissing as error:
        pytest.skip(str(error))
    runtime = types.SimpleNamespace(
        getDevice=lambda: 0,
        getDeviceProperties=lambda device: {"name": b"Stand-In", "multiProcessorCount": 3},
    )
    default = Stream(non_blocking=True)
    default.use()
    module: Any = types.ModuleType("cupy")
    module.ndarray = StandIn
    module.RawModule = RawModule
    module.empty = lambda shape, dtype: StandIn(np.full(shape, 0xFF, dtype))
    module.zeros = lambda shape, dtype: StandIn(np.zeros(shape, dtype))
    module.array = lambda host, order: StandIn(np.array(host, order=order))
    module.asarray = lambda host: StandIn(np.array(host))
    module.asnumpy = lambda array: array.memory.copy()
    module.cuda = types.SimpleNamespace(
        runtime=runtime, driver=types.SimpleNamespace(
            occupancyMaxActiveBlocksPerMultiprocessor=lambda pointer, threads, shared: pointer),
        get_current_stream=lambda: Stream.current,
        set_allocator=lambda allocator: None,
        Stream=Stream, Event=Event,
        Device=lambda: types.SimpleNamespace(compute_capability="90"),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(cuda_driver, "missing_gpu", lambda: "")
    forget(monkeypatch)
    yield module
    forget(monkeypatch)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in columns._loaded if key.startswith("cupy")]:
        del columns._loaded[key]
    for name in ("device", "memory"):
        sys.modules.pop(f"tinyae.kernels.cuda.{name}", None)
        package = importlib.import_module("tinyae.kernels.cuda")
        if hasattr(package, name):
            delattr(package, name)


@pytest.mark.parametrize("more", [
    {"activation": "gelu", "clip_norm": 1.0, "validation_fraction": 0.2},
    {"code_noise": 0.1},  # without validation cuda-host replays too
], ids=str)  # fmt: skip
def test_training_through_cupy_is_training_on_cuda_host(cupy: Any, more: dict[str, Any]) -> None:
    """The same sources and launches on the same processor, replayed as a graph: the same bits."""
    options = {"hidden": (9,), "code": 2, "epochs": 2, "batch_size": 16, "random_state": 0, **more}
    joins = Stream.joins
    host, device = (Autoencoder(**options, backend=name).fit(X) for name in ("cuda-host", "cupy"))
    assert device.backend_ == "cupy" and Stream.joins > joins
    for name, value in host.parameters().items():
        np.testing.assert_array_equal(device.parameters()[name], value, err_msg=name)
    assert device.history_.get("val_loss") == host.history_.get("val_loss")
    np.testing.assert_array_equal(device.encode(X), host.encode(X))


@pytest.mark.parametrize("able", (0, 1))
def test_a_step_may_be_one_launch(cupy: Any, monkeypatch: pytest.MonkeyPatch, able: int) -> None:
    """Where it is asked for, and the device launches cooperatively: a block for each tile."""
    cupy.cuda.runtime.deviceGetAttribute = lambda attribute, device: able * (attribute == 95)
    monkeypatch.setenv("TINYAE_ONE_LAUNCH", "1")
    RawModule.grids.pop("step", None)
    options = {"hidden": (33,), "code": 2, "epochs": 2, "batch_size": 16, "random_state": 0}
    host, device = (Autoencoder(**options, backend=name).fit(X) for name in ("cuda-host", "cupy"))
    for name, value in host.parameters().items():
        np.testing.assert_array_equal(device.parameters()[name], value, err_msg=name)
    assert RawModule.grids.get("step") == ((4, 1, 1) if able else None)


@pytest.fixture
def runner(cupy: Any) -> Any:
    from tinyae.kernels.cuda.device import DeviceRunner

    return DeviceRunner()


def test_a_pass_takes_the_blocks_that_the_gpu_holds(cupy: Any, runner: Any) -> None:
    """3 multiprocessors; the stand-in's kernels fit there as often as their names have letters."""
    column, out = columns.cuda_c(runner), cupy.array(np.zeros((200, 1000)), order="C")
    for kernel, call in {
        "activation_forward": lambda: column.activation_forward(out, "relu", out),
        "random_normal": lambda: column.random_normal(
            cupy.array(np.zeros(4, np.uint32), order="C"), 0.0, 1.0, out
        ),
    }.items():
        call()
        assert RawModule.grids[kernel] == (3 * len(kernel), 1, 1)
    column.activation_forward(out[:2], "relu", out[:2])
    assert RawModule.grids["activation_forward"] == (8, 1, 1)  # 2,000 elements


def relu_of_minus_one(cupy: Any, runner: Any) -> tuple[Callable[[], None], StandIn]:
    """(a launch, the array that it changes)"""
    x = cupy.array(np.full((1, 1), -1.0), order="C")
    return partial(columns.cuda_c(runner).activation_forward, x, "relu", x), x


def test_a_stream_that_was_in_use_is_so_after_recording(cupy: Any, runner: Any) -> None:
    """CuPy's own ``with stream`` would leave the default stream current."""
    mine = Stream(non_blocking=True)
    mine.use()
    relu, x = relu_of_minus_one(cupy, runner)

    def work() -> None:
        with runner.aside():
            relu()
        assert Stream.current.captured is not None  # the stream that is recorded

    replay = runner.record(work)
    assert Stream.current is mine and x.memory[0, 0] == -1
    replay()
    assert x.memory[0, 0] == 0


def test_an_error_while_recording_is_the_one_that_is_seen(cupy: Any, runner: Any) -> None:
    """And not CuPy's, that a branch was not joined."""
    relu, x = relu_of_minus_one(cupy, runner)

    def work() -> None:
        with runner.aside():
            relu()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        runner.record(work)
    relu()  # at once: nothing is recorded any more
    assert x.memory[0, 0] == 0


def test_the_host_runs_ahead_but_not_away(cupy: Any, runner: Any) -> None:
    """At most 2 AHEAD launches wait; the GPU is never waited for while it has fewer than AHEAD."""
    from tinyae.kernels.cuda.device import AHEAD

    Event.log.clear()
    launched = []
    replay = runner.record(relu_of_minus_one(cupy, runner)[0])
    for _ in range(4 * AHEAD):
        replay()
        launched.append(len(Event.log))
    assert Event.log == [("record", 0), ("record", 1), ("wait", 0), ("record", 2), ("wait", 1),
                         ("record", 3), ("wait", 2)]  # fmt: skip
    assert [launched.index(n) + 1 for n in (1, 3, 5, 7)] == [AHEAD * i for i in (1, 2, 3, 4)]


def test_a_graph_keeps_its_scratch_memory(runner: Any) -> None:
    used = runner.scratch((8,), "float64")
    replay = runner.record(lambda: None)
    assert any(np.shares_memory(kept.memory, used.memory) for kept in replay._kept)


def test_tensor_cores_are_used_where_they_know_tf32(cupy: Any) -> None:
    """From compute capability 8.0 on, with the same bits as on cuda-host; before, an error."""
    options: dict[str, Any] = {"hidden": (), "code": 33, "epochs": 1, "batch_size": 32,
        "random_state": 0}  # fmt: skip
    x = np.random.default_rng(0).random((64, 35))
    fitted = {
        (backend, matmul): Autoencoder(**options, backend=backend, matmul=matmul).fit(x)
        for backend, matmul in (("auto", "3xtf32"), ("cuda-host", "3xtf32"), ("cupy", "fp32"))
    }
    ours, *others = (model.encode(x).tobytes() for model in fitted.values())
    assert fitted["auto", "3xtf32"].backend_ == "cupy"
    assert ours == others[0] != others[1]
    cupy.cuda.Device = lambda: types.SimpleNamespace(compute_capability="75")
    assert get_backend("cupy", "3xtf32") is get_backend("auto", "3xtf32")  # loaded once
    columns._loaded.pop("cupy 3xtf32")
    with pytest.raises(BackendUnavailable, match="'3xtf32' needs .* 8.0 .* has 7.5: use .*'fp32'"):
        get_backend("cupy", "3xtf32")


def test_auto_takes_the_gpu_where_one_answers(cupy: Any) -> None:
    assert get_backend("auto").name == "cupy"
    assert backend_report()["cupy"] == ""


def test_arrays_on_the_host_are_refused(cupy: Any) -> None:
    backend = get_backend("cupy")
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match=r"y must be a .*StandIn, got numpy.ndarray: move it to"):
        backend.activation_forward(backend.to_device(x), "relu", x)


def test_scratch_is_reused_and_grows(runner: Any) -> None:
    first = runner.scratch((4, 8), "float64")
    assert first.shape == (4, 8) and first.dtype == np.float64
    again = runner.scratch((3,), "float32")
    assert np.shares_memory(first.memory, again.memory)
    assert not np.shares_memory(first.memory, runner.scratch((4, 8), "float64", slot=1).memory)
    assert not np.shares_memory(first.memory, runner.scratch((5, 8), "float64").memory)


def test_without_a_gpu_cupy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "missing_gpu", lambda: "there is no NVIDIA driver")
    monkeypatch.delitem(columns._loaded, "cupy", raising=False)
    with pytest.raises(BackendUnavailable, match="there is no NVIDIA driver"):
        get_backend("cupy")


def test_without_cupy_the_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "missing_gpu", lambda: "")
    monkeypatch.setitem(sys.modules, "cupy", None)
    forget(monkeypatch)
    with pytest.raises(BackendUnavailable, match=r'pip install "tinyae\[cuda13\]", or \[cuda12\]'):
        get_backend("cupy")


def test_a_gpu_that_does_not_answer_is_no_backend(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CuPy loads, the driver counts a GPU, and the first launch fails or does nothing."""

    def fails(**_: Any) -> None:
        raise OSError("=====\nlibnvrtc.so is missing\n=====\n")

    monkeypatch.setattr(cupy, "RawModule", fails)
    forget(monkeypatch)
    with pytest.raises(BackendUnavailable, match=r"does not answer \(libnvrtc.so is missing\)"):
        get_backend("cupy")
    assert get_backend("auto").name != "cupy"
    silent: Any = lambda *_: None  # noqa: E731
    silent.kernel = types.SimpleNamespace(ptr=1)
    nothing = types.SimpleNamespace(get_function=lambda name: silent)
    monkeypatch.setattr(cupy, "RawModule", lambda code, options: nothing)
    forget(monkeypatch)
    with pytest.raises(BackendUnavailable, match=r"leaky_relu\(-1\) came out as -1.0"):
        get_backend("cupy")


def test_what_compute_sanitizer_runs(cupy: Any) -> None:
    """The script's GPU mode, for benchmarks/gpu/visit.py, as far as it goes without a GPU."""
    run_on_gpu(("gather", "dense_backward_weights", "loss", "adam", "add_normal", "matmul"))
