"""What is said while one waits: by whom, when, and by which commands."""

from __future__ import annotations

import io
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.cli.run.data import open_data
from tinyae.codes.classifiers import knn_predict
from tinyae.codes.densities import MAX_ROUNDS, fit_mixture
from tinyae.data.pca import fit_pca
from tinyae.data.rows import Rows
from tinyae.train.progress import Lines, Progress, Waiting


class File(io.StringIO):
    """Remembers that it was written to."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal, self.written = terminal, threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        length = super().write(text)
        self.written.set()
        return length


@pytest.mark.parametrize("terminal", [True, False])
def test_a_wait_is_told(terminal: bool) -> None:
    """On a terminal nothing of it is left in the end, also after an error."""
    file = File(terminal)
    with pytest.raises(ArithmeticError), Waiting("counting", file=file, first=0.0):
        assert file.written.wait(60)
        raise ArithmeticError
    said = file.getvalue()
    if terminal:
        assert said.startswith("\r\x1b[Kcounting: 0:0") and said.endswith("\r\x1b[K")
        assert "\n" not in said
    else:
        assert said.startswith("tinyae: counting: 0:0") and said.endswith("\n")


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_quick_is_not_told(terminal: bool) -> None:
    file = File(terminal)
    with Waiting("counting", file=file, first=1e6) as report:
        report(1, 2)
    assert not file.getvalue()


def test_the_time_that_is_left() -> None:
    waiting = Waiting("counting")
    assert waiting.line(61) == "counting: 1:01"
    waiting(1, 4)
    assert waiting.line(10) == "counting: 0:10, about 0:30 left"
    waiting(4, 4)
    assert waiting.line(10) == "counting: 0:10, about 0:00 left"
    waiting(1, 0)  # a pipe has no size
    assert waiting.line(10) == "counting: 0:10"


def test_lines_within_long_epochs() -> None:
    steps = [Progress(1, 2, step, 3, 5.0, 60.0, {}) for step in (1, 2)]
    steps.append(Progress(1, 2, 3, 3, 5.0, 60.0, {"loss": 1.5}))

    def told(**options: Any) -> list[str]:
        lines = Lines(file := io.StringIO(), **options)
        for progress in steps:
            lines(progress)
        return file.getvalue().splitlines()

    epoch = ["epoch 1/2  loss 1.5  5 samples/s  1:00 left"]
    assert told(seconds=1e6) == epoch
    assert told(seconds=1e6, epochs=10) == []
    within = [f"epoch 1/2  step {s}/3  5 samples/s  1:00 left" for s in (1, 2)]
    assert told(seconds=0.0) == told(seconds=0.0, epochs=10) == within + epoch
    steps[2] = replace(steps[2], epoch=2)  # the last
    assert len(told(seconds=1e6, epochs=10)) == 1


X = np.random.default_rng(0).random((3000, 8))
WIDE = np.random.default_rng(0).random((60, 500))


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda report: fit_pca(X, 2, report=report), id="PCA of the data"),
        pytest.param(lambda report: fit_pca(np.tile(X, (1, 60)), 2, report=report),
                     id="PCA of their scatter matrix"),
        pytest.param(lambda report: fit_pca(WIDE, 2, report=report), id="PCA of wide data"),
        pytest.param(lambda report: fit_mixture(X, 3, report=report), id="EM"),
        pytest.param(lambda report: knn_predict(X, X[:, 0] > 0.5, X, 5, report), id="k-NN"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("approximate", [False, True])
def test_reports_go_on_to_their_end(
    work: Any, approximate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if approximate:
        monkeypatch.setattr("tinyae.data.pca.EXACT_LIMIT", 4)
    calls: list[tuple[int, int]] = []
    work(lambda done, total: calls.append((done, total)))
    done, totals = zip(*calls, strict=True)
    assert list(done) == sorted(set(done)) and len(set(totals)) == 1
    assert 0 < done[0] and done[-1] <= totals[0]
    assert done[-1] == totals[0] or totals[0] == MAX_ROUNDS


def test_no_command_goes_through_the_data_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever takes data, in pieces or as a whole, does it in a ``Waiting`` or in training."""
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib")
    monkeypatch.chdir(tmp_path)
    y = np.arange(100) % 2
    np.savez("data.npz", x=np.random.default_rng(0).random((100, 4, 3)), y=y)
    depth = [0]
    silent: list[tuple[str, str]] = []
    fit, take = Autoencoder.fit, Rows.take

    def enter(self: Waiting) -> Waiting:
        assert depth[0] == 0  # two would write over each other
        depth[0] += 1
        return self

    def leave(self: Waiting, *error: object) -> None:
        depth[0] -= 1

    def training(self: Autoencoder, *args: Any, **options: Any) -> Autoencoder:
        depth[0] += 1
        try:
            return fit(self, *args, **options)
        finally:
            depth[0] -= 1

    def watched(self: Rows, positions: Any, out: Any) -> None:
        if not depth[0] and len(positions) > 1:  # or a single sample that was asked for
            silent.append((command, sys._getframe(2).f_code.co_name))
        take(self, positions, out)

    monkeypatch.setattr(Waiting, "__enter__", enter)
    monkeypatch.setattr(Waiting, "__exit__", leave)
    monkeypatch.setattr(Autoencoder, "fit", training)
    monkeypatch.setattr(Rows, "take", watched)
    net = "--data data.npz --hidden 8 --epochs 1"
    for command in (
        f"train {net} --code 2 --out run", "train --out run --resume", "evaluate run",
        "encode run --out codes.npy", "encode run --out codes.csv",
        "decode run --codes codes.csv --out x.csv", "reconstruct run --out x.npy",
        "reconstruct run --out x.png", "augment run --out new.npz", "manifold run",
        "augment run --method noise --out new.npz", "sample run --components 2",
        "sample run --density gaussian", "sample run --density kernel", "traverse run --sample 0",
        "interpolate run --from 0 --to 1", f"sweep {net} --codes 2,3 --out sweep",
        "demo augment --run run --out demo --per-class 5 --new 5 --seeds 2", "info run",
    ):  # fmt: skip
        assert main(command.split()) == 0, command
    assert silent == []


def test_reading_a_table_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(Waiting, "__call__", lambda self, done, total: calls.append((done, total)))
    np.savetxt(tmp_path / "big.csv", np.random.default_rng(0).random((5000, 2)), delimiter=",")
    dataset = open_data({"source": str(tmp_path / "big.csv")})
    assert len(dataset.train) == 4500
    size = (tmp_path / "big.csv").stat().st_size
    assert len(calls) == 4 and all(0 < done < total == size for done, total in calls)
