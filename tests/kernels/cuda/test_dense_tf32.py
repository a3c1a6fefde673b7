"""Matrix products on tensor cores: where a warp keeps what, every shape, and what accuracy costs.

On the CPU the arithmetic is that of ``cuda_host_mma.h``: the coarsest that has been found on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import cuda_runner
from tests.kernels.cuda.test_dense import Tile, check_products, shapes
from tests.reference import PRODUCT_TOLERANCES as TOLERANCES
from tests.reference import eps, poisoned, product_tolerance, tolerance_3xtf32
from tests.train.test_backend_training import TOLERANCE
from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.kernels.backend import Backend
from tinyae.kernels.columns import get_backend
from tinyae.kernels.cuda.dense import SHORT_SUM, DenseKernels
from tinyae.kernels.cuda.plan import TILES
from tinyae.kernels.cuda.source import FOLDER as KERNELS

Array = np.ndarray[Any, Any]


@pytest.fixture(name="tensor_cores")
def _tensor_cores(cuda: Backend) -> Backend:
    if getattr(cuda_runner(cuda), "compute_capability", 80) < 80:
        pytest.skip("these tensor cores do not know TF32")
    return cuda


# ---- the instructions

PLANTED = """\
#include "mma.cuh"
extern "C" __global__ void multiply(const REAL *a, const REAL *b, const REAL *c, REAL *d) {
    int lane = threadIdx.x;
    unsigned own_a[4], own_b[2];
    float sum[4];
    for (int e = 0; e < 4; e++) own_a[e] = to_tf32(a[4 * lane + e]);
    for (int e = 0; e < 2; e++) own_b[e] = to_tf32(b[2 * lane + e]);
    for (int e = 0; e < 4; e++) sum[e] = c[4 * lane + e];
    mma_tf32(sum, own_a, own_b);
    for (int e = 0; e < 4; e++) d[4 * lane + e] = sum[e];
}
extern "C" __global__ void round_to_tf32(const REAL *x, REAL *y) {
    y[threadIdx.x] = as_float(to_tf32(x[threadIdx.x]));
}
extern "C" __global__ void cut_off(const REAL *x, REAL *y) {
    unsigned a[4] = {}, one[2] = {to_tf32(1.0f), 0};
    float sum[4] = {};
    a[0] = as_bits(x[threadIdx.x]);  // not rounded
    mma_tf32(sum, a, one);
    y[threadIdx.x] = sum[0];
}
"""


@pytest.fixture
def planted(tensor_cores: Backend, sources: Path) -> Any:
    """launch(kernel, *arrays) on one warp; the last array is the output."""
    (sources / "planted.cu").write_text(PLANTED)
    (sources / "mma.cuh").write_text((KERNELS / "dense/mma.cuh").read_text())
    runner = type(cuda_runner(tensor_cores))()

    def launch(kernel: str, *inputs: Array) -> Array:
        out = tensor_cores.to_device(poisoned(inputs[-1].shape, "float32"))
        args = (*(tensor_cores.to_device(array.astype(np.float32)) for array in inputs), out)
        runner.launch("planted.cu", kernel, "float32", (1, 1, 1), (32, 1, 1), args)
        return tensor_cores.to_host(out)

    return launch


def test_each_lane_holds_what_the_instruction_set_says(planted: Any) -> None:
    """A plain 16 x 8 x 8 product of numbers that all differ, dealt out as in the PTX ISA, "Matrix
    fragments for mma.m16n8k8": a wrong place of any one changes the result."""
    a = np.arange(1, 129).reshape(16, 8)
    b = np.arange(129, 193).reshape(8, 8)
    c = 1000 * np.arange(1, 129).reshape(16, 8)
    group, member = np.divmod(np.arange(32), 4)
    above, below = group, group + 8
    own_a = np.stack([a[above, member], a[below, member], a[above, member + 4],
                      a[below, member + 4]], axis=1)  # fmt: skip
    own_b = np.stack([b[member, group], b[member + 4, group]], axis=1)

    def own(m: Array) -> Array:
        return np.stack([m[above, 2 * member], m[above, 2 * member + 1], m[below, 2 * member],
                         m[below, 2 * member + 1]], axis=1)  # fmt: skip

    np.testing.assert_array_equal(planted("multiply", own_a, own_b, own(c)), own(a @ b + c))


