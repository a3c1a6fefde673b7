"""A visit's checks by other programs: pytest, Nsight Compute (ncu), NVIDIA's compute-sanitizer.

Each part is a generator of rows. A program that is not on the PATH is a row that says so.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.gpu.operations import Device, Row
from tinyae.cli.machine import nvidia
from tinyae.kernels.cuda.dense import DenseKernels

ROOT = Path(__file__).resolve().parents[2]
VISIT = ROOT / "benchmarks" / "gpu" / "visit.py"
INTERRUPTED = 2  # pytest's exit code


def correct(given: argparse.Namespace) -> Iterator[Row]:
    """Every operation of CuPy's column on its awkward shapes, in float32."""
    yield from _tests(given, "correct", f"{given.backend} and float32", "tests/kernels")


def tests(given: argparse.Namespace) -> Iterator[Row]:
    """All tests that are marked gpu, but those of Numba's column."""
    yield from _tests(given, "tests", "not numba-cuda", "tests")


def numba_cuda(given: argparse.Namespace) -> Iterator[Row]:
    """The tests of Numba's column of CUDA kernels."""
    if nvidia.numba_cuda_version():
        yield from _tests(given, "numba-cuda", "numba-cuda", "tests")
    else:
        yield {"absent": "numba-cuda is not installed"}


def _tests(given: argparse.Namespace, part: str, names: str, folder: str) -> Iterator[Row]:
    """Runs the tests with these names that are marked gpu; a rehearsal runs one file's, on its
    backend. What pytest has found when the part's time is over counts too."""
    where = ["-m", "gpu", str(ROOT / folder)]
    if given.backend != "cupy":
        names, where = given.backend, [str(ROOT / "tests" / "kernels" / "test_gather.py")]
    workers = ["-n", "14"] if given.backend == "cupy" and find_spec("xdist") else []
    log = given.out / f"{part}.txt"
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=short", "-p",
               "no:cacheprovider", "-W", "default", *workers, "-k", names, *where]  # fmt: skip
    with log.open("w") as file, subprocess.Popen(
        command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            code = process.wait(0.8 * given.seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # pytest sums up what it has
            code = process.wait()
    text = log.read_text()
    counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|skipped|error)", text)}
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    row: Row = {"clean": code == 0, **counts, "failures": failed[:60]}
    yield row | ({"cut_off": True} if code == INTERRUPTED else {})


# kernels that Nsight Compute looks at: matmul, kernel, n of n x n matrices, tile
LOOKED_AT = [
    ("fp32", "dense_forward", 4096, (128, 128)),
    ("fp32", "dense_forward", 4096, (64, 64)),
    ("fp32", "dense_forward", 4096, (32, 64)),
    ("fp32", "dense_forward", 4096, (32, 32)),
    ("fp32", "dense_backward_input", 4096, (128, 128)),
    ("fp32", "dense_backward_weights", 4096, (128, 128)),
    ("3xtf32", "dense_forward", 4096, (128, 128)),
]
SECTIONS = ("SpeedOfLight", "MemoryWorkloadAnalysis", "MemoryWorkloadAnalysis_Tables", "Occupancy")
METRICS = {
    "cycles": "sm__cycles_elapsed.max",
    "instructions": "smsp__inst_executed.sum",
    "ffma": "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum",
    "fma_pipe_percent": "sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_active",
    "shared_load_instructions": "smsp__inst_executed_op_shared_ld.sum",
    "shared_load_wavefronts": "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum",
    "shared_store_wavefronts": "l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st.sum",
    "shared_load_conflicts": "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum",
    "shared_wavefronts": "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum",
    "shared_percent": "l1tex__data_pipe_lsu_wavefronts_mem_shared.avg.pct_of_peak_sustained_active",
    "occupancy_percent": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "dram_bytes": "dram__bytes.sum",
    "issue_percent": "sm__inst_issued.avg.pct_of_peak_sustained_active",
}


def counters(given: argparse.Namespace) -> Iterator[Row]:
    """What Nsight Compute counts of main kernels."""
    program = shutil.which("ncu")
    if program is None:
        yield {"absent": "ncu is not on the PATH"}
        return
    names = {metric: name for name, metric in METRICS.items()}
    sections = [word for name in SECTIONS for word in ("--section", name)]
    # the second way where this version knows a metric by another name
    for how in (["--metrics", ",".join(METRICS.values())], sections):
        log = given.out / "ncu.csv"
        command = [program, "--clock-control", "none", "--csv", "--print-units", "base", *how,
                   "-k", "regex:^dense_", "--log-file", str(log), sys.executable, str(VISIT),
                   "--part", "looked_at", "--out", str(given.out)]  # fmt: skip
        command += ["--kernels", str(given.kernels)] if given.kernels else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        text = log.read_text() if log.exists() else ""
        found: dict[str, Row] = {}
        for line in csv.DictReader(line for line in text.splitlines() if line.startswith('"')):
            row = found.setdefault(line["ID"], {"kernel": line["Kernel Name"]})
            value = line["Metric Value"].replace(",", "")
            name = names.get(line["Metric Name"], line["Metric Name"])
            row[name] = float(value) if re.fullmatch(r"[\d.]+", value) else value
        for row, looked in zip(found.values(), LOOKED_AT, strict=False):
            yield {"matmul": looked[0], "size": looked[2], **row}
        if any("cycles" in row or "Duration" in row for row in found.values()):
            return
        yield {"error": (done.stdout + done.stderr + text)[-1500:]}


def looked_at(given: argparse.Namespace) -> Iterator[Row]:
    """Launches the kernels once, for ``counters``, which runs this part under ncu."""
    device = Device("cupy")
    rng = np.random.default_rng(0)
    for matmul, kernel, n, tile in LOOKED_AT:
        a, b, c = (device.to_device(rng.standard_normal((n, n), np.float32)) for _ in range(3))
        bias = device.to_device(rng.standard_normal(n, np.float32))
        dense = DenseKernels(device.runner(), tile=tile, splits=1, matmul=matmul)
        if kernel == "dense_forward":
            dense.dense_forward(a, b, bias, "relu", c, None)
        elif kernel == "dense_backward_input":
            dense.dense_backward_input(a, b, "relu", a, c)
        else:
            dense.dense_backward_weights(a, b, c, bias)
    device.synchronize()
    yield {}


def sanitizer(given: argparse.Namespace) -> Iterator[Row]:
    """Every kernel under NVIDIA's compute-sanitizer."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        yield {"absent": "compute-sanitizer is not on the PATH"}
        return
    script = str(ROOT / "tests" / "kernels" / "cuda_host" / "cuda_sanitize.py")
    for column in ("gpu", "numba-cuda") if nvidia.numba_cuda_version() else ("gpu",):
        running = {}
        for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
            log = given.out / f"sanitizer-{column}-{tool}.txt"
            command = [program, "--tool", tool, "--error-exitcode", "9"]
            if (column, tool) == ("numba-cuda", "memcheck"):
                # the package asks the driver for functions that it may lack
                command += ["--report-api-errors", "no"]
            command += [sys.executable, script, column]
            with log.open("w") as file:
                process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
            running[tool] = log, process
        for tool, (log, process) in running.items():
            code, text = process.wait(), log.read_text()
            summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", text)
            yield {"column": column, "tool": tool, "clean": code == 0 and bool(summary),
                   "summary": summary, "end": text[-600:]}  # fmt: skip
