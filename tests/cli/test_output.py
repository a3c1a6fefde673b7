"""The progress of reading: silent at first, then a bar or a line for every tenth."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tinyae.cli import output
from tinyae.cli.main import main


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that time.perf_counter tells, in its only entry."""
    now = [100.0]
    monkeypatch.setattr(output.time, "perf_counter", lambda: now[0])
    return now


def test_a_line_for_every_tenth_says_what_and_how_long(clock: list[float]) -> None:
    file = io.StringIO()
    bar = output.ReadingBar("big.csv", file)
    for done in range(1, 1001):
        clock[0] = 100 + done / 10  # 100 seconds for all
        bar(done, 1000)
    bar.close()
    lines = file.getvalue().splitlines()
    assert lines[0] == "reading big.csv: 10 %, 1:30 left" and len(lines) == 10
    assert lines[4] == "reading big.csv: 50 %, 0:50 left"


@pytest.mark.parametrize("file", [io.StringIO(), Terminal()])
def test_what_is_read_at_once_says_nothing(clock: list[float], file: io.StringIO) -> None:
    bar = output.ReadingBar("small.csv", file)
    for done in range(1, 1001):
        clock[0] = 100 + output.PATIENCE * done / 1001
        bar(done, 1000)
    bar(1, 0)  # a pipe has no size
    bar.close()
    assert file.getvalue() == ""


def test_a_bar_on_a_terminal(clock: list[float]) -> None:
    pytest.importorskip("tqdm", reason="the bar needs tqdm")
    file = Terminal()
    bar = output.ReadingBar("big.csv", file)
    clock[0] = 110
    bar(250, 1000)
    bar(300, 1000)
    bar.close()
    assert "reading big.csv, 0:30 left" in file.getvalue() and "\n" not in file.getvalue()


def test_the_command_line_tells_it(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "PATIENCE", -1.0)
    monkeypatch.chdir(tmp_path)
    np.savetxt("big.csv", np.random.default_rng(0).random((5000, 2)), delimiter=",")
    assert (
        main(["train", "--data", "big.csv", "--epochs", "1", "--code", "1", "--hidden", "2"]) == 0
    )
    assert "reading big.csv: 40 %" in capsys.readouterr().err