def test_rounding_to_tf32(planted: Any) -> None:
    """To 11 significant bits, ties away from zero; what is not finite stays so."""
    x = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    x[:6] = 1 + 2**-11, -1 - 2**-11, 1 + 2**-11 - 2**-23, 1 + 3 * 2**-11, 2 - 2**-12, 0
    x[6:9] = np.inf, -np.inf, np.nan
    fraction, exponent = np.frexp(np.where(np.isfinite(x), x, 0))
    units = np.copysign(np.floor(np.abs(fraction) * 2.0**11 + 0.5), fraction)
    expected = np.where(np.isfinite(x), np.ldexp(units, exponent - 11), x)
    np.testing.assert_array_equal(planted("round_to_tf32", x), expected)


def test_what_is_not_rounded_is_cut_off(planted: Any, tensor_cores: Backend) -> None:
    if not tensor_cores.host:
        pytest.skip("what a GPU makes of it is not documented")
    sums = planted("cut_off", np.full(32, 1 + 2**-9 - 2**-23))[::4]
    np.testing.assert_array_equal(sums, 4 * (1 + 2**-10))


# ---- the products


on_tensor_cores = pytest.mark.parametrize("matmul", ("3xtf32", "tf32"))


@on_tensor_cores
@pytest.mark.parametrize(
    "tile", [*(pytest.param(tile, marks=pytest.mark.slow) for tile in TILES[:-1]), TILES[-1], None]
)
def test_all_three_products(tensor_cores: Backend, tile: Tile | None, matmul: str) -> None:
    rng = np.random.default_rng(1)
    for shape, splits in islice(shapes(tile, "float32"), 60):
        kernels = DenseKernels(cuda_runner(tensor_cores), tile, splits, matmul, short=0)
        check_products(tensor_cores, kernels, rng, shape, "float32", TOLERANCES[matmul])


def product(cuda: Backend, a: Array, b: Array, matmul: str, tile: int = 64) -> Array:
    """In one part, at a square tile."""
    kernels = DenseKernels(cuda_runner(cuda), (tile, tile), 1, matmul)
    zero = np.zeros(b.shape[1], "f4")
    y = cuda.to_device(poisoned((len(a), b.shape[1]), "float32"))
    a_, b_, zero_ = (cuda.to_device(array) for array in (a, b, zero))
    kernels.dense_forward(a_, b_, zero_, "identity", y, None)
    return cuda.to_host(y)


