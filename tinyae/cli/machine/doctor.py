"""``tinyae doctor``: what works on this machine, and the command that mends the rest."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from ..._version import __version__
from ...kernels.columns import BackendUnavailable, backend_report, get_backend
from ...kernels.cpu import cores
from ...kernels.cuda import measured_plans
from ...kernels.cuda_host.host import CompilerMissing, find_compiler
from ...kernels.cuda_ptx.nvrtc import NVRTC_WHEELS, find_nvrtc
from ...parallel.launch import started, world
from ...train.progress import Waiting
from ..options import command
from . import nvidia

# extra -> (module, distribution, what it is for)
EXTRAS = {
    "numba": ("numba", "numba", "kernels compiled for this processor"),
    "plot": ("matplotlib", "matplotlib", "pictures"),
    "progress": ("tqdm", "tqdm", "a progress bar"),
    "images": ("PIL", "Pillow", "folders of images"),
    "tables": ("pyarrow", "pyarrow", "tables in .parquet, .feather and .arrow"),
    "download": ("pooch", "pooch", "mnist and fashion-mnist by name"),
    "digits": ("sklearn", "scikit-learn", "the digits data set"),
    "onnx": ("onnx", "onnx", "exports to ONNX, and nets read back; with safetensors"),
    "mpi": ("mpi4py", "mpi4py", "training by several processes, on several machines"),
}

# what auto never takes
WORKS = {
    "cuda-host": "works, for tests: CUDA C on the CPU, never fast",
    "cuda-ptx": "works, for tests: what NVRTC compiles, with every access checked, very slow",
}

OLDEST_CUPY = 14
# CUDA's major version -> the oldest driver that runs it, the oldest GPUs that it compiles for
OLDEST_DRIVER = {12: "525", 13: "580"}
OLDEST_CAPABILITY = {12: (5, 0), 13: (7, 5)}

DRIVER_REMEDIES = {
    "linux": "for an NVIDIA GPU: apt-get install nvidia-driver (in a container: --gpus all)",
    "win32": "for an NVIDIA GPU: https://www.nvidia.com/drivers",
}
COMPILER_REMEDIES = {
    "apt-get": "apt-get install g++",
    "dnf": "dnf install gcc-c++",
    "zypper": "zypper install gcc-c++",
    "pacman": "pacman -S gcc",
    "apk": "apk add g++",
    "xcode-select": "xcode-select --install",
}


class Row(NamedTuple):
    """One line of the report; ``remedy`` is "" where there is nothing to mend."""

    what: str
    state: str
    remedy: str = ""


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "doctor", _doctor, "what works here, and the command that mends the rest"
    )
    parser.json_option("print one JSON object")
    parser.set_defaults(together=True)


def _doctor(given: argparse.Namespace) -> None:
    """Prints what was found; what could not be found out is printed too, never raised."""
    with Waiting("looking at this machine"):
        found, failed = examine()
    sections = report(found, failed)
    if given.json:
        remedies = {r.what: r.remedy for rows in sections.values() for r in rows if r.remedy}
        print(json.dumps({**found, "remedies": remedies, "failures": failed}, default=asdict))
        return
    width = max(len(row.what) for rows in sections.values() for row in rows)
    print("\n\n".join(_text(title, rows, width) for title, rows in sections.items()))


def _text(title: str, rows: list[Row], width: int) -> str:
    lines = [f"{title}:"]
    for row in rows:
        state = " ".join(row.state.split())  # CuPy's errors fill a screen
        lines.append(f"  {row.what:{width}}  {state}")
        if row.remedy:
            lines.append(f"  {'':{width}}  -> {row.remedy}")
    return "\n".join(lines)


def examine() -> tuple[dict[str, Any], dict[str, str]]:
    """What was found (None where the question failed), and why questions failed."""
    questions: dict[str, Callable[[], Any]] = {
        "tinyae": lambda: __version__,
        "python": platform.python_version,
        "executable": lambda: sys.executable,
        "system": lambda: f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "numpy": lambda: np.__version__,
        "blas": _blas,
        "threads": _threads,
        "cores": lambda: "{} threads of backend numba, by {}".format(*cores.threads()),
        "products": _products,
        "mpi": _mpi,
        "driver": nvidia.find_driver,
        "cupy": nvidia.cupy_wheels,
        "nvrtc": _nvrtc,
        "nccl": _nccl,
        "numba-cuda": nvidia.numba_cuda_version,
        "compiler": _compiler,
        "backends": backend_report,
        "extras": lambda: {extra: _version(m, name) for extra, (m, name, _) in EXTRAS.items()},
    }
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's on its wheels: the report says it shorter
        for what, question in questions.items():
            try:
                found[what] = question()
            except Exception as error:  # a broken installation may raise anything
                found[what], failed[what] = None, _why(error)
    return found, failed


def report(found: dict[str, Any], failed: dict[str, str]) -> dict[str, list[Row]]:
    """Title -> rows."""

    def rows(what: str, read: Callable[[Any], list[Row]]) -> list[Row]:
        if what in failed:
            return [Row(what, f"unknown: {failed[what]}")]
        try:
            return read(found[what])
        except Exception as error:
            return [Row(what, f"unknown: {_why(error)}")]

    def plain(what: str) -> Row:
        return rows(what, lambda state: [Row(what, state)])[0]

    driver = found["driver"]
    return {
        "this machine": [
            plain("tinyae"),
            *rows("python", lambda version: [Row("python", f"{version}, {found['executable']}")]),
            *(plain(w) for w in ("system", "numpy", "blas", "threads", "cores", "products", "mpi")),
        ],
        "backends, in the order in which auto tries them": rows(
            "backends",
            lambda backends: [
                Row(n, missing or WORKS.get(n, "works")) for n, missing in backends.items()
            ],
        ),
        "what the GPU needs": [
            *rows("driver", _driver_rows),
            *rows("cupy", lambda wheels: [_cupy_row(wheels, driver)]),
            *rows("nvrtc", lambda nvrtc: [_nvrtc_row(nvrtc, found["cupy"] or {})]),
            plain("nccl"),
            *rows("numba-cuda", lambda version: [_numba_cuda_row(version, driver)]),
        ],
        "what cuda-host needs": rows("compiler", lambda compiler: [_compiler_row(compiler)]),
        "extras": rows("extras", _extra_rows),
    }


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _driver_rows(driver: nvidia.Driver | None) -> list[Row]:
    if driver is None:
        return [Row("driver", "no NVIDIA driver", DRIVER_REMEDIES.get(sys.platform, ""))]
    state = f"NVIDIA {driver.version}".strip() + ", runs CUDA up to {}.{}".format(*driver.cuda)
    if driver.cuda[0] < min(OLDEST_DRIVER):
        oldest = min(OLDEST_DRIVER.values())
        return [Row("driver", f"{state}: too old", f"update the driver to {oldest} or newer")]
    if driver.error:
        return [Row("driver", f"{state}: {driver.error}", "nvidia-smi shows what the driver sees")]
    return [Row("driver", state), *map(_device_row, range(len(driver.devices)), driver.devices)]


def _device_row(ordinal: int, device: nvidia.Device) -> Row:
    capability = "{}.{}".format(*device.capability)
    memory = f"{device.memory / 2**30:.1f} GiB"
    tuned = len(measured_plans.load(device.name))
    plans = f", products tuned: {tuned}" if tuned else ""
    return Row(f"gpu {ordinal}", f"{device.name}, compute capability {capability}, {memory}{plans}")


def _without_use(driver: nvidia.Driver | None) -> bool:
    return driver is None or not driver.devices or driver.cuda[0] < min(OLDEST_DRIVER)


def _cupy_row(wheels: dict[str, str], driver: nvidia.Driver | None) -> Row:
    install = f'pip install "tinyae[cuda{_cuda_for(driver)}]"'
    if not wheels and _without_use(driver):
        return Row("cupy", "not installed; it needs a GPU and its driver")
    if not wheels:
        return Row("cupy", "not installed", install)
    state = " and ".join(f"{name} {version}" for name, version in wheels.items())
    mend = f"pip uninstall -y {' '.join(wheels)} && {install}"
    if len(wheels) > 1:
        return Row("cupy", f"{state} overwrite each other: only one may be installed", mend)
    (version,) = wheels.values()
    if int(version.split(".")[0]) < OLDEST_CUPY:
        return Row("cupy", f"{state} is older than {OLDEST_CUPY}", mend)
    major = _cuda_of(wheels)
    if driver is not None and major is not None and major > _cuda_for(driver):
        needed = "driver {} and compute capability {}.{}, or newer"
        needed = needed.format(OLDEST_DRIVER[major], *OLDEST_CAPABILITY[major])
        return Row("cupy", f"{state} needs {needed}", mend)
    return Row("cupy", state)


def _cuda_for(driver: nvidia.Driver | None) -> int:
    """The major version of CUDA to install for a driver and its GPUs; the newest for none."""
    if driver is None:
        return max(OLDEST_DRIVER)
    weakest = min((device.capability for device in driver.devices), default=(99, 0))
    fit = [m for m, c in OLDEST_CAPABILITY.items() if driver.cuda[0] >= m and weakest >= c]
    return max(fit, default=min(OLDEST_DRIVER))


def _cuda_of(wheels: dict[str, str]) -> int | None:
    """The major version of CUDA that CuPy was built for, where the wheel's name tells."""
    found = re.fullmatch(r"cupy-cuda(\d+)x", next(iter(wheels), ""))
    return int(found[1]) if found else None


