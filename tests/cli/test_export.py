"""``tinyae export``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.export.test_numpy_file import module
from tinyae import Autoencoder
from tinyae.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on a table of numbers."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    X = rng.normal(5, 2, (60, 2)) @ rng.normal(0, 1, (2, 6))
    header = ",".join("abcdef")
    np.savetxt(folder / "data.csv", X, delimiter=",", header=header, comments="")
    train = f"train --data {folder / 'data.csv'} --code 2 --hidden 8 --epochs 2 --backend numpy"
    assert main([*train.split(), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_a_module_gives_the_runs_codes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.py"
    assert main(["export", str(run), "--out", str(out)]) == 0
    assert f"{out}: {out.stat().st_size:,} bytes" in capsys.readouterr().out
    net = module(out)
    assert net.NAMES == tuple("abcdef")
    X = np.loadtxt(run.parent / "data.csv", delimiter=",", skiprows=1)
    own = Autoencoder.load(run / "model.npz", backend="numpy")
    np.testing.assert_array_equal(net.encode(X), own.encode(X))


def test_what_fewer_bits_cost_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.h"
    assert (
        main(["export", str(run), "--out", str(out), "--quantize", "int8", "--prefix", "it"]) == 0
    )
    said = capsys.readouterr().out
    assert "squared error of a test sample " in said and "without --quantize int8" in said
    assert "it_encode(const float *x" in out.read_text(encoding="utf-8")


def test_without_the_data_the_file_is_written_all_the_same(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = tmp_path / "net.h", run.parent / "data.csv"
    data.rename(data.with_suffix(".away"))
    try:
        assert main(["export", str(run), "--out", str(out), "--quantize", "int8"]) == 0
    finally:
        data.with_suffix(".away").rename(data)
    said = capsys.readouterr().out
    assert "squared error not measured: the training data are gone: " in said
    assert out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    (
        (["--out", "net.txt"], 2, "must end in .py or .h"),
        (["--out", "none/net.py"], 2, "there is no folder none"),
        (["--out", "net.h", "--prefix", "a-b"], 2, "prefix must be letters"),
        (["--out", "net.h", "--quantize", "float16"], 2, "is not for to='c'"),
        (["--out", "mine.py"], 2, "mine.py holds text, not a tinyae export"),
    ),
)
def test_what_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, complaint: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("mine = 1\n", encoding="utf-8")
    assert main(["export", str(run), *arguments]) == code
    assert complaint in capsys.readouterr().err
    assert [f.name for f in tmp_path.iterdir()] == ["mine.py"]
    assert Path("mine.py").read_text(encoding="utf-8") == "mine = 1\n"
    if arguments == ["--out", "mine.py"]:
        assert main(["export", str(run), *arguments, "--force"]) == 0
