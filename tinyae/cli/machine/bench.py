"""``tinyae bench``: runs the repository's benchmarks, which are not part of the wheel."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from ..options import command, integers, names

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks"
NEEDED = ("pytest", "pytest_benchmark", "matplotlib", "threadpoolctl")

REMEDY = 'git clone <the repository of tinyae> tinyae && cd tinyae && pip install -e ".[bench]"'

EPILOG = """\
Every operation is checked against float64 before it is timed: what is wrong gets no time. Each
backend and each rival has a process of its own and takes its turn twice. DIR gets results.json,
table.txt and pictures.

groups: dense, activation, loss, update, random, gather, ladder, step, epoch, transfer,
latency
backends: numpy, numba, cupy, numba-cuda; cupy-3xtf32 and cupy-tf32 are cupy with its products on
tensor cores, "cupy" is float32's alone
rivals: blas, cublas, cublas-tf32, torch-eager, torch-compile, torch-cuda-graphs, jax, sklearn
(torch-eager-gpu, torch-compile-gpu and jax-gpu on a GPU); "torch" stands for all of PyTorch's,
"none" for no rival; in latency also by-hand, export-numpy, export-c, export-c-int8, onnxruntime,
onnxruntime-one-thread. Those that are not installed are listed with the command that installs them.

examples:
  tinyae bench --quick                          two minutes: a first look
  tinyae bench                                  everything, half an hour
  tinyae bench --only dense --sizes 512,1024 --backends numpy,numba,cupy --plot out.png
  tinyae bench --only adam,loss --rivals none
  tinyae bench --only step --nets small --batches 32,128 --rivals torch
  tinyae bench --quick --out runs/after --compare runs/bench/results.json
"""


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "bench", _bench, "time kernels, steps and epochs beside BLAS, PyTorch and others",
        epilog=EPILOG,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few and small cases: 2 minutes")
    for name, kind, default, help in (
        ("--only", names, (), "operations, such as adam, or groups of them"),
        ("--backends", names, None, "(default: all)"),
        ("--rivals", names, None, "(default: all)"),
        ("--sizes", integers, (), "of square products, instead of the usual and the nets'"),
        ("--batches", integers, (), "batch sizes of layers, steps and epochs"),
        ("--nets", names, (), "deep: 784-1000-500-250-30, small: 784-128-32, and back"),
    ):
        metavar = "N,..." if kind is integers else "NAME,..."
        parser.add_argument(name, type=kind, default=default, metavar=metavar, help=help)
    parser.add_argument("--seconds", type=float, metavar="S",
                        help="for each case in each pass (default 0.4, quick 0.05)")  # fmt: skip
    parser.option("--out", "runs/bench", "folder of the results", metavar="DIR")
    parser.force_option()
    parser.add_argument("--plot", metavar="FILE", help="the picture that fits what was measured")
    parser.add_argument("--compare", metavar="OLD.json",
                        help="an earlier results.json: what changed beyond the noise")  # fmt: skip


def _bench(given: argparse.Namespace) -> None:
    if not (FOLDER / "run_bench.py").is_file():
        raise RuntimeError(
            "the benchmarks are in the repository, not in the installed package. In a clone of it "
            f"'tinyae bench' works: {REMEDY}"
        )
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise RuntimeError(
            f"the benchmarks need {', '.join(absent)}: "
            f'pip install -e ".[bench]" in {FOLDER.parent.name}/'
        )
    sys.path.insert(0, str(FOLDER.parent))
    importlib.import_module("benchmarks.run_bench").run(given)
