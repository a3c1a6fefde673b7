"""How the numba column behaves beside others: threads, processes, cache folders."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

from tinyae.kernels import columns
from tinyae.kernels.columns import get_backend
from tinyae.kernels.cpu import compiling, cores
from tinyae.kernels.cpu import threads as threads_numba
from tinyae.kernels.cpu.threads import available, launch, limited, threads_for

get_backend("numba")

FIT = """
import numpy as np, sys
from tinyae import Autoencoder
X = np.random.default_rng(0).random((64, 8)).astype(np.float32)
ae = Autoencoder(hidden=(), code=2, epochs=1, random_state=0, backend="numba").fit(X)
print(ae.loss_)
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    most = numba.get_num_threads()
    monkeypatch.delenv("TINYAE_NUM_THREADS", raising=False)
    assert available() == min(most, cores.threads()[0])
    monkeypatch.setenv("TINYAE_NUM_THREADS", "1")
    assert available() == 1
    with limited(most):  # the argument goes before the variable
        assert available() == most
        with limited(None):
            assert available() == most
    assert available() == 1
    monkeypatch.setenv("TINYAE_NUM_THREADS", str(most + 1))
    assert available() == most
    for wrong in ("0", "many", "-1"):
        monkeypatch.setenv("TINYAE_NUM_THREADS", wrong)
        with pytest.raises(ValueError, match=f"TINYAE_NUM_THREADS must be .*'{wrong}'"):
            available()


def test_what_bounds_openmp_bounds_this() -> None:
    """Unless the number is asked for: joblib's workers, say, get one thread each."""
    script = (
        "from tinyae.kernels.cpu.threads import available, limited\nprint(available())\n"
        "with limited(2): print(available())"
    )
    result = run(script, OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="2", TINYAE_NUM_THREADS="")
    assert result.stdout == "1\n2\n", result.stderr


def test_small_problems_use_fewer() -> None:
    assert threads_for(0) == 1
    assert threads_for(threads_numba.GRAIN * 10**6) == available()
    with limited(0):
        assert threads_for(threads_numba.GRAIN * 10**6) == 1


def test_the_users_settings_stay() -> None:
    """Numba's number of threads during a kernel, and after it; also when it fails."""
    seen = []
    before = numba.get_num_threads()

    def kernel(threads: int) -> None:
        seen.append((threads, numba.get_num_threads()))
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        launch(kernel, threads=1)
    assert seen == [(1, 1)]
    assert numba.get_num_threads() == before
    assert "GOMP_SPINCOUNT" not in os.environ


def test_another_python_thread_has_its_own_limit() -> None:
    counts = []
    with limited(1):
        thread = threading.Thread(target=lambda: counts.append(available()))
        thread.start()
        thread.join()
        assert available() == 1
    assert counts == [numba.get_num_threads()]


def test_a_forked_process_is_told_what_to_do() -> None:
    """Its OpenMP would end it without a word."""
    result = run(
        FIT + "import os, traceback\npid = os.fork()\nif not pid:\n"
        "    try: ae.encode(X)\n    except RuntimeError as e: print(e, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
    )
    assert result.returncode == 0, result.stderr
    assert "start processes with the method 'spawn'" in result.stdout


@pytest.mark.slow  # all is compiled twice
def test_no_folder_for_the_cache(tmp_path: Path) -> None:
    """Then it is compiled in memory, to the same result, and says so."""
    (tmp_path / "file").touch()
    result = run(FIT, NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert result.returncode == 0, result.stderr
    assert result.stdout == run(FIT).stdout
    assert result.stderr.count("\n") == 1
    assert "tinyae: compiling for this processor" in result.stderr
    assert "for this process only" in result.stderr and str(tmp_path / "file") in result.stderr


def test_what_was_compiled_is_kept() -> None:
    run(FIT)
    result = run(FIT)
    assert result.returncode == 0
    assert result.stderr == ""


@pytest.mark.parametrize("variable", ("NUMBA_CACHE_DIR", "TINYAE_CACHE"))
def test_what_was_compiled_is_not_beside_the_source(variable: str, tmp_path: Path) -> None:
    """pip uninstall would leave it behind."""
    script = (
        "import numpy as np\nfrom tinyae.kernels.cpu.gather import gather\n"
        "gather(np.ones((2, 3)), np.zeros(1, np.int32), 1.0, np.ones((1, 3)))\n"
    )
    result = run(script, **{"NUMBA_CACHE_DIR": "", variable: str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.rglob("*.nbc"))
    assert not list(Path(compiling.__file__).parent.rglob("*.nb[ci]"))


def test_without_openmp_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_numba, "start", lambda: "workqueue")
    with pytest.raises(columns.BackendUnavailable, match="apt install libgomp1"):
        columns._numba()


def test_two_python_threads_at_once() -> None:
    backend = get_backend("numba")
    rng = np.random.default_rng(0)
    a, b = rng.random((200, 300)), rng.random((300, 250))
    results: list[np.ndarray] = []

    def work() -> None:
        for _ in range(20):
            y = np.full((200, 250), np.nan)
            backend.dense_forward(a, b, np.zeros(250), "identity", y, None)
            results.append(y)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: work(), range(3)))
    assert len(results) == 60
    for y in results:
        assert y.tobytes() == results[0].tobytes()
