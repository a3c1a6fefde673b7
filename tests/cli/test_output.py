"""What every command does where its output cannot go: full disks, closed pipes, others' files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli.main import build_parser, main

pytest.importorskip("matplotlib", reason="some commands draw")

Output = pytest.CaptureFixture[str]

SMALL = ["--hidden", "6", "--code", "2", "--epochs", "2", "--backend", "numpy"]
TRAIN = ["train", "--data", "data.npz", *SMALL, "--out"]
SWEEP = ["sweep", "--data", "data.npz", *SMALL[:2], *SMALL[4:], "--codes", "1,2", "--out"]
BALL = ["demo", "ball", "--samples", "64", "--pairs", "4", "--epochs", "1", "--out"]
AUGMENT = ["demo", "augment", "--run", "run", "--per-class", "8", "--seeds", "1", "--out"]
AUGMENT += ["augmented"]
# a command -> what it writes
FILES: dict[str, tuple[list[str], str]] = {
    "encode": (["encode", "run", "--out", "new.npy"], "new.npy"),
    "encode csv": (["encode", "run", "--out", "new.csv"], "new.csv"),
    "decode": (["decode", "run", "--codes", "codes.npy", "--out", "new.npy"], "new.npy"),
    "reconstruct": (["reconstruct", "run", "--out", "new.npy"], "new.npy"),
    "reconstruct png": (["reconstruct", "run", "--out", "new.png"], "new.png"),
    "augment": (["augment", "run", "--per-class", "2", "--out", "new.npz"], "new.npz"),
    "augment, its picture": (["augment", "run", "--per-class", "2", "--out", "new.npz"], "new.png"),
    "manifold": (["manifold", "run", "--grid", "2"], "run/manifold.png"),
    "sample": (["sample", "run", "-n", "2"], "run/samples.png"),
    "sample npy": (["sample", "run", "-n", "200", "--npy", "new.npy"], "new.npy"),
    "traverse": (["traverse", "run", "--sample", "0"], "run/traversal.png"),
    "interpolate": (["interpolate", "run", "--from", "0", "--to", "1"], "run/interpolation.png"),
}
FOLDERS = {
    "train": [*TRAIN, "new"],
    "train --resume": [*TRAIN, "new", "--resume"],
    "sweep": [*SWEEP, "new"],
    "demo ball": [*BALL, "new"],
    "demo augment": [*AUGMENT[:-1], "new"],
    "bench": ["bench", "--only", "adam", "--out", "new"],
}
OTHERS = {
    "evaluate": ["evaluate", "run"],
    "info": ["info", "run"],
    "info --json": ["info", "run", "--json"],
    "gradcheck": ["gradcheck", "--activation", "tanh", "--loss", "mse"],
    "doctor": ["doctor"],
    "--help": ["--help"],
}
COMMANDS = OTHERS | {name: argv for name, (argv, _) in FILES.items()} | FOLDERS
DEAR = b"Dear diary, this is mine.\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.random((90, 12), np.float32), y=np.arange(90) % 3)
    np.save(folder / "codes.npy", rng.random((90, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*TRAIN, "run"]) == 0
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

    tried = {name for name in names(build_parser()) if any(c.startswith(name) for c in COMMANDS)}
    assert tried | {"tune"} == set(names(build_parser()))  # tune needs a GPU


@pytest.mark.parametrize("case", FILES)
def test_a_file_of_another_kind_is_replaced_by_force_alone(case: str, capsys: Output) -> None:
    argv, name = FILES[case]
    path = Path(name)
    path.write_bytes(DEAR)
    assert main(argv) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"tinyae: {name} holds ") and err.count("\n") == 1 and "--force" in err
    assert path.read_bytes() == DEAR
    assert main([*argv, "--force"]) == 0
    assert path.read_bytes() != DEAR
    assert main(argv) == 0  # over its own


@pytest.mark.parametrize("argv", FOLDERS.values(), ids=FOLDERS)
@pytest.mark.parametrize("there", ["model.npz", "history.csv", "a folder/notes.txt"])
def test_a_folder_of_somebody_else_stays_as_it_is(
    argv: list[str], there: str, here: Path, capsys: Output
) -> None:
    (here / "new" / there).parent.mkdir(parents=True)
    (here / "new" / there).write_bytes(DEAR)
    before = contents(here)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"tinyae: new holds {Path(there).parts[0]} and no ")
    assert err.count("\n") == 1 and contents(here) == before


@pytest.mark.parametrize("there", ["", ".checkpoint.npz.0.tmp", ".tinyae-lock"])
def test_an_empty_folder_or_one_that_a_kill_left_is_written_to(there: str, here: Path) -> None:
    Path("new").mkdir()
    if there:
        (Path("new") / there).touch()
    assert main([*TRAIN, "new"]) == 0
    assert not [path.name for path in Path("new").iterdir() if path.name.startswith(".")]


def test_force_trains_into_a_folder_of_somebody_else(here: Path) -> None:
    Path("new").mkdir()
    for name in ("model.npz", "notes.txt"):
        (Path("new") / name).write_bytes(DEAR)
    assert main([*TRAIN, "new", "--force"]) == 0
    assert Path("new/model.npz").read_bytes() != DEAR
    assert Path("new/notes.txt").read_bytes() == DEAR


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
    [("stdout stderr", "closed", 0), ("stdout stderr", "pipe", 1), ("stderr", "full", 0)],
)
def test_work_is_done_where_nobody_listens(
    names: str, how: str, code: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (case, argv) in enumerate(COMMANDS.items()):
        if case == "bench":
            continue
        with monkeypatch.context() as patch:
            for name in names.split():
                patch.setattr(sys, name, broken(how))
            assert main([f"new{number}" if word == "new" else word for word in argv]) == code, case
            for name in names.split():
                getattr(sys, name).close()  # nothing is left that could fail
    assert len(list(here.glob("new*/model.npz"))) == 2
    assert all(Path(name).exists() for _, name in FILES.values())


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


@pytest.mark.parametrize("how", ["2>&-", "<&- >&- 2>&-", "2>&1 | true"])
def test_a_training_ends_where_a_shell_takes_its_streams(how: str, here: Path) -> None:
    command = f"{sys.executable} -m tinyae {' '.join(TRAIN)} new {how}"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert main(["info", "new"]) == 0


FULL = """
import resource, signal, sys
from tinyae.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
for number, argv in enumerate({commands}):
    print(main([f"new{{number}}" if word == "new" else word for word in argv]), file=sys.stderr)
"""


def test_a_full_disk_is_named_with_its_file(here: Path) -> None:
    writing = {name: COMMANDS[name] for name in (*FILES, *FOLDERS) if name != "bench"}
    root = Path(__file__).parents[2]
    before = contents(here)
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(commands=list(writing.values()))], check=True,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    answers = re.findall(r"^tinyae: (.*)\n(\d)$", done.stderr, re.MULTILINE)
    for case, (error, code) in zip(writing, answers, strict=True):
        name = "new.npz" if case.startswith("augment") else FILES.get(case, ("", "new"))[1]
        assert error.startswith(f"[Errno 27] File too large: '{name}") and code == "1", case
    after = contents(here)
    assert {name: after.get(name) for name in before} == before
    assert not list(here.rglob("*.tmp"))
