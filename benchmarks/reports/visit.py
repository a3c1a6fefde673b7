"""The tables that are made from a visit of a GPU (benchmarks/gpu/), and its summary."""

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
    """The rows that count: of a part that was tried again, those of its last try."""
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "begun" in row:
            rows = [other for other in rows if other["part"] != row["part"]]
        rows.append(row)
    return rows


def _of(rows: Sequence[Row], part: str, having: str) -> list[Row]:
    return [row for row in rows if row["part"] == part and having in row]


def steps(rows: Sequence[Row]) -> str:
    """Microseconds of a training step, ours as it is replayed, beside PyTorch's ways."""
    cases: dict[tuple[str, int], dict[str, float]] = {}
    for row in _of(rows, "steps", "fp32"):
        own = {"tinyae, fp32": row["fp32"], "tinyae, 3xtf32": row["3xtf32"]}
        cases[row["net"], row["batch"]] = own
    for row in _of(rows, "torch-steps", "mode"):
        if "seconds" in row:
            cases[row["net"], row["batch"]][MODES[row["mode"]]] = row["seconds"]
    names = dict.fromkeys(name for of in cases.values() for name in of)
    body = [
        [name, *(f"{of[name] * 1e6:,.0f}" if name in of else "-" for of in cases.values())]
        for name in names
    ]
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
    found = [largest[op] for op in OPERATIONS if op in largest]
    body = [
        [f"`{row['op']}`", f"{row['seconds'] * 1e6:,.0f}", f"{row['tb_per_second']:.2f}"]
        for row in found
    ]
    return markdown(["operation", "microseconds", "TB/s"], body)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "gpu-steps": steps,
    "gpu-products": products,
    "gpu-memory": memory,
}


def summary(rows: Sequence[Row]) -> str:
    """What a visit found: how each part ended, what is absent or wrong, the tables."""
    about = next(row for row in rows if row["part"] == "machine")
    lines = [f"# {about['machine']['gpu'] or 'a rehearsal without a GPU'}, {about['date']}, "
             f"commit {about.get('commit')}", ""]  # fmt: skip
    ended = {row["part"]: row for row in rows if "ended" in row}
    body = []
    for part, end in ended.items():
        own = [row for row in rows if row["part"] == part]
        said = [row["absent"] for row in own if "absent" in row]
        said += [f"{row['passed']} tests passed" for row in own if "passed" in row]
        wrong = sum("error" in row or "wrong" in row or row.get("clean") is False for row in own)
        said += [f"{wrong} rows with a fault"] if wrong else []
        state = "done" if end["done"] else str(end["ended"])
        body.append([part, state, f"{end['seconds']:.0f}", ", ".join(said)])
    lines.append(markdown(["part", "ended", "seconds", "what it says"], body))
    for part, make in (("steps", steps), ("products", products), ("kernels", memory)):
        if ended.get(part, {}).get("done") and about["machine"]["gpu"]:
            lines += ["", f"## {part}", "", make(rows)]
    return "\n".join(lines) + "\n"
