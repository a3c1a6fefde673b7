"""The passes of all contestants in one table."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from benchmarks.reports import merging


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
    (merged,), ceilings = merging.merge([first, second])
    assert ceilings == {} and merged["share"] is None and merged["gflops"] == pytest.approx(10)


def test_tensor_cores_have_a_roof_of_their_own() -> None:
    """3xTF32 multiplies three times for one product: a third of TF32's roof is all of it."""
    on_gpu = partial(row, device="gpu")
    gemm = partial(on_gpu, suite="ceiling", op="gemm")
    ceiling = [
        gemm(0.02, contestant="cublas"),  # 50 GFLOP/s
        gemm(0.0025, contestant="cublas-tf32", matmul="tf32"),  # 400
        on_gpu(0.001, suite="ceiling", op="copy", contestant="cublas"),
    ]
    own = [on_gpu(0.01, matmul=matmul, contestant=matmul, rms_error=error)  # 100
           for matmul, error in (("fp32", 1e-8), ("3xtf32", 2e-8), ("tf32", 1e-4))]  # fmt: skip
    rows, limits = merging.merge([*ceiling, *own])
    assert limits["gpu"]["gflops"] == pytest.approx({"float32": 50, "tf32": 400})
    assert "in TF32 by cublas-tf32" in limits["gpu"]["note"]
    assert [r["share"] for r in rows] == pytest.approx([2, 0.75, 0.25])
    assert [r["rms_error"] for r in rows] == [1e-8, 2e-8, 1e-4]
    rows, _ = merging.merge([ceiling[0], ceiling[2], *own])
    assert [r["share"] for r in rows] == [pytest.approx(2), None, None]
    (failed,), _ = merging.merge([own[1], on_gpu(None, contestant="3xtf32")])
    assert failed["rms_error"] is None


def test_one_wrong_result_is_enough_for_no_time() -> None:
    (merged,), _ = merging.merge([row(0.1), row(None)])
    assert merged["runs"] == [] and merged["error"] == "wrong result: y"
    assert merged["median"] is merged["spread"] is merged["gflops"] is merged["share"] is None
