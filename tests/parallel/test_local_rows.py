"""Rows of which each rank has some: read together they are the whole, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.parallel.launching import needs_mpi, run
from tests.parallel.test_team import program

PARTS = """
from tinyae.data.rows import Rows, value_range
from tinyae.data.pca import fit_pca
from tinyae.data.scaling import fit_scaling
from tinyae.parallel.local_rows import local_rows
from tinyae.train.checkpoint import fingerprint
cuts = [0, 50, 60, 90]
own = X[cuts[comm.rank] : cuts[comm.rank + 1]]
"""


@needs_mpi
def test_read_together_they_are_the_whole() -> None:
    text = (
        PARTS
        + """
from tinyae.data import rows as module
from tinyae.parallel import local_rows as here
for size in (350, 1 << 20):  # pieces of 7 rows of floats, across the cuts; one
    module.CHUNK_BYTES = here.CHUNK_BYTES = size
    for data, part in ((X, own), *(((255 * a).astype(np.uint8) for a in (X, own)),)):
        whole, found = Rows(data), local_rows(comm, Rows(part))
        some = np.array([89, 0, 3, 50, 51, 7])
        for a, b in ((whole, found), (whole.select(some), found.select(some))):
            assert a.shape == b.shape and a.dtype == b.dtype and a.scale == b.scale
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
            for x, y in ((a.pieces(), b.pieces()), (a.chunks(), b.chunks())):
                x, y = ([(s, p.tobytes()) for s, p in z] for z in (x, y))
                assert x == y
            assert fingerprint(a) == fingerprint(b)
            for x, y in zip(fit_scaling(a, "standard"), fit_scaling(b, "standard")):
                assert x.tobytes() == y.tobytes()
        assert fit_pca(whole, 2).components.tobytes() == fit_pca(found, 2).components.tobytes()
        assert value_range(whole, "X") == value_range(found, "X")
        held = found.held(some)
        out = np.empty((len(held), 6))
        found.take(some[held], out)
        assert out.tobytes() == np.asarray(whole.select(some[held]), np.float64).tobytes()
        assert sorted(i for h in comm.allgather(held.tolist()) for i in h) == [0, 1, 2, 3, 4, 5]
        try:
            found.take(np.arange(90), np.empty((90, 6)))
        except IndexError as error:
            say(error)
"""
    )
    done = program(3, text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("held by another rank of MPI") == 12


@needs_mpi
def test_rows_that_do_not_fit_are_one_error_on_all() -> None:
    text = (
        PARTS
        + """
import pandas as pd
words = pd.DataFrame({"a": own[:, 0], "b": (["red", "blue"] * 50)[: len(own)]})
names = pd.DataFrame(own, columns=list("abcdef" if comm.rank else "uvwxyz"))
fewer, other = own[:, : 6 - (comm.rank == 1)], own.astype("f4" if comm.rank else "f8")
for given in (fewer, other, names, words):
    try:
        made().fit(given, comm=comm, rows="local")
    except ValueError as error:
        say(error)
try:
    made().fit(X, rows="here")
except ValueError as error:
    say(error)
"""
    )
    done = program(3, text)
    assert done.returncode == 0, done.stderr
    for text, count in (
        ("features 5 on rank 1, 6 on rank 0", 3),
        ("type of numbers 'float32' on rank 1, 'float64' on rank 0", 2),
        ("columns ('a', 'b', 'c', 'd', 'e', 'f') on rank 1, ('u', 'v',", 2),
        ("columns of categories, whose levels are learnt from all rows", 3),
        ("rows must be 'global', X is all samples, or 'local', those of this rank, got 'here'", 3),
    ):
        assert done.stdout.count(text) >= count, (text, done.stdout)


@needs_mpi
def test_resumed_with_the_rows_on_other_ranks() -> None:
    """Automatic settings, cross-validation among them, are those of the whole."""
    text = (
        PARTS
        + """
import tempfile
from tinyae.train import sizes
sizes.MOST_EPOCHS = 40  # of cross-validation
folder = comm.bcast(tempfile.mkdtemp())
path = folder + "/checkpoint.npz"
options = dict(hidden="auto", epochs="auto", batch_size="auto", scale="auto", optimizer="momentum")
if comm.rank == 0:
    alone = made(**options).fit(30 * X)
comm.Barrier()
ae = made(**options).fit(30 * own, comm=comm, rows="local")
if comm.rank == 0:
    assert ae.plan_ == alone.plan_, (ae.plan_, alone.plan_)
    a, b = alone.parameters(), ae.parameters()
    print(max(abs(a[name] - b[name]).max() for name in a))
