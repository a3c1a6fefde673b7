"""What the figures were measured on: processor, memory, clocks, GPU, versions."""

from __future__ import annotations

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tinyae import __version__
from tinyae.cli.machine import nvidia
from tinyae.kernels.cuda_ptx.nvrtc import version_of

PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "scikit-learn", "statsmodels", "torch", "jax",
            "jaxlib", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda", "threadpoolctl",
            "pytest-benchmark", "pyod", "onnxruntime")  # fmt: skip
STEERING = ("OPENBLAS_", "MKL_", "BLIS_", "OMP_", "GOMP_", "KMP_", "NUMBA_NUM_THREADS",
            "NUMBA_THREADING_LAYER", "TINYAE_NUM_THREADS", "NVIDIA_TF32_OVERRIDE")  # fmt: skip


def machine() -> dict[str, Any]:
    facts: dict[str, Any] = {
        "cpu": next(iter(_cpus("model name")), platform.processor() or platform.machine()),
        "cores": _cores(),
        "clock_mhz": _clock(),
        "memory_gib": _memory(),
        "os": _system(),
        "environment": _environment(),
        "gpu": None,
    }
    driver = nvidia.find_driver()
    if driver is not None and driver.devices:
        facts |= {"gpu": driver.devices[0].name, "driver": driver.version, **_gpu_clocks()}
    return facts


def _environment() -> str:
    """Variables that tell BLAS and thread pools what to do."""
    names = sorted(name for name in os.environ if name.startswith(STEERING))
    return " ".join(f"{name}={os.environ[name]}" for name in names)


def versions() -> dict[str, str]:
    found = {package: version_of(package) for package in PACKAGES}
    installed = {package: version for package, version in found.items() if version}
    return {"tinyae": __version__, "python": platform.python_version(), **installed}


def _system() -> str:
    """Linux 6.1, x86_64: without what a distribution appends to the kernel's version."""
    version = re.match(r"\d+(\.\d+)?", platform.release())
    return f"{platform.system()} {version[0] if version else ''}, {platform.machine()}"


def _cpus(field: str) -> list[str]:
    """What the system says of each core."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    return re.findall(rf"^{field}\s*: (.*)$", text, re.MULTILINE)


def _cores() -> int | None:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


def _clock() -> float | None:
    """Now, the mean of the cores; None where the system does not say."""
    clocks = [float(value) for value in _cpus("cpu MHz")]
    return round(statistics.fmean(clocks), 1) if clocks else None


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError):
        return None


def _gpu_clocks() -> dict[str, float]:
    """The multiprocessors' clock now and at most, of the first GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    query = [program, "--query-gpu=clocks.sm,clocks.max.sm", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    values = re.findall(r"\d+", done.stdout.partition("\n")[0])
    names = ("gpu_clock_mhz", "gpu_clock_max_mhz")
    return {name: float(value) for name, value in zip(names, values, strict=False)}
