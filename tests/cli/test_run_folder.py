"""What a run folder keeps of its data, and that every command reads them as the training did."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from tinyae.cli import train, use
from tinyae.cli.main import build_parser, main

Output = pytest.CaptureFixture[str]

NAMES = ["a", "b", "c", "d"]
SMALL = ["--hidden", "6", "--code", "2", "--epochs", "1", "--backend", "numpy"]
USES = {  # every command that reads data with a run, and what it demands
    "evaluate": [],
    "encode": ["--out", "z.npy"],
    "reconstruct": ["--out", "r.npy"],
    "augment": ["--out", "new.npz", "--label", "kind"],
    "manifold": [],
    "sample": [],
    "traverse": ["--sample", "0"],
    "interpolate": ["--from", "0", "--to", "1"],
}


def write(path: str, names: list[str] | None, n: int = 40, **columns: str) -> str:
    """n lines of numbers (the column ``name`` depends on its name alone) and a word."""
    rng = {name: np.random.default_rng(ord(name[0])) for name in names or NAMES}
    lines = [] if names is None else [",".join([*names, "kind"])]
    for i in range(n):
        cells = [f"{random.random():.4f}" for random in rng.values()]
        lines.append(",".join([*cells, "cat" if i % 2 else "dog"]))
    Path(path).write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> Path:
    monkeypatch.chdir(tmp_path)
    for module in (train, use):  # pictures are not what is tested here
        monkeypatch.setattr(module, "can_draw", lambda: False)
    data = write("data.csv", NAMES)
    assert main(["train", "--data", data, "--label", "kind", *SMALL, "--out", "run"]) == 0
    capsys.readouterr()
    return Path("run")


def commands_of_runs() -> set[str]:
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {n for n, p in commands.choices.items() if p.get_default("run_has_data")}


@pytest.mark.parametrize("command", USES)
def test_columns_must_be_those_of_the_training(run: Path, capsys: Output, command: str) -> None:
    assert set(USES) == commands_of_runs()
    more = USES[command]
    if "--label" not in more:
        more = [*more, "--label", "kind"]
    for names, words in [
        (["a", "b", "c", "e"], "missing 'd', unknown 'e'"),
        (["a", "c", "b", "d"], "'c' stands in the place of 'b'"),
        (["a", "b", "c"], "missing 'd', unknown none"),
        ([*NAMES, "id"], "missing none, unknown 'id'"),
    ]:
        other = write("other.csv", names)
        assert main([command, "run", "--data", other, *more]) == 1
        err = capsys.readouterr().err
        assert words in err and "other.csv" in err and "run" in err and err.count("\n") == 1
    dropped = ["--drop", "id"]
    assert main([command, "run", "--data", write("more.csv", [*NAMES, "id"]), *dropped, *more]) == 0


def test_columns_without_names_are_not_compared(run: Path, capsys: Output) -> None:
    assert main(["evaluate", "run", "--data", write("bare.csv", None), "--label", "-1"]) == 0
    config = json.loads((run / "config.json").read_text())
    assert config.pop("columns") == NAMES
    (run / "config.json").write_text(json.dumps(config))  # as an older tinyae wrote it
    other = write("other.csv", ["a", "b", "c", "e"])
    assert main(["evaluate", "run", "--data", other, "--label", "kind"]) == 0


def test_a_file_whose_columns_changed_is_not_resumed(run: Path, capsys: Output) -> None:
    write("data.csv", NAMES[::-1])
    for argv in (["evaluate", "run"], ["train", "--resume", "run"]):
        assert main(argv) == 1
        assert "'d' stands in the place of 'a'" in capsys.readouterr().err


def test_options_of_reading_are_kept_and_used_again(run: Path, capsys: Output) -> None:
    rng = np.random.default_rng(0)
    table = np.round(rng.random((30, 3)), 3)
    lines = ["n\u00e4me;x;y;z;kind"] + [
        ";".join([f"row{i}", *(str(x).replace(".", ",") for x in row), "cat"])
        for i, row in enumerate(table)
    ]
    Path("t.txt").write_bytes("\n".join(lines).encode("latin-1"))
    given = {"label": "kind", "drop": [1], "header": True, "index": True, "separator": ";",
             "decimal": ",", "encoding": "latin-1", "size": None, "skip_bad": None}  # fmt: skip
    argv = ["--data", "t.txt", "--label", "kind", "--drop", "1", "--header", "--index",
            "--separator", ";", "--decimal", ",", "--encoding", "latin-1"]  # fmt: skip
    assert main(["train", *argv, *SMALL, "--out", "t"]) == 0
    kept = json.loads(Path("t/config.json").read_text())
    assert {name: kept["data"][name] for name in given} == given and kept["columns"] == ["y", "z"]
    assert main(["encode", "t", "--out", "own.npy"]) == 0
    assert main(["encode", "t", "--out", "same.npy", *argv]) == 0
    np.testing.assert_array_equal(np.load("own.npy"), np.load("same.npy"))
    assert main(["train", "--resume", "t", *argv]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "t", *argv, "--drop", "2"]) == 2
    assert "t was started with drop=[1], not [1, 2]" in capsys.readouterr().err


def test_an_option_that_an_old_folder_does_not_know_is_not_its_own(
    run: Path, capsys: Output
) -> None:
    config = json.loads((run / "config.json").read_text())
    del config["data"]["drop"]
    (run / "config.json").write_text(json.dumps(config))
    assert main(["train", "--resume", "run"]) == 0
    assert main(["train", "--resume", "run", "--drop", "a"]) == 2
    assert "run was started with drop=None, not ['a']" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--separator", "ab"], "separator must be"),
        (["--decimal", ";"], "decimal must be"),
        (["--encoding", "utf-99"], "encoding must be"),
        (["--no-header", "--drop", "a"], "header=False"),
    ],
)
def test_wrong_options_of_reading(
    run: Path, capsys: Output, options: list[str], words: str
) -> None:
    for command in (["train", "--out", "new"], ["evaluate", "run"]):
        assert main([*command, "--data", "data.csv", *options]) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1
    assert not Path("new").exists()


def test_data_that_cannot_be_learnt_make_no_run(run: Path, capsys: Output) -> None:
    text = Path("data.csv").read_text().splitlines()
    for at in range(1, len(text)):  # in the training part or among the samples held out
        cells = text[at].split(",")
        lines = [*text[:at], ",".join([*cells[:2], "nan", *cells[3:]]), *text[at + 1 :]]
        Path("hole.csv").write_text("\n".join(lines))
        argv = ["--data", "hole.csv", "--label", "kind", "--epochs", "100000", "--out", "new"]
        assert main(["train", *argv]) == 1
        assert (
            f"line {at + 1}: expected a finite number in column 2 ('c'" in capsys.readouterr().err
        )
    assert not Path("new").exists()


def test_codes_are_decoded_from_a_table_of_any_kind(run: Path, capsys: Output) -> None:
    assert main(["encode", "run", "--out", "z.csv"]) == 0
    codes = np.loadtxt("z.csv", delimiter=",")
    np.savetxt("z.txt", codes, fmt="%.9g")
    for name in ("z.csv", "z.txt"):
        assert main(["decode", "run", "--codes", name, "--out", f"{name}.npy"]) == 0
    np.testing.assert_array_equal(np.load("z.csv.npy"), np.load("z.txt.npy"))
    Path("n.csv").write_text("0,.5\n1,.6\n2,.7\n")  # a code that counts
    assert main(["decode", "run", "--codes", "n.csv", "--out", "n.npy"]) == 0
    assert np.load("n.npy").shape == (3, 4)