def _nvrtc() -> dict[str, str] | None:
    found = find_nvrtc(_cuda_of(nvidia.cupy_wheels()))
    return {"version": found.version, "origin": found.origin} if found else None


def _nvrtc_row(nvrtc: dict[str, str] | None, wheels: dict[str, str]) -> Row:
    if nvrtc:
        return Row("nvrtc", f"{nvrtc['version']}, from {nvrtc['origin']}")
    if not wheels:
        state = "not installed; it comes with CuPy, and alone for cuda-ptx"
        return Row("nvrtc", state, f"pip install {NVRTC_WHEELS[max(NVRTC_WHEELS)]}")
    major = _cuda_of(wheels) or max(OLDEST_DRIVER)
    return Row("nvrtc", f"CuPy needs that of CUDA {major}", f'pip install "tinyae[cuda{major}]"')


def _numba_cuda_row(version: str, driver: nvidia.Driver | None) -> Row:
    if version:
        return Row("numba-cuda", version)
    if _without_use(driver):
        return Row("numba-cuda", "not installed; it needs a GPU and its driver")
    install = f'pip install "tinyae[numba-cuda{_cuda_for(driver)}]"'
    return Row("numba-cuda", "not installed", install)


def _compiler() -> dict[str, str] | None:
    try:
        path = find_compiler()
    except CompilerMissing:
        return None
    command = [path, "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=5)
    return {"path": path, "version": done.stdout.splitlines()[0]}


def _compiler_row(compiler: dict[str, str] | None) -> Row:
    if compiler:
        return Row("compiler", f"{compiler['version']}, {compiler['path']}")
    found = (remedy for tool, remedy in COMPILER_REMEDIES.items() if shutil.which(tool))
    return Row("compiler", "no C++ compiler", next(found, "install g++, or set CXX to a compiler"))


def _extra_rows(extras: dict[str, str | None]) -> list[Row]:
    return [
        Row(extra, f"{name} {extras[extra]} ({purpose})") if extras[extra]
        else Row(extra, f"missing ({purpose})", f'pip install "tinyae[{extra}]"')
        for extra, (_, name, purpose) in EXTRAS.items()
    ]  # fmt: skip


def _version(module: str, name: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # the module is there, its metadata are not
        return "of unknown version"


def _blas() -> str:
    config: Any = np.show_config(mode="dicts")  # type: ignore[call-overload, func-returns-value, unused-ignore]
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _mpi() -> str:
    """Which launcher there is, and as how many ranks this was started."""
    size = started()[0]
    ranks = (
        f"started as {size} ranks, which share a machine's cores"
        if size > 1
        else "not started by mpirun or srun"
    )
    comm = world()  # raises where the ranks cannot talk to each other
    if comm is not None:
        from mpi4py import MPI

        return f"{ranks}, {MPI.Get_library_version().splitlines()[0].strip()}"
    launchers = [path for path in map(shutil.which, ("mpirun", "srun")) if path]
    return f"{ranks}; launchers found: {', '.join(launchers) or 'none'}"


def _products() -> str:
    """What matmul="auto" is with backend numba, and why."""
    try:
        matmul = get_backend("numba", "auto").matmul
    except BackendUnavailable:
        return "fp32: backend numba does not work here"
    from ...kernels.cpu.product.processor import lacking

    why = lacking() or "on AMX"
    return f"matmul='auto' is {matmul} with backend numba: {why}"


def _nccl() -> str:
    """What ranks with a GPU each add up by."""
    if importlib.util.find_spec("cupy") is None:
        return "not looked for: it is for several ranks of MPI on the backend cupy"
    from cupy.cuda import nccl

    return str(nccl.get_version()) if nccl.available else "CuPy finds none (nvidia-nccl-cu13)"


def _threads() -> str:
    """How many threads BLAS uses, asked of threadpoolctl where it is installed."""
    if importlib.util.find_spec("threadpoolctl") is not None:
        from threadpoolctl import threadpool_info

        pools = [f"{p['internal_api']} {p['num_threads']}" for p in threadpool_info()]
        return ", ".join(pools) or "no thread pool found"
    given = [f"{name}={n}" for name, n in os.environ.items() if name.endswith("_NUM_THREADS")]
    return ", ".join(given) or "as many as BLAS likes (set OMP_NUM_THREADS to bound them)"
