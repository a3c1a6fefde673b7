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


def test_an_address_of_32_bits_may_be_below_0_without_its_offset(sources: Path) -> None:
    x = np.zeros(128, np.float32)
    body = """\
__shared__ float s[64];
unsigned below = (unsigned)__cvta_generic_to_shared(s + t) - 4096;
asm volatile("st.shared.f32 [%0 + 4096], %1;" :: "r"(below), "f"((float)i) : "memory");
__syncthreads();
x[i] = s[t];
"""
    launch(sources, body, x, np.int32(0))
    assert (x == np.arange(128)).all()


COPIED = """\
__shared__ float s[64];
asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::
             "r"((unsigned)__cvta_generic_to_shared(s + t)), "l"(x + i));
{wait}asm volatile("cp.async.wait_all;");
x[i] = s[t] + n;
"""


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
        ("__shared__ float s[64]; s[t] = n; if (t > 5) __syncthreads(); x[i] = s[63 - t];\n"
         "__syncthreads(); s[t] = x[i]; __syncthreads(); x[i] += s[63 - t];",
         "the barrier is not reached by all threads", "(0, 0, 0), thread (0, 0, 0)"),
        ("float4 v = *(float4 *)(x + 4 * (t % 4) + (i == 66)); x[i] = v.x + v.y + v.z + v.w;",
         "16-byte read of global .* misaligned", "(1, 0, 0), thread (2, 0, 0)"),
        (COPIED.format(wait="if (t != 9) "),
         "4-byte read of shared .* while an asynchronous copy", "(0, 0, 0), thread (9, 0, 0)"),
    ],
    ids=("after", "before", "askew", "double", "unwritten", "shared", "barrier", "vector", "copy"),
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


def test_what_has_ended_is_not_waited_for(sources: Path) -> None:
    """As from compute capability 7.0 on; and a copy that was waited for is there."""
    x = np.arange(128, dtype=np.float32)
    body = "if (t >= 40) return; __shared__ float s[40]; s[t] = x[i]; __syncthreads();\n"
    launch(sources, body + "x[i] = s[39 - t];", x, np.int32(0))
    assert (x[:64] == [*range(39, -1, -1), *range(40, 64)]).all()
    launch(sources, COPIED.format(wait=""), x, np.int32(1))
    assert (x[:64] == [*range(40, 0, -1), *range(41, 65)]).all()


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


def test_votes_and_leading_zeros(sources: Path) -> None:
    x = np.zeros(128, np.float32)
    body = "int all = __all_sync(-1, t >= 32), some = __any_sync(-1, t == 40);\n"
    vote = "x[i] = __clz(__ballot_sync(-1, t % 32 < n)) + 100 * all + 1000 * some;"
    launch(sources, body + vote, x, np.int32(9))
    assert (x[:64] == [23] * 32 + [1123] * 32).all()


@pytest.mark.parametrize(
    ("at", "length", "right"),
    [(4, 8, 0xABF), (0, 32, 0xABCDEFAB), (28, 8, 0xB00000FF), (40, 8, 0xFF), (4, 0, 0xFF)],
)
def test_inserted_bits(sources: Path, at: int, length: int, right: int) -> None:
    """What goes beyond bit 31 is cut off."""
    x = np.zeros(128, np.float32)
    put = f'asm("bfi.b32 %0, %1, %2, {at}, {length};" : "=r"(v) : "r"(0xABCDEFABu), "r"(0xFFu));'
    launch(sources, f"unsigned v; {put}\nx[i] = v == {right}u;", x, np.int32(0))
    assert (x == 1).all()


@pytest.mark.parametrize(
    ("body", "what"),
    [("x[i] = clock64();", "%clock64 is not known here"),
     ("x[i] = pow((double)x[i], n + .5);", r"st\.param.*'param0' is not known here"),
     ("if (t % 2) x[i] = __shfl_sync(-1, x[i], 1);", "a part of the warp has gone another way")],
    ids=("clock", "call", "parted"),
)  # fmt: skip
def test_what_is_not_known_is_named(sources: Path, body: str, what: str) -> None:
    with pytest.raises(PtxError, match=rf"^planted, PTX line \d+ .*{what}"):
        launch(sources, body, np.zeros(128, np.float32), np.int32(4))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "saxpy.cu"
    (tmp_path / "own.h").write_text("typedef float real;\n")
    file.write_text(
        '#include "own.h"\n'
        'extern "C" __global__ void saxpy(real a, const real *x, real *y, int n) {\n'
        "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
        "    if (i < n) y[i] += a * x[i] + MORE;\n}\n"
    )
    np.save(tmp_path / "x.npy", np.arange(5, dtype=np.float32))
    command = [str(file), "saxpy", "2:float32", str(tmp_path / "x.npy"), "ones:float32:5"]
    how = ["--block", "4", "--grid", "2", "--nvrtc=-DMORE=1", "--ptx", str(tmp_path / "saxpy.ptx")]
    assert main([*command, "5:int32", *how, "--save", str(tmp_path)]) == 0
    assert "argument 2: [ 2.  4.  6.  8. 10.]" in capsys.readouterr().out
    assert (np.load(tmp_path / "argument-2.npy") == [2, 4, 6, 8, 10]).all()
    assert main([*command, "6:int32", *how]) == 1
    said = capsys.readouterr().err
    where = r"cuda_ptx: saxpy, PTX line (\d+) \((.*)\), block \(1, 0, 0\), thread \(1, "
    place = re.match(where, said)
    assert place
    line = (tmp_path / "saxpy.ptx").read_text().splitlines()[int(place[1]) - 1]
    assert " ".join(line.split()) == f"{place[2]};"
    written = [str(tmp_path / "saxpy.ptx"), *command[1:], "5:int32", *how[:4]]
    assert main([*written, "--counts"]) == 0
    said = capsys.readouterr().out
    # two warps of four threads, of which the second has one number
    assert "executed by a warp: {" in said and "'fma.f32': 2" in said
    assert "global write: 2 requests, 20 bytes, 2 sectors\n" in said
    assert main([str(file), "daxpy", "--nvrtc=-DMORE=1"]) == 1
    assert "no kernel 'daxpy', but saxpy" in capsys.readouterr().err
    assert main([*command, "5:int32", "--block", "32,33", *how[4:]]) == 1
    assert "a block has at most 1024 threads, got 1056" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ("7", "7:float99", "zeros:float32", "none.npy", "300:uint8"))
def test_a_wrong_argument_of_the_command(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["saxpy.cu", "saxpy", wrong])
    assert ended.value.code == 2
    assert (
        f"expected 7:int32, zeros:float32:1000 or data.npy, got '{wrong}'"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    (
        (["zeros:float32:-3"], "got 'zeros:float32:-3' (an array has at least one element)"),
        (["zeros:float32:9999999999999999"], "got 'zeros:float32:9999999999999999' (Unable to"),
        (["zeros:float32:3", "--save", "none"], "argument --save: there is no folder none"),
    ),
)
def test_what_the_command_refuses(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["kernel.cu", "kernel", *arguments])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kernel.cu").write_bytes(b"\xff\xfe\x00")
    assert main([str(tmp_path / "kernel.cu"), "kernel"]) == 1
    assert capsys.readouterr().err.startswith("cuda_ptx: ")
