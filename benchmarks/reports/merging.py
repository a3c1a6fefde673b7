"""The passes of all contestants made into one table: rows, ceilings, shares of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
KEY = ("suite", "op", "case", "net", "batch", "contestant")
# what stands in results.json for a row, beside what follows from it
KEPT = ("suite", "op", "case", "size", "net", "batch", "contestant", "device", "dtype", "matmul",
        "flops", "bytes")  # fmt: skip


def merge(found: Sequence[Row]) -> tuple[list[Row], dict[str, Any]]:
    """(rows, ceilings of each device), from one row per contestant, case and pass."""
    together: dict[tuple[Any, ...], list[Row]] = {}
    for row in found:
        together.setdefault(tuple(row[name] for name in KEY), []).append(row)
    merged = [_merged(rows) for rows in together.values()]
    limits = ceilings([row for row in merged if row["suite"] == "ceiling"])
    rows = [row for row in merged if row["suite"] != "ceiling"]
    for row in rows:
        row |= _share(row, limits.get(row["device"]))
    return rows, limits


def _merged(passes: list[Row]) -> Row:
    """Medians of all passes, or none where one of them failed: a wrong result has no time."""
    errors = [row["error"] for row in passes if row["error"]]
    runs = [] if errors else [row["run"] for row in passes]
    medians = [run["median"] for run in runs]
    if passes[0]["suite"] == "compile":  # the later passes find compiled code on disk
        medians = medians[:1]
    seconds = statistics.median(medians) if medians else None
    row = {name: passes[0][name] for name in KEPT}
    rms = [row["rms_error"] for row in passes if row["rms_error"] is not None]
    return row | {
        "runs": runs,
        "median": seconds,
        "spread": (max(medians) - min(medians)) / seconds if seconds else None,
        "gflops": row["flops"] / seconds / 1e9 if seconds and row["flops"] else None,
        "gbs": row["bytes"] / seconds / 1e9 if seconds and row["bytes"] else None,
        "rms_error": max(rms) if rms and not errors else None,
        "error": errors[0] if errors else "",
    }


def ceilings(rows: list[Row]) -> dict[str, Any]:
    """device -> its largest product and largest copy: the best of those who tried."""
    limits: dict[str, Any] = {}
    for device in dict.fromkeys(row["device"] for row in rows):
        timed = [row for row in rows if row["device"] == device and row["runs"]]
        products = [row for row in timed if (row["op"], row["matmul"]) == ("gemm", "fp32")]
        fast = [row for row in timed if (row["op"], row["matmul"]) == ("gemm", "tf32")]
        copies = [row for row in timed if row["op"] == "copy"]
        if products and copies:
            product = max(products, key=lambda row: row["gflops"])
            copy = max(copies, key=lambda row: row["gbs"])
            limits[device] = {
                "gflops": {"float32": product["gflops"]},
                "gbs": copy["gbs"],
                "note": f"largest GEMM {product['case']} by {product['contestant']}, largest copy "
                f"{copy['case']} by {COPIED_BY[copy['contestant']]}",
                "spread": max(product["spread"], copy["spread"]),
            }
            for row in fast:
                limits[device]["gflops"]["tf32"] = row["gflops"]
                limits[device]["note"] += f", in TF32 by {row['contestant']}"
    return limits


# what multiplies so, of the ceiling of products: 3xTF32 takes three of TF32's for one
ROOFS = {"fp32": ("float32", 1), "3xtf32": ("tf32", 3), "tf32": ("tf32", 1)}
COPIED_BY = {"blas": "np.copyto", "numba": "a parallel loop", "cublas": "cupy.copyto"}


def _share(row: Row, limits: dict[str, Any] | None) -> Row:
    """The share of the ceiling that is nearer: what bounds it, and how much of that it reaches.

    More than 1 is possible where data stay in a cache, which is faster than the largest copy.
    """
    if row["median"] is None or limits is None or not (row["flops"] or row["bytes"]):
        return {"share": None, "bound": None}
    roof, products = ROOFS[row["matmul"]]
    if roof not in limits["gflops"]:
        return {"share": None, "bound": None}
    compute = products * (row["gflops"] or 0.0) / limits["gflops"][roof]
    memory = (row["gbs"] or 0.0) / limits["gbs"]
    bound = "compute" if compute > memory else "memory"
    return {"share": max(compute, memory), "bound": bound}