def relative(actual: Array, a: Array, b: Array) -> Array:
    """Errors in units of the sum of magnitudes: scaling a row or a column changes nothing."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.abs(actual - a @ b) / (np.abs(a) @ np.abs(b))


def matrices(depth: int) -> Iterator[tuple[str, Array, Array]]:
    """Random and badly scaled factors: rows and columns, or samples of a sum, by 2^-20 to 2^20."""
    rng = np.random.default_rng(depth)

    def scales(*shape: int) -> Array:
        return 2.0 ** rng.integers(-20, 21, shape)

    normal = [rng.standard_normal(shape) for shape in ((65, depth), (depth, 63))]
    uniform = [rng.random(shape) for shape in ((65, depth), (depth, 63))]
    pairs = {
        "normal": normal,
        "uniform": uniform,
        "rows, columns": [normal[0] * scales(65, 1), normal[1] * scales(1, 63)],
        "terms": [normal[0] * scales(depth), normal[1]],
        "elements": [normal[0] * scales(65, depth), normal[1] * scales(depth, 63)],
    }
    for name, (a, b) in pairs.items():
        yield name, a.astype(np.float32), b.astype(np.float32)


@pytest.mark.parametrize("depth", (1, 2, 7, 31, 32, 33, 61, 128, 257, 784))
def test_3xtf32_errs_like_float32(tensor_cores: Backend, depth: int) -> None:
    """At most twice as much (root mean square) as dense.cu and as NumPy's BLAS, against float64.

    Where so few terms are large that they are as good as the whole sum, it is like a short sum,
    but cannot be told by its length: up to four times as much.
    """
    for name, a, b in matrices(depth):
        ours, plain = (product(tensor_cores, a, b, matmul) for matmul in ("3xtf32", "fp32"))
        errors = [np.sqrt(np.mean(relative(c, a, b) ** 2)) for c in (ours, plain, a @ b)]
        few = name in ("terms", "elements") and SHORT_SUM <= depth < 4 * SHORT_SUM
        assert errors[0] <= (4 if few else 2) * min(errors[1:]), (name, errors)
        tolerance = tolerance_3xtf32 if depth >= SHORT_SUM else product_tolerance
        bound = tolerance(a, b, "float32")
        assert (np.abs(ours - a.astype(np.float64) @ b) <= bound).all(), name


def test_tf32_is_not_as_accurate(tensor_cores: Backend) -> None:
    """Its bound is reached where all factors lie just below the middle between two of TF32."""
    a, b = (
        np.full((33, 64), 1 + 2**-11 - 2**-23, "f4"),
        np.full((64, 31), -1 - 2**-11 + 2**-23, "f4"),
    )
    errors = {matmul: relative(product(tensor_cores, a, b, matmul), a, b) for matmul in TOLERANCES}
    magnitudes = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    for matmul, tolerance in TOLERANCES.items():
        assert (errors[matmul] * magnitudes <= tolerance(a, b, "float32")).all(), matmul
    assert errors["tf32"].min() > 0.99 * 2**-10
    assert errors["3xtf32"].max() < 1e-3 * errors["tf32"].min()


@on_tensor_cores
def test_what_is_not_finite_stays_in_its_row(tensor_cores: Backend, matmul: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((20, 40), "f4"), rng.random((40, 10), "f4")
    a[3, 7], a[5, 0], a[19, 39] = np.nan, np.inf, -np.inf
    a[8, 8], a[9, 33] = np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)  # a GPU's
    finite = np.isfinite(product(tensor_cores, a, b, matmul))
    rows = np.isfinite(a).all(axis=1, keepdims=True)
    np.testing.assert_array_equal(finite, np.broadcast_to(rows, finite.shape))


@on_tensor_cores
def test_two_runs_give_the_same_bits(tensor_cores: Backend, matmul: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((130, 70), "f4"), rng.random((70, 129), "f4")
    first, again = (product(tensor_cores, a, b, matmul, 128) for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_short_sums_are_float32s(tensor_cores: Backend) -> None:
    rng = np.random.default_rng(0)
    for depth, same in ((SHORT_SUM - 1, True), (SHORT_SUM, False)):
        a, b = rng.random((40, depth), "f4"), rng.random((depth, 40), "f4")
        c = [product(tensor_cores, a, b, matmul).tobytes() for matmul in ("3xtf32", "fp32")]
        assert (c[0] == c[1]) is same


# ---- the option

X = np.random.default_rng(0).random((128, 41))


def make(**options: Any) -> Autoencoder:
    """A net all of whose sums have at least 32 terms."""
    settings = {"hidden": (37,), "code": 33, "activation": "tanh", "batch_size": 32, "epochs": 3,
                "learning_rate": 0.01, "random_state": 1}  # fmt: skip
    return Autoencoder(**{**settings, **options})


def test_training_follows_numpys(tensor_cores: Backend) -> None:
    """3xTF32 within the tolerance of float32 kernels; TF32 is further off by far."""
    curves = {}
    for name, matmul in (
        ("numpy", "fp32"),
        (tensor_cores.name, "3xtf32"),
        (tensor_cores.name, "tf32"),
    ):
        model = make(backend=name, matmul=matmul)
        curves[matmul] = np.array(
            [model.partial_fit(X[32 * (i % 4) : 32 * (i % 4) + 32]).loss_ for i in range(20)]
        )
    assert curves["fp32"][-1] < 0.9 * curves["fp32"][0]
    off = {matmul: np.abs(curves[matmul] / curves["fp32"] - 1).max() for matmul in curves}
    assert off["3xtf32"] <= TOLERANCE * eps("float32")
    assert 100 * off["3xtf32"] < off["tf32"] < 2**-8


def test_a_model_moves_to_where_there_are_no_tensor_cores(
    tensor_cores: Backend, tmp_path: Path
) -> None:
    model = make(backend=tensor_cores.name, matmul="3xtf32").fit(X)
    model.save(tmp_path / "m.npz")
    there = Autoencoder.load(tmp_path / "m.npz", backend="numpy")
    np.testing.assert_allclose(there.encode(X), model.encode(X), rtol=1e-4, atol=1e-5)
    again = Autoencoder.load(tmp_path / "m.npz", backend=tensor_cores.name, matmul="3xtf32")
    assert again.encode(X).tobytes() == model.encode(X).tobytes()


def test_what_has_no_tensor_cores_refuses() -> None:
    for name in ("numpy", "numba-cuda"):
        with pytest.raises(
            ValueError, match=f"matmul='3xtf32' is for .*'cupy', and this is '{name}"
        ):
            get_backend(name, "3xtf32")
    with pytest.raises(ValueError, match="matmul='tf32' is for tensor cores.* use matmul='fp32'"):
        make(backend="numpy", matmul="tf32").fit(X)
    with pytest.raises(ValueError, match="matmul must be one of .*'3xtf32'.*, got 'bf16'"):
        get_backend("cuda-host", "bf16")
    with pytest.raises(ValueError, match="^matmul must be .*3xtf32.*'bf16'"):
        make(matmul="bf16").fit(X)
    with pytest.raises(
        ValueError, match="matmul='3xtf32' multiplies float32 and got dtype='float64'"
    ):
        make(backend="cuda-host", matmul="3xtf32", dtype="float64").fit(X)


@on_tensor_cores
def test_float64_is_refused(tensor_cores: Backend, matmul: str) -> None:
    backend = get_backend(tensor_cores.name, matmul)
    x, w, b = (tensor_cores.to_device(np.ones(s)) for s in ((2, 40), (40, 3), (3,)))
    y = tensor_cores.to_device(np.ones((2, 3)))
    with pytest.raises(TypeError, match=f"^x must have dtype float32 with matmul='{matmul}'"):
        backend.dense_forward(x, w, b, "relu", y, None)
    with pytest.raises(TypeError, match="^dz must have dtype float32"):
        backend.dense_backward_input(y, w, "relu", x, x)
    with pytest.raises(TypeError, match="^x must have dtype float32"):
        backend.dense_backward_weights(x, y, w, b)


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    net = ["--hidden", "", "--code", "3", "--epochs", "1"]
    train = ["train", "--data", "x.npy", *net, "--out", "r"]
    assert main([*train, "--matmul", "tf32", "--backend", "numpy"]) == 2
    assert "matmul='tf32' is for tensor cores" in capsys.readouterr().err
    assert main([*train, "--matmul", "tf32", "--backend", "cuda-host"]) == 0
    assert '"matmul": "tf32"' in Path("r/config.json").read_text()
    assert main(["train", "--resume", "r", "--matmul", "fp32"]) == 2
    assert main(["evaluate", "r", "--backend", "numpy"]) == 0
