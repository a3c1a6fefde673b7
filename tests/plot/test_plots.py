"""Pictures: that they are there, and that they show what they were given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae.plot.plots import plot_code, plot_loss, plot_reconstructions

NEEDED = 'drawing needs matplotlib: pip install "tinyae[plot]"'
pytest.importorskip("matplotlib", reason=NEEDED)

LEFT, MARGIN, GAP = 116, 10, 4  # pixels of plot_reconstructions' layout


def read(path: Path) -> np.ndarray:
    """The picture as uint8 (height, width, 3), after a look at the file and its folder."""
    from matplotlib.image import imread

    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [other.name for other in path.parent.iterdir() if other.name[0] == "."] == []
    pixels = np.asarray(imread(path))
    assert pixels.ndim == 3
    return (pixels[:, :, :3] * 255 + 0.5).astype(np.uint8)


def shows(pixels: np.ndarray, colour: str) -> bool:
    rgb = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)
    return bool((pixels == rgb).all(axis=2).any())


def images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, int(np.prod(shape))))


HISTORY = {
    "loss": [9.0, 5.0, 4.0],
    "squared_error": [90.0, 9.0, 0.9],
    "val_loss": [9.5, 6.0, 5.0],
    "val_squared_error": [91.0, 12.0, 3.0],
    "learning_rate": [1e-3, 1e-3, 1e-3],
    "seconds": [1.0, 1.0, 1.0],
}


def test_loss_draws_both_curves_in_both_panels(tmp_path: Path) -> None:
    plot_loss(HISTORY, tmp_path / "loss.png")
    pixels = read(tmp_path / "loss.png")
    assert pixels.shape == (360, 940, 3)
    for half in (pixels[:, :470], pixels[:, 470:]):
        assert shows(half, "#1f5fa8")
        assert shows(half, "#d9822b")


def test_loss_without_validation_or_squared_error(tmp_path: Path) -> None:
    plot_loss({"loss": [3.0]}, tmp_path / "loss.png")
    pixels = read(tmp_path / "loss.png")
    assert pixels.shape == (360, 470, 3)
    assert shows(pixels, "#1f5fa8")
    assert not shows(pixels, "#d9822b")


@pytest.mark.parametrize(
    "loss",
    [[np.nan, np.nan], [1.0, np.inf, np.nan], [0.0, -100.0], [1e-12, 1e12], [2.0] * 300],
)
def test_loss_draws_whatever_a_training_gave(loss: list[float], tmp_path: Path) -> None:
    plot_loss({"loss": loss, "val_loss": []}, tmp_path / "loss.png")
    read(tmp_path / "loss.png")


def test_same_input_same_bytes_and_other_input_other_bytes(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    plot_loss(HISTORY, a)
    plot_loss(HISTORY, str(b))
    plot_loss(HISTORY | {"val_loss": [9.5, 6.0, 5.5]}, c)
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


def test_loss_refuses_bad_histories(tmp_path: Path) -> None:
    path = tmp_path / "loss.png"
    with pytest.raises(ValueError, match=r"history must hold \"loss\".*it has \['seconds'\]"):
        plot_loss({"seconds": [1.0]}, path)
    with pytest.raises(ValueError, match=r"history\['val_loss'\] must have shape \(2,\), got \(1,"):
        plot_loss({"loss": [2.0, 1.0], "val_loss": [1.0]}, path)
    assert list(tmp_path.iterdir()) == []


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path must end in \.png, got 'loss\.pdf'"):
        plot_loss(HISTORY, "loss.pdf")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        plot_loss(HISTORY, tmp_path / "nowhere" / "loss.png")


def test_grey_images_are_drawn_pixel_by_pixel(tmp_path: Path) -> None:
    x, y = images(12, 8, 6), images(12, 8, 6, seed=1) * 3 - 1  # beyond the originals' range
    plot_reconstructions(x, y, (8, 6), tmp_path / "r.png", n=5)
    pixels = read(tmp_path / "r.png")
    h, w, zoom = 64, 48, 8
    assert pixels.shape == (2 * (MARGIN + h) + GAP, LEFT + 5 * (w + GAP) - GAP + MARGIN, 3)
    low, high = x[:5].min(), x[:5].max()
    for row, data in enumerate((x, y)):
        for i in range(5):
            top, left = MARGIN + row * (h + GAP), LEFT + i * (w + GAP)
            drawn = pixels[top : top + h, left : left + w]
            grey = ((data[i] - low) / (high - low)).clip(0, 1).reshape(8, 6)
            expected = (grey * 255 + 0.5).astype(np.uint8).repeat(zoom, 0).repeat(zoom, 1)
            np.testing.assert_array_equal(drawn, np.stack([expected] * 3, axis=2))


def test_mnist_sized_pictures_are_small_files(tmp_path: Path) -> None:
    x = (images(10, 28, 28) * 256).astype(np.uint8)
    plot_reconstructions(x, x / 255, (28, 28, 1), tmp_path / "r.png")
    pixels = read(tmp_path / "r.png")
    above, below = pixels[10:66, LEFT:], pixels[70:126, LEFT:]
    np.testing.assert_array_equal(above, below)  # uint8 counts as pixels
    assert (tmp_path / "r.png").stat().st_size < 100_000


def test_colour_images(tmp_path: Path) -> None:
    x = np.zeros((1, 4, 4, 3))
    x[0, :2, :, 0] = 1  # red above, blue below
    x[0, 2:, :, 2] = 1
    x = x.reshape(1, -1)
    plot_reconstructions(x, 1 - x, (4, 4, 3), tmp_path / "r.png")
    pixels = read(tmp_path / "r.png")
    picture = pixels[MARGIN : MARGIN + 64, LEFT : LEFT + 64]
    assert (picture[:32] == (255, 0, 0)).all()
    assert (picture[32:] == (0, 0, 255)).all()
    assert (pixels[MARGIN + 64 + GAP :][:32, LEFT : LEFT + 64] == (0, 255, 255)).all()


@pytest.mark.parametrize("shape", [(300, 200), (1, 30), (1, 784), (784, 1), (1, 1), (130, 2, 3)])
def test_images_of_odd_shapes(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = images(2, *shape)
    plot_reconstructions(x, x, shape, tmp_path / "r.png")
    pixels = read(tmp_path / "r.png")
    assert max(pixels.shape) < 500
    assert pixels[MARGIN:-MARGIN, LEFT:].min() < 100


def test_constant_images(tmp_path: Path) -> None:
    x = np.full((1, 9), 0.3)
    plot_reconstructions(x, x, (3, 3), tmp_path / "r.png")
    assert (read(tmp_path / "r.png")[20:40, LEFT + 10 : LEFT + 40] == 128).all()


@pytest.mark.parametrize("shape", [(9, 40), (1, 40), (3, 1), (2, 2)])
def test_samples_that_are_no_images(shape: tuple[int, int], tmp_path: Path) -> None:
    x = images(*shape)
    plot_reconstructions(x, x * 0.5, None, tmp_path / "r.png", n=4)
    pixels = read(tmp_path / "r.png")
    assert pixels.shape == (210, LEFT + 110 * min(4, shape[0]), 3)
    colourful = np.ptp(pixels.astype(int), axis=2) > 60
    assert colourful[:105].any()
    assert colourful[105:].any()


def test_reconstructions_refuse_bad_input(tmp_path: Path) -> None:
    path, x = tmp_path / "r.png", images(3, 4, 4)
    bad = x.copy()
    bad[1, 2] = np.nan
    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((bad, x, (4, 4)), {}, "originals must be finite"),
        ((x, bad, (4, 4)), {}, "reconstructions must be finite"),
        ((x, x[:, :8], (4, 4)), {}, r"reconstructions must have shape \(3, 16\), got \(3, 8\)"),
        ((x, x, (4, 5)), {}, r"image_shape must be .* for 16 features, got \(4, 5\)"),
        ((x, x, (16,)), {}, "image_shape must be"),
        ((x, x, (-4, -4)), {}, "image_shape must be"),
        ((x, x, (2, 2, 4)), {}, "image_shape must be"),
        ((x, x, (4, 4)), {"n": 0}, "n must be at least 1, got 0"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            plot_reconstructions(*arguments, path, **options)
    assert list(tmp_path.iterdir()) == []


def clusters(k: int, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 3
    return np.random.default_rng(k).normal(size=(n, k)) + 6 * labels[:, None], labels


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("with_labels", [True, False])
def test_code(k: int, with_labels: bool, tmp_path: Path) -> None:
    codes, labels = clusters(k)
    plot_code(codes, labels if with_labels else None, tmp_path / "c.png")
    pixels = read(tmp_path / "c.png")
    assert pixels.shape == (520, 680, 3)
    hues = {tuple(np.argsort(rgb)) for rgb in pixels[np.ptp(pixels.astype(int), axis=2) > 90]}
    assert len(hues) >= (3 if with_labels else 1)  # tab10: blue, orange, green


def test_code_shows_names(tmp_path: Path) -> None:
    codes, labels = clusters(2)
    for k in (1, 2):
        plot_code(codes[:, :k], labels, tmp_path / "a.png")
        names = ["_plain", "$x^{$", "100 %"]  # nothing of this is markup
        plot_code(codes[:, :k], labels, tmp_path / "b.png", label_names=names)
        assert not np.array_equal(read(tmp_path / "a.png"), read(tmp_path / "b.png"))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    "labels",
    [
        np.linspace(-1, 1, 90),
        np.arange(90, dtype=np.uint8),
        np.array([f"s{i}" for i in range(90)]),
        np.array(["cat", "dog"] * 45),
        np.arange(90) % 20,
        np.arange(90) % 2 == 0,
        [0.5] * 90,
    ],
    ids=lambda labels: f"{np.asarray(labels).dtype}-{len(set(np.asarray(labels).tolist()))}",
)
def test_code_with_labels_of_all_kinds(k: int, labels: Any, tmp_path: Path) -> None:
    plot_code(clusters(k)[0], labels, tmp_path / "c.png")
    read(tmp_path / "c.png")


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("labels", [None, [4]])
def test_code_of_one_sample(k: int, labels: list[int] | None, tmp_path: Path) -> None:
    plot_code(np.ones((1, k)), labels, tmp_path / "c.png")
    read(tmp_path / "c.png")


@pytest.mark.parametrize("jitter", [0.0, 2e-16])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_code_that_does_not_vary(k: int, jitter: float, tmp_path: Path) -> None:
    plot_code(np.ones((6, k)) + jitter * np.arange(6)[:, None], None, tmp_path / "c.png")
    read(tmp_path / "c.png")


def test_code_of_many_samples_is_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    monkeypatch.setattr("tinyae.plot.plots.MAX_POINTS", 40)
    plot_code(codes, np.arange(20_000) // 1000, tmp_path / "c.png")
    few = read(tmp_path / "c.png")
    monkeypatch.undo()
    plot_code(codes, np.arange(20_000) // 1000, tmp_path / "c.png")
    assert (read(tmp_path / "c.png") != 255).sum() > 3 * (few != 255).sum()


def test_code_refuses_bad_input(tmp_path: Path) -> None:
    path, (codes, labels) = tmp_path / "c.png", clusters(2)
    bad = codes.copy()
    bad[3, 1] = np.inf
    cases: list[tuple[Any, Any, Any, str]] = [
        (bad, labels, None, "codes must be finite, got NaN or infinity"),
        (codes[:, 0], labels, None, "Expected 2D array codes"),
        (codes, labels[:-1], None, r"labels must have shape \(90,\), one for each .* got \(89,\)"),
        (codes, np.where(labels == 1, np.nan, 0.0), None, "labels must be finite"),
        (codes, labels, ["a", "b"], r"label_names has 2 names, labels are \[0, 1, 2\]"),
        (codes, labels - 1, ["a", "b", "c"], r"label_names has 3 names, labels are \[-1, 0, 1\]"),
        (codes, labels / 2, ["a", "b"], "label_names has 2 names"),
    ]
    for *arguments, names, message in cases:
        with pytest.raises(ValueError, match=message):
            plot_code(*arguments, path, label_names=names)
    assert list(tmp_path.iterdir()) == []


def test_says_what_is_missing_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    x = images(2, 2, 2)
    for draw in (
        lambda path: plot_loss(HISTORY, path),
        lambda path: plot_reconstructions(x, x, (2, 2), path),
        lambda path: plot_code(x, None, path),
    ):
        with pytest.raises(ImportError) as caught:
            draw(tmp_path / "x.png")
        assert str(caught.value) == NEEDED
    assert list(tmp_path.iterdir()) == []


def test_leaves_matplotlib_alone(tmp_path: Path) -> None:
    """In a fresh process: not loaded on import, no pyplot and no changed setting after drawing."""
    program = (
        "import sys, tinyae.plot.plots as p\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"  # dict() would look for a window system
        "p.plot_loss({'loss': [2.0, 1.0]}, sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "x.png"], check=True)
    read(tmp_path / "x.png")
