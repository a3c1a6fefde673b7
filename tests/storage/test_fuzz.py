"""Damaged files of every kind: one line of error each, no memory taken, no warning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def start(what: str, n: int, seed: int, **variables: str) -> subprocess.Popen[str]:
    """A process of its own: what it takes of memory is known at its end."""
    if what == "pictures":
        pytest.importorskip("PIL.Image", reason="reading images needs Pillow")
    pytest.importorskip("resource", reason="memory is measured on POSIX")
    command = [sys.executable, "-m", "tests.storage.fuzzing", what, str(n), str(seed)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | variables,
    )  # fmt: skip


def expect_no_fault(*processes: subprocess.Popen[str]) -> set[str]:
    """The hashes of what each of them read."""
    hashes = set()
    for said in [process.communicate()[0] for process in processes]:
        *faults, last = said.splitlines()
        assert not faults and last.startswith("MB "), said[:9999]
        _, grown, read = last.split()
        assert int(grown) < 300
        hashes.add(read)
    return hashes


@pytest.mark.parametrize(("what", "n"), [("files", 240), ("pictures", 140)])
def test_damaged_files(what: str, n: int) -> None:
    expect_no_fault(start(what, n, seed=0))


@pytest.mark.parametrize("what", ["files", "pictures"])
def test_a_seed_damages_the_same_bytes_wherever_and_whenever(what: str, tmp_path: Path) -> None:
    (folder := tmp_path / "elsewhere").mkdir()
    other = {"TMPDIR": str(folder), "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "1",
             "OPENBLAS_CORETYPE": "Nehalem"}  # fmt: skip
    assert len(expect_no_fault(start(what, 60, seed=3), start(what, 60, seed=3, **other))) == 1


@pytest.mark.slow
def test_20000_damaged_files() -> None:
    expect_no_fault(start("files", 15_000, seed=1), start("pictures", 5_000, seed=2))
