"""Results of ``tinyae bench``, made by hand, for the tests of its reports."""

from __future__ import annotations

import copy
from typing import Any

BACKENDS = ("numpy", "numba", "cupy")
RIVALS = ("blas", "torch-eager", "torch-compile", "jax", "sklearn")
ABSENT = ("cupy", "jax")
PEAK, COPY = 100.0, 20.0  # the ceilings, GFLOP/s and GB/s


def row(suite: str, op: str, contestant: str, seconds: float, **facts: Any) -> dict[str, Any]:
    """Two passes, 2 % apart, whose quartiles lie 1 % below and above."""
    runs = [{"median": m, "q1": 0.99 * m, "q3": 1.01 * m, "rounds": n}
            for m, n in ((0.99 * seconds, 10), (1.01 * seconds, 20))]  # fmt: skip
    flops, moved = facts.pop("flops", 0.0), facts.pop("bytes", 0.0)
    gflops = flops / seconds / 1e9 if flops else None
    gbs = moved / seconds / 1e9 if moved else None
    shares = {"compute": (gflops or 0) / PEAK, "memory": (gbs or 0) / COPY}
    bound = max(shares, key=lambda name: shares[name])
    return {
        "suite": suite, "op": op, "case": "", "size": None, "net": None, "batch": None,
        "contestant": contestant, "device": "cpu", "dtype": "float32", "flops": flops,
        "bytes": moved, "runs": runs, "median": seconds, "spread": 0.02, "gflops": gflops,
        "gbs": gbs, "share": shares[bound] or None, "bound": bound, "error": "", **facts,
    }  # fmt: skip


def failed(broken: dict[str, Any], why: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("median", "spread", "gflops", "gbs", "share"))
    return broken | nothing | {"runs": [], "error": why}


def made() -> dict[str, Any]:
    """A whole run on a CPU."""
    rows = []
    for size in (256, 512):
        for name, speed in (("numpy", 40), ("numba", 80), ("blas", 64), ("torch-eager", 50)):
            flops = 2.0 * size**3
            of = {"size": size, "case": f"{size}x{size}x{size}", "bytes": 12.0 * size**2}
            seconds = flops / speed / 1e9
            rows.append(row("kernel", "dense_forward", name, seconds, flops=flops, **of))
    for name, speed in (("numpy", 4), ("numba", 16), ("torch-eager", 8)):
        rows.append(row("kernel", "adam", name, 8e7 / speed / 1e9, case="2841784", flops=3.7e7,
                        bytes=8e7))  # fmt: skip
    rows.append(row("kernel", "random_bits", "numba", 1e-3, case="1000000", bytes=4e6))
    wrong = row("kernel", "huber", "numba", 1e-3, case="512x784", flops=1e6, bytes=1e6)
    rows.append(failed(wrong, "dx is off by 1.2e-1, at most 3e-5 is allowed"))
    for rung, name, speed in (("naive", "numba", 1), ("tiles", "numba", 70), ("BLAS", "blas", 90)):
        rows.append(row("ladder", rung, name, 8e8 / speed / 1e9, case="512x784x1000", flops=8e8,
                        bytes=7e6))  # fmt: skip
    for net, scale in (("deep", 1e-4), ("small", 1e-5)):
        for batch in (32, 128):
            of = {"net": net, "batch": batch, "case": f"B={batch}"}
            times = {"numpy": 3, "numba": 1, "torch-eager": 2.5, "torch-compile": 2}
            for name, factor in times.items():
                rows.append(row("step", "step", name, batch * scale * factor, **of))
                epoch = of | {"case": f"4096 samples, B={batch}"}
                rows.append(row("epoch", "epoch", name, 4096 * scale * factor, **epoch))
            for part, share in (("dense_forward", 0.6), ("adam", 0.3)):
                rows.append(row("step", f"step/{part}", "numba", batch * scale * share, **of))
            rows.append(row("step", "step/dense_forward", "blas", batch * scale * 0.7, **of))
            for name, factor in (("numba", 1), ("sklearn", 7)):
                rows.append(row("epoch", "epoch_mse", name, 9e9 * scale * factor, **epoch))
    for n, name, seconds in ((1, "numpy", 2e-5), (1, "torch-eager", 5e-5), (16, "numpy", 1.5e-4)):
        of = {"net": "small", "batch": n, "case": f"{n} rows"}
        rows.append(row("latency", "encode", name, seconds, **of))
    return {
        "date": "2026-11-25T10:00:00+00:00", "command": "tinyae bench --out DIR", "quick": False,
        "machine": {"cpu": "Test CPU", "cores": 2, "clock_mhz": 2600.0, "memory_gib": 15.6,
                    "os": "Linux", "gpu": None},
        "versions": {"tinyae": "1.0", "numpy": "2.4.6", "torch": "2.13.0"},
        "contestants": {
            name: {"kind": "backend" if name in BACKENDS else "rival",
                   "device": "gpu" if name == "cupy" else "cpu",
                   "available": name not in ABSENT,
                   "reason": f"{name} is not installed" * (name in ABSENT),
                   "threads": None if name in ABSENT else 2, "note": ""}
            for name in (*BACKENDS, *RIVALS)
        },
        "ceilings": {"cpu": {"gflops": {"float32": PEAK}, "gbs": COPY, "note": "GEMM 4096"}},
        "rows": rows,
    }  # fmt: skip


def scaled(results: dict[str, Any], factor: float, op: str, contestant: str) -> dict[str, Any]:
    """The results with some rows slower."""
    new = copy.deepcopy(results)
    for each in new["rows"]:
        if (each["op"], each["contestant"]) == (op, contestant) and each["median"]:
            each["median"] *= factor
            for run in each["runs"]:
                run.update({key: run[key] * factor for key in ("median", "q1", "q3")})
    return new


def with_tf32(results: dict[str, Any]) -> dict[str, Any]:
    """The same as if numba were cupy on a GPU, with a fast TF32 rival and a backend that multiplies
    so."""
    new = copy.deepcopy(results)
    for each in new["rows"]:
        each["device"] = "gpu"
        each["contestant"] = each["contestant"].replace("numba", "cupy")
    new["ceilings"] = {"gpu": new["ceilings"]["cpu"]}
    new["machine"]["gpu"] = "Test GPU"
    new["contestants"]["cupy"].update(available=True, reason="", note="TF32 off")
    for name, kind in (("cupy-tf32", "backend"), ("cublas-tf32", "rival")):
        new["contestants"][name] = {
            "kind": kind, "device": "gpu", "matmul": "tf32", "available": True, "reason": "",
            "threads": None, "note": "TF32",
        }  # fmt: skip
        flops = 2.0 * 512**3
        of = {"size": 512, "case": "512x512x512", "bytes": 12.0 * 512**2, "device": "gpu"}
        speed = 320 if kind == "rival" else 160
        new["rows"].append(row("kernel", "dense_forward", name, flops / speed / 1e9, flops=flops,
                               matmul="tf32", rms_error=1.5e-4, **of))  # fmt: skip
    new["ceilings"]["gpu"]["gflops"]["tf32"] = 400.0
    return new


def only(results: dict[str, Any], *suites: str) -> dict[str, Any]:
    return results | {"rows": [each for each in results["rows"] if each["suite"] in suites]}
