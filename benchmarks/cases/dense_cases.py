"""The dense layer's products, on squares and on the nets' shapes; the ladder of products.

Where the check of a whole product would take longer than timing it, rows are drawn at random, and
all of their columns are checked.

A check gives the product's error against float64: the root mean square of |c - c64| / (|a| |b|),
where the activation has not made it zero.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import counts, nets
from benchmarks.cases.cases import DTYPE, Arguments, Case, Options, batches, quick_nets
from tests import reference
from tests.reference import PRODUCT_TOLERANCES, assert_within, eps, poisoned
from tinyae.kernels.cuda.dense import SHORT_SUM

EPS = eps(DTYPE)

SIZES = (128, 256, 512, 1024, 2048, 4096)
GPU_SIZES = (8192,)
QUICK_SIZES = (128, 512)
GPU_LADDER = (1024, 4096)
LADDER = (512, *GPU_LADDER)
ROWS_CHECKED = 512


def dense(options: Options) -> list[Case]:
    cases = []
    sizes = options.sizes or (QUICK_SIZES if options.quick else (*SIZES, *GPU_SIZES))
    for n in sizes:
        most = "gpu" if n in GPU_SIZES and not options.sizes else "cpu"
        cases += layer_cases(n, n, n, "identity", "identity", size=n, most=most)
    if options.squares_alone:
        return cases
    for net in quick_nets(options):
        seen = set()
        below = "identity"
        for (n_in, n_out), name in zip(nets.layers(net), nets.activations(net), strict=True):
            if (n_in, n_out) not in seen and not (options.quick and len(seen) == 2):
                seen.add((n_in, n_out))
                for batch in batches(options, (128,)):
                    cases += layer_cases(batch, n_in, n_out, name, below, net=net, batch=batch)
            below = name
    return cases


def layer_cases(
    m: int, n_in: int, n_out: int, activation: str, below: str, most: str = "cpu", **about: Any
) -> list[Case]:
    """``below``: the activation of the layer below, whose slope the gradient of x takes."""
    shape = f"{m}x{n_in}x{n_out}"

    def data(rng: np.random.Generator) -> tuple[Any, ...]:
        x, w, dz = (
            rng.standard_normal(s, np.float32) for s in ((m, n_in), (n_in, n_out), (m, n_out))
        )
        return x, w, dz

    def forward(rng: np.random.Generator) -> Arguments:
        x, w, _ = data(rng)
        return {"x": x, "w": w, "b": rng.standard_normal(n_out, np.float32),
                "activation": activation, "y": poisoned((m, n_out), DTYPE),
                "pre": None}  # fmt: skip

    def backward_input(rng: np.random.Generator) -> Arguments:
        x, w, dz = data(rng)
        saved = reference.saved_for_backward(below, x, DTYPE)
        return {"dz": dz, "w": w, "activation": below, "saved": saved,
                "dx": poisoned((m, n_in), DTYPE)}  # fmt: skip

    def backward_weights(rng: np.random.Generator) -> Arguments:
        x, _, dz = data(rng)
        return {"x": x, "dz": dz, "dw": poisoned((n_in, n_out), DTYPE),
                "db": poisoned((n_out,), DTYPE)}  # fmt: skip

    return [
        Case("kernel", op, shape, getattr(counts, op)(m, n_in, n_out), most=most, make=make,
             outputs=outputs, check=check, multiplies=True, **about)
        for op, make, outputs, check in (
            ("dense_forward", forward, ("y",), check_forward),
            ("dense_backward_input", backward_input, ("dx",), check_backward_input),
            ("dense_backward_weights", backward_weights, ("dw", "db"), check_backward_weights),
        )
    ]  # fmt: skip


def _rows(n: int, columns: int) -> Any:
    """All rows of a result, or if they are many some of them: the first, the last, random ones."""
    if n * columns <= 2048**2:
        return slice(None)
    drawn = np.random.default_rng(3).choice(n, min(n, ROWS_CHECKED), replace=False)
    return np.unique([0, n - 1, *drawn])


def _product(a: Any, b: Any, matmul: str) -> tuple[Any, Any, float]:
    """(a @ b in float64, the sums of its terms' magnitudes, what part of these it may be off)."""
    depth = a.shape[1]
    if matmul == "3xtf32" and depth < SHORT_SUM:  # in float32
        matmul = "fp32"
    a, b = a.astype(np.float64), b.astype(np.float64)
    # every bound is a multiple of the magnitudes: a product of ones tells which
    ones = np.ones((1, depth))
    part = PRODUCT_TOLERANCES[matmul](ones, ones.T, DTYPE).item() / depth
    return a @ b, np.abs(a) @ np.abs(b), part


def _error(actual: Any, expected: Any, magnitudes: Any, counts: Any = True) -> float:
    """Root mean square, in parts of the magnitudes, of the elements that count."""
    parts = (actual.astype(np.float64) - expected) / magnitudes
    return float(np.sqrt(np.mean(np.square(parts), where=counts)))


def check_forward(given: Arguments, result: Arguments, matmul: str = "fp32") -> float:
    x, w, b, name, y = given["x"], given["w"], given["b"], given["activation"], result["y"]
    rows = _rows(*y.shape)
    z, magnitudes, part = _product(x[rows], w, matmul)
    z += b
    slack = part * magnitudes + (x.shape[1] + 1) * EPS * np.abs(b)
    tolerance = reference.STEEPEST * slack
    tolerance += reference.activation_tolerance(name, np.abs(z) + slack, DTYPE)
    expected = reference.activation(name, z)
    assert_within(y[rows], expected, tolerance, "y")
    slope = reference.derivative(name, z)
    return _error(y[rows], expected, magnitudes + np.abs(b), slope != 0)


def check_backward_input(given: Arguments, result: Arguments, matmul: str = "fp32") -> float:
    """``saved`` is relu's output or the identity's: the slope is exact."""
    dz, w, dx = given["dz"], given["w"], result["dx"]
    rows = _rows(*dx.shape)
    dy, magnitudes, part = _product(dz[rows], w.T, matmul)
    slope = reference.derivative(given["activation"], given["saved"][rows])
    assert_within(dx[rows], dy * slope, part * magnitudes + EPS * np.abs(dy), "dx")
    return _error(dx[rows], dy * slope, magnitudes, slope != 0)


def check_backward_weights(given: Arguments, result: Arguments, matmul: str = "fp32") -> float:
    x, dz, dw = given["x"], given["dz"], result["dw"]
    rows = _rows(*dw.shape)
    expected, magnitudes, part = _product(np.ascontiguousarray(x.T[rows]), dz, matmul)
    assert_within(dw[rows], expected, part * magnitudes, "dw")
    if "db" in result:
        ones = np.ones((1, len(dz)))
        tolerance = reference.product_tolerance(ones, dz, DTYPE)[0]
        assert_within(result["db"], dz.sum(axis=0, dtype=np.float64), tolerance, "db")
    return _error(dw[rows], expected, magnitudes)


def ladder(options: Options) -> list[Case]:
    """One case per size; which rungs there are is the contestant's to say."""

    def make(n: int, rng: np.random.Generator) -> Arguments:
        a, b = (rng.standard_normal((n, n), np.float32) for _ in range(2))
        return {"a": a, "b": b, "c": poisoned((n, n), DTYPE)}

    sizes = options.sizes or ((256,) if options.quick else LADDER)
    return [
        Case("ladder", "matmul", f"{n}x{n}x{n}", counts.matmul(n, n, n), size=n,
             most="gpu" if n in GPU_LADDER and not options.sizes else "cpu",
             make=partial(make, n), outputs=("c",), check=check_matmul, multiplies=True)
        for n in sizes
    ]  # fmt: skip


def check_matmul(given: Arguments, result: Arguments, matmul: str = "fp32") -> float:
    rows = _rows(*result["c"].shape)
    expected, magnitudes, part = _product(given["a"][rows], given["b"], matmul)
    assert_within(result["c"][rows], expected, part * magnitudes, "c")
    return _error(result["c"][rows], expected, magnitudes)
