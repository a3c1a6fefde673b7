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


def read(file: io.StringIO, seconds: float) -> str:
    """What is told of a reading that takes so long."""
    now = [100.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output.time, "perf_counter", lambda: now[0])
        bar = output.ReadingBar("big.csv", file)
        for done in range(1, 1001):
            now[0] = 100 + seconds * done / 1000
            bar(done, 1000)
        bar(1, 0)  # a pipe has no size
        bar.close()
    return file.getvalue()


def test_a_line_for_every_tenth_says_what_and_how_long() -> None:
    lines = read(io.StringIO(), 100).splitlines()
    assert lines[0] == "reading big.csv: 10 %, 1:30 left" and len(lines) == 10
    assert lines[4] == "reading big.csv: 50 %, 0:50 left"


def test_a_bar_on_a_terminal() -> None:
    pytest.importorskip("tqdm", reason="the bar needs tqdm")
    shown = read(Terminal(), 100)
    assert "reading big.csv, 1:38 left" in shown and "\n" not in shown


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_what_is_read_at_once_says_nothing(kind: type[io.StringIO]) -> None:
    assert read(kind(), output.PATIENCE * 0.999) == ""


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