made(epochs=2).fit(own, comm=comm, rows="local", checkpoint=path)
other = X[[0, 10, 80][comm.rank] : [10, 80, 90][comm.rank]]
ae = made(epochs=4).fit(other, comm=comm, rows="local", checkpoint=path, resume=True)
if comm.rank == 0:
    alone = made(epochs=4).fit(X)
    a, b = alone.parameters(), ae.parameters()
    print(max(abs(a[name] - b[name]).max() for name in a))
"""
    )
    done = program(3, text)
    assert done.returncode == 0, done.stderr
    assert all(float(found) < 1e-12 for found in done.stdout.split()), done.stdout
    assert len(done.stdout.split()) == 2


@needs_mpi
def test_a_file_for_each_rank(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((120, 12))
    for rank, part in enumerate((X[:40], X[40:])):
        np.save(tmp_path / f"part-{rank}.npy", part)
    options = ("--hidden", "8", "--code", "2", "--epochs", "5", "--backend", "numpy")
    given = ("-m", "tinyae", "train", "--data", tmp_path / "part-{rank}.npy", *options)
    done = run(2, *given, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "36 training and 4 test samples of 12 features" in done.stderr
    assert "of rank 0 alone" in done.stderr
    with np.load(tmp_path / "run" / "checkpoint.npz") as found:
        assert '"samples": 108' in str(found["meta"])  # 36 and 72
    (tmp_path / "part-1.npy").unlink()
    done = run(2, *given, "--out", tmp_path / "other")
    assert done.returncode != 0
    assert done.stderr.count("part-1.npy' is neither") == 1
    assert not (tmp_path / "other").exists()
    np.save(tmp_path / "part-1.npy", X[40:])
    np.save(tmp_path / "all.npy", X)
    codes = []
    for size, data in ((1, "all.npy"), (2, "all.npy"), (2, "part-{rank}.npy")):
        out = tmp_path / f"codes-{size}-{data[:4]}.npy"
        encode = "-m", "tinyae", "encode", tmp_path / "run", "--data", tmp_path / data
        done = run(size, *encode, "--out", out, "--backend", "numpy")
        assert done.returncode == 0, done.stderr
        codes.append(np.load(out))
    np.testing.assert_array_equal(codes[1], codes[0])
    np.testing.assert_allclose(codes[2], codes[0], rtol=1e-5, atol=1e-6)
    done = run(1, *given, "--out", tmp_path / "other")
    assert done.returncode == 2
    assert "names a file for each process" in done.stderr
    np.save(tmp_path / "part-2.npy", X)
    done = run(2, *given, "--out", tmp_path / "other")
    assert done.returncode == 2 and not (tmp_path / "other").exists()
    assert "is read by 2 processes, and there is also" in done.stderr


@needs_mpi
def test_tables_that_do_not_fit_are_refused_and_leave_no_folder(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((40, 4))
    for name, part in (("wide", rows[:, :3]), ("kind", rows.astype(np.float32))):
        np.save(tmp_path / f"{name}-0.npy", rows)
        np.save(tmp_path / f"{name}-1.npy", part)
    for rank, head in enumerate(("a,b", "b,a")):
        lines = "".join(f"{i / 10},{i % 7}\n" for i in range(1, 60))
        (tmp_path / f"names-{rank}.csv").write_text(f"{head}\n{lines}")
    for name, expected in (
        ("wide-{rank}.npy", "features 3 on rank 1, 4 on rank 0"),
        ("kind-{rank}.npy", "type of numbers 'float32' on rank 1, 'float64' on rank 0"),
        ("names-{rank}.csv", "columns ('b', 'a') on rank 1, ('a', 'b') on rank 0"),
    ):
        done = run(2, "-m", "tinyae", "train", "--data", tmp_path / name, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.count(expected) == 1
    # files of one name that differ, as on disks of two machines
    folders = [tmp_path / "node-0", tmp_path / "node-1"]
    for folder, part in zip(folders, (rows, rows[::-1]), strict=True):
        folder.mkdir()
        np.save(folder / "rows.npy", part)
    text = """
import os, runpy, sys
os.chdir(f"node-{os.environ.get('PMI_RANK') or os.environ['OMPI_COMM_WORLD_RANK']}")
sys.argv[1:] = ["train", "--data", "rows.npy"]
from tinyae.cli import main
from tinyae.cli.run import training
training.Path.resolve = lambda path: path
sys.exit(main.main())
"""
    done = run(2, "-c", text, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("all ranks must read the same data: {'samples'") == 1
    assert [path.name for path in tmp_path.rglob("runs")] == []
