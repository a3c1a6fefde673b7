"""What every command does where its output cannot go: full disks, closed pipes, others' files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.storage.limits import largest_file
from tinyae import Autoencoder
from tinyae.cli.main import build_parser, main

pytest.importorskip("matplotlib", reason="some commands draw")

Output = pytest.CaptureFixture[str]

SMALL = "--data data.npz --hidden 6 --epochs 2 --backend numpy"
TRAIN = f"train {SMALL} --code 2 --out"
FILES = {  # a command -> what it writes
    "encode run --out new.npy": "new.npy",
    "encode run --out new.csv": "new.csv",
    "decode run --codes codes.npy --out new.npy": "new.npy",
    "reconstruct run --out new.npy": "new.npy",
    "reconstruct run --out shown.png": "shown.png",
    "impute run --out new.csv": "new.csv",
    "augment run --per-class 2 --out new.npz": "new.npz",
    "augment run --per-class 3 --out new.npz": "new.png",
    "manifold run --grid 2": "run/manifold.png",
    "sample run -n 2": "run/samples.png",
    "sample run -n 9 --npy new.npy": "new.npy",
    "traverse run --sample 0": "run/traversal.png",
    "interpolate run --from 0 --to 1": "run/interpolation.png",
    "export run --out new.py": "new.py",
    "export run --out new.h --quantize int8": "new.h",
    "export run --out net.py --weights net.npz": "net.npz",
    "page run --out new.html": "new.html",
    "trace run --npz step.npz": "step.npz",
}
FOLDERS = [
    f"{TRAIN} new",
    f"{TRAIN} new --resume",
    f"sweep {SMALL} --codes 1,2 --out new",
    "demo ball --samples 64 --pairs 4 --epochs 1 --out new",
    "demo augment --run run --per-class 8 --seeds 1 --out new",
    "outliers --data data.npz --members 3 --out new",
]
BENCH = "bench --only adam --out new"
OTHERS = [
    "evaluate run",
    "info run",
    "gradcheck --activation tanh --loss mse",
    "doctor",
    "recipes",
    "trace --net 4,3,2",
    "exercise",
    "--help",
]
DEAR = b"Dear diary, this is mine.\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.random((90, 12), np.float32), y=np.arange(90) % 3)
    np.save(folder / "codes.npy", rng.random((90, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*TRAIN.split(), "run"]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_command_is_tried() -> None:
    def names(parser: Any) -> Iterator[str]:
        choices = [a.choices for a in parser._actions if a.choices and a.dest == "==SUPPRESS=="]
        for name, child in [item for mapping in choices for item in mapping.items()]:
            yield from [f"{name} {below}" for below in names(child)] or [name]

    tried = (*FILES, *FOLDERS, *OTHERS, BENCH, "tune")  # that one needs a GPU
    assert all(any(c.startswith(name) for c in tried) for name in names(build_parser()))


@pytest.mark.parametrize("command", FILES)
def test_a_file_of_another_kind_is_replaced_by_force_alone(command: str, capsys: Output) -> None:
    argv, path = command.split(), Path(FILES[command])
    path.write_bytes(DEAR)
    assert main(argv) == 2
    lines = capsys.readouterr().err.splitlines(keepends=True)
    err = "".join(line for line in lines if "compiling for this processor" not in line)
    last = err.splitlines()[-1]  # a slow machine says before it what it waits for
    assert last.startswith(f"tinyae: {path} holds ") and "--force" in last
    assert path.read_bytes() == DEAR
    assert main([*argv, "--force"]) == 0
    assert path.read_bytes() != DEAR
    assert main(argv) == 0  # over its own


@pytest.mark.parametrize("command", [*FOLDERS, BENCH])
def test_a_folder_of_somebody_else_stays_as_it_is(command: str, here: Path, capsys: Output) -> None:
    for there in ("model.npz", "history.csv", "a folder/notes.txt"):
        (here / "new" / there).parent.mkdir(parents=True)
        (here / "new" / there).write_bytes(DEAR)
        before = contents(here)
        assert main(command.split()) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"tinyae: new holds {Path(there).parts[0]} and no ")
        assert err.count("\n") == 1 and contents(here) == before
        if command == FOLDERS[0]:
            assert main([*command.split(), "--force"]) == 0
            capsys.readouterr()
        shutil.rmtree("new")


@pytest.mark.parametrize("command", [*FOLDERS, BENCH])
@pytest.mark.parametrize("target", ["nowhere", "new"])
def test_a_link_that_leads_nowhere_is_no_folder(command: str, target: str, capsys: Output) -> None:
    Path("new").symlink_to(target)
    assert main(command.split()) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.endswith("must be a folder, or a place for one: it is a link that leads nowhere")
    assert Path("new").is_symlink() and not Path("nowhere").exists()


@pytest.mark.parametrize(
    "other", [np.arange(9), np.ones(9, np.float32), np.ones((2, 2)), np.ones((2, 2, 2), np.uint8)]
)
@pytest.mark.parametrize("command", [c for c, path in FILES.items() if path.endswith(".npy")])
def test_an_array_that_no_command_wrote_is_replaced_by_force_alone(
    command: str, other: Any, capsys: Output
) -> None:
    np.save(FILES[command], other)
    before = Path(FILES[command]).read_bytes()
    assert main(command.split()) == 2
    found = f"holds a {other.ndim}-D array of {other.dtype.str} (.npy), not a 2-D array of <f4"
    assert found in capsys.readouterr().err
    assert Path(FILES[command]).read_bytes() == before
    assert main([*command.split(), "--force"]) == 0
    assert main(command.split()) == 0  # over its own


def test_a_full_disk_is_named_with_its_file(here: Path, capsys: Output) -> None:
    before = contents(here)
    for command in (*FILES, *FOLDERS):
        with largest_file(200):
            assert main(command.split()) == 1, command
        *_, last = capsys.readouterr().err.splitlines()
        name = "new" if "augment" in command else FILES.get(command, "new/")
        assert last.startswith(f"tinyae: [Errno 27] File too large: '{name}")
        shutil.rmtree("new", ignore_errors=True)
        for path in here.glob("new.*"):
            path.unlink()  # of two files one may fit
        assert contents(here) == before


def broken(how: str) -> Any:
    """A stream as a shell gives it: closed by >&-, a pipe that nobody reads, a full device."""
    if how == "closed":
        return None
    if how == "full":
        return open("/dev/full", "w", buffering=1)
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w", buffering=1)


@pytest.mark.parametrize(
    ("names", "how", "code"),
    [
        ("stdout stderr", "closed", 0),
        ("stdout stderr", "pipe", 1),
        pytest.param("stderr", "full", 0, marks=pytest.mark.slow),
    ],
)
def test_work_is_done_where_nobody_listens(
    names: str, how: str, code: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, command in enumerate((*FILES, *FOLDERS, *OTHERS)):
        with monkeypatch.context() as patch:
            for name in names.split():
                patch.setattr(sys, name, broken(how))
            argv = [f"new{number}" if word == "new" else word for word in command.split()]
            assert main(argv) == code, command
            for name in names.split():
                getattr(sys, name).close()  # nothing is left that could fail
    assert len(list(here.glob("new*/model.npz"))) == 2
    assert all(Path(name).exists() for name in FILES.values())


def test_what_cannot_be_printed_is_said(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", broken("full"))
        assert main(["info", "run"]) == 1
        sys.stdout.close()
    err = capsys.readouterr().err
    assert err == "tinyae: standard output: [Errno 28] No space left on device\n"


def test_fit_goes_on_without_a_reader_of_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    ae = Autoencoder(hidden=(3,), code=2, epochs=3, verbose=True, backend="numpy")
    with monkeypatch.context() as patch, suppress(BrokenPipeError), broken("pipe") as stream:
        patch.setattr(sys, "stdout", stream)
        ae.fit(np.random.default_rng(0).random((9, 4)))
    assert ae.n_iter_ == 3


@pytest.mark.parametrize("how", ["<&- >&- 2>&-", "2>&1 | true"])
def test_a_training_ends_where_a_shell_takes_its_streams(how: str, here: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m tinyae {TRAIN} new {how}"], capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert main(["info", "new"]) == 0
