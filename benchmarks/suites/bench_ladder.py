"""The matrix product one idea at a time: each rung checked against float64, then timed."""

from __future__ import annotations

from benchmarks.suites.bench_kernels import test_kernel as test_rung

__all__ = ["test_rung"]
SUITE = "ladder"
