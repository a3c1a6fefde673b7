"""New samples: that each is made as it says, and the commands that make and judge them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.codes.augment import NewSamples, add_noise, interpolate, shift_images
from tinyae.codes.classifiers import fit_softmax, knn_predict
from tinyae.codes.few_labels import Samples, accuracies, augmented, labelled
from tinyae.data.datasets import load_dataset

Output = pytest.CaptureFixture[str]

LABELS = np.array([5, 9, 5, 5, 9, 5, 9, 5, 5, 9, 5])  # seven of class 5, four of class 9


def points(features: int = 6) -> np.ndarray:
    return np.random.default_rng(features).normal(size=(len(LABELS), features))


def shift(x: np.ndarray, y: np.ndarray, n: int, seed: int = 0) -> NewSamples:
    return shift_images(x, y, n, (2, 3), seed)


WAYS = pytest.mark.parametrize("make", [interpolate, add_noise, shift])


@WAYS
@pytest.mark.parametrize("n", [1, 4, 7, 16])
def test_every_class_gets_as_many(make: Callable[..., NewSamples], n: int) -> None:
    x = points()
    before = x.copy()
    new = make(x, LABELS, n)
    assert new.points.shape == (2 * n, 6) and new.points.dtype == np.float64
    assert new.labels.tolist() == [5] * n + [9] * n
    np.testing.assert_array_equal(LABELS[new.base], new.labels)
    counts = np.bincount(new.base, minlength=len(LABELS))
    for kind in (5, 9):
        assert np.ptp(counts[LABELS == kind]) <= 1
    np.testing.assert_array_equal(x, before)


@WAYS
def test_the_seed_decides(make: Callable[..., NewSamples]) -> None:
    x = points()
    a, b, c = make(x, LABELS, 9, 3), make(x, LABELS, 9, 3), make(x, LABELS, 9, 4)
    np.testing.assert_array_equal(a.points, b.points)
    assert not np.isin(a.points, c.points).all()
    words = make(x, np.where(LABELS == 5, "five", "nine"), 9, 3)
    np.testing.assert_array_equal(a.points, words.points)
    assert words.labels.tolist() == ["five"] * 9 + ["nine"] * 9


@pytest.mark.parametrize("k", [1, 2, 3, 5, 50])
def test_interpolation_stays_between_neighbours(k: int) -> None:
    x = points()
    new = interpolate(x, LABELS, 40, neighbours=k)
    used, shares = set(), []
    for point, base in zip(new.points, new.base, strict=True):
        others = np.flatnonzero((LABELS == LABELS[base]) & (np.arange(len(LABELS)) != base))
        distances = ((x[others] - x[base]) ** 2).sum(axis=1)
        near = others[np.argsort(distances)[:k]]
        # u of the line from base to each neighbour that comes nearest, and how near it comes
        way = x[near] - x[base]
        u = (way @ (point - x[base])) / (way**2).sum(axis=1)
        misses = np.abs(x[base] + u[:, None] * way - point).max(axis=1)
        best = misses.argmin()
        assert misses[best] < 1e-12 and -1e-12 < u[best] < 1
        used.add((base, near[best]))
        shares.append(u[best])
    # with 40 draws of each class, some neighbour of a sample may stay out, but few do
    assert len(used) > 0.7 * sum(min(k, n - 1) * n for n in (7, 4))
    assert 0.4 < np.mean(shares) < 0.6  # 5 standard deviations of the mean of 80 uniforms: 0.16


def test_interpolation_between_equal_samples() -> None:
    x = np.ones((6, 2))
    x[5] = 3
    new = interpolate(x, [0] * 6, 12, neighbours=2)
    assert (new.points[new.base < 5] == 1).all()
    assert (new.points[new.base == 5] > 1).all()


def test_noise_has_the_spread_of_its_class() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3)) * [1.0, 10.0, 0.0]
    labels = np.arange(60) % 2
    new = add_noise(x, labels, 6000, scale=0.5)
    for kind in (0, 1):
        own = x[labels == kind].std(axis=0)
        noise = (new.points - x[new.base])[new.labels == kind]
        # 5 standard deviations: of a mean 5 / sqrt(6000), of a deviation 5 / sqrt(12000)
        assert (np.abs(noise.mean(axis=0)) <= 0.5 * own * 0.065).all()
        np.testing.assert_allclose(noise.std(axis=0), 0.5 * own, rtol=0.046)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (3, 4, 3)])
@pytest.mark.parametrize("pixels", [1, 2])
def test_shifts_move_by_whole_pixels_and_repeat_the_edge(
    shape: tuple[int, ...], pixels: int
) -> None:
    x = np.random.default_rng(0).random((2, int(np.prod(shape))))
    new = shift_images(x, [1, 1], 200, shape, pixels=pixels)
    h, w = shape[:2]
    moves = [(a, b) for a in range(-pixels, pixels + 1) for b in range(-pixels, pixels + 1)]
    seen = set()
    for point, base in zip(new.points, new.base, strict=True):
        image = x[base].reshape(h, w, -1)
        found = [
            (a, b)
            for a, b in moves
            if np.array_equal(
                point.reshape(h, w, -1),
                image[np.arange(a, a + h).clip(0, h - 1)][:, np.arange(b, b + w).clip(0, w - 1)],
            )
        ]
        assert len(found) == 1
        seen.update(found)
    assert seen == set(moves) - {(0, 0)}


@WAYS
def test_bad_input(make: Callable[..., NewSamples]) -> None:
    x = points()
    with pytest.raises(ValueError, match="class 7 has a single sample: new ones .* at least 2"):
        make(x, np.where(np.arange(11) == 3, 7, 1), 5)
    with pytest.raises(ValueError, match=r"labels must have shape \(11,\), got \(10,\)"):
        make(x, LABELS[1:], 5)
    with pytest.raises(ValueError, match="per_class must be an integer >= 1, got 0"):
        make(x, LABELS, 0)
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        make(x, LABELS, 5, -1)
    x[2, 2] = np.nan
    with pytest.raises(ValueError, match="points contains NaN"):
        make(x, LABELS, 5)


def test_bad_options() -> None:
    x = points()
    with pytest.raises(ValueError, match="neighbours must be an integer >= 1, got 0"):
        interpolate(x, LABELS, 5, neighbours=0)
    for scale in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="scale must be a number > 0, got"):
            add_noise(x, LABELS, 5, scale=scale)
    with pytest.raises(ValueError, match="pixels must be an integer >= 1, got 0"):
        shift_images(x, LABELS, 5, (2, 3), pixels=0)
    for shape in [(2, 2), (6,), (1, 2, 3, 1)]:
        with pytest.raises(ValueError, match="image_shape must be .* for 6 features, got"):
            shift_images(x, LABELS, 5, shape)


# ---- the commands ------------------------------------------------------------------------


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
        (["--data", "wide.npy"], 2, "wide.npy has no labels"),
        (["--data", "wide.npz"], 1, "X has 17 features, but Autoencoder is expecting 16"),
        (["--data", "lone.npz"], 1, "class 1 has a single sample"),
        (["--per-class", "0"], 2, "--per-class: must be an integer >= 1, got 0"),
        (["--scale", "0", "--method", "noise"], 1, "scale must be a number > 0, got 0.0"),
        (["--method", "magic"], 2, "--method"),
    ],
)
def test_augment_with_bad_input(
    here: Path, capsys: Output, argv: list[str], code: int, message: str
) -> None:
    np.savez("wide.npz", x=np.load("wide.npy"), y=np.arange(80) % 2)
    lone = np.zeros(80, np.int64)
    lone[load_positions()[0]] = 1
    np.savez("lone.npz", x=np.load("data.npy"), y=lone)
    capsys.readouterr()
    assert main(["augment", "run", "--out", "new.npz", *argv]) == code
    assert message in capsys.readouterr().err
    assert not any(here.glob("**/new*"))


def load_positions() -> np.ndarray:
    """Which of 80 samples are the training part."""
    from tinyae.data.datasets import split_positions

    return split_positions(80, 0.1)[0]


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
        (["--run", "run", "--per-class", "99"], 1, "training samples, fewer than the 99"),
        (["--run", "run", "--data", "wide.npz"], 1, "X has 17 features"),
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


def test_samples_without_a_shape_are_not_shifted() -> None:
    ae = Autoencoder(hidden=(), code=2, epochs=1, random_state=0).fit(points())
    known = Samples(points(), ae.encode(points()), LABELS)
    made, base = augmented(ae, known, how=_how(), image_shape=None, seed=0)
    assert list(made) == ["pixel interpolation", "pixel noise", "code interpolation", "code noise"]
    assert {len(new.labels) for new in made.values()} == {len(base)} == {8}
    for name, new in made.items():  # pixels and codes are the same samples
        near, far = (ae.encode(new.x), new.z) if "pixel" in name else (ae.decode(new.z), new.x)
        np.testing.assert_allclose(near, far, rtol=1e-4, atol=1e-5)
    assert set(accuracies(known.joined(made["code noise"]), known)) == {
        "pixels k-NN", "pixels softmax", "codes k-NN", "codes softmax"
    }  # fmt: skip


def _how() -> Any:
    from tinyae.codes.few_labels import Augmentation

    return Augmentation(per_class=4)


def test_labelled_chooses_at_random_as_many_of_each() -> None:
    labels = np.repeat([3, 8], [50, 10])
    a, b = labelled(labels, 10, 0), labelled(labels, 10, 1)
    assert labels[a].tolist() == [3] * 10 + [8] * 10 and len(set(a)) == 20
    assert set(a[:10]) != set(b[:10]) and set(a[10:]) == set(range(50, 60))
    with pytest.raises(ValueError, match="class 8 has 10 training samples, fewer than the 11"):
        labelled(labels, 11, 0)
