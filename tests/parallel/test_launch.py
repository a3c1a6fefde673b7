"""What says that mpirun or srun has started a process, and commands under them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.parallel.launching import needs_mpi, run
from tinyae.parallel.launch import started

OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (1, 0, 1)),
        (OPEN_MPI, (4, 3, 1)),
        (OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, (4, 3, 2)),
        ({"PMI_SIZE": "2", "PMI_RANK": "1", "MPI_LOCALNRANKS": "2"}, (2, 1, 2)),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, (1, 0, 1)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, (8, 5, 1)),
        # a batch script, which is no task of srun's
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, (1, 0, 1)),
    ],
)
def test_started(variables: dict[str, str], expected: tuple[int, int, int]) -> None:
    assert started(variables) == expected


def test_without_mpi4py_one_error_names_the_command(tmp_path: Path) -> None:
    """Not a training in each process, into the same folder."""
    (tmp_path / "mpi4py.py").write_text("raise ImportError('none here')")
    for rank in (0, 1):
        given = os.environ | {"PMI_SIZE": "2", "PMI_RANK": str(rank), "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "tinyae", "train", "--out", tmp_path / "run"],
            check=False, env=given, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert ('pip install "tinyae[mpi]"' in done.stderr) == (rank == 0)
        assert done.stdout == "" and done.stderr.count("\n") == 1 - rank
    assert not (tmp_path / "run").exists()


def test_who_trains_alone_does_not_import_it() -> None:
    text = """
import sys, numpy as np
from tinyae import Autoencoder
Autoencoder(hidden=(4,), code=2, epochs=1, backend="numpy").fit(np.eye(8))
assert "mpi4py" not in sys.modules
assert "tinyae.parallel" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", text], check=True, timeout=60)


@needs_mpi
def test_train_writes_one_run_folder(tmp_path: Path) -> None:
    """2 ranks, interrupted by nothing; 3 would go on. The first one prints, once."""
    data = tmp_path / "data.npy"
    np.save(data, np.random.default_rng(0).random((120, 12)))
    options = (
        "train", "--data", data, "--hidden", "8", "--code", "2", "--epochs", "2", "--backend",
        "numpy", "--dtype", "float64", "--json",
    )  # fmt: skip
    done = run(2, "-m", "tinyae", *options, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)  # one object
    assert done.stderr.count("epoch 2/2") == 1
    alone = subprocess.run(
        [sys.executable, "-m", "tinyae", *map(str, options), "--out", tmp_path / "one"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    one = json.loads(alone.stdout)
    # 2 epochs of 4 updates, each to rounding
    assert two["test"]["squared_error"] == pytest.approx(one["test"]["squared_error"], rel=1e-12)
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert names[0] == names[1]


@needs_mpi
def test_a_command_of_one_process_is_refused(tmp_path: Path) -> None:
    done = run(2, "-m", "tinyae", "info", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("the work of one: start it without. train, sweep, evaluate, out") == 1


@needs_mpi
def test_wrong_arguments_are_one_error() -> None:
    done = run(2, "-m", "tinyae", "train", "--data", "nowhere.npy")
    assert done.returncode != 0
    assert done.stderr.count("'nowhere.npy' is neither") == 1
