"""The table of a run as text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks.reports import rows, table
from tests.benchmarks.made_results import with_tf32


def line_of(text: str, *words: str) -> list[str]:
    """The words of the one line that starts with these."""
    lines = [line.split() for line in text.splitlines()]
    (found,) = [line for line in lines if line[: len(words)] == list(words)]
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (1.2345, "1.23"), (9.999, "10.0"), (123.4, "123"), (12345, "12345"),
     (0, "0"), (float("nan"), "nan")],
)  # fmt: skip
def test_significant(value: float, text: str) -> None:
    assert rows.significant(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.50 s"), (1e-3, "1.00 ms"), (4.2e-5, "42.0 us"), (3e-8, "30.0 ns"), (0.0, "0 ns")],
)
def test_time_text(seconds: float, text: str) -> None:
    assert rows.time_text(seconds) == text


def test_numbers_stand_in_their_cells(results: dict[str, Any]) -> None:
    text = table.render(results)
    # 2 * 512^3 flops at 40, 80, 64 and 50 GFLOP/s; blas is the best rival; ceiling 100 GFLOP/s
    assert line_of(text, "dense_forward", "512x512x512") == [
        "dense_forward", "512x512x512", "ms", "GFLOP/s",
        "6.71", "2.0", "40.0", "40", "0.62",
        "3.36", "2.0", "80.0", "80", "1.25",
        "4.19", "2.0", "64.0", "64",
        "5.37", "2.0", "50.0", "50",
    ]  # fmt: skip
    # memory-bound: GB/s, and blas has no such row
    assert line_of(text, "adam", "2841784") == [
        "adam", "2841784", "ms", "GB/s",
        "20.0", "2.0", "4.00", "20", "0.50",
        "5.00", "2.0", "16.0", "80", "2.00",
        "10.0", "2.0", "8.00", "40",
    ]  # fmt: skip
    # numba alone: no ratio
    assert line_of(text, "random_bits")[-5:] == ["1.00", "2.0", "4.00", "20", "-"]


def test_columns_stand_under_their_contestants(results: dict[str, Any]) -> None:
    lines = table.render(results).splitlines()
    at = lines.index("Kernels (CPU)")
    names, adam = lines[at + 2], next(line for line in lines if line.startswith("adam "))
    cells = {cell[1]: adam[cell.start() : cell.end()]
             for cell in re.finditer(r"-+((?:\w|\b-\b)+)-+", names)}  # fmt: skip
    for name, rate in (("numpy", "4.00"), ("numba", "16.0"), ("torch-eager", "8.00")):
        assert rate in cells[name]
    assert cells["blas"].strip() == ""


def test_failures_and_absences_are_listed(results: dict[str, Any]) -> None:
    text = table.render(results)
    assert line_of(text, "huber") == ["huber", "512x784", "error"]
    reason = "numba: huber, 512x784: dx is off by 1.2e-1, at most 3e-5 is allowed"
    assert reason in text.partition("Without a time:")[2]
    absent = text.partition("Absent:")[2]
    assert "jax: jax is not installed" in absent and "cupy: cupy is not installed" in absent
    assert "numba:" not in absent


def test_how_the_figures_were_made(results: dict[str, Any]) -> None:
    results["rows"][0]["spread"] = 0.5
    head = table.render(results | {"interrupted": "by Ctrl-C"}).partition("\n\n")[0]
    for part in (
        "2026-11-25", "tinyae bench --out DIR", "Test CPU, 2 cores", "torch 2.13.0",
        "numba (2 threads)", "float32 100 GFLOP/s, 20.0 GB/s (GEMM 4096)",
        "median of 10 to 20 rounds, two passes", "interrupted:  by Ctrl-C",
        "2.0 % between the passes in the median, more than 10 % in 1 of",
    ):  # fmt: skip
        assert part in head
    assert "jax" not in head
    text = table.render(results | {"rows": [], "ceilings": {}})
    assert "nothing was timed" in text and "Kernels" not in text


def test_tf32_is_no_rival_of_float32(results: dict[str, Any]) -> None:
    """Beside cupy stands the fastest that multiplies in float32, beside cupy-tf32 any."""
    text = table.render(with_tf32(results))
    cells = line_of(text, "dense_forward", "512x512x512")
    assert cells[13] == "1.25"  # cupy: blas at 64 against its 80
    assert cells[-9:-4] == ["1678", "2.0", "160", "160", "0.50"]
    assert "  dense_forward, 512x512x512: cupy-tf32 0.00015, cublas-tf32 0.00015" in text
    assert "tf32 400 GFLOP/s" in text
