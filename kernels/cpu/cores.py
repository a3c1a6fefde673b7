"""How many CPU threads this process is meant to use, and what says so. Needs no Numba."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

VARIABLE = "TINYAE_NUM_THREADS"

# version of the control groups -> the file with the quota, that with its period (v2: in the first)
_FILES = {"cgroup2": ("cpu.max", ""), "cgroup": ("cpu.cfs_quota_us", "cpu.cfs_period_us")}


def threads(
    variables: Mapping[str, str] = os.environ, proc: Path = Path("/proc/self")
) -> tuple[int, str]:
    """(number, what says so): TINYAE_NUM_THREADS, or the least of what else bounds it.

    That is: the CPUs that the process may run on, or NUMBA_NUM_THREADS, the CPU quota of its
    control groups and OMP_NUM_THREADS. Raises ValueError for a TINYAE_NUM_THREADS that is no
    integer >= 1. ``proc`` is where the system tells a process its control groups.
    """
    cpus = {"the CPUs that this process may run on": _cpus()}
    pool = _of_variable("NUMBA_NUM_THREADS", variables)
    if variables.get(VARIABLE):
        bounds = _of_variable(VARIABLE, variables) | (pool or cpus)
        if VARIABLE not in bounds:
            raise ValueError(f"{VARIABLE} must be an integer >= 1, got {variables[VARIABLE]!r}")
    else:
        bounds = cpus | pool | _of_variable("OMP_NUM_THREADS", variables)
        if quotas := list(_quotas(proc)):
            bounds["the CPU quota of its control group"] = max(1, math.ceil(min(quotas)))
    origin = min(bounds, key=bounds.__getitem__)
    return bounds[origin], origin


def blas_threads() -> int:
    """On how many threads NumPy multiplies: what its libraries' variables say, or one per CPU."""
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(variable, "").isdecimal():
            return int(os.environ[variable])
    return _cpus()


def _cpus() -> int:
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return own or 1


def _of_variable(name: str, variables: Mapping[str, str]) -> dict[str, int]:
    """{name: number}; nothing where it is no integer >= 1, of which OpenMP and Numba complain.

    Of OpenMP's list, a number for each level of nested loops, the first counts.
    """
    text = variables.get(name, "").split(",")[0].strip()
    return {name: int(text)} if text.isdecimal() and int(text) >= 1 else {}


def _quotas(proc: Path) -> Iterator[float]:
    """CPUs that the process's control groups, and those around them, may keep busy."""
    try:
        own = (proc / "cgroup").read_text(errors="replace").splitlines()
        mounts = (proc / "mountinfo").read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        return
    paths = {}
    for line in own:  # number:controllers:path, no controllers in version 2
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers or "cpu" in controllers.split(","):
            paths["cgroup" if controllers else "cgroup2"] = path
    for line in mounts:  # ... root, folder, options - type, source, options of the file system
        fields, kind = (part.split() for part in line.partition(" - ")[::2])
        if (
            kind
            and kind[0] in paths
            and fields[4:]
            and (kind[0] == "cgroup2" or "cpu" in kind[-1].split(","))
        ):
            folder = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4]))
            own_path, root = PurePosixPath(paths[kind[0]]), PurePosixPath(fields[3])
            mounted = own_path.is_relative_to(root)
            below = own_path.relative_to(root) if mounted else PurePosixPath()
            for group in (below, *below.parents):
                yield from _quota(folder / group, *_FILES[kind[0]])


def _quota(group: Path, quota_file: str, period_file: str) -> Iterator[float]:
    try:
        numbers = " ".join((group / name).read_text() for name in (quota_file, period_file) if name)
        quota, period = map(int, numbers.split())
    except (OSError, ValueError):  # none of this kind, or "max"
        return
    if quota > 0 and period > 0:
        yield quota / period
