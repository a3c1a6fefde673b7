"""Programs started by mpirun, for tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MPIRUN = shutil.which(
    "mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)
needs_mpi = pytest.mark.skipif(
    MPIRUN is None or importlib.util.find_spec("mpi4py") is None,
    reason='no MPI here: pip install "tinyae[mpi]"',
)

# In a container the tests are root's, on fewer cores than ranks: Open MPI wants to be asked.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
}  # fmt: skip


def mpirun(size: int, *command: Any, **how: Any) -> subprocess.Popen[str]:
    """``size`` ranks of Python with these arguments, in a session of their own."""
    assert MPIRUN is not None
    return subprocess.Popen(
        [MPIRUN, "-n", str(size), sys.executable, *map(str, command)],
        env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, **how,
    )  # fmt: skip


def run(size: int, *command: Any, **how: Any) -> subprocess.CompletedProcess[str]:
    """``mpirun`` to its end."""
    started = mpirun(size, *command, **how)
    try:
        out, err = started.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        started.kill()
        raise
    return subprocess.CompletedProcess(command, started.returncode, out, err)
