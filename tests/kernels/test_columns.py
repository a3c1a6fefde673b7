"""Which backend is chosen where Numba's environment variables ask for what it cannot do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

SCRIPT = """
from tinyae.kernels.columns import BackendUnavailable, get_backend
print(get_backend().name)
try: print(get_backend("numba").name)
except BackendUnavailable as error: print(error)
"""

# variable -> whether Numba cannot start with it
VALUES = {
    "NUMBA_DISABLE_JIT=1": True,
    "NUMBA_THREADING_LAYER=abacus": True,
    "NUMBA_THREADING_LAYER=": True,
    "NUMBA_THREADING_LAYER=workqueue": True,
    "NUMBA_THREADING_LAYER_PRIORITY=abacus": True,
    "NUMBA_NUM_THREADS=0": True,
    "NUMBA_NUM_THREADS=-1": True,
    "NUMBA_CPU_FEATURES=sse2": True,
    "NUMBA_NUM_THREADS=many": False,
    "NUMBA_OPT=most": False,
    "NUMBA_DEBUG_CACHE=loud": False,
    "NUMBA_CPU_NAME=generic": False,
    "NUMBA_CACHE_LOCATOR_CLASSES=nowhere": False,
}


def test_numbas_variables_end_in_no_traceback(tmp_path: Path) -> None:
    """Either another backend takes its place, and why stands in one line, or it works, perhaps
    with a warning that names the variable."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    started = {}
    for given in VALUES:
        name, _, value = given.partition("=")
        started[given] = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**plain, name: value, "TINYAE_CACHE": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
        )  # fmt: skip
    for given, process in started.items():
        out, err = process.communicate()
        name = given.partition("=")[0]
        assert process.returncode == 0, err
        assert "Traceback" not in err
        automatic, asked_for = out.splitlines()
        if VALUES[given]:
            assert automatic == "numpy" and not err
            assert asked_for.startswith("backend 'numba' cannot run here: ") and name in asked_for
        else:
            assert automatic == asked_for == "numba"
            assert not err or name in err.splitlines()[0]


def test_a_threading_layer_that_is_not_installed() -> None:
    """As tbb often is not."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], text=True, capture_output=True, check=True,
        env={**plain, "NUMBA_THREADING_LAYER": "tbb", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    automatic, asked_for = done.stdout.splitlines()
    assert (automatic, asked_for) == ("numba", "numba") or (
        automatic == "numpy" and asked_for.endswith("change or unset NUMBA_THREADING_LAYER=tbb")
    )
