"""One process at a time, and no lock outlives its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinyae.storage.locks import SUFFIX, held

HOLD = """
import sys, time
from tinyae.storage.locks import held
with held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("folder", [True, False])
def test_it_is_held_once_and_leaves_nothing(tmp_path: Path, folder: bool) -> None:
    path = tmp_path if folder else tmp_path / "run.npz"
    for _ in range(2):
        with held(path):
            with (
                pytest.raises(BlockingIOError, match=f"{path} is in use by process {os.getpid()} "),
                held(path),
            ):
                pass
            with held(tmp_path / "another"):
                pass
        assert not list(tmp_path.iterdir())


def test_another_process_is_named_and_its_kill_frees_the_lock(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError, match=f"process {process.pid} on "), held(tmp_path):
        pass
    process.kill()
    process.communicate()
    assert (tmp_path / SUFFIX).exists()
    with held(tmp_path):
        assert (tmp_path / SUFFIX).read_text().startswith(f"process {os.getpid()} ")
    assert not (tmp_path / SUFFIX).exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / SUFFIX).symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"), held(tmp_path):
        pass
    assert (tmp_path / "victim").read_text() == "mine"
