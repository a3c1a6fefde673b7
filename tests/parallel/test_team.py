"""One net trained by several ranks: the weights of one process, whatever happens to a rank."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.parallel.launching import mpirun, needs_mpi, run
from tinyae import Autoencoder
from tinyae.kernels.columns import available_backends

HERE = Path(__file__).parent

# A program whose ranks differ in one thing, after ``comm`` and X (90, 6) are made
PROGRAM = """
import sys
import numpy as np
from mpi4py import MPI
from tinyae import Autoencoder
comm = MPI.COMM_WORLD
X = np.random.default_rng(0).random((90, 6))
def say(text):  # of all ranks in order: what each prints may be mixed with another's
    for line in comm.gather(text) or ():
        print(line)
def made(**options):
    given = dict(hidden=(5,), code=2, epochs=4, batch_size=16, backend="numpy", random_state=0,
                 dtype="float64", schedule="constant", warmup=0)
    return Autoencoder(**given | options)
"""


def program(size: int, text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run(size, "-c", PROGRAM + text, *arguments)


@needs_mpi
@pytest.mark.parametrize(
    ("backend", "dtype", "sizes", "weights"),
    [
        ("numpy", "float64", "1,2", 1e-12),
        pytest.param("numpy", "float64", "1,2,3,5", 1e-12, marks=pytest.mark.slow),
        ("numba", "float32", "2", 1e-4),
        pytest.param("numba", "float64", "1,2,3,5", 1e-12, marks=pytest.mark.slow),
        pytest.param("numpy", "float32", "1,2,3,5", 1e-4, marks=pytest.mark.slow),
    ],
)
def test_any_number_of_ranks_gives_the_same_net(
    backend: str, dtype: str, sizes: str, weights: float
) -> None:
    """Noise, missing values, categories, validation and early stopping as well; the same bits on
    all ranks and in a second run."""
    if backend not in available_backends():
        pytest.skip("no numba")
    done = run(int(sizes[-1]), "-m", "mpi4py", HERE / "same_result.py", backend, dtype, sizes)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == (13 + 12) * len(sizes.split(","))
    for case in found:
        assert case["weights"] < weights, case
        assert case["curve"] < weights, case
        assert case["values"] == 1, case


@needs_mpi
def test_resumed_by_another_number_of_ranks(tmp_path: Path) -> None:
    """2 ranks, then 3, then one process; the curve is that of one process throughout."""
    text = """
path = sys.argv[1]
for epochs, size in ((1, 2), (3, 3), (4, 1)):
    part = comm.Split(0 if comm.rank < size else MPI.UNDEFINED, comm.rank)
    if part != MPI.COMM_NULL:
        ae = made(epochs=epochs).fit(X, checkpoint=path, resume=True, comm=part)
    comm.Barrier()
if comm.rank == 0:
    alone = made().fit(X)
    a, b = alone.parameters(), ae.parameters()
    print(max(abs(a[name] - b[name]).max() for name in a), len(ae.history_["loss"]))
"""
    done = program(3, text, tmp_path / "checkpoint.npz")
    assert done.returncode == 0, done.stderr
    difference, epochs = done.stdout.split()
    assert float(difference) < 1e-12
    assert int(epochs) == 4


@needs_mpi
def test_other_data_on_a_rank_is_one_error_on_all() -> None:
    text = """
try:
    made().fit(X[:, : 6 - (comm.rank == 1)], comm=comm)
except ValueError as error:
    say(f"{comm.rank}: {error}")
"""
    done = program(3, text)
    assert done.returncode == 0, done.stderr
    lines = sorted(done.stdout.splitlines())
    assert [line[0] for line in lines] == ["0", "1", "2"]
    assert all("all ranks must train the same net on the same data: data" in s for s in lines)
    assert "0: rank 1 of 3: " in lines[0]
    assert "'features': 5" in lines[2]


@needs_mpi
def test_ranks_of_unlike_processors_are_told_to_name_the_products() -> None:
    pytest.importorskip("numba")
    text = """
from dataclasses import replace
from tinyae.kernels import columns
if comm.rank == 1:  # as if on a processor with AMX
    columns._loaded["numba auto"] = replace(columns.get_backend("numba"), matmul="6xbf16")
