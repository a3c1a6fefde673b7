"""NVRTC compiles every kernel for every architecture, and what the kernels take is as committed.

No GPU is needed. That these tests can fail is shown on kernels that are planted for it.
"""

from __future__ import annotations

import configparser
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.gpu import cuda_resources as resources
from tinyae.kernels.cuda import source as cuda_source
from tinyae.kernels.cuda_ptx.nvrtc import Nvrtc, find_nvrtc

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def nvrtc() -> Nvrtc:
    found = find_nvrtc()
    if found is None:
        pytest.skip('there is no NVRTC: pip install ".[test]" (its wheels are for Linux, Windows)')
    return found


@pytest.fixture(scope="session")
def table(nvrtc: Nvrtc) -> resources.Table:
    """Everything, compiled once."""
    return resources.measure_all(nvrtc, resources.all_files())


@pytest.mark.slow
def test_every_kernel_compiles(table: resources.Table) -> None:
    on_tensor_cores = cuda_source.ON_TENSOR_CORES
    sources = {file: cuda_source.read_source(file) for file in resources.all_files()}
    declared = {
        file: text.count('extern "C" __global__') * (1 if file in on_tensor_cores else 2)
        for file, text in sources.items()
    }
    assert declared == Counter(file for file, _, _ in table)
    for (file, kernel, _), usages in table.items():
        oldest = () if file in on_tensor_cores else (75,)
        assert tuple(usages) == (*oldest, 80, 86, 89, 90, 100, 120), kernel


@pytest.mark.parametrize(("dtype", "architecture"), [("float32", 75), ("float64", 80)])
@pytest.mark.parametrize("file", cuda_source.ON_TENSOR_CORES)
def test_without_tf32_there_are_no_kernels(
    nvrtc: Nvrtc, file: str, dtype: str, architecture: int
) -> None:
    """Such a file still compiles: to nothing."""
    source = cuda_source.defines(dtype) + cuda_source.read_source(file)
    options = (*resources.OPTIONS, f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v")
    assert "Function properties" not in resources.compile_source(nvrtc, source, file, options)


@pytest.mark.slow
def test_nothing_lies_in_local_memory(table: resources.Table) -> None:
    assert resources.in_local_memory(table) == []


@pytest.mark.slow
def test_the_table_is_as_committed(table: resources.Table, nvrtc: Nvrtc) -> None:
    committed = resources.TABLE.read_text()
    if resources.version_of(committed) != nvrtc.version:
        pytest.skip(
            f"the table was made with NVRTC {resources.version_of(committed)}, this is "
            f"{nvrtc.version}: only compilation and local memory were checked"
        )
    now = resources.render(table, nvrtc.version)
    changes = resources.difference(committed, now, resources.all_files())
    assert now == committed, (
        f"kernels take more or less than the table says; look, then accept with "
        f"'{resources.COMMAND} --write':\n{changes or 'the heading differs'}"
    )


def test_the_table_was_made_with_the_pinned_version() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pinned = re.search(r"nvidia-cuda-nvrtc==(\S+);", config["options.extras_require"]["test"])
    assert pinned and resources.version_of(resources.TABLE.read_text()) == pinned[1]


# 64 sums live at once, and __launch_bounds__ leaves 32 registers for them
SPILLS = """\
extern "C" __global__ void __launch_bounds__(1024, 2) hungry(const REAL *x, REAL *y, int n) {
    REAL sum[64];
    for (int j = 0; j < 64; j++) sum[j] = x[j];
    for (int i = 0; i < n; i++)
#pragma unroll
        for (int j = 0; j < 64; j++) sum[j] = fma(sum[j], x[i], sum[63 - j]);
    for (int j = 0; j < 64; j++) y[j] = sum[j];
}
"""

# which element is read is known at run time only
STACK = """\
extern "C" __global__ void indexed(const int *at, REAL *y) {
    REAL local[1000];
    for (int i = 0; i < 1000; i++) local[at[i]] = at[999 - i];
    y[threadIdx.x] = local[at[threadIdx.x]];
}
"""

# 4 bytes more than 48 KB of float
TOO_MUCH = """\
extern "C" __global__ void greedy(REAL *y) {
    __shared__ REAL all[12289];
    all[threadIdx.x] = y[0];
    __syncthreads();
    y[1] = all[threadIdx.y];
}
"""

FINE = """\
extern "C" __global__ void twice(REAL *y) { y[threadIdx.x] *= 2; }
"""


@pytest.fixture
def planted(nvrtc: Nvrtc, sources: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of kernels of its own, a table of its own, one architecture."""
    monkeypatch.setattr(resources, "TABLE", sources / "table.txt")
    monkeypatch.setattr(resources, "ARCHITECTURES", (80,))
    return sources


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SPILLS, r"hungry, float64: [1-9]\d* bytes of stack, [1-9]\d* of spills on sm_80"),
        (STACK, r"indexed, float64: 8000 bytes of stack, 0 of spills on sm_80"),
    ],
    ids=("spills", "stack"),
)
def test_local_memory_is_reported(
    planted: Path, capsys: pytest.CaptureFixture[str], source: str, message: str
) -> None:
    (planted / "planted.cu").write_text(source)
    assert resources.main(["--write"]) == 1
    assert re.search(f"\n  planted.cu, {message}", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (FINE + "\nint broken = ;\n", r'planted\.cu"?\(3\): error: expected an expression'),
        (FINE.replace("REAL *y", "REEL *y"), r'planted\.cu"?\(1\): error: .*"REEL"'),
        ("#include <vector>\n" + FINE, r'planted\.cu"?\(1\): .*error: .*"vector"'),
        (TOO_MUCH, r"NVRTC_ERROR_COMPILATION\n(.*\n)*.* 49156 bytes smem"),
    ],
    ids=("syntax", "type", "header", "shared"),
)
def test_what_does_not_compile_is_named(
    planted: Path, capsys: pytest.CaptureFixture[str], source: str, message: str
) -> None:
    (planted / "planted.cu").write_text(source)
    assert resources.main([]) == 1
    error = capsys.readouterr().err
    assert "does not compile: planted.cu, float32, sm_80" in error
    assert re.search(message, error), error


def test_changed_figures_are_shown(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (planted / "planted.cu").write_text(FINE)
    (planted / "other.cu").write_text(FINE.replace("twice", "thrice"))
    assert resources.main(["--write"]) == 0
    assert resources.main([]) == 0
    assert "differs" not in capsys.readouterr().out
    text = resources.TABLE.read_text()
    line = next(line for line in text.splitlines() if "twice" in line and "float64" in line)
    resources.TABLE.write_text(text.replace(line, line.replace(" 0 ", " 4 ", 1)))
    assert resources.main(["planted.cu"]) == 1
    out = capsys.readouterr().out
    assert "cuda_resources.py --write" in out and f"\n+{line}" in out and out.count("\n-") == 1
    assert resources.main(["other.cu"]) == 0
    resources.TABLE.write_text(re.sub(r"NVRTC \S+", "NVRTC 11.8.89", text))
    capsys.readouterr()
    assert resources.main([]) == 0
    assert "not compared: the table was made with NVRTC 11.8.89" in capsys.readouterr().out


def test_a_report_without_the_kernel_is_an_error() -> None:
    with pytest.raises(resources.CompileError, match="ptxas says nothing of twice"):
        resources.usage_of("ptxas info    : 0 bytes gmem", "twice")


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["nothing.cu"], "no such file"), (["--write", "dense.cu"], "--write takes all files")],
)
def test_wrong_arguments(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        resources.main(argv)
    assert stop.value.code == 2 and message in capsys.readouterr().err
