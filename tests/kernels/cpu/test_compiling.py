"""Compiled code on disk: damaged, stale, shared by processes, or nowhere to be kept."""

from __future__ import annotations

import errno
import gc
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba")

from numba.core import errors

from tinyae.kernels.cpu import compiling

Output = pytest.CaptureFixture[str]
Damage = Callable[[Path], object]

STAMP, CHECKSUM = slice(0, 16), slice(16, 32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, in which nothing has been said yet."""
    monkeypatch.setattr(compiling, "_said", set())
    monkeypatch.setattr(compiling._Compiling, "kept", compiling._Compiling.kept)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("TINYAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiling.config, "CACHE_DIR", "")
    return tmp_path / "cache"


def compiled() -> Any:
    """A new dispatcher each time: it knows nothing but what is on disk."""

    @compiling.jit()
    def plus_one(x: Any) -> Any:
        return x + 1

    return plus_one


def use() -> int:
    """Calls it with two types; returns how many of them came from the disk."""
    function = compiled()
    assert function(1.5) == 2.5 and function(2) == 3
    return sum(function.stats.cache_hits.values())


def files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.nb*"))


def replaced_by(make: Damage) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def first(size: int) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    "damage",
    [
        *(pytest.param(first(size), id=f"{size} bytes") for size in (0, 1, 16, 20, 32, 33, 1000)),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="one less"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes() + b"."), id="one more"),
        pytest.param(replaced_by(lambda path: path.symlink_to(path.name)), id="not readable"),
    ],
)
def test_damaged_files_are_found_and_replaced(cache: Path, damage: Damage, capsys: Output) -> None:
    assert use() == 0 and use() == 2
    for path in files(cache):
        damage(path)
    assert use() == 0
    (line,) = capsys.readouterr().err.splitlines()  # of two files
    assert line.startswith("tinyae: compiled code was damaged and is made anew (")
    assert str(files(cache)[0].parent) in line
    assert use() == 2 and not capsys.readouterr().err


def test_no_flipped_bit_is_executed(tmp_path: Path, capsys: Output) -> None:
    """Every byte of a file in turn."""
    kept = compiling._Kept(str(tmp_path), "f-1.py3", "sources")
    kept.save("types", "machine code")
    (path,) = files(tmp_path)
    sound = path.read_bytes()
    for i in range(len(sound)):
        path.write_bytes(sound[:i] + bytes([sound[i] ^ 0x40]) + sound[i + 1 :])
        assert kept.load("types") is None
    assert len(capsys.readouterr().err.splitlines()) == 1
    path.write_bytes(sound)
    assert kept.load("types") == "machine code"


def test_what_is_stale_or_another_functions_is_not_loaded(tmp_path: Path, capsys: Output) -> None:
    """Other sources, another Numba, another key: that is no damage, and nothing is said."""
    kept = compiling._Kept(str(tmp_path), "f-1.py3", "sources")
    kept.save("types", "machine code")
    assert kept.load("other types") is None
    assert compiling._Kept(str(tmp_path), "f-1.py3", "new sources").load("types") is None
    newer = compiling._Kept(str(tmp_path), "f-1.py3", "sources")
    newer._version = "99.0"
    assert newer.load("types") is None
    shutil.copy(kept._path("types"), kept._path("other types"))
    assert kept.load("other types") is None
    assert not capsys.readouterr().err


@pytest.mark.parametrize("reason", ["No space left on device", "Is a directory"])
def test_what_cannot_be_written_is_compiled_for_this_process(
    cache: Path, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def full(self: Any, path: str) -> Any:
        raise OSError(errno.ENOSPC, reason)

    if reason == "Is a directory":
        use()
        for path in files(cache):
            replaced_by(Path.mkdir)(path)
    else:
        monkeypatch.setattr(compiling._Kept, "_open_for_write", full)
    assert use() == 0 and use() == 0
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("tinyae: compiled for this process only: ")
    assert reason in line and str(cache) in line


@pytest.mark.parametrize("place", ["file", "file/below", "no home"])
def test_no_folder_to_keep_it_in(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The announcement tells why."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYAE_CACHE", "" if place == "no home" else str(tmp_path / place))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert use() == 0 and use() == 0
    assert compiling._Compiling.kept.startswith("for this process only: ")
    assert ("set TINYAE_CACHE" if place == "no home" else str(tmp_path)) in (
        compiling._Compiling.kept
    )


@pytest.mark.parametrize("collects", (True, False))
def test_garbage_is_collected_afterwards_as_before(collects: bool) -> None:
    seen = []

    class Seen(compiling.event.Listener):
        def on_start(self, started: Any) -> None:
            seen.append(gc.isenabled())

        on_end = on_start

    @compiling.jit()
    def twice(x: Any) -> Any:
        return x + x

    @compiling.jit()
    def fails(x: Any) -> Any:
        return twice(x).no_such_attribute

    fails.py_func.__module__ = compiling.__name__  # as a function of the column
    (gc.enable if collects else gc.disable)()
    try:
        with compiling.event.install_listener("numba:compile", Seen()):
            with pytest.raises(errors.NumbaError):
                fails(1)
            assert twice(1.0) == 2.0
        assert gc.isenabled() == collects
    finally:
        gc.enable()
    assert len(seen) == 6 and True not in seen[1:3]  # those of twice(1) within fails(1)


def test_processes_that_compile_at_once(cache: Path) -> None:
    """The same functions for different types, into an empty folder; then all is there."""
    script = (
        "import sys, numpy as np\nfrom tinyae.kernels.cpu import gather\n"
        "for dtype in sys.argv[1:]:\n"
        "    x, out = np.arange(6, dtype=dtype).reshape(2, 3), np.ones((1, 3), dtype)\n"
        "    gather.gather(x, np.ones(1, np.int64), 1.0, out)\n"
        "    print(out.tolist())\n"
    )

    def start(*dtypes: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *dtypes]
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    for process in [start("float32"), start("float64")]:
        out, err = process.communicate()
        assert out == "[[3.0, 4.0, 5.0]]\n" and err.count("\n") == 1 and "kept on disk" in err
    assert start("float32", "float64").communicate() == (2 * "[[3.0, 4.0, 5.0]]\n", "")
    assert not list(cache.rglob("*.tmp.*"))
