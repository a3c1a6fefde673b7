"""What NVRTC makes of every kernel, executed: it computes what the reference computes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.kernels.calls import OPS, arguments
from tests.reference import operation
from tinyae import Autoencoder
from tinyae.kernels import columns
from tinyae.kernels.columns import BackendUnavailable, cuda_c, get_backend
from tinyae.kernels.cuda.dense import DenseKernels
from tinyae.kernels.cuda_ptx import nvrtc, runner
from tinyae.kernels.cuda_ptx.nvrtc import Nvrtc, NvrtcMissing
from tinyae.kernels.cuda_ptx.runner import PtxRunner

try:
    nvrtc.compiler()
except NvrtcMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)

LAUNCHED = tuple(op for op in OPS if op != "write")  # which copies on the host
CAPABILITIES = (75, *(pytest.param(c, marks=pytest.mark.slow) for c in (80, 90, 120)))


@pytest.fixture(scope="module", params=CAPABILITIES)
def ptx(request: pytest.FixtureRequest) -> PtxRunner:
    return PtxRunner(request.param)


def arrays(call: dict[str, Any]) -> list[np.ndarray]:
    parts = [part for v in call.values() for part in (v if isinstance(v, tuple) else (v,))]
    return [part for part in parts if isinstance(part, np.ndarray)]


@pytest.mark.parametrize("op", LAUNCHED)
def test_every_operation_is_the_reference(ptx: PtxRunner, op: str, dtype: str) -> None:
    here, there = arguments(op, dtype), arguments(op, dtype)
    operation(cuda_c(ptx), op)(**here)
    operation(get_backend("numpy"), op)(**there)
    eps = float(np.finfo(dtype).eps)
    for mine, right in zip(arrays(here), arrays(there)):
        np.testing.assert_allclose(mine, right, rtol=16 * eps, atol=16 * eps)


def product(kernels: DenseKernels, dtype: str, shape: tuple[int, int, int], offset: int) -> float:
    """The largest error of the three products of a layer, in units of eps times the sum of
    magnitudes; every operand begins ``offset`` numbers behind an aligned address."""
    rng, (m, k, n) = np.random.default_rng(3), shape

    def operand(*sizes: int) -> np.ndarray:
        count = int(np.prod(sizes))
        whole = rng.standard_normal(count + offset).astype(dtype)
        return whole[offset:].reshape(sizes)

    x, w, b, dz = operand(m, k), operand(k, n), operand(n), operand(m, n)
    y, dx, dw, db = (np.full(s, np.nan, dtype) for s in ((m, n), (m, k), (k, n), (n,)))
    kernels.dense_forward(x, w, b, "identity", y, None)
    kernels.dense_backward_input(dz, w, "identity", x, dx)
    kernels.dense_backward_weights(x, dz, dw, db)
    X, W, Z = (a.astype(np.longdouble) for a in (x, w, dz))
    terms = ((y, X, W, b), (dx, Z, W.T, 0), (dw, X.T, Z, 0), (db[None], np.ones((1, m)), Z, 0))
    errors = [
        np.abs(got - (left @ right + more)) / (np.abs(left) @ np.abs(right) + np.abs(more))
        for got, left, right, more in terms
    ]
    return float(max(e.max() for e in errors) / np.finfo(dtype).eps)


@pytest.mark.parametrize("offset", (0, 1, 2))
@pytest.mark.parametrize("shape", ((33, 68, 36), (5, 45, 37)))
def test_products_of_aligned_and_misaligned_operands(
    ptx: PtxRunner, dtype: str, shape: tuple[int, int, int], offset: int
) -> None:
    assert product(DenseKernels(ptx, tile=(32, 32)), dtype, shape, offset) < 4


@pytest.mark.slow
@pytest.mark.parametrize("order", (None, "forward", "reverse", 5))
@pytest.mark.parametrize("tile", ((32, 32), (32, 64), (64, 64), (128, 128)))
@pytest.mark.parametrize("matmul", ("fp32", "3xtf32", "tf32"))
def test_products_in_every_order_of_the_warps(
    matmul: str, tile: tuple[int, int], order: str | int | None
) -> None:
    runner = PtxRunner(80, order)
    kernels = DenseKernels(runner, tile=tile, matmul=matmul, short=1, splits=2)
    assert product(kernels, "float32", (33, 68, 36), 0) < (4 if matmul != "tf32" else 4096)


def test_tensor_cores() -> None:
    """32 terms and more: below, 3xtf32 does not use them."""
    for matmul, bound in (("3xtf32", 4), ("tf32", 4096)):
        kernels = DenseKernels(PtxRunner(90), tile=(32, 32), matmul=matmul, short=1)
        error = product(kernels, "float32", (33, 40, 36), 0)
        assert error < bound and (matmul == "3xtf32" or error > 4)


def test_training_is_that_of_the_reference() -> None:
    X = np.random.default_rng(0).random((24, 12), np.float32)
    options = {"hidden": (9,), "code": 3, "epochs": 2, "batch_size": 10, "random_state": 0}
    mine, right = (
        Autoencoder(**options, backend=name).fit(X).parameters() for name in ("cuda-ptx", "numpy")
    )
    assert mine.keys() == right.keys()
    for name in mine:
        np.testing.assert_allclose(mine[name], right[name], rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", ("float32", "uint8"))
def test_recorded_steps_are_the_plain_ones(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """As on a GPU: launched from a recording, the samples of a step found by the cursor."""
    X = (np.random.default_rng(0).random((9, 5)) * 255).astype(kind)
    options = {"hidden": (), "code": 2, "epochs": 2, "batch_size": 4, "random_state": 0}
    column = get_backend("cuda-ptx")

    def train(**fields: Any) -> dict[str, np.ndarray]:
        moved = dataclasses.replace(column, name="moved", host=False, **fields)
        monkeypatch.setitem(columns._LOADERS, "moved", lambda: moved)
        monkeypatch.delitem(columns._loaded, "moved", raising=False)
        return Autoencoder(**options, backend="moved").fit(X).parameters()

    def still(cursor: Any, history: Any, *update: Any) -> None:
        """In the place of end_step: every step takes the same samples."""
        column.update(*update)

    recorder = column.recorder
    plain, recorded = train(recorder=None), train()
    stuck = train(recorder=dataclasses.replace(recorder, end_step=still))
    monkeypatch.delitem(columns._loaded, "moved")
    same = [all((plain[n] == other[n]).all() for n in plain) for other in (recorded, stuck)]
    assert same == [True, False]


def lost(error: str) -> Nvrtc | None:
    if error:
        raise OSError(error)
    return None


@pytest.mark.parametrize(
    ("error", "said"),
    [("", "pip install nvidia-cuda-nvrtc"), ("cut off", r"does not load \(cut off\)")],
)
def test_without_the_wheel_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, error: str, said: str
) -> None:
    monkeypatch.setattr(nvrtc, "find_nvrtc", lambda: lost(error))
    monkeypatch.setattr(nvrtc, "compiler", nvrtc.compiler.__wrapped__)
    monkeypatch.setattr(runner, "compiler", nvrtc.compiler)
    monkeypatch.delitem(columns._loaded, "cuda-ptx", raising=False)
    with pytest.raises(BackendUnavailable, match=f"'cuda-ptx' cannot run here: .*{said}"):
        get_backend("cuda-ptx")
    assert "cuda-ptx" not in columns.available_backends()
