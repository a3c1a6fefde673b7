"""The counts of the main kernels are those that are committed, and those that an H200 counted."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from benchmarks.gpu import ptx_counts
from tinyae.kernels.cuda_ptx import nvrtc

try:
    VERSION = nvrtc.compiler().version
except nvrtc.NvrtcMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)

COMMITTED = json.loads(ptx_counts.RESULTS.read_text())


def of_kernel(rows: Any, kernel: str, problem: str = "") -> dict[str, Any]:
    return next(r for r in rows if r["kernel"] == kernel and r["problem"].startswith(problem))


def as_committed(*parts: str) -> list[str]:
    """What differs in these parts."""
    if VERSION != COMMITTED["nvrtc"]:
        pytest.skip(f"the counts are of NVRTC {COMMITTED['nvrtc']}, this is {VERSION}")
    rows = [r for part in parts for r in getattr(ptx_counts, part)()]
    names = {(r["kernel"], r["problem"]) for r in rows}
    kept = [r for r in COMMITTED["rows"] if (r["kernel"], r["problem"]) in names]
    return ptx_counts.differences({"rows": kept}, {"rows": rows})


def test_elementwise_kernels_are_as_committed() -> None:
    changes = as_committed("others")
    assert not changes, f"look, then accept with '{ptx_counts.COMMAND} --write': {changes}"


@pytest.mark.slow
def test_products_are_as_committed() -> None:
    changes = as_committed("products", "others")
    assert not changes, f"look, then accept with '{ptx_counts.COMMAND} --write': {changes}"
    assert len(COMMITTED["rows"]) == 24


def test_every_read_of_a_product_fills_its_sectors() -> None:
    for row in COMMITTED["rows"]:
        if row["kernel"].startswith("dense_"):
            for what in ("global read", "global write"):
                t = row["loop"]["traffic"].get(what)
                assert t is None or t["bytes"] == 32 * t["sectors"], (row["kernel"], what)


def test_a_doubled_sector_is_a_difference() -> None:
    changed = copy.deepcopy(COMMITTED)
    of_kernel(changed["rows"], "adam")["traffic"]["global read"]["sectors"] *= 2
    sectors = of_kernel(COMMITTED["rows"], "adam")["traffic"]["global read"]["sectors"]
    assert ptx_counts.differences(COMMITTED, changed) == [
        f"adam adam 32x784 traffic global read sectors: {sectors} -> {2 * sectors}"
    ]


@pytest.mark.parametrize(
    ("kernel", "matmul"),
    [
        *((f"dense_forward_{tile}", "fp32") for tile in ("32x32", "32x64", "64x64", "128x128")),
        ("dense_backward_input_128x128", "fp32"),
        ("dense_forward_128x128", "3xtf32"),
    ],
)
def test_an_h200_counts_as_many_wavefronts(kernel: str, matmul: str) -> None:
    """Nsight Compute's of all loads of shared memory in a product at 4096^3: within 1 in 1000,
    for what is read while a copy is under way has to wait now and then."""
    visit = ptx_counts.RESULTS.with_name("gpu-h200.jsonl").read_text().splitlines()
    (measured,) = (
        r["shared_load_wavefronts"] for r in map(json.loads, visit)
        if (r["part"], r.get("kernel"), r.get("matmul")) == ("counters", kernel, matmul)
    )  # fmt: skip
    row, (_, whole) = of_kernel(COMMITTED["rows"], kernel, matmul), ptx_counts.TERMS
    loop = row["loop"]["traffic"]["shared read"]["wavefronts"] / (whole - ptx_counts.TERMS[0])
    rest = row["traffic"]["shared read"]["wavefronts"] - whole * loop
    rows, columns = map(int, kernel.rpartition("_")[2].split("x"))
    counted = (4096 // rows) * (4096 // columns) * (4096 * loop + rest)
    assert counted == pytest.approx(measured, rel=1e-3)


def test_blocks_of_a_multiprocessor() -> None:
    """126 registers a thread are 128: 2 blocks of 256 threads have all of 65,536."""
    found = ptx_counts.residency("dense_forward_128x128")
    assert found == {"registers": 126, "shared": 33792, "blocks": 2}
    with pytest.raises(KeyError, match=r"cuda-resources\.txt has no kernel dense: python"):
        ptx_counts.residency("dense")
