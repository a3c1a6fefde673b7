"""Training steps that are recorded once and replayed: the same bytes, and nothing from the host."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tests.conftest import cuda_runner
from tests.kernels.calls import on_device
from tests.kernels.cuda_host.cuda_sanitize import begin_step, end_step, epoch
from tests.reference import poisoned
from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, DivergenceError
from tinyae.kernels.backend import Backend, Recorder
from tinyae.kernels.conventions import MOMENTS, OPTIMIZERS

X = np.random.default_rng(0).random((50, 12))


def make(backend: str, **options: Any) -> Autoencoder:
    settings = {"hidden": (9,), "code": 3, "epochs": 3, "batch_size": 8, "random_state": 1}
    return Autoencoder(**{**settings, **options}, backend=backend)


def assert_same(a: Autoencoder, b: Autoencoder) -> None:
    assert a.history_["loss"] == b.history_["loss"]
    assert_same_weights(a, b)


@pytest.mark.parametrize(
    "options",
    [
        *({"optimizer": name, "weight_decay": 0.1} for name in OPTIMIZERS),
        {"clip_norm": 0.5, "dtype": "float64"},
        {"shuffle": False, "schedule": "one-cycle"},
        {"code_noise": (0.3, 0.1), "code_activation": "tanh"},
        {"target_blur": 2.0, "image_shape": (4, 3), "epochs": 4},  # sharp from epoch 3 on
        {"validation_fraction": 0.2, "patience": 2, "activation": "gelu"},
        {"batch_size": 50},
        {"batch_size": 1, "epochs": 1},
    ],
    ids=str,
)
def test_a_replayed_run_has_the_same_bytes(
    device: Callable[..., str], options: dict[str, Any]
) -> None:
    """50 samples in batches of 8: the last of an epoch has 2, and a recording of its own."""
    plain = make(device(recorder=None), **options).fit(X)
    assert_same(make(device(), **options).fit(X), plain)


def test_pixels(device: Callable[..., str]) -> None:
    pixels = (X * 255).astype(np.uint8)
    assert_same(make(device()).fit(pixels), make(device(recorder=None)).fit(pixels))


def test_each_shape_is_recorded_once(cuda: Backend, device: Callable[..., str]) -> None:
    recorder = recorder_of(cuda)
    records, replays = [], []

    def record(work: Callable[[], None]) -> Callable[[], None]:
        replay = recorder.record(work)
        records.append(replay)
        return lambda: (replays.append(1), replay())[1]

    make(device(recorder=dataclasses.replace(recorder, record=record))).fit(X)
    # 3 epochs of 7 steps; the first of both sizes, and no other, is run as it is
    assert (len(records), len(replays)) == (2, 21 - 2)


def test_within_an_epoch_the_host_sends_nothing(cuda: Backend, device: Callable[..., str]) -> None:
    log: list[str] = []

    def logged(name: str) -> Any:
        def op(*args: Any) -> Any:
            log.append(name)
            return getattr(cuda, name)(*args)

        return op

    names = ("write", "to_host", "to_device", "synchronize", "empty", "random_permutation")
    backend = device(**{name: logged(name) for name in names})
    seen: list[tuple[int, int, int]] = []

    def look(progress: Any) -> None:
        seen.append((progress.epoch, progress.step, len(log)))

    make(backend, code_noise=0.1).fit(X, callback=look)
    for (nth, step, before), (_, _, after) in itertools.pairwise(seen):
        if 0 < step < 6:  # after the last step the host reads the epoch's losses
            assert log[before:after] == [], (nth, step)
    assert log.count("random_permutation") == 3


def test_divergence_is_found_at_the_epochs_end(device: Callable[..., str]) -> None:
    options = {"optimizer": "sgd", "learning_rate": 1e25, "loss": "mse", "output": "identity",
               "warmup": 0.0}  # fmt: skip
    messages = []
    for backend in (device(recorder=None), device()):
        with pytest.raises(DivergenceError) as caught:
            make(backend, **options).fit(X * 100)
        messages.append(str(caught.value))
    assert "epoch 1, step 2" in messages[0] == messages[1]


def test_an_interrupted_epoch_goes_on(device: Callable[..., str], tmp_path: Any) -> None:
    whole, part = make(device()).fit(X), make(device())
    with pytest.raises(Stop):
        part.fit(X, checkpoint=tmp_path / "c.npz", callback=stop_at(2, 4))
    assert_same(part.fit(X, checkpoint=tmp_path / "c.npz", resume=True), whole)


def test_a_cursor_that_stands_still_is_noticed(cuda: Backend, device: Callable[..., str]) -> None:
    """The tests above can fail: with the update alone every step trains on the first samples."""
    recorder = recorder_of(cuda)
    broken = dataclasses.replace(
        recorder, end_step=lambda cursor, history, *update: cuda.update(*update)
    )
    plain = make(device(recorder=None)).fit(X)
    with pytest.raises(AssertionError):
        assert_same(make(device(recorder=broken)).fit(X), plain)


def test_gradients_are_waited_for(cuda: Backend, device: Callable[..., str]) -> None:
    """Without join an update may come before its gradients."""
    if not cuda.host:
        pytest.skip("on a GPU it may be in time by chance")
    broken = dataclasses.replace(recorder_of(cuda), join=lambda: None)
    plain = make(device(recorder=None)).fit(X)
    with pytest.raises(AssertionError):
        assert_same(make(device(recorder=broken)).fit(X), plain)


# ---- what a recorder is made of


def recorder_of(backend: Backend) -> Recorder:
    assert backend.recorder is not None
    return backend.recorder


@pytest.mark.parametrize("batch_size", [1, 2, 7, 8, 9, 255, 256, 257, 600])
def test_begin_step(cuda: Backend, batch_size: int) -> None:
    for step, size in ((0, batch_size), (2, batch_size), (3, 1)):  # the last has a single sample
        assert_step(cuda, "begin_step", epoch("float32", step, batch_size, size)["begin_step"])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loss", [2.0, np.nan, np.inf])
def test_end_step(cuda: Backend, name: str, loss: float) -> None:
    """Of 4 blocks one ends the step, also where the loss is not finite and nothing is updated."""
    host = {**epoch("float64", 2, 1, 1000)["end_step"], "name": name}
    host["history"][:], host["guard"][0] = poisoned((3, 2), "float64"), loss
    host["moments"] = tuple(np.full(1000, 0.5) for _ in MOMENTS[name])
    assert_step(cuda, "end_step", host)


def assert_step(cuda: Backend, which: str, host: dict[str, Any]) -> None:
    """Both leave the same numbers in all arrays."""
    there = on_device(cuda, which, host)
    getattr(recorder_of(cuda), which)(**there)
    {"begin_step": begin_step, "end_step": end_step}[which](**host)
    for name, expected in host.items():
        if isinstance(expected, np.ndarray):
            np.testing.assert_allclose(cuda.to_host(there[name]), expected, 1e-6, err_msg=name)
    for moment, expected in zip(there.get("moments", ()), host.get("moments", ()), strict=True):
        np.testing.assert_allclose(cuda.to_host(moment), expected, 1e-6)


def test_recording_runs_nothing(cuda: Backend) -> None:
    x = cuda.to_device(np.full((2, 3), -1.0))
    work = lambda: cuda.activation_forward(x, "leaky_relu", x)  # noqa: E731
    work()
    replay = recorder_of(cuda).record(work)
    np.testing.assert_allclose(cuda.to_host(x), -0.01)
    replay()
    replay()
    np.testing.assert_allclose(cuda.to_host(x), -(0.01**1) * 0.01**2)
    with pytest.raises(ZeroDivisionError):  # an error ends the recording
        recorder_of(cuda).record(lambda: [][1 // 0])
    work()
    np.testing.assert_allclose(cuda.to_host(x), -(0.01**4))


def test_what_is_launched_aside_comes_before_the_join(cuda: Backend) -> None:
    runner = cuda_runner(cuda)
    x, y = cuda.to_device(np.full((2, 3), -1.0)), cuda.to_device(np.zeros((2, 3)))

    def work() -> None:
        with runner.aside():
            cuda.activation_forward(x, "leaky_relu", x)
        runner.join()
        cuda.activation_forward(x, "identity", y)

    work()  # outside a recording both do nothing
    np.testing.assert_allclose(cuda.to_host(y), -0.01)
    runner.record(work)()
    np.testing.assert_allclose(cuda.to_host(y), -(0.01**2))
    with pytest.raises(ZeroDivisionError), runner.aside():
        raise ZeroDivisionError
    work()
    np.testing.assert_allclose(cuda.to_host(y), -(0.01**3))


@pytest.mark.parametrize(
    ("hidden", "code", "most"),
    [((128,), 32, 10), pytest.param((1000, 500, 250), 30, 18, marks=pytest.mark.slow)],
    ids=("small", "deep"),
)
def test_launches_of_a_step_that_wait_for_each_other(
    cuda: Backend, device: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
    hidden: tuple[int, ...], code: int, most: int,
) -> None:  # fmt: skip
    """At B = 128, but for the gradients of weights, which are a branch of their own."""
    runner, main = cuda_runner(cuda), []

    @contextmanager
    def aside() -> Iterator[None]:
        before = len(main)
        yield
        del main[before:]

    def record(work: Callable[[], None]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(runner, "launch", lambda *launch: main.append(launch[1]))
            patch.setattr(runner, "aside", aside)
            work()
        raise Stop

    name = device(recorder=dataclasses.replace(recorder_of(cuda), record=record))
    data = np.random.default_rng(0).integers(0, 256, (384, 784)).astype(np.uint8)
    with pytest.raises(Stop):
        make(name, hidden=hidden, code=code, batch_size=128).fit(data)
    assert len(main) == most, main
