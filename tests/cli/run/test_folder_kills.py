"""A run folder has one writer, and a kill at any moment costs at most what it interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyae.cli.main import main
from tinyae.cli.run.folder import RunFolder
from tinyae.storage.locks import held

Output = pytest.CaptureFixture[str]

ROOT = str(Path(__file__).parents[2])
TRAIN = ["train", "--data", "data.npy", "--hidden", "6", "--code", "2", "--backend", "numpy"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", np.random.default_rng(0).random((60, 12), dtype=np.float32))
    return tmp_path


def test_a_second_training_ends_and_names_the_first(here: Path, capsys: Output) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "tinyae", *TRAIN, "--epochs", "30", "--out", "new/code-2"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert first.stderr is not None
    assert any(line.startswith("epoch  2/30") for line in first.stderr)
    first.send_signal(signal.SIGSTOP)
    sweep = ["sweep", *TRAIN[1:5], *TRAIN[7:], "--codes", "2", "--out", "new", "--epochs", "30"]
    for argv in (["train", "--resume", "new/code-2"], sweep):
        assert main(argv) == 1
        message = f"tinyae: new/code-2 is in use by process {first.pid} on "
        assert capsys.readouterr().err.splitlines()[-1].startswith(message)
    assert main([*TRAIN, "--out", "new/code-2"]) == 2
    first.kill()
    first.communicate()
    assert main(["train", "--resume", "new/code-2"]) == 0
    assert not list(here.glob("new/code-2/.*"))


def test_without_a_name_each_training_makes_a_folder_of_its_own(here: Path) -> None:
    folders = [RunFolder.unused(Path("runs"), "data").path.name for _ in range(3)]
    assert folders == ["data", "data-2", "data-3"]
    with held("runs/data"), held("runs/data-2"):
        assert main([*TRAIN, "--epochs", "1"]) == 0
    assert Path("runs/data-4/model.npz").exists()


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from tinyae.cli import train
from tinyae.cli.main import main

train.can_draw = lambda: False  # pictures are written as all else

def forked(argv, left):
    child = os.fork()
    if child == 0:
        def counted(do):
            def call(*given):
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), 9)
                return do(*given)
            return call
        for name in ("open", "fsync", "replace", "unlink", "mkdir"):
            setattr(os, name, counted(getattr(os, name)))
        os._exit(main(argv))
    return os.waitpid(child, 0)[1]

assert forked([*sys.argv[1:], "whole"], 0) == 0
for kills in range(1, 200):
    argv = [*sys.argv[1:], f"run{kills}", "--resume"]
    killed = forked(argv, kills)
    for path in Path(f"run{kills}").glob("[a-z]*.npz"):
        np.load(path)["meta"]
    assert forked(argv, 0) == 0
    assert not list(Path(f"run{kills}").glob(".*")), kills
    with np.load("whole/model.npz") as whole, np.load(f"run{kills}/model.npz") as model:
        for name in set(whole.files) - {"meta"}:
            assert whole[name].tobytes() == model[name].tobytes(), (kills, name)
    if killed == 0:
        break
print(kills)
"""


def test_killed_at_every_call_of_the_system_it_goes_on_to_the_same_bytes(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *TRAIN, "--epochs", "2", "--out"], text=True, check=False,
        capture_output=True, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 20
