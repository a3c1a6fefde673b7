"""Files are written whole or not at all, and only over files of their own kind."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.storage.limits import largest_file
from tinyae import Autoencoder, FileError
from tinyae.cli.output import write_array, write_csv, write_json, write_text
from tinyae.plot.style import write_png
from tinyae.storage import files
from tinyae.storage.files import replacing, write_atomically
from tinyae.storage.kinds import kind_of

X = np.random.default_rng(0).random((20, 6))
AE = Autoencoder(hidden=(4,), code=2, epochs=1, random_state=0, backend="numpy").fit(X)
PNG = b"\x89PNG\r\n\x1a\n and so on"


def checkpoint(path: Path) -> None:
    AE.fit(X, checkpoint=path)


# What tinyae writes, and a suffix that it has; what it writes over its own is of the same kind.
WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "model": (".npz", AE.save),
    "checkpoint": (".npz", checkpoint),
    "samples": (".npz", lambda p: write_atomically(p, lambda f: np.savez(f, x=X, y=X[:, 0]))),
    "array": (".npy", lambda p: write_array(p, X, "codes")),
    "numbers": (".csv", lambda p: write_array(p, X, "codes")),
    "history": (".csv", lambda p: write_csv(p, ["epoch", "loss"], [[1, 2.0]])),
    "config": (".json", lambda p: write_json(p, {"tinyae": "0", "data": {}, "model": {}})),
    "sweep": (".json", lambda p: write_json(p, {"data": [], "samples": [1]})),
    "text": (".txt", lambda p: write_text(p, "a table\n")),
    "picture": (".png", lambda p: write_png(p, lambda f: f.write(PNG))),
}
FOREIGN = {
    "a diary": b"Dear diary,\nthis is mine.\n",
    "a list": b"[1, 2]",
    "an object": b'{"theirs": 1}',
    "columns": b"name,age\nTom,3\n",
    "bytes": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "a broken archive": b"PK\x03\x04 and no more",
}


def test_line_ends_are_no_part_of_a_columns_name(tmp_path: Path) -> None:
    for end in (b"\n", b"\r\n"):
        (tmp_path / "x.csv").write_bytes(b"name,age" + end + b"Tom,3" + end)
        assert str(kind_of(tmp_path / "x.csv", ".csv")) == "a table of age, name"


def put(path: Path, what: str) -> bytes:
    """Another's file, or tinyae's own, at ``path``."""
    if what == "an archive":
        with open(path, "wb") as file:
            np.savez(file, x_train=X, weights=X)
    elif what in FOREIGN:
        path.write_bytes(FOREIGN[what])
    else:
        WRITERS[what][1](made := path.with_name(f"made{WRITERS[what][0]}"))
        made.replace(path)
    return path.read_bytes()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_is_replaced_by_its_own_kind_alone(writer: str, tmp_path: Path) -> None:
    suffix, write = WRITERS[writer]
    path = tmp_path / f"file{suffix}"
    for what in (*WRITERS, *FOREIGN, "an archive"):
        before = put(path, what)
        if what == writer or (writer == "text" and suffix == ".txt" and b"\0" not in before
                              and not before.startswith((b"PK", b"\x89PNG"))):  # fmt: skip
            write(path)
            continue
        with pytest.raises(FileError, match=f"{path} holds .*, not .*, and stays as it is") as e:
            write(path)
        assert "\n" not in str(e.value) and path.read_bytes() == before, what
        token = replacing.set(True)
        write(path)
        replacing.reset(token)
        assert path.read_bytes() != before, what
    path.write_bytes(b"")  # as tempfile makes it: nothing is lost
    write(path)
    assert path.stat().st_size and list(tmp_path.iterdir()) == [path]


def test_an_older_version_of_a_kind_and_a_damaged_file_of_ones_own_are_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.csv"
    write_csv(path, ["epoch", "loss", "seconds"], [])
    write_csv(path, ["epoch", "loss"], [])
    write_csv(path, ["epoch", "loss", "val_loss"], [])
    model = tmp_path / "model.npz"
    AE.save(model)
    model.write_bytes(model.read_bytes()[:700])
    AE.save(model)
    Autoencoder.load(model)


def test_a_checkpoint_is_refused_before_training(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    before = put(path, "an archive")
    with pytest.raises(FileError, match="not a tinyae-checkpoint file"):
        AE.fit(X, checkpoint=path, callback=lambda p: pytest.fail("this is a step"))
    assert path.read_bytes() == before


def test_what_is_no_file_or_protected_stays(tmp_path: Path) -> None:
    for path, what in ((tmp_path, "folder"), (Path("/dev/full"), "device")):
        with pytest.raises(FileError, match=f"cannot write {path}: it is a {what}"):
            AE.save(path)
    AE.save(tmp_path / "model.npz")
    (tmp_path / "model.npz").chmod(0o444)
    with pytest.raises(PermissionError, match=r"model\.npz: it is write-protected"):
        AE.save(tmp_path / "model.npz")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        AE.fit(X, checkpoint=tmp_path / "nowhere" / "run.npz")


def test_permissions_are_those_of_the_umask_or_of_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    umask = os.umask(0o027)
    try:
        AE.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        AE.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(umask)


def test_links_are_replaced_and_never_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, victim = tmp_path / "model.npz", tmp_path / "victim.npz"
    AE.save(victim)
    before = victim.read_bytes()
    path.symlink_to(victim)
    Autoencoder(hidden=(3,), code=2, epochs=1).fit(X).save(path)
    assert not path.is_symlink() and victim.read_bytes() == before
    monkeypatch.setattr(files.secrets, "token_hex", lambda n: "guessed")
    (tmp_path / ".model.npz.guessed.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError, match=r"/model\.npz'$"):
        AE.save(path)
    assert victim.read_bytes() == before


def test_a_reader_sees_whole_files_while_threads_write_them(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    AE.save(path)
    failures: list[BaseException] = []

    def save() -> None:
        try:
            for _ in range(40):
                AE.save(path)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=save) for _ in range(3)]
    for writer in writers:
        writer.start()
    reads = 0
    while any(writer.is_alive() for writer in writers) or reads == 0:
        Autoencoder.load(path, backend="numpy")
        reads += 1
    assert not failures and list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("capsys")
@pytest.mark.parametrize("limit", [0, 5, 150, 1000])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, limit: int) -> None:
    for name, (suffix, write) in WRITERS.items():
        path = tmp_path / f"{name}{suffix}"
        write(path)
        if path.stat().st_size > limit:
            before = path.read_bytes()
            with pytest.raises(OSError, match=f"File too large: '{path}'"), largest_file(limit):
                write(path)
            assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == len(WRITERS)


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    for name in (".model.npz.0.tmp", ".other.npz.0.tmp"):
        (tmp_path / name).write_bytes(b"a part")
    os.mkfifo(tmp_path / ".model.npz.1.tmp")  # opening it would wait for ever

    def write(file: object) -> None:
        AE.save(path)  # another, meanwhile
        assert len(list(tmp_path.glob(".model.npz.*.tmp"))) == 2

    write_atomically(path, write)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"model.npz", ".other.npz.0.tmp", ".model.npz.1.tmp"}
