"""A training step that is one cooperative launch: the bytes of the recorded one."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import cuda_runner
from tests.kernels.conftest import need_compiler
from tests.kernels.test_recording import X, assert_same, make
from tests.train.stopping import Stop, stop_at
from tinyae import (
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    DivergenceError,
    SparseAutoencoder,
    TiedAutoencoder,
    VariationalAutoencoder,
)
from tinyae.kernels import columns
from tinyae.kernels.backend import Backend, MakeStep, checked
from tinyae.kernels.conventions import ACTIVATIONS, DATA, LOSSES, OPTIMIZERS
from tinyae.kernels.cuda.source import FOLDER
from tinyae.kernels.cuda.step import KERNEL, StepKernels
from tinyae.kernels.cuda_host.host import HostRunner
from tinyae.kernels.cuda_ptx.nvrtc import NvrtcMissing
from tinyae.kernels.cuda_ptx.parse import PtxError
from tinyae.kernels.cuda_ptx.runner import PtxRunner
from tinyae.kernels.recording import Recording


def one_launch(cuda: Backend, most: int | None = None) -> MakeStep:
    """make_step of a column, with its own cuts of products."""
    products = inspect.unwrap(cuda.dense_forward).__self__
    return StepKernels(cuda_runner(cuda), products, cuda.to_device, most).make_step


@pytest.fixture
def launches(cuda: Backend, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels of all launches, as they come."""
    runner, names = cuda_runner(cuda), []
    launch = runner.launch

    def noted(file: str, kernel: str, *how: Any) -> None:
        names.append(kernel)
        launch(file, kernel, *how)

    monkeypatch.setattr(runner, "launch", noted)
    return names


