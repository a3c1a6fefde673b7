"""``tinyae sweep``: its numbers against the parts they come from, and going on after an end."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyae.cli.run.training
from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.codes.classifiers import knn_predict
from tinyae.data.datasets import load_dataset
from tinyae.data.pca import fit_pca
from tinyae.plot.curves import plot_sweep

Output = pytest.CaptureFixture[str]

SWEEP = ["sweep", "--data", "data.npz", "--hidden", "16", "--epochs", "3", "--out", "out"]
WITHOUT_LABELS = [*SWEEP[:2], "data.npy", *SWEEP[3:]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 90 samples of 12 features, with labels in data.npz and without in data.npy."""
    monkeypatch.chdir(tmp_path)
    y = np.arange(90) % 3
    x = np.random.default_rng(0).random((90, 12)) * 0.6 + 0.2 * (y[:, None] == np.arange(12) % 3)
    np.savez("data.npz", x=x, y=y)
    np.save("data.npy", x)
    return tmp_path


def weights(code: int) -> dict[str, np.ndarray]:
    return Autoencoder.load(f"out/code-{code}/model.npz").parameters()


def test_the_numbers(capsys: Output) -> None:
    assert main([*SWEEP, "--codes", "4,2", "--neighbours", "3", "--json"]) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert summary == json.loads(Path("out/sweep.json").read_text())
    assert "code 2 (1 of 2), run folder" in err and "epoch 3/3" in err
    assert summary["samples"] == [81, 9] and summary["model"]["hidden"] == [16]
    assert [row["code"] for row in summary["codes"]] == [2, 4]  # in order, whatever was typed
    data = load_dataset("data.npz")
    assert data.train_labels is not None
    for row in summary["codes"]:
        ae, pca = Autoencoder.load(f"{row['run']}/model.npz"), fit_pca(data.train, row["code"])
        assert ae.code == row["code"] and row["epochs"] == 3
        assert row["parameters"] == sum(p.size for p in ae.parameters().values())
        assert row["squared_error"] == pytest.approx(-ae.score(data.test), rel=1e-12)
        assert row["train_squared_error"] == pytest.approx(-ae.score(data.train), rel=1e-12)
        assert row["pca_squared_error"] == pytest.approx(pca.squared_error(data.test), rel=1e-9)
        for name, encode in (("knn_accuracy", ae.encode), ("pca_knn_accuracy", pca.encode)):
            predicted = knn_predict(encode(data.train), data.train_labels, encode(data.test), 3)
            assert row[name] == np.mean(predicted == data.test_labels)
    with open("out/sweep.csv") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["squared_error"]) for line in lines] == [
        row["squared_error"] for row in summary["codes"]
    ]


def test_the_table_and_the_picture(capsys: Output) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    assert main([*SWEEP, "--codes", "2"]) == 0
    out = capsys.readouterr().out
    assert "9 test samples; accuracy of 5-NN on the codes" in out and "5-NN PCA" in out
    assert "out: sweep.json, sweep.csv, sweep.png" in out
    assert Path("out/sweep.png").read_bytes().startswith(b"\x89PNG")


def test_without_labels(capsys: Output) -> None:
    assert main([*WITHOUT_LABELS, "--codes", "2"]) == 0
    out = capsys.readouterr().out
    assert "the data have no labels, so there is no k-NN accuracy" in out and "5-NN" not in out
    assert json.loads(Path("out/sweep.json").read_text())["codes"][0]["knn_accuracy"] is None


