"""The tables of benchmarks/README.md that are made from a visit of a GPU (benchmarks/gpu/)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases.cases import GROUPS
from benchmarks.reports.table import markdown

Row = dict[str, Any]
MODES = {
    "eager": "PyTorch, eager",
    "default": "PyTorch, torch.compile",
    "reduce-overhead": "PyTorch, torch.compile with CUDA graphs",
    "whole step captured": "PyTorch, the whole step in one CUDA graph",
}
OPERATIONS = ("copy", "adam", "clip_by_norm", "gather", "loss bce", "relu", "gelu", "relu backward",
              "add_normal", "random_bits")  # fmt: skip


def load(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _of(rows: Sequence[Row], part: str, having: str) -> list[Row]:
    return [row for row in rows if row["part"] == part and having in row]


def steps(rows: Sequence[Row]) -> str:
    """Microseconds of a training step, ours as it is replayed, beside PyTorch's ways."""
    cases: dict[tuple[str, int], dict[str, float]] = {}
    for row in _of(rows, "steps", "fp32"):
        own = {"tinyae, fp32": row["fp32"], "tinyae, 3xtf32": row["3xtf32"]}
        cases[row["net"], row["batch"]] = own
    for row in _of(rows, "torch-steps", "mode"):
        cases[row["net"], row["batch"]][MODES[row["mode"]]] = row["seconds"]
    names = list(next(iter(cases.values())))
    body = [[name, *(f"{of[name] * 1e6:,.0f}" for of in cases.values())] for name in names]
    return markdown(["microseconds", *(f"{net}, B = {batch:,}" for net, batch in cases)], body)


def products(rows: Sequence[Row]) -> str:
    """TFLOP/s of the dense layer's products at 4096^3, the best tile, beside cuBLAS."""
    body = []
    for matmul in ("fp32", "3xtf32", "tf32"):
        found = [row for row in _of(rows, "products", "tflops") if row["matmul"] == matmul]
        body.append([f"tinyae, {matmul}", *(f"{row['tflops']:.1f}" for row in found)])
        if all("cublas" in row for row in found):
            rates = [2 * row["m"] * row["n"] * row["k"] / row["cublas"] / 1e12 for row in found]
            body.append([f"cuBLAS, {matmul}", *(f"{rate:.1f}" for rate in rates)])
    return markdown(["TFLOP/s", *(f"`{kernel}`" for kernel in GROUPS["dense"])], body)


def memory(rows: Sequence[Row]) -> str:
    """TB/s of the other operations, the largest case of each."""
    largest = {row["op"]: row for row in _of(rows, "kernels", "tb_per_second")}  # the last one
    body = [[f"`{op}`", f"{largest[op]['seconds'] * 1e6:,.0f}",
             f"{largest[op]['tb_per_second']:.2f}"] for op in OPERATIONS]  # fmt: skip
    return markdown(["operation", "microseconds", "TB/s"], body)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "gpu-steps": steps,
    "gpu-products": products,
    "gpu-memory": memory,
}
