"""What is counted of a launch, on kernels small enough to count by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda_ptx.test_runner import PtxRunner  # skips where there is no NVRTC
from tinyae.kernels.cuda import source
from tinyae.kernels.cuda_ptx.counts import Counts, sectors, wavefronts


def counts_of(sources: Path, body: str) -> Counts:
    """Of two blocks of 64 threads, so of four warps; i is the number of the thread."""
    (sources / "counted.cu").write_text(
        "template <int N> struct alignas(4 * N) Vector { float at[N]; };\n"
        'extern "C" __global__ void counted(const float *x, float *y, int n) {\n'
        f"int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;\n{body}\n}}\n"
    )
    source.read_source.cache_clear()
    runner, x, y = PtxRunner(), np.ones(8192, np.float32), np.zeros(8192, np.float32)
    runner.counts = {}
    args = (x, y, np.int32(1))
    runner.launch("counted.cu", "counted", "float32", (2, 1, 1), (64, 1, 1), args)
    return runner.counts["counted"]


@pytest.mark.parametrize(
    ("source", "to", "read", "written"),
    [
        ("x[i]", "i", 16, 16),  # 128 bytes of a warp: 4 sectors
        ("x[i + 1]", "i", 20, 16),  # one sector more, of which a number is read
        ("x[i + 8]", "i", 16, 16),
        ("x[2 * i]", "i", 32, 16),  # half of each sector is not asked for
        ("x[8 * i]", "8 * i", 128, 128),  # a sector for each number
        ("x[i / 32]", "i ^ 31", 4, 16),  # the same number for all, and backwards
        ("(i % 2 ? x[i] : 0)", "i", 16, 16),
        ("x[i % 8 * 64 + i / 8]", "i", 32, 16),  # 8 rows of 4 numbers
    ],
)
def test_sectors_of_global_memory(
    sources: Path, source: str, to: str, read: int, written: int
) -> None:
    traffic = counts_of(sources, f"y[{to}] = {source};").traffic
    asked = {"x[i / 32]": 4, "(i % 2 ? x[i] : 0)": 64}.get(source, 128)
    assert traffic["global read"] == {"requests": 4, "bytes": 4 * asked, "sectors": read}
    assert traffic["global write"] == {"requests": 4, "bytes": 512, "sectors": written}


def test_sectors_of_vectors(sources: Path) -> None:
    body = "((Vector<4> *)y)[i] = ((const Vector<4> *)x)[i];"
    traffic = counts_of(sources, body).traffic
    assert traffic["global read"] == {"requests": 4, "bytes": 2048, "sectors": 64}
    assert traffic["global write"] == {"requests": 4, "bytes": 2048, "sectors": 64}


@pytest.mark.parametrize(
    ("numbers", "at", "read", "written"),
    [
        (1, "t % 32", 1, 1),
        (1, "t % 32 + 1", 1, 1),
        (1, "t % 32 * 2", 2, 2),  # a conflict of two
        (1, "t % 32 * 3", 1, 1),
        (1, "t % 32 * 16", 16, 16),
        (1, "t % 32 * 32", 32, 32),  # all in one bank
        (1, "t % 32 * 33", 1, 1),
        (1, "5", 1, 1),  # one word for all
        (1, "t % 4 * 32", 4, 4),
        (2, "t % 32", 2, 2),  # 256 bytes; a turn moves 128
        (2, "t % 32 * 2", 4, 4),
        (2, "t % 32 / 2", 1, 2),  # n and n ^ 1 read the same
        (4, "t % 32", 4, 4),
        (4, "t % 32 * 2", 8, 8),
        (4, "t % 32 / 2", 2, 4),
        (4, "t % 32 / 4 * 2 + t % 2", 2, 4),  # n and n ^ 2
        (4, "t % 16", 4, 4),  # n and n ^ 16: nothing is shared
        (4, "t % 32 / 8", 2, 4),
    ],
)
def test_wavefronts_of_shared_memory(numbers: int, at: str, read: int, written: int) -> None:
    addresses = np.broadcast_to(eval(at.replace("/", "//"), {"t": np.arange(32)}), (1, 32))
    size = 4 * numbers
    assert wavefronts(size * addresses, size, read=True) == [read]
    assert wavefronts(size * addresses, size, read=False) == [written]


@pytest.mark.parametrize(("step", "turns"), [(1, 1), (2, 2), (32, 32), (33, 1)])
def test_conflicts_of_a_kernel(sources: Path, step: int, turns: int) -> None:
    at = f"t % 32 * {step}"
    traffic = counts_of(
        sources, f"volatile __shared__ float s[1056]; s[{at}] = i; y[i] = s[{at}];"
    ).traffic
    for what in ("shared write", "shared read"):
        assert traffic[what] == {"requests": 4, "bytes": 512, "wavefronts": 4 * turns}


def test_lanes_that_do_not_take_part() -> None:
    """A quarter of a warp, and every other lane; -1 stands for none."""
    t = np.arange(32)
    some = np.stack([np.where(t < 8, 16 * t, -1), np.where(t % 2, -1, 16 * t)])
    assert wavefronts(some, 16, read=True).tolist() == [1, 4]
    # 16 different vectors for two halves, that of n ^ 1 not asked for: together 8, one turn
    assert wavefronts(np.where(t % 2, -1, 16 * (t // 2))[None], 16, read=True) == [2]
    assert sectors(np.where(t % 4, -1, 4 * t)[None]) == [4]


def test_instructions_are_counted_by_warp(sources: Path) -> None:
    """A warp goes through a loop as often as that of its threads that stays longest."""
    loop = "#pragma unroll 1\nfor (int k = 0; k < t; k++) v = __fmaf_rn(v, v, x[k]);"
    counts = counts_of(sources, f"float v = n;\n{loop}\ny[i] = v;")
    assert counts.instructions["fma.f32"] == 2 * (31 + 63)
    assert counts.traffic["global read"]["requests"] == 2 * (31 + 63)
    one = counts_of(sources, "float v = x[i]; v = __fmaf_rn(v, v, v); y[i] = v * v;").instructions
    assert (one["fma.f32"], one["float"], one["memory"]) == (4, 4, 4 * 4)  # two parameters, too
    assert counts.share() == 2 * (31 + 63) / counts.instructions.total()


def test_atomics_and_copies(sources: Path) -> None:
    body: Any = (
        "__shared__ float s[64]; atomicAdd(y + i / 2, 1.0f);\n"
        'asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\\ncp.async.wait_all;" ::\n'
        '"r"((unsigned)__cvta_generic_to_shared(s + t % 32 * 2 + t / 32)), "l"(x + i));'
    )
    traffic = counts_of(sources, body).traffic
    assert traffic["global atomic"] == {"requests": 4, "bytes": 256, "sectors": 8}
    assert traffic["global read"] == {"requests": 4, "bytes": 512, "sectors": 16}
    assert traffic["shared copy"] == {"requests": 4, "bytes": 512, "wavefronts": 8}
