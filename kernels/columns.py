"""The columns of the grid, and which of them work here.

A loader imports its column's modules only when it is asked for: ``import tinyae`` needs NumPy
alone. The operations are found in these by their names. A new column is a loader and an entry in
``_LOADERS``.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from .backend import Backend, Recorder, assembled, checked
from .conventions import MATMUL_CHOICES, MATMULS
from .cuda.plan import Plan, Problem
from .cuda.runner import Runner


def _numpy() -> Backend:
    from .reference import activation, dense, fill, gather, loss, memory, random, update

    modules = (activation, dense, fill, gather, loss, memory, random, update)
    return checked(assembled("numpy", True, *modules), np.ndarray)


def _numba(matmul: str = "fp32") -> Backend:
    """Compiled for this processor; its arrays are NumPy's.

    ``matmul="auto"`` is the column of "6xbf16" where that works here, else that of "fp32".
    """
    if matmul != "fp32":
        plain = get_backend("numba")
        from .cpu.product import processor

        if not (lacking := processor.lacking()):
            return _on_amx(plain)
        if matmul == "auto":
            return plain
        raise BackendUnavailable(
            "numba",
            f"matmul={matmul!r} needs a processor with AMX, and {lacking}: use matmul='auto'",
        )
    try:
        with _one_line_each():
            import numba
        if numba.config.DISABLE_JIT:
            raise RuntimeError("it is told to compile nothing")
        if any(
            name[0] not in "+-" for name in (numba.config.CPU_FEATURES or "").split(",") if name
        ):
            raise ValueError("a CPU feature is +NAME or -NAME, else LLVM ends the process")
        from .cpu import activation, dense, fill, gather, loss, random, step, threads, update
        from .reference import memory

        layer = threads.start()
    except ImportError as error:
        raise BackendUnavailable(
            "numba", f'Numba does not load ({error}): pip install "tinyae[numba]"'
        ) from error
    except Exception as error:  # what its variables ask for and it does not have or understand
        given = " ".join(f"{k}={v}" for k, v in os.environ.items() if k.startswith("NUMBA_"))
        raise BackendUnavailable(
            "numba",
            f"Numba does not start ({' '.join(str(error).split())}): "
            + (f"change or unset {given}" if given else "'tinyae doctor' tells more"),
        ) from error
    if layer == "workqueue":
        raise BackendUnavailable(
            "numba",
            "Numba found neither OpenMP nor TBB, and its own threads are slow and must not be "
            "called from two Python threads: install libgomp (Debian: apt install libgomp1), or "
            "pip install tbb; NUMBA_THREADING_LAYER must not be workqueue",
        )
    places = (activation, dense.DenseKernels(), fill, gather, loss, memory, random, update)
    beyond = {"make_step": step.maker(0), "limit_threads": threads.limited}
    return checked(assembled("numba", True, *places, **beyond), np.ndarray)


def _on_amx(column: Backend) -> Backend:
    """The Numba column whose large products of float32 are made on AMX."""
    from .cpu import dense, step
    from .cpu.product import amx

    own = dense.DenseKernels(amx.link())
    changed = replace(
        column.unchecked,
        dense_forward=own.dense_forward,
        dense_backward_input=own.dense_backward_input,
        dense_backward_weights=own.dense_backward_weights,
        matmul=own.matmul,
        make_step=step.maker(own.tiles),
    )
    return checked(changed, np.ndarray)


def _cupy(matmul: str = "fp32") -> Backend:
    """CUDA C on the GPU, through CuPy."""
    from .cuda.driver import missing_gpu

    if missing_gpu():
        raise BackendUnavailable("cupy", missing_gpu())
    with _what_fails("cupy", "CuPy", "cuda"):
        from .cuda import measured_plans, memory
        from .cuda.device import DeviceRunner

        runner = DeviceRunner()
        plans = measured_plans.load(runner.device_name)
        # not by default: nobody has measured yet whether it is faster
        one_launch = os.environ.get("TINYAE_ONE_LAUNCH") == "1"
        column = cuda_c(runner, matmul, plans, memory, one_launch)
        _expect_an_answer(column)
    if matmul != "fp32" and runner.compute_capability < 80:
        raise BackendUnavailable(
            "cupy",
            f"matmul={matmul!r} needs tensor cores of compute capability 8.0 or newer, and this "
            f"GPU has {runner.compute_capability / 10}: use matmul='fp32'",
        )
    return checked(column, DeviceRunner.array_type)


def _cuda_host(matmul: str = "fp32") -> Backend:
    """The same CUDA C executed on the CPU: to test, debug and learn; never fast."""
    from .cuda_host.host import CompilerMissing, HostRunner

    try:
        return checked(cuda_c(HostRunner(), matmul), np.ndarray)
    except CompilerMissing as error:
        raise BackendUnavailable("cuda-host", str(error)) from error


def _cuda_ptx(matmul: str = "fp32") -> Backend:
    """What NVRTC makes of the same CUDA C, executed with NumPy and checked: to test; very slow."""
    from .cuda_ptx.nvrtc import NvrtcMissing
    from .cuda_ptx.runner import PtxRunner

    try:
        return checked(cuda_c(PtxRunner(), matmul), np.ndarray)
    except NvrtcMissing as error:
        raise BackendUnavailable("cuda-ptx", str(error)) from error


def cuda_c(
    runner: Runner, matmul: str = "fp32", plans: Mapping[Problem, Plan] | None = None,
    memory: Any = None, one_launch: bool = False,
) -> Backend:  # fmt: skip
    """The CUDA C column on a runner; its arrays lie in host memory, or in that of the module.

    one_launch: a step that is replayed is a single launch, where its plan allows.
    """
    from .cuda import activation, dense, fill, gather, loss, random, step, update
    from .reference import memory as host_memory

    gathering, updating = gather.GatherKernels(runner), update.UpdateKernels(runner)
    products = dense.DenseKernels(runner, matmul=matmul, plans=plans)
    launchers = (
        activation.ActivationKernels(runner),
        products,
        fill.FillKernels(runner),
        gathering,
        loss.LossKernels(runner),
        random.RandomKernels(runner),
        updating,
    )
    recorder = Recorder(record=runner.record, join=runner.join, begin_step=gathering.begin_step,
                        end_step=updating.end_step, call=runner.call)  # fmt: skip
    there: Any = memory or host_memory
    own: dict[str, Any] = {"recorder": recorder}
    if one_launch:
        own["make_step"] = step.StepKernels(runner, products, there.to_device).make_step
    return assembled(runner.name, memory is None, *launchers, there, **own)


def _numba_cuda() -> Backend:
    """CUDA kernels written in Python, on the GPU or, where Numba is told so, in its simulator."""
    from .cuda.driver import missing_gpu

    simulated = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
    if missing_gpu() and not simulated:
        raise BackendUnavailable("numba-cuda", missing_gpu())
    with _what_fails("numba-cuda", "numba-cuda", "numba-cuda"):
        from .cuda_python import (
            activation,
            dense,
            fill,
            gather,
            loss,
            memory,
            random,
            target,
            update,
        )

        places = (activation, dense.DenseKernels(), fill, gather, loss, memory, random, update)
        column = assembled("numba-cuda", False, *places)
        try:
            _expect_an_answer(column)
        except ImportError as error:  # of the driver's library: the package did load
            raise RuntimeError(str(error)) from error
    if target.SIMULATED:
        print(
            "tinyae: numba-cuda runs in Numba's simulator (NUMBA_ENABLE_CUDASIM is set): for tests "
            "and debugging, never fast",
            file=sys.stderr,
        )
    return checked(column, target.CudaArray)


@contextmanager
def _one_line_each() -> Iterator[None]:
    """Numba's warnings about its variables end in a traceback: what stands before it is enough."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for w in caught:
        text = " ".join(str(w.message).partition("\nThe parse failed")[0].split())
        warnings.warn_explicit(text, w.category, w.filename, w.lineno)


