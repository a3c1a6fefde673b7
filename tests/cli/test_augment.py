"""``tinyae augment`` and ``tinyae demo augment``: what they write, measure and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.codes.augment import add_noise, interpolate
from tinyae.codes.classifiers import fit_softmax, knn_predict
from tinyae.codes.few_labels import labelled
from tinyae.data.datasets import load_dataset, split_positions

Output = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 80 pictures of 4 x 4 in two classes, and a run trained on them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = (rng.random((80, 4, 4)) * 0.5 + 0.5 * (y[:, None, None] == np.arange(4) % 2)).clip(0, 1)
    np.savez("data.npz", x=x.astype(np.float32), y=y)
    np.save("data.npy", x)
    np.save("wide.npy", rng.random((80, 17)))
    train = ["train", "--data", "data.npz", "--hidden", "8", "--code", "3", "--epochs", "2"]
    assert main([*train, "--out", "run"]) == 0
    return tmp_path


@pytest.mark.parametrize("method", ["interpolate", "noise"])
def test_augment_writes_what_the_library_reads(here: Path, capsys: Output, method: str) -> None:
    argv = ["augment", "run", "--per-class", "11", "--method", method, "--seed", "3"]
    assert main([*argv, "--out", "new.npz"]) == 0
    assert "new.npz: 22 new samples, 11 of each of 2 classes" in capsys.readouterr().out
    ae, data = Autoencoder.load("run/model.npz"), load_dataset("data.npz")
    make = {"interpolate": interpolate, "noise": add_noise}[method]
    expected = make(ae.encode(data.train), data.train_labels, 11, 3)
    with np.load("new.npz") as written:
        assert written["x"].shape == (22, 4, 4) and written["x"].dtype == np.float32
        np.testing.assert_array_equal(written["x"].reshape(22, 16), ae.decode(expected.points))
        np.testing.assert_array_equal(written["y"], expected.labels)
    new = load_dataset("new.npz")
    assert new.image_shape == (4, 4) and len(new.train) + len(new.test) == 22
    assert new.train_labels is not None and set(new.train_labels) == {0, 1}


def test_augment_keeps_words_as_labels_and_takes_any_part(here: Path) -> None:
    with np.load("data.npz") as data:
        np.savez("words.npz", x=data["x"], y=np.where(data["y"] == 0, "even", "odd"))
    argv = ["augment", "run", "--data", "words.npz", "--out", "new.npz", "--per-class", "5"]
    for part in ("train", "test", "all"):
        assert main([*argv, "--part", part]) == 0
        with np.load("new.npz") as written:
            assert written["y"].tolist() == ["even"] * 5 + ["odd"] * 5


def test_augment_draws_pairs(here: Path, capsys: Output) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    for part in ("train", "all"):
        assert main(["augment", "run", "--part", part, "--per-class", "3", "--out", "n.npz"]) == 0
        assert "n.png: originals, framed" in capsys.readouterr().out
        assert Path("n.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--out", "new.npy"], 2, "--out: must end in .npz"),
        (["--out", "no/new.npz"], 2, "there is no folder no"),
        (["--data", "data.npy"], 2, "data.npy has no labels to give to new samples"),
        (["--data", "wide.npz"], 2, "wide.npz has 17 features, and run was trained on 16"),
        (["--data", "lone.npz"], 2, "class 1 has a single sample"),
        (["--per-class", "0"], 2, "--per-class: must be an integer >= 1, got 0"),
        (["--scale", "0", "--method", "noise"], 2, "scale must be a number > 0, got 0.0"),
        (["--method", "magic"], 2, "--method"),
    ],
)
def test_augment_with_bad_input(
    here: Path, capsys: Output, argv: list[str], code: int, message: str
) -> None:
    np.savez("wide.npz", x=np.load("wide.npy"), y=np.arange(80) % 2)
    lone = np.zeros(80, np.int64)
    lone[split_positions(80, 0.1)[0][0]] = 1
    np.savez("lone.npz", x=np.load("data.npy"), y=lone)
    capsys.readouterr()
    assert main(["augment", "run", "--out", "new.npz", *argv]) == code
    assert message in capsys.readouterr().err
    assert not any(here.glob("**/new*"))


DEMO = ["demo", "augment", "--data", "data.npz", "--per-class", "6", "--new", "9", "--seeds", "2"]


def test_the_demo_measures_what_it_says(here: Path, capsys: Output) -> None:
    assert main([*DEMO, "--run", "run", "--out", "demo", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads(Path("demo/augment.json").read_text())
    assert list(summary["accuracy"]) == [
        "none", "pixel interpolation", "pixel noise", "pixel shift",
        "code interpolation", "code noise",
    ]  # fmt: skip
    ae, data = Autoencoder.load("run/model.npz"), load_dataset("data.npz")
    assert data.train_labels is not None and data.test_labels is not None
    x_test = np.asarray(data.test)
    for seed in (0, 1):
        chosen = labelled(data.train_labels, 6, seed)
        x, y = np.asarray(data.train)[chosen], data.train_labels[chosen]
        new = interpolate(ae.encode(x), y, 9, seed)
        both = np.concatenate([x, ae.decode(new.points)])
        codes = np.concatenate([ae.encode(x), new.points])
        labels = np.concatenate([y, new.labels])
        for name, predicted in {
            "pixels k-NN": knn_predict(both, labels, x_test),
            "pixels softmax": fit_softmax(both, labels).predict(x_test),
            "codes k-NN": knn_predict(codes, labels, ae.encode(x_test)),
            "codes softmax": fit_softmax(codes, labels).predict(ae.encode(x_test)),
        }.items():
            got = summary["accuracy"]["code interpolation"][name]["seeds"][seed]
            assert got == np.mean(predicted == data.test_labels)
    for ways in summary["accuracy"].values():
        for values in ways.values():
            assert values["mean"] == pytest.approx(np.mean(values["seeds"]))
            assert values["std"] == pytest.approx(np.std(values["seeds"], ddof=1))
    a, b = (summary["accuracy"][way]["codes k-NN"] for way in ("code noise", "none"))
    gains = np.subtract(a["seeds"], b["seeds"])
    assert a["gain_mean"] == pytest.approx(gains.mean())
    assert a["gain_std"] == pytest.approx(gains.std(ddof=1))


def test_the_demo_trains_once(here: Path, capsys: Output) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    for trained in (False, True):
        assert main([*DEMO, "--out", "demo", "--seeds", "1"]) == 0
        out, err = capsys.readouterr()
        assert ("demo/run: trained already" in err) == trained and "seed 0: 1 of 1 done" in err
        assert "6 labels per class" in out and "gain over none" in out and "+-" not in out
        assert "demo: augment.json, augment.png" in out
    assert Path("demo/augment.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--per-class", "1"], 2, "--per-class: must be an integer >= 2, got 1"),
        (["--new", "0"], 2, "--new: must be an integer >= 1, got 0"),
        (["--seeds", "0"], 2, "--seeds: must be an integer >= 1, got 0"),
        (["--data", "data.npy"], 2, "data.npy has no labels"),
        (["--data", "nowhere.npz"], 2, "nowhere.npz"),
        (["--run", "nowhere"], 2, "no run folder"),
        (["--run", "run", "--per-class", "99"], 2, "training samples, fewer than the 99"),
        (["--run", "run", "--data", "wide.npz"], 2, "X has 17 features"),
    ],
)
def test_the_demo_with_bad_input(
    here: Path, capsys: Output, argv: list[str], code: int, message: str
) -> None:
    np.savez("wide.npz", x=np.load("wide.npy"), y=np.arange(80) % 2)
    capsys.readouterr()
    assert main([*DEMO, "--out", "demo", *argv]) == code
    assert message in capsys.readouterr().err
    assert not Path("demo").exists()
