"""Blocks that wait for each other, in both programs that execute CUDA C on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.kernels.conftest import need_compiler
from tinyae.kernels.cuda.source import path_of
from tinyae.kernels.cuda_host.host import HostRunner
from tinyae.kernels.cuda_ptx.nvrtc import NvrtcMissing
from tinyae.kernels.cuda_ptx.runner import PtxRunner
from tinyae.kernels.recording import Recording

BARRIER = path_of("grid_barrier.cuh").read_text()
BARRIERS = 5
# Each block adds up what all blocks wrote in the round before. Its threads write in shared memory,
# which is its own; some blocks come late.
ROUNDS = """\
#include "grid_barrier.cuh"
extern "C" __global__ void rounds(REAL *x, unsigned *arrived) {
    __shared__ REAL own[64];
    GridBarrier all(arrived, ROUNDS);
    own[threadIdx.x] = 1;
    __syncthreads();
    for (int i = 0; i < ROUNDS; i++) {
        for (unsigned late = 0; late < blockIdx.x * i; late++) __syncthreads();
        if (threadIdx.x == 63) x[i % 2 * gridDim.x + blockIdx.x] = own[1] + blockIdx.x;
        all.wait();
        own[threadIdx.x] = 0;
        for (unsigned b = 0; b < gridDim.x; b++) own[threadIdx.x] += x[i % 2 * gridDim.x + b];
        __syncthreads();
    }
    all.leave();
}
"""


@pytest.fixture(params=("cuda-host", "cuda-ptx", "cuda-ptx, reverse"))
def runner(request: pytest.FixtureRequest) -> Recording:
    if request.param == "cuda-host":
        need_compiler()
        return HostRunner()
    try:
        return PtxRunner(75, "reverse" if "reverse" in request.param else None)
    except NvrtcMissing as missing:
        pytest.skip(str(missing))


def rounds(
    sources: Path, runner: Recording, blocks: int, change: tuple[str, str] = ("", "")
) -> bool:
    """Launches the kernel three times, with a change to the barrier; are the results right?"""
    (sources / "rounds.cu").write_text(ROUNDS.replace("ROUNDS", str(BARRIERS)))
    assert change[0] in BARRIER
    (sources / "grid_barrier.cuh").write_text(BARRIER.replace(*change))
    arrived, right = np.zeros(1, np.uint32), True
    for _ in range(3):
        x = np.full(2 * blocks, np.nan, np.float32)
        runner.launch(
            "rounds.cu", "rounds", "float32", (blocks, 1, 1), (64, 1, 1), (x, arrived), True
        )
        each = np.ones(blocks)
        for _ in range(BARRIERS - 1):
            each = np.full(blocks, (each + np.arange(blocks)).sum())
        last = x.reshape(2, blocks)[(BARRIERS - 1) % 2]
        right &= (last == each + np.arange(blocks)).all() and arrived[0] == 0
    return bool(right)


@pytest.mark.parametrize("blocks", (1, 2, 7))
def test_blocks_wait_for_each_other(sources: Path, runner: Recording, blocks: int) -> None:
    assert rounds(sources, runner, blocks)


@pytest.mark.parametrize(
    "change",
    [
        ("while (load_acquire(arrived) < goal)", "if (0)"),
        ("        }\n        __syncthreads();", "        }"),
        ("goal += gridDim.x", "goal += gridDim.x - 1"),
    ],
    ids=("nobody waits", "one thread waits", "not for all blocks"),
)
def test_a_barrier_that_is_wrong_is_found(
    sources: Path, runner: Recording, change: tuple[str, str]
) -> None:
    assert not rounds(sources, runner, 4, change)


def test_a_block_that_does_not_come_is_an_error(sources: Path, runner: Recording) -> None:
    """As after a return before the barrier."""
    change = ("            arrive();\n", "            if (blockIdx.x != 2) arrive();\n")
    with pytest.raises(RuntimeError, match="rounds.*waits for another"):
        rounds(sources, runner, 4, change)


def test_blocks_must_be_there_at_once(sources: Path) -> None:
    """cuda-host runs one after the other where the launch is not cooperative, as a GPU may."""
    need_compiler()
    runner = HostRunner()
    rounds(sources, runner, 2)
    with pytest.raises(RuntimeError, match="the launch is not cooperative"):
        args = (np.zeros(4, np.float32), np.zeros(1, np.uint32))
        runner.launch("rounds.cu", "rounds", "float32", (2, 1, 1), (64, 1, 1), args)
    with pytest.raises(RuntimeError, match="must have 1024 threads in all, at most"):
        rounds(sources, runner, 17)
