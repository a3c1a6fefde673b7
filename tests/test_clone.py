"""A fresh clone works with NumPy alone and nothing installed: its kernels lie beside tinyae/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
FILES = "git ls-files --cached --others --exclude-standard tinyae kernels"
WHERE = """
import tinyae, tinyae.kernels.backend
print(tinyae.__file__, tinyae.kernels.backend.__file__, sep="\\n")
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files, and a folder "packages" with NumPy in it and nothing else."""
    done = subprocess.run(FILES.split(), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no clone of the repository")
    folder = tmp_path_factory.mktemp("clone")
    for file in done.stdout.split():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    numpy = Path(np.__file__).parent
    (folder / "packages").mkdir()
    for package in (numpy, numpy.with_name("numpy.libs")):
        if package.is_dir():
            (folder / "packages" / package.name).symlink_to(package)
    np.save(folder / "data.npy", np.random.default_rng(0).random((20, 6)))
    return folder


def run(clone: Path, *arguments: str) -> str:
    """What Python says there, without the packages of this environment (-S)."""
    done = subprocess.run(
        [sys.executable, "-S", *arguments], cwd=clone, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": "packages"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_imported_is_the_clone(clone: Path) -> None:
    found = run(clone, "-c", WHERE).splitlines()
    assert found == [str(clone / file) for file in ("tinyae/__init__.py", "kernels/backend.py")]


def test_it_trains(clone: Path) -> None:
    small = ("--hidden", "4", "--code", "2", "--epochs", "1", "--out", "run")
    run(clone, "-m", "tinyae", "train", "--data", "data.npy", *small)
    assert "encoder.0" in run(clone, "-m", "tinyae", "info", "run")


def test_it_teaches(clone: Path) -> None:
    """With NumPy alone, but for the last two exercises."""
    assert "43 arrays compared" in run(clone, "-m", "tinyae", "trace", "--net", "4,3,2")
    run(clone, "-m", "tinyae", "exercise", "9")
    file = clone / "exercise_09.py"
    right = "return normal * np.sqrt(2 / len(normal))"
    file.write_text(file.read_text().replace("raise NotImplementedError", right))
    assert "right" in run(clone, "-m", "tinyae", "exercise", "9", "--check")
    run(clone, "-c", "import sys, tinyae.estimator; assert 'tinyae.learn' not in sys.modules")
