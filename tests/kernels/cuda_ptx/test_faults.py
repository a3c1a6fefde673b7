"""What a kernel must not do is an error that names kernel, line of PTX, block and thread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda_ptx.test_runner import PtxRunner  # skips where there is no NVRTC
from tinyae.kernels.cuda import source
from tinyae.kernels.cuda_ptx.__main__ import main
from tinyae.kernels.cuda_ptx.parse import PtxError


def launch(sources: Path, body: str, *args: Any, threads: int = 64, blocks: int = 2,
           order: str | int | None = None, limit: int = 10_000) -> None:  # fmt: skip
    """A kernel of this body; it has float *x, int n, and i, the number of the thread."""
    (sources / "planted.cu").write_text(
        'extern "C" __global__ void planted(float *x, int n) {\n'
        f"int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;\n{body}\n}}\n"
    )
    source.read_source.cache_clear()
    runner = PtxRunner(order=order)
    runner.limit = limit
    runner.launch("planted.cu", "planted", "float32", (blocks, 1, 1), (threads, 1, 1), args)


@pytest.mark.parametrize(
    ("body", "what", "where"),
    [
        ("x[i + n] = 1;", "4-byte write of global .* out of bounds",
         "(1, 0, 0), thread (60, 0, 0)"),
        ("x[i] = x[i - n];", "4-byte read of global .* out of bounds",
         "(0, 0, 0), thread (0, 0, 0)"),
        ("if (i == 70) *(float *)((char *)x + 2) = 1;", "4-byte write of global .* misaligned",
         "(1, 0, 0), thread (6, 0, 0)"),
        ("if (i == 3) *(double *)(x + 1) = n;", "8-byte write of global .* misaligned",
         "(0, 0, 0), thread (3, 0, 0)"),
        ("__shared__ float s[64]; if (t != 9) s[t] = n; __syncthreads(); x[i] = s[63 - t];",
         "4-byte read of shared .* where nothing was written", "(0, 0, 0), thread (54, 0, 0)"),
        ("__shared__ float s[64]; s[t + n] = 1; __syncthreads(); x[i] = s[t];",
         "4-byte write of shared .* out of bounds", "(0, 0, 0), thread (60, 0, 0)"),
        ("__shared__ float s[64]; s[t] = n; if (t > 5) __syncthreads(); x[i] = s[63 - t];",
         "the barrier is not reached by all threads", "(0, 0, 0), thread (0, 0, 0)"),
    ],
    ids=("after", "before", "askew", "double", "unwritten", "shared", "barrier"),
)  # fmt: skip
def test_a_wrong_access_is_named(sources: Path, body: str, what: str, where: str) -> None:
    x = np.zeros(128, np.float32)
    place = re.escape(f", block {where}: ")
    with pytest.raises(PtxError, match=rf"^planted, PTX line \d+ \(.*\){place}{what}"):
        launch(sources, body, x, np.int32(4))


def test_the_line_is_that_of_the_ptx(sources: Path) -> None:
    with pytest.raises(PtxError, match="PTX line") as error:
        launch(sources, "x[i + n] = 1;", np.zeros(128, np.float32), np.int32(4))
    line, text = re.search(r"line (\d+) \((.*?)\),", str(error.value)).groups()  # type: ignore[union-attr]
    assert text.startswith("st.global") and int(line) > 10


def test_what_does_not_end_is_an_error(sources: Path) -> None:
    with pytest.raises(PtxError, match="planted does not end: 10,000 instructions"):
        launch(sources, "while (true) x[i] += n;", np.zeros(128, np.float32), np.int32(4))


def test_scratch_memory_is_empty_until_it_is_written(sources: Path) -> None:
    runner = PtxRunner()
    (sources / "twice.cu").write_text(
        'extern "C" __global__ void fill(float *x) { x[threadIdx.x] = 1; }\n'
        'extern "C" __global__ void twice(float *x) { x[threadIdx.x] *= 2; }\n'
    )

    def run(kernel: str, x: Any) -> None:
        runner.launch("twice.cu", kernel, "float32", (1, 1, 1), (32, 1, 1), (x,))

    with pytest.raises(PtxError, match="global memory at 0x.* where nothing was written"):
        run("twice", runner.scratch((32,), "float32"))
    x = runner.scratch((32,), "float32")
    run("fill", x)
    run("twice", x)
    assert (x == 2).all()


SUM = """\
__shared__ float s[64];
s[t] = i;
{barrier}
x[i] = s[63 - t];
"""


@pytest.mark.parametrize("order", ("forward", "reverse", 0))
def test_what_lock_step_hides_another_order_shows(sources: Path, order: str | int) -> None:
    x = np.zeros(128, np.float32)
    launch(sources, SUM.format(barrier="__syncthreads();"), x, np.int32(0), order=order)
    assert (x[:64] == np.arange(63, -1, -1)).all()
    racing = SUM.format(barrier="")
    launch(sources, racing, x, np.int32(0))
    with pytest.raises(PtxError, match="shared memory at .* where nothing was written"):
        launch(sources, racing, x, np.int32(0), order=order)


def test_shuffles_and_atomics(sources: Path) -> None:
    """The sum of a warp by shuffles, added to one number by each of four warps."""
    y = np.zeros(129, np.float32)
    body = (
        "float v = i; for (int k = 16; k; k /= 2) v += __shfl_down_sync(-1, v, k);\n"
        "if (t % 32 == 0) atomicAdd(x + n, v);\n"
        "x[i + 1] = __shfl_xor_sync(-1, (float)t, 1);"
    )
    launch(sources, body, y, np.int32(0))
    assert y[0] == 127 * 64
    assert (y[1:] == np.arange(128) % 64 ^ 1).all()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "saxpy.cu"
    file.write_text(
        'extern "C" __global__ void saxpy(float a, const float *x, float *y, int n) {\n'
        "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
        "    if (i < n) y[i] += a * x[i];\n}\n"
    )
    command = [str(file), "saxpy", "2:float32", "arange:float32:5", "ones:float32:5"]
    assert main([*command, "5:int32", "--block", "4", "--grid", "2"]) == 0
    assert "argument 2: [1. 3. 5. 7. 9.]" in capsys.readouterr().out
    assert main([*command, "6:int32", "--block", "4", "--grid", "2"]) == 1
    said = capsys.readouterr().err
    assert re.match(r"cuda_ptx: saxpy, PTX line \d+ .*block \(1, 0, 0\), thread \(1, 0, 0\)", said)
    assert main([str(file), "daxpy"]) == 1
    assert "no kernel 'daxpy', but saxpy" in capsys.readouterr().err