for given in ({"matmul": "auto"}, {"matmul": "fp32"}, {"dtype": "float64"}):
    try:
        say(made(**{"backend": "numba", "dtype": "float32"} | given).fit(X, comm=comm).matmul_)
    except ValueError as error:
        say(error)
"""
    done = program(2, text)
    assert done.returncode == 0, done.stderr
    refused, *trained = done.stdout.splitlines()[::2]
    assert "numba fp32 on rank 0, numba 6xbf16 on rank 1: name them" in refused
    assert done.stdout.count(refused) == 2 and trained == ["fp32", "fp32"]


@needs_mpi
def test_a_checkpoint_that_cannot_be_written_ends_all(tmp_path: Path) -> None:
    """The disk of rank 0 is full after the second epoch; others have the same error."""
    text = """
from tinyae import estimator
save, calls = estimator.save_checkpoint, []
def full(*arguments):
    calls.append(1)
    if len(calls) > 2:
        raise OSError(28, "No space left on device")
    save(*arguments)
estimator.save_checkpoint = full
try:
    made().fit(X, checkpoint=sys.argv[1], comm=comm)
except OSError as error:
    say(f"{comm.rank}: {error}, {len(calls)} calls")
"""
    done = program(2, text, tmp_path / "checkpoint.npz")
    assert done.returncode == 0, done.stderr
    calls = {0: 3, 1: 0}  # the first one writes
    expected = [f"{r}: [Errno 28] No space left on device, {calls[r]} calls" for r in (0, 1)]
    assert sorted(done.stdout.splitlines()) == expected
    with np.load(tmp_path / "checkpoint.npz") as found:
        assert "totals" in found.files


@needs_mpi
def test_a_rank_that_fails_alone_ends_all() -> None:
    text = """
def callback(progress):
    if comm.rank == 1 and progress.epoch == 2:
        raise LookupError("out of luck")
made().fit(X, comm=comm, callback=callback)
print("never")
"""
    started = time.monotonic()
    done = program(2, text)
    assert time.monotonic() - started < 30
    assert done.returncode != 0
    assert "never" not in done.stdout
    assert "tinyae: rank 1 of 2 on " in done.stderr
    assert "out of luck: all ranks end" in done.stderr


@needs_mpi
def test_divergence_is_one_error_on_all() -> None:
    text = """
from tinyae import DivergenceError
try:
    made(learning_rate=1e200, optimizer="sgd", loss="mse", output="identity").fit(X, comm=comm)
except DivergenceError as error:
    say(f"{comm.rank}: epoch {error.epoch}, step {error.step}")
"""
    done = program(2, text)
    assert done.returncode == 0, done.stderr
    first, second = sorted(done.stdout.splitlines())
    assert first.startswith("0: epoch 1, step ")
    assert second == "1" + first[1:]


def test_what_is_no_communicator_is_named() -> None:
    with pytest.raises(TypeError, match="comm must be a communicator of mpi4py, got 2"):
        Autoencoder(backend="numpy").fit(np.eye(4), comm=2)


@needs_mpi
def test_a_backend_of_a_gpu_is_refused() -> None:
    """On all ranks, with the one to take; here "numpy" stands for it."""
    text = """
from tinyae.parallel import work
work.HOSTS = ("numba",)
try:
    made().fit(X, comm=comm)
except ValueError as error:
    say(error)
"""
    done = program(2, text)
    refused = "backend 'numpy' trains in one process only"
    assert done.stdout.count(refused) == done.stdout.count("(--backend numba)") == 2, done.stderr


@needs_mpi
def test_a_term_that_is_no_sum_over_samples_is_refused() -> None:
    text = """
from tinyae.train.terms.target_blur import TargetBlur
TargetBlur.of_samples, TargetBlur.setting = False, "its blur"
try:
    made(target_blur=1.0, image_shape=(1, 6)).fit(X, comm=comm)
except ValueError as error:
    say(error)
"""
    done = program(2, text)
    assert done.stdout.count("its blur is no sum over samples") == 2, done.stderr


@needs_mpi
def test_what_ranks_may_share_in_place_of_it_is_said() -> None:
    """By the argument that was given. And a rank with a net of another class is told so by all."""
    text = """