@contextmanager
def _what_fails(name: str, package: str, extra: str) -> Iterator[None]:
    """While a GPU's column is loaded: what is missing, and the remedy."""
    try:
        yield
    except ImportError as error:
        raise BackendUnavailable(
            name,
            f'{package} does not load ({_last_line(error)}): pip install "tinyae[{extra}13]", or '
            f"[{extra}12] where the driver is older than CUDA 13",
        ) from error
    except Exception as error:  # CuPy's, Numba's, the driver's and NVRTC's have no common base
        raise BackendUnavailable(
            name, f"the GPU does not answer ({_last_line(error)}): 'tinyae doctor' tells more"
        ) from error


def _expect_an_answer(column: Backend) -> None:
    """Compiles a kernel, launches it and reads its result: then the rest will work too."""
    x = column.to_device(np.full((1, 1), -1, np.float32))
    column.activation_forward(x, "leaky_relu", x)
    answer = float(column.to_host(x)[0, 0])
    if not -0.0101 < answer < -0.0099:
        raise RuntimeError(f"leaky_relu(-1) came out as {answer}")


def _last_line(error: BaseException) -> str:
    """The end of an error's text: CuPy's fill a screen."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =:")]
    return lines[-1] if lines else type(error).__name__


# Name -> loader, the fastest first: "auto" takes the first that loads, and numpy always does: what
# stands behind it runs only where it is asked for. A loader raises BackendUnavailable, with the
# remedy, where its column cannot run on this machine.
_LOADERS: dict[str, Callable[..., Backend]] = {
    "cupy": _cupy,
    "numba": _numba,
    "numpy": _numpy,
    "numba-cuda": _numba_cuda,  # compiled anew in each process; its speed has not been measured
    "cuda-host": _cuda_host,
    "cuda-ptx": _cuda_ptx,
}
# Those that can multiply on tensor cores; cuda-host and cuda-ptx work out what these would.
_ON_TENSOR_CORES = ("cupy", "cuda-host", "cuda-ptx")
_ON_AMX = "numba"

_loaded: dict[str, Backend] = {}  # by name, and by matmul where that is not "fp32"


class BackendUnavailable(RuntimeError):
    """The backend exists but cannot run here; ``reason`` says what is missing, and the remedy."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"backend {name!r} cannot run here: {reason}")
        self.reason = reason


