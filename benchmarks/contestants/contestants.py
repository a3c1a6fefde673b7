"""Who takes part: tinyae's backends and their rivals, whether each can, and what it can do.

Each has a process of its own (see ``run_bench``), so that thread pools do not meet.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.cases.cases import GROUPS, SUITES, Case, Options, select
from benchmarks.cases.net_cases import PARTS
from tinyae.kernels import columns
from tinyae.kernels.conventions import MATMULS
from tinyae.kernels.cuda.driver import missing_gpu

PRODUCTS = GROUPS["dense"]
STEP = ("step", *(f"step/{op}" for op in PARTS))
EPOCH = ("epoch", "epoch_mse")
LATENCY = GROUPS["latency"]
EVERY = tuple(op for group, ops in GROUPS.items() if group not in SUITES for op in ops)
TORCH = (*PRODUCTS, "activation_forward", "adam", "gather", "random_uniform",
         "random_normal")  # fmt: skip


@dataclass(frozen=True)
class Contestant:
    """What is known without loading it."""

    name: str
    kind: str  # backend or rival
    device: str  # cpu or gpu
    module: str  # of this folder: its ``load(name)`` gives what is measured
    packages: tuple[str, ...]  # that must be there
    install: str  # the command that brings them
    ops: tuple[str, ...]
    slow: bool = False  # more than --quick has time for
    matmul: str = "fp32"  # of conventions.MATMULS; others stand at the end of the name

    @property
    def column(self) -> str:
        """The backend that it is, however that multiplies."""
        return self.name.removesuffix(f"-{self.matmul}")

    def about(self, reason: str) -> dict[str, Any]:
        """What results tell of it; ``reason``: why it does not take part, or "" where it does."""
        return {"kind": self.kind, "device": self.device, "matmul": self.matmul,
                "available": not reason, "reason": reason, "threads": None, "note": ""}  # fmt: skip

    def takes(self, case: Case) -> bool:
        return case.op in self.ops and (self.device == "gpu" or case.most == "cpu")


NUMBA = 'pip install "tinyae[numba]"'
CUDA = 'pip install "tinyae[cuda13]", or [cuda12] where the driver is older than CUDA 13'
NUMBA_CUDA = 'pip install "tinyae[numba-cuda13,cuda13]", or both with 12'
OF_BACKEND = (*EVERY, *STEP, *EPOCH)
OF_BLAS = (*PRODUCTS, "matmul", *(f"step/{op}" for op in PRODUCTS))
OF_TENSOR_CORES = (*PRODUCTS, "step", *(f"step/{op}" for op in PRODUCTS), "epoch")
MOVES = ("to_device", "to_host")

CONTESTANTS = {
    entry.name: entry
    for entry in (
        Contestant("numpy", "backend", "cpu", "own", ("numpy",), "",
                   (*OF_BACKEND, *LATENCY)),
        Contestant("numba", "backend", "cpu", "own", ("numba",), NUMBA,
                   (*OF_BACKEND, "matmul", *LATENCY)),
        Contestant("cupy", "backend", "gpu", "own", ("cupy",), CUDA,
                   (*OF_BACKEND, "matmul", *MOVES)),
        *(Contestant(f"cupy-{matmul}", "backend", "gpu", "own", ("cupy",), CUDA, OF_TENSOR_CORES,
                     matmul=matmul) for matmul in MATMULS[1:]),
        Contestant("numba-cuda", "backend", "gpu", "own", ("numba_cuda", "cupy"), NUMBA_CUDA,
                   (*OF_BACKEND, "matmul", *MOVES)),  # CuPy's events time it
        Contestant("blas", "rival", "cpu", "rival_blas", ("numpy",), "", OF_BLAS),
        Contestant("cublas", "rival", "gpu", "rival_blas", ("cupy",), CUDA, OF_BLAS),
        Contestant("cublas-tf32", "rival", "gpu", "rival_blas", ("cupy",), CUDA, OF_BLAS,
                   matmul="tf32"),
        Contestant("torch-eager", "rival", "cpu", "rival_torch", ("torch",), "pip install torch",
                   (*TORCH, "step", "epoch", *LATENCY)),
        Contestant("torch-compile", "rival", "cpu", "rival_torch", ("torch",),
                   "pip install torch", ("step", "epoch"), slow=True),
        Contestant("torch-eager-gpu", "rival", "gpu", "rival_torch", ("torch", "cupy"),
                   "pip install torch, and " + CUDA, (*TORCH, "step", "epoch")),
        Contestant("torch-compile-gpu", "rival", "gpu", "rival_torch", ("torch", "cupy"),
                   "pip install torch, and " + CUDA, ("step", "epoch"), slow=True),
        Contestant("torch-cuda-graphs", "rival", "gpu", "rival_torch", ("torch", "cupy"),
                   "pip install torch, and " + CUDA, ("step", "epoch"), slow=True),
        Contestant("jax", "rival", "cpu", "rival_jax", ("jax",), "pip install jax",
                   ("step", "epoch"), slow=True),
        Contestant("jax-gpu", "rival", "gpu", "rival_jax", ("jax",), 'pip install "jax[cuda13]"',
                   ("step", "epoch"), slow=True),
        Contestant("sklearn", "rival", "cpu", "rival_sklearn", ("sklearn",),
                   "pip install scikit-learn", ("epoch_mse",)),
        *(Contestant(name, "rival", "cpu", "chains", ("numpy",), "", LATENCY)
          for name in ("by-hand", "export-numpy", "export-c", "export-c-int8")),
        *(Contestant(name, "rival", "cpu", "chains", ("onnxruntime", "onnx"),
                     "pip install onnxruntime onnx", LATENCY)
          for name in ("onnxruntime", "onnxruntime-one-thread")),
    )
}  # fmt: skip
BACKENDS = tuple(name for name, c in CONTESTANTS.items() if c.kind == "backend")
RIVALS = tuple(name for name, c in CONTESTANTS.items() if c.kind == "rival")


def chosen(backends: Sequence[str] | None, rivals: Sequence[str] | None) -> list[Contestant]:
    """Those named; None stands for all, "none" for no rival. What is no name itself, as "torch",
    names all that begin so.

    Raises ValueError for an unknown name, and for what runs GPU kernels on the CPU.
    """
    names = list(_named("--backends", backends, BACKENDS))
    if rivals is None or list(rivals) != ["none"]:
        names += _named("--rivals", rivals, RIVALS)
    return [CONTESTANTS[name] for name in names]


def _named(option: str, given: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    if given is None:
        return list(known)
    names: list[str] = []
    for name in given:
        if name in ("cuda-host", "cuda-ptx"):
            raise ValueError(
                f"{name} executes GPU kernels on the CPU, to test them: its times say nothing "
                "about speed, so it is not measured; --backends cupy measures the GPU"
            )
        family = [k for k in known if k == name or k.startswith(f"{name}-")]
        if not family or (name in BACKENDS and name not in known):
            raise ValueError(f"{option} must be of {', '.join(known)}, got {name!r}")
        names += [name] if name in known else family
    return list(dict.fromkeys(names))


def why_absent(contestant: Contestant, quick: bool = False) -> str:
    """Why it cannot take part, with the remedy; "" where it can, as far as is seen unloaded.

    Raises ValueError where a simulator would run instead of the GPU.
    """
    if contestant.kind == "backend" and contestant.column not in columns._LOADERS:
        return f"this version of tinyae has no backend {contestant.name!r}"
    if contestant.name == "numba-cuda" and os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
        raise ValueError(
            "NUMBA_ENABLE_CUDASIM is set: Numba would simulate the GPU in Python, whose times say "
            "nothing about speed; unset it, or leave numba-cuda out with --backends"
        )
    if contestant.device == "gpu" and missing_gpu():
        return missing_gpu()
    if absent := [p for p in contestant.packages if not _installed(p)]:
        return f"{' and '.join(absent)} not installed: {contestant.install}"
    if quick and contestant.slow:
        return "compiling takes longer than --quick has: run without it"
    return ""


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # None in sys.modules is how tests hide a package
        return False


def cases_of(contestant: Contestant, options: Options, suite: str) -> list[Case]:
    """What it is measured on; on the ladder each of its rungs is an operation."""
    cases = [case for case in select(suite, options) if contestant.takes(case)]
    if suite != "ladder":
        return cases
    return [replace(case, op=rung) for case in cases for rung in rungs(contestant)]


LADDERS = {"numba": "cpu.product", "cupy": "cuda", "numba-cuda": "cuda_python"}  # rooms of kernels/


def rungs(contestant: Contestant) -> tuple[str, ...]:
    if room := LADDERS.get(contestant.name):
        return tuple(importlib.import_module(f"tinyae.kernels.{room}.ladder").RUNGS)
    return (contestant.name,)


def load(contestant: Contestant) -> Any:
    """What is measured. Raises whatever keeps it from working here."""
    return importlib.import_module(f"{__package__}.{contestant.module}").load(contestant.name)
