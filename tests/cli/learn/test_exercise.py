"""``tinyae exercise``, as somebody meets it who begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyae.cli.main import main
from tinyae.learn.exercises.course import STATIONS

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_into(file: str, body: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    Path(file).write_text(text.replace("raise NotImplementedError", body), encoding="utf-8")


def test_the_first_station_from_the_list_to_the_next_one(here: Path, capsys: Output) -> None:
    assert main(["exercise"]) == 0
    out = capsys.readouterr().out
    assert all(station.title in out for station in STATIONS)
    assert "0 of 12 done; next: tinyae exercise 1" in out
    assert main(["exercise", "1"]) == 0
    assert "Fill in forward, then: tinyae exercise 1 --check" in capsys.readouterr().out
    assert main(["exercise", "1", "--check"]) == 1
    assert "unwritten: line 21, in forward still says" in capsys.readouterr().err
    write_into("exercise_01.py", "return x @ w")
    assert main(["exercise", "1", "--check"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("tinyae: exercise_01.py: bias: the bias is missing (z[") and out == ""
    write_into("exercise_01.py", "")
    Path("exercise_01.py").write_text(
        Path("exercise_01.py").read_text(encoding="utf-8").replace("x @ w\n", "x @ w + b\n"),
        encoding="utf-8",
    )
    assert main(["exercise", "1", "--check"]) == 0
    out = capsys.readouterr().out
    assert "exercise_01.py: right" in out and "    return x @ w + b" in out
    assert "the real thing: kernels/reference/dense.py, dense_forward" in out
    assert main(["exercise"]) == 0
    out = capsys.readouterr().out
    assert "done" in out and "1 of 12 done; next: tinyae exercise 2" in out
    assert {file.name for file in here.iterdir()} == {"exercise_01.py", "exercises.json"}


def test_what_was_written_is_lost_by_force_alone(capsys: Output) -> None:
    assert main(["exercise", "4"]) == 0
    Path("exercise_04.py").write_text("mine = 1\n", encoding="utf-8")
    assert main(["exercise", "4"]) == 2
    assert "is there already, and stays as it is" in capsys.readouterr().err
    assert Path("exercise_04.py").read_text(encoding="utf-8") == "mine = 1\n"
    assert main(["exercise", "4", "--force"]) == 0
    assert "def mse(y, t):" in Path("exercise_04.py").read_text(encoding="utf-8")


def test_an_error_of_the_users_is_no_traceback_of_ours(capsys: Output) -> None:
    assert main(["exercise", "9", "--folder", "."]) == 0
    write_into("exercise_09.py", "return 1 / 0")
    capsys.readouterr()
    assert main(["exercise", "9", "--check"]) == 1
    err = capsys.readouterr().err
    assert err.endswith("in he: ZeroDivisionError: division by zero\n") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    (
        ("13", "invalid choice: 13"), ("0", "invalid choice: 0"), ("x", "invalid int value: 'x'"),
        ("--check", "say which exercise"), ("--force", "say which exercise"),
        ("3 --check", "there is no exercise_03.py yet: 'tinyae exercise 3' writes it"),
        ("3 --folder none", "--folder none: there is no such folder"),
    ),
)  # fmt: skip
def test_what_is_refused(arguments: str, complaint: str, here: Path, capsys: Output) -> None:
    assert main(["exercise", *arguments.split()]) == 2
    assert complaint in capsys.readouterr().err and not [*here.iterdir()]
