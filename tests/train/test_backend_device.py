"""The contract is enough for a device: a column whose arrays NumPy cannot touch.

Its arrays wrap NumPy arrays but are none, so that any place in the library that takes a backend
array for a host array fails here, without a GPU.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.stopping import Stop, assert_same_weights, stop_at
from tinyae import Autoencoder, DivergenceError
from tinyae.kernels import backend as contract
from tinyae.kernels import columns
from tinyae.kernels.conventions import HYPER


class DeviceArray:
    """Memory that only the fake device's operations read; the rest is shapes and views."""

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory

    shape, dtype, ndim, size, flags, strides = (
        property(attrgetter(f"memory.{name}"))
        for name in ("shape", "dtype", "ndim", "size", "flags", "strides")
    )

    def __len__(self) -> int:
        return len(self.memory)

    def __getitem__(self, key: Any) -> DeviceArray:
        part = self.memory[key]
        assert (
            isinstance(part, np.ndarray) and np.shares_memory(part, self.memory)
        ) or not part.size
        return type(self)(part)

    def reshape(self, shape: tuple[int, ...]) -> DeviceArray:
        return type(self)(self.memory.reshape(shape))

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("a device array was taken for a NumPy array")

    __iter__ = None  # or NumPy would try the sequence protocol


def on_device(op: Any) -> Any:
    """The NumPy column's operation on device arrays; a host array among its arguments fails."""

    def wrapped(*args: Any, **kwargs: Any) -> None:
        assert not any(isinstance(a, np.ndarray) for a in (*args, *kwargs.values()))

        def unwrap(a: Any) -> Any:
            return tuple(map(unwrap, a)) if isinstance(a, tuple) else getattr(a, "memory", a)

        op(*map(unwrap, args), **{k: unwrap(v) for k, v in kwargs.items()})

    return wrapped


def write(host: np.ndarray, out: DeviceArray) -> None:
    assert isinstance(host, np.ndarray)
    np.copyto(out.memory, host, casting="no")


def to_host(array: DeviceArray) -> np.ndarray:
    return array.memory.copy()


def fake_column() -> contract.Backend:
    host = columns.get_backend("numpy")
    memory = {"empty", "to_device", "to_host", "write", "synchronize"}
    others = {"name", "host", "matmul", "make_step", "recorder", "limit_threads"}
    operations = {
        field.name: on_device(getattr(host, field.name))
        for field in dataclasses.fields(host)
        if field.name not in memory | others
    }
    return contract.Backend(
        name="fake-device",
        host=False,
        empty=lambda shape, dtype: DeviceArray(np.full(shape, 0x7F, dtype)),
        to_device=lambda host: DeviceArray(np.array(host, order="C")),
        to_host=to_host,
        write=write,
        synchronize=lambda: None,
        **operations,
    )


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(columns._LOADERS, "fake-device", fake_column)
    yield
    columns._loaded.pop("fake-device", None)


X = np.random.default_rng(0).random((50, 7))


def both(**options: Any) -> list[Autoencoder]:
    settings = {"hidden": (6,), "code": 2, "epochs": 3, "batch_size": 8, "random_state": 1}
    return [Autoencoder(**{**settings, **options}, backend=b) for b in ("numpy", "fake-device")]


def assert_same(host: Autoencoder, device: Autoencoder) -> None:
    assert device.backend_ == "fake-device"
    assert_same_weights(host, device)
    np.testing.assert_array_equal(device.reconstruct(X), host.reconstruct(X))
    np.testing.assert_array_equal(device.score_samples(X), host.score_samples(X))
    np.testing.assert_array_equal(device.decode(device.encode(X)), host.decode(host.encode(X)))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("loss", ["mse", "bce", "l1", "huber"])
def test_fit_is_the_same(optimizer: str, loss: str) -> None:
    host, device = both(optimizer=optimizer, loss=loss, activation="gelu", weight_decay=0.1,
                        clip_norm=0.5, validation_fraction=0.2, patience=2)  # fmt: skip
    assert_same(host.fit(X), device.fit(X))
    assert host.history_["val_loss"] == device.history_["val_loss"]


def test_uint8_partial_fit_files_and_checkpoints(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (30, 7), dtype=np.uint8)
    host, device = both()
    for _ in range(3):
        host.partial_fit(pixels)
        device.partial_fit(pixels)
    assert_same(host, device)
    device.save(tmp_path / "m.npz")
    assert_same(host, Autoencoder.load(tmp_path / "m.npz", backend="fake-device"))
    for model in both():
        with pytest.raises(Stop):
            model.fit(X, checkpoint=tmp_path / f"{model.backend}.npz", callback=stop_at(2, 3))
    resumed = [m.fit(X, checkpoint=tmp_path / f"{m.backend}.npz", resume=True) for m in both()]
    assert_same(*resumed)


def test_divergence_is_found_at_the_epochs_end() -> None:
    """The host does not look within an epoch; the guard keeps the weights all the same."""
    host, device = both(optimizer="sgd", learning_rate=1e25, loss="mse", output="identity",
                        warmup=0.0)  # fmt: skip
    errors = []
    for model in (host, device):
        with pytest.raises(DivergenceError) as caught:
            model.fit(X * 100)
        errors.append(str(caught.value))
    assert "epoch 1, step 2" in errors[1]
    assert_same(host, device)


def test_a_step_needs_nothing_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data and order lie on the device: a step sends its hyperparameters and asks for nothing."""
    column = fake_column()
    log: list[str] = []

    def logged(name: str) -> Any:
        def op(*args: Any) -> Any:
            log.append(f"{name} {args[0].size}" if name == "write" else name)
            return getattr(column, name)(*args)

        return op

    names = ("write", "to_host", "to_device", "synchronize", "gather", "empty")
    spied = dataclasses.replace(column, **{name: logged(name) for name in names})
    monkeypatch.setitem(columns._LOADERS, "fake-device", lambda: spied)
    _, model = both(epochs=1)
    steps: list[int] = []
    pixels = np.random.default_rng(2).integers(0, 256, (50, 7), dtype=np.uint8)
    model.fit(pixels, callback=lambda p: steps.append(len(log)))
    assert len(steps) == 7
    for before, after in itertools.pairwise(steps[:-1]):  # the last one ends the epoch
        assert log[before:after] == [f"write {len(HYPER)}", "gather"]


def test_data_that_do_not_fit_stay_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    column = fake_column()
    refused = []

    def empty(shape: tuple[int, ...], dtype: str) -> Any:
        if (shape, dtype) == (X.shape, "float64"):  # the data; the net is float32
            refused.append(shape)
            raise MemoryError
        return column.empty(shape, dtype)

    monkeypatch.setitem(
        columns._LOADERS, "fake-device", lambda: dataclasses.replace(column, empty=empty)
    )
    host, device = both()
    assert_same(host.fit(X), device.fit(X))
    assert refused