def get_backend(name: str = "auto", matmul: str = "fp32") -> Backend:
    """The backend of this name, loaded once; ``"auto"`` is the fastest that works here.

    ``matmul``: how it multiplies, one of ``conventions.MATMUL_CHOICES``. Raises ValueError for an
    unknown name or a backend that has no such products, BackendUnavailable for one that cannot run
    here.
    """
    if matmul not in MATMUL_CHOICES:
        choices = ", ".join(map(repr, MATMUL_CHOICES))
        raise ValueError(f"matmul must be one of {choices}, got {matmul!r}")
    if name == "auto":
        name = next(name for name in _LOADERS if not _what_is_missing(name))
    if name not in _LOADERS:
        raise ValueError(
            f"backend must be 'auto' or one of {', '.join(map(repr, _LOADERS))}, got {name!r}"
        )
    if matmul == "auto" and name != _ON_AMX:
        matmul = "fp32"
    if matmul in MATMULS[1:] and name not in _ON_TENSOR_CORES:
        raise ValueError(
            f"matmul={matmul!r} is for tensor cores, backend='cupy', and this is {name!r}: use "
            "matmul='fp32'"
        )
    if matmul == "6xbf16" and name != _ON_AMX:
        raise ValueError(
            f"matmul='6xbf16' is for processors with AMX, backend='numba', and this is {name!r}: "
            "use matmul='auto'"
        )
    how = () if matmul == "fp32" else (matmul,)
    key = " ".join((name, *how))
    if key not in _loaded:
        _loaded[key] = _LOADERS[name](*how)
    return _loaded[key]


def backend_report() -> dict[str, str]:
    """Every backend, in the order in which auto tries them: "" where it works, else the remedy."""
    return {name: _what_is_missing(name) for name in _LOADERS}


def available_backends() -> list[str]:
    """The names of the backends that work here, in the order in which auto tries them."""
    return [name for name in _LOADERS if not _what_is_missing(name)]


def _what_is_missing(name: str) -> str:
    try:
        get_backend(name)
    except BackendUnavailable as error:
        return error.reason
    return ""