OUTPUTS = {"bce": "sigmoid", "l1": "tanh", "huber": "silu", "mse": "identity"}
OPTIONS: list[dict[str, Any]] = [
    *({"optimizer": name, "weight_decay": 0.1} for name in OPTIMIZERS),
    *({"loss": name, "output": OUTPUTS[name], "dtype": "float64"} for name in LOSSES),
    *({"activation": name, "code_activation": name} for name in ACTIVATIONS),
    {"shuffle": False, "schedule": "one-cycle", "batch_size": 50},
    {"batch_size": 1, "epochs": 1},
    {"validation_fraction": 0.2, "patience": 2, "hidden": ()},
    {"hidden": (70, 40), "code": 33},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_has_the_bytes_of_the_recorded_step(
    cuda: Backend, device: Callable[..., str], launches: list[str], options: dict[str, Any]
) -> None:
    """50 samples in batches of 8: the last of an epoch has 2. A step is a launch, and an epoch's
    order another."""
    recorded = make(device(), **options).fit(X)
    del launches[:]
    assert_same(make(device(make_step=one_launch(cuda)), **options).fit(X), recorded)
    if "patience" not in options:  # validation has launches of its own
        steps = recorded.epochs * -(-len(X) // recorded.batch_size)
        orders = recorded.epochs if recorded.shuffle else 0
        assert [*map(launches.count, (KERNEL[1], "random_permutation"))] == [steps, orders]
        assert set(launches) <= {KERNEL[1], "random_permutation", "random_normal", "random_uniform"}


@pytest.mark.parametrize("most", (1, 3))
def test_so_do_few_blocks_and_wide_layers(
    cuda: Backend, device: Callable[..., str], most: int
) -> None:
    """Sums are split along k, and several tiles are one block's."""
    data, options = np.random.default_rng(1).random((90, 300)), {"hidden": (70,), "batch_size": 80}
    recorded = make(device(), **options).fit(data)
    assert_same(make(device(make_step=one_launch(cuda, most)), **options).fit(data), recorded)


@pytest.mark.slow
def test_so_does_the_small_net(cuda: Backend, device: Callable[..., str]) -> None:
    """784-128-32 and back, at B = 128: two steps, and one of a single sample."""
    data = np.random.default_rng(0).integers(0, 256, (257, 784)).astype(np.uint8)
    options = {"hidden": (128,), "code": 32, "batch_size": 128, "epochs": 1}
    recorded = make(device(), **options).fit(data)
    assert_same(make(device(make_step=one_launch(cuda)), **options).fit(data), recorded)


@pytest.mark.parametrize("kind", DATA)
def test_data_of_every_type(cuda: Backend, device: Callable[..., str], kind: str) -> None:
    data = (X * 2 if kind == "bool" else X * 100).astype(kind)
    options = {"output": "identity", "loss": "mse", "epochs": 1}
    recorded = make(device(), **options).fit(data)
    assert_same(make(device(make_step=one_launch(cuda)), **options).fit(data), recorded)


@pytest.mark.parametrize(
    "options",
    [
        {"clip_norm": 0.5},
        {"code_noise": 0.1},
        {"target_blur": 2.0, "image_shape": (4, 3)},
        {"matmul": "3xtf32"},
    ],
    ids=str,
)
def test_what_it_lacks_is_recorded(
    cuda: Backend, device: Callable[..., str], launches: list[str], options: dict[str, Any]
) -> None:
    make_step = one_launch(cuda)
    if options.pop("matmul", ""):
        products = columns.get_backend(cuda.name, "3xtf32").dense_forward
        make_step.__self__.dense = inspect.unwrap(products).__self__  # type: ignore[attr-defined]
    recorded = make(device(), **options).fit(X)
    assert_same(make(device(make_step=make_step), **options).fit(X), recorded)
    assert KERNEL[1] not in launches and "sgd" not in launches


@pytest.mark.parametrize(
    "family",
    [
        partial(DenoisingAutoencoder, hidden=(9,), code=3),
        partial(VariationalAutoencoder, hidden=(9,), code=3),
        partial(TiedAutoencoder, code=3),
        partial(ContractiveAutoencoder, code=3),
        partial(SparseAutoencoder, code=9),
        partial(SparseAutoencoder, code=9, sparsity="l1"),
    ],
    ids=lambda family: family.func.__name__,
)
def test_what_families_add_is_recorded(
    cuda: Backend, device: Callable[..., str], launches: list[str], family: Any
) -> None:
    backend = device(make_step=one_launch(cuda))
    family(epochs=2, batch_size=8, random_state=1, backend=backend).fit(X)
    assert KERNEL[1] not in launches and "gather" in launches


def test_a_device_without_cooperative_launches_records(
    cuda: Backend, device: Callable[..., str], launches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_runner(cuda), "cooperative", lambda *kernel: 0)
    make(device(make_step=one_launch(cuda))).fit(X)
    assert KERNEL[1] not in launches and "gather" in launches


def test_divergence_is_found_at_the_epochs_end(cuda: Backend, device: Callable[..., str]) -> None:
    options = {"optimizer": "sgd", "learning_rate": 1e25, "loss": "mse", "output": "identity",
               "warmup": 0.0}  # fmt: skip
    messages = []
    for fields in ({}, {"make_step": one_launch(cuda)}):
        with pytest.raises(DivergenceError) as caught:
            make(device(**fields), **options).fit(X * 100)
        messages.append(str(caught.value))
    assert "epoch 1, step 2" in messages[0] == messages[1]


def test_an_interrupted_epoch_goes_on(
    cuda: Backend, device: Callable[..., str], tmp_path: Any
) -> None:
    backend = device(make_step=one_launch(cuda))
    whole, part = make(backend).fit(X), make(backend)
    with pytest.raises(Stop):
        part.fit(X, checkpoint=tmp_path / "c.npz", callback=stop_at(2, 4))
    assert_same(part.fit(X, checkpoint=tmp_path / "c.npz", resume=True), whole)


# ---- on a runner of its own, beside NumPy


def off(runner: Recording, features: int = 5, **options: Any) -> float:
    """How far weights are from NumPy's after two epochs of steps that are one launch; or NaN."""
    data = np.random.default_rng(0).random((12, features))
    options = {"epochs": 2, "hidden": (9,), **options}
    column = checked(columns.cuda_c(runner, one_launch=True), np.ndarray)
    column = dataclasses.replace(column, name="planted", host=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(columns._LOADERS, "planted", lambda: column)
        patch.setitem(columns._loaded, "planted", column)
        ours, numpys = (
            make(name, **options).fit(data).parameters() for name in ("planted", "numpy")
        )
    return max(float(np.abs(ours[name] - numpys[name]).max()) for name in ours)


def ptx(capability: int, order: str | int | None = None) -> PtxRunner:
    try:
        return PtxRunner(capability, order)
    except NvrtcMissing as missing:
        pytest.skip(str(missing))


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize("capability", (75, slow(80), slow(90), slow(120)))
def test_what_nvrtc_makes_of_it(capability: int) -> None:
    assert 0 < off(ptx(capability)) <= 2e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "order", "dtype", "most"),
    [
        (75, "forward", "float32", 2e-6),
        (90, 5, "float64", 1e-14),
        (120, "reverse", "float32", 2e-6),
    ],
)
def test_in_other_orders_of_the_warps(
    capability: int, order: str | int, dtype: str, most: float
) -> None:
    """With two tiles of some products, one of which is not whole."""
    assert 0 < off(ptx(capability, order), 33, dtype=dtype, epochs=1) <= most


WAITS = 4  # before a layer, the loss, a layer's gradient, the update
# a block counts itself in and goes on
PASSED = "{ __syncthreads(); all.goal += gridDim.x; if (threadIdx.x == 0) all.arrive(); }"


@pytest.mark.parametrize(
    ("runs_on", "nth"), [*(("cuda-host", n) for n in range(WAITS)), slow("cuda-ptx", WAITS - 1)]
)
def test_a_barrier_that_is_taken_out_is_found(sources: Path, runs_on: str, nth: int) -> None:
    """cuda-ptx hides one behind which blocks have had as much to do: they go in step."""
    for path in FOLDER.rglob("*.cu*"):
        (sources / path.name).write_text(path.read_text())
    parts = (FOLDER / KERNEL[0]).read_text().split("all.wait();")
    assert len(parts) == WAITS + 1
    before, after = ("all.wait();".join(part) for part in (parts[: nth + 1], parts[nth + 1 :]))
    (sources / KERNEL[0]).write_text(before + PASSED + after)
    if runs_on == "cuda-host":
        need_compiler()
        assert not off(HostRunner(("-O0",)), 40, hidden=(70,)) <= 2e-6
        return
    try:
        found = not off(ptx(90), 40, hidden=(70,), epochs=1) <= 2e-6
    except PtxError:  # what nobody has written yet was read
        found = True
    assert found
