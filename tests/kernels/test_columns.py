"""Which backend is chosen where Numba's environment variables ask for what it cannot do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

SCRIPT = """
from tinyae.kernels.columns import BackendUnavailable, get_backend
print(get_backend().name)
try: print(get_backend("numba").name)
except BackendUnavailable as error: print(error)
"""

# variable -> whether Numba can start with it
VALUES = {
    "NUMBA_DISABLE_JIT=1": False,
    "NUMBA_THREADING_LAYER=abacus": False,
    "NUMBA_THREADING_LAYER=": False,
    "NUMBA_THREADING_LAYER=workqueue": False,
    "NUMBA_THREADING_LAYER=tbb": importlib.util.find_spec("tbb") is not None,
    "NUMBA_THREADING_LAYER_PRIORITY=abacus": False,
    "NUMBA_NUM_THREADS=0": False,
    "NUMBA_NUM_THREADS=-1": False,
    "NUMBA_CPU_FEATURES=sse2": False,
    "NUMBA_NUM_THREADS=many": True,
    "NUMBA_OPT=most": True,
    "NUMBA_CPU_NAME=generic": True,
    "NUMBA_CACHE_LOCATOR_CLASSES=nowhere": True,
}


def test_numbas_variables_end_in_no_traceback() -> None:
    """Either another backend takes its place, and why stands in one line, or it works, perhaps
    with a warning that names the variable."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    started = {}
    for given in VALUES:  # all at once
        variables = {**plain, **dict([given.split("=")]), "CUDA_VISIBLE_DEVICES": ""}
        started[given] = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], text=True, env=variables, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
    for given, process in started.items():
        out, err = process.communicate()
        name = given.partition("=")[0]
        assert process.returncode == 0 and "Traceback" not in err, err
        automatic, asked_for = out.splitlines()
        if VALUES[given]:
            assert automatic == asked_for == "numba"
            assert not err or name in err.splitlines()[0]
        else:
            assert automatic == "numpy" and not err
            assert asked_for.startswith("backend 'numba' cannot run here: ") and name in asked_for