from tinyae import *
cases = [(TiedAutoencoder if comm.rank else Autoencoder, {}), (SparseAutoencoder, {}),
         (SparseAutoencoder, {"sparsity": "kl", "code_activation": "sigmoid"}),
         (VariationalAutoencoder, {"samples": 2}),
         (VariationalAutoencoder, {"free_bits": 0.5}), (ContractiveAutoencoder, {"estimate": 1})]
for kind, options in cases:
    try:
        kind(code=4, epochs=1, backend="numpy", **options).fit(X, comm=comm)
    except ValueError as error:
        say(error)
"""
    done = program(2, text)
    assert done.stdout.count("class 'TiedAutoencoder' on rank 1, 'Autoencoder' on rank 0") == 2
    for setting, instead in (
        ("revive=0.03125 of sparsity='top-k'", "revive=0 or sparsity='l1'"),
        ("sparsity='kl'", "sparsity='l1'"),
        ("samples=2", "samples=1"),
        ("free_bits=0.5", "free_bits=0"),
        ("estimate=1", "estimate=0"),
    ):
        text = (
            f"{setting} is no sum over samples, which ranks of MPI could share: train in one "
            f"process, or use {instead}"
        )
        assert done.stdout.count(text) == 2, (text, done.stdout, done.stderr)


KILLED = """
import os, pathlib
pathlib.Path(sys.argv[1], f"pid{comm.rank}").write_text(str(os.getpid()))
epochs = []
def callback(progress):
    if progress.epoch == int(sys.argv[2]) + 1:  # whose checkpoint has been written
        say(epochs)
        raise StopIteration
    epochs.extend([progress.epoch] if progress.metrics else [])
ae = made(epochs=10**6)
try:
    ae.fit(X, checkpoint=sys.argv[1] + "/checkpoint.npz", resume=True, comm=comm, callback=callback)
except StopIteration:
    pass
"""


@needs_mpi
@pytest.mark.parametrize("victim", (0, 1))
def test_a_killed_rank_ends_all_and_resume_goes_on(tmp_path: Path, victim: int) -> None:
    epoch = _trained_until_killed(tmp_path, victim, 0)
    done = program(2, KILLED, tmp_path, epoch + 1)
    assert done.stdout.splitlines() == [f"[{epoch + 1}]"] * 2, done.stderr


@needs_mpi
@pytest.mark.slow
def test_killed_at_20_moments_the_bytes_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    moments = np.random.default_rng(0).random(20)
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    cut.mkdir()
    whole.mkdir()
    epoch = 0
    for number, moment in enumerate(moments):
        before, epoch = epoch, _trained_until_killed(cut, number % 2, float(moment))
        assert epoch >= before
    for folder in (cut, whole):
        assert program(2, KILLED, folder, epoch + 1).returncode == 0
    found = [np.load(folder / "checkpoint.npz") for folder in (cut, whole)]
    names = [name for name in found[0].files if name != "meta"]
    assert names
    for name in names:
        assert found[0][name].tobytes() == found[1][name].tobytes(), name


def _trained_until_killed(folder: Path, victim: int, seconds: float) -> int:
    """Trains in ``folder`` for so long, until a rank is killed; the epoch of its checkpoint."""
    files, checkpoint = [folder / f"pid{rank}" for rank in (0, 1)], folder / "checkpoint.npz"
    for file in files:
        file.unlink(missing_ok=True)
    started = mpirun(2, "-c", PROGRAM + KILLED, folder, -9)
    try:
        until = time.monotonic() + 60
        while not all(f.exists() and f.stat().st_size for f in (checkpoint, *files)):
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(seconds)
        pids = [int(file.read_text()) for file in files]
        os.kill(pids[victim], signal.SIGKILL)
        started.communicate(timeout=20)
    finally:
        started.kill()
    assert started.returncode != 0
    assert not any(_runs(pid) for pid in pids)
    with np.load(checkpoint) as found:
        epoch: int = json.loads(str(found["meta"]))["epoch"]
    return epoch


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