def test_what_is_trained_is_not_trained_again(capsys: Output) -> None:
    assert main([*SWEEP, "--codes", "2"]) == 0
    model = Path("out/code-2/model.npz")
    before = model.stat().st_mtime_ns
    first = json.loads(Path("out/sweep.json").read_text())["codes"][0]
    capsys.readouterr()
    assert main([*SWEEP, "--codes", "2,5", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "code-2: trained already" in err and model.stat().st_mtime_ns == before
    rows = json.loads(out)["codes"]
    assert rows[0] == first and rows[1]["code"] == 5


def test_interrupted_it_goes_on_to_the_same_weights(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*SWEEP, "--codes", "2,3"]) == 0
    expected = weights(3)
    Path("out").rename("whole")
    epochs = []

    def interrupted(progress: Any) -> None:
        epochs.extend([progress.epoch] if progress.metrics else [])
        if epochs == [1, 2, 3, 1, 2]:  # code 3, after its second epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tinyae.cli.run.training, "Lines", lambda file, epochs: interrupted)
        assert main([*SWEEP, "--codes", "2,3"]) == 1
    assert "interrupted; the same command goes on from here" in capsys.readouterr().err
    assert Path("out/code-2/model.npz").exists() and not Path("out/code-3/model.npz").exists()
    assert [row["code"] for row in json.loads(Path("out/sweep.json").read_text())["codes"]] == [2]
    assert main([*SWEEP, "--codes", "2,3"]) == 0
    err = capsys.readouterr().err
    assert "epoch 1/3" not in err and "epoch 3/3" in err
    for name, value in weights(3).items():
        np.testing.assert_array_equal(value, expected[name])


def test_its_defaults_are_those_of_train_but_for_the_code(capsys: Output) -> None:
    assert main([*SWEEP[:3], "--codes", "2", "--epochs", "1"]) == 0
    model = json.loads(Path("runs/sweep-data/sweep.json").read_text())["model"]
    given = {"random_state": 0, "epochs": 1, "betas": [0.9, 0.999],  # as JSON has a tuple
             "family": "plain"}  # fmt: skip
    plain = {**Autoencoder().get_params(), **given}
    assert {**plain, **model} == plain and "code" not in model
    capsys.readouterr()
    assert main(["sweep", "--help"]) == 0
    help = " ".join(capsys.readouterr().out.split())
    assert "(default relu)" in help and "--code N" not in help


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([*SWEEP, "--codes", ""], "argument --codes: invalid list of code sizes value: ''"),
        ([*SWEEP, "--codes", "2,x"], "argument --codes: invalid list of code sizes value: '2,x'"),
        ([*SWEEP, "--codes", "0,2"], "--codes: must be integers >= 1, got 0,2"),
        ([*SWEEP, "--codes", "2,2"], "--codes: must be different integers >= 1, got 2,2"),
        ([*SWEEP, "--neighbours", "0"], "--neighbours: must be an integer >= 1, got 0"),
        ([*SWEEP, "--learning-rate", "0"], "learning_rate must be a number > 0"),
        ([*SWEEP, "--backend", "torch"], "backend must be 'auto' or one of"),
        ([*SWEEP, "--patience", "2"], "give --validation-fraction"),
        ([*SWEEP, "--data", "nowhere.npy"], "nowhere.npy"),
        ([*SWEEP, "--code", "2"], "--code"),
    ],
)
def test_bad_arguments(here: Path, capsys: Output, argv: list[str], message: str) -> None:
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert {path.name for path in here.iterdir()} == {"data.npz", "data.npy"}  # nothing was made


def test_another_sweep_in_the_same_folder(capsys: Output) -> None:
    assert main([*SWEEP, "--codes", "2"]) == 0
    model = Path("out/code-2/model.npz").read_bytes()
    assert main([*SWEEP, "--codes", "1,2", "--epochs", "4"]) == 2
    err = capsys.readouterr().err
    assert "code-2 was started with epochs=3, not 4: another --out keeps it" in err
    assert main([*WITHOUT_LABELS, "--codes", "1,2"]) == 2
    assert "was started with source=" in capsys.readouterr().err
    assert not Path("out/code-1").exists()
    assert Path("out/code-2/model.npz").read_bytes() == model


def test_the_plot_refuses_no_rows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows must hold at least one code size"):
        plot_sweep([], tmp_path / "x.png", neighbours=5)


def test_a_second_sweep_adds_its_sizes_or_is_refused(capsys: Output) -> None:
    assert main([*SWEEP, "--codes", "2,4"]) == 0
    kept = json.loads(Path("out/sweep.json").read_text())["codes"]
    assert main([*SWEEP, "--codes", "3"]) == 0
    rows = json.loads(Path("out/sweep.json").read_text())["codes"]
    assert [row["code"] for row in rows] == [2, 3, 4] and [rows[0], rows[2]] == kept
    before = Path("out/sweep.json").read_bytes()
    for other in (["--learning-rate", "0.5"], ["--neighbours", "2"], ["--test-fraction", "0.4"]):
        assert main([*SWEEP, "--codes", "5", *other]) == 2
        said = capsys.readouterr().err
        assert f"a sweep of other {other[0][2:].replace('-', '_')}: another --out" in said
    assert Path("out/sweep.json").read_bytes() == before and not Path("out/code-5").exists()
