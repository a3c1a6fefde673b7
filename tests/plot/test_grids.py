"""Pictures of many samples: each pixel where it should be, sizes, marks, labels, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plot.pictures import NEEDED, drawn, images
from tinyae.plot.grids import LINE_CELL, plot_grid, plot_reconstructions, resized, tiled
from tinyae.plot.style import short

pytest.importorskip("matplotlib", reason=NEEDED)

LEFT, MARGIN, GAP = 116, 10, 4  # pixels of plot_reconstructions' layout
ORANGE, BLUE = (0xD9, 0x82, 0x2B), (0x1F, 0x5F, 0xA8)


@pytest.mark.parametrize("gap", [0, 4])
def test_every_pixel_of_a_grey_grid(gap: int, tmp_path: Path) -> None:
    x = images(6, 8, 6)
    pixels = drawn(tmp_path, plot_grid, x, 3, (8, 6), span=(0, 1), gap=gap)
    h, w, zoom = 64, 48, 8
    assert pixels.shape == (2 * (h + gap) + gap, 3 * (w + gap) + gap)
    expected = np.full(pixels.shape, 255, np.uint8)
    for i, picture in enumerate((x * 255 + 0.5).astype(np.uint8).reshape(6, 8, 6)):
        top, left = gap + i // 3 * (h + gap), gap + i % 3 * (w + gap)
        expected[top : top + h, left : left + w] = picture.repeat(zoom, 0).repeat(zoom, 1)
    np.testing.assert_array_equal(pixels, expected)


def test_the_last_row_may_end_early(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, plot_grid, np.zeros((5, 16)), 3, (4, 4), span=(0, 1), gap=0)
    assert pixels.shape == (128, 192)
    assert (pixels[:64] == 0).all() and (pixels[64:, :128] == 0).all()
    assert (pixels[64:, 128:] == 255).all()


def test_span_is_black_and_white_and_beyond_it_is_clipped(tmp_path: Path) -> None:
    x = np.array([[-3.0], [-2.0], [0.0], [2.0], [9.0]])
    pixels = drawn(tmp_path, plot_grid, x, 5, (1, 1), span=(-2, 2), gap=0)
    np.testing.assert_array_equal(pixels[0, ::64], [0, 0, 128, 255, 255])
    pixels = drawn(tmp_path, plot_grid, x, 5, (1, 1), gap=0)  # by default, the samples' own
    np.testing.assert_array_equal(pixels[0, [0, -1]], [0, 255])
    assert (drawn(tmp_path, plot_grid, np.ones((2, 1)), 2, (1, 1), gap=0) == 128).all()


def test_colour(tmp_path: Path) -> None:
    x = np.zeros((2, 4, 4, 3))
    x[0, :, :, 0] = x[1, :, :, 2] = 1
    pixels = drawn(tmp_path, plot_grid, x.reshape(2, -1), 2, (4, 4, 3), gap=0)
    assert (pixels[:, :64] == (255, 0, 0)).all() and (pixels[:, 64:] == (0, 0, 255)).all()


def test_marked_samples_have_a_frame(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, plot_grid, np.zeros((4, 16)), 2, (4, 4), span=(0, 1), marked={1})
    framed = (pixels == ORANGE).all(axis=2)
    assert framed.sum() == 68**2 - 64**2
    assert framed[2:70, 70:138].sum() == framed.sum()  # two pixels around the second of the row
    assert (pixels[4:68, 72:136] == 0).all()


def test_labels_stand_beside_their_rows(tmp_path: Path) -> None:
    x = np.zeros((6, 784))
    plain, pixels = (
        drawn(tmp_path, plot_grid, x, 2, (28, 28), span=(0, 1), labels=labels)
        for labels in (None, ["one", "", "three"])
    )
    room = pixels.shape[1] - plain.shape[1]
    assert 40 < room < 80 and pixels.shape[0] == plain.shape[0]
    np.testing.assert_array_equal(pixels[:, room:], plain)
    for top, written in ((4, True), (64, False), (124, True)):
        assert (pixels[top : top + 56, :room].min() < 160) == written
    assert (pixels[:, : room // 5] == 255).all()  # nothing is cut off


@pytest.mark.parametrize("count", [1, 3, 6, 12])
def test_height_is_exact_whatever_it_is(count: int, tmp_path: Path) -> None:
    """The labels' part, which matplotlib draws, is as high as the other."""
    for side in (1, 5, 7, 28):
        x, labels = images(count, side, side), ["a"] * count
        tiles = tiled(resized(np.zeros((count, side, side, 1)), count, 1), 1, 4)
        pixels = drawn(tmp_path, plot_grid, x, 1, (side, side), labels=labels)
        assert len(pixels) == len(tiles)


@pytest.mark.parametrize(
    ("side", "rows", "columns", "expected"),
    [
        (28, 20, 20, 56),  # 60 pixels are the room of each
        (28, 2, 9, 56), (28, 60, 60, 28), (28, 200, 1, 28), (8, 8, 8, 64), (1, 1, 1, 64),
        (64, 20, 20, 64), (128, 8, 8, 128), (129, 8, 8, 64), (300, 20, 20, 100),
    ],
)  # fmt: skip
def test_sizes(side: int, rows: int, columns: int, expected: int) -> None:
    assert resized(np.zeros((1, side, side, 1)), rows, columns).shape == (1, expected, expected, 1)


def test_reduced_pictures_are_block_means() -> None:
    x = images(1, 130, 130).reshape(1, 130, 130, 1)
    expected = x.reshape(1, 65, 2, 65, 2, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(resized(x, 1, 1), expected)


@pytest.mark.parametrize("features", [1, 2, 40])
def test_samples_that_are_no_images_are_lines(features: int, tmp_path: Path) -> None:
    x = np.tile(np.linspace(0, 1, features), (6, 1))
    pixels = drawn(tmp_path, plot_grid, x, 3, None, span=(-1, 2), marked={4}).astype(int)
    w, h = LINE_CELL
    assert pixels.shape == (2 * h, 3 * w, 3)
    for i in range(6):
        cell = pixels[i // 3 * h :, i % 3 * w :][:h, :w]
        assert (np.abs(cell - BLUE).sum(axis=2) < 120).any()
        assert (np.abs(cell - ORANGE).sum(axis=2) < 120).any() == (i == 4)
    if features == 40:  # it rises: its pixels lie lower on the left
        blue = np.abs(pixels[:h, :w] - BLUE).sum(axis=2) < 120
        y = [np.flatnonzero(blue[:, at])[0] for at in (10, 30, 50)]
        assert y[0] > y[1] > y[2]


def test_lines_have_labels_too(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, plot_grid, images(4, 9), 2, None, labels=["one", "two"])
    assert pixels.shape == (2 * LINE_CELL[1], 45 + 2 * LINE_CELL[0], 3)
    assert pixels[:44, :40].min() < 160 and pixels[44:, :40].min() < 160


def test_names_of_features_are_listed_under_lines(tmp_path: Path) -> None:
    for features in (3, 60):
        x, names = images(4, features), ["$x^{$", *["a long name\n" * 9] * (features - 1)]
        plain, pixels = (
            drawn(tmp_path, plot_grid, x, 2, None, names=given) for given in ((), names)
        )
        height, width, _ = plain.shape
        np.testing.assert_array_equal(pixels[:height, :width], plain)
        below = pixels[height:]
        lines = [below[at - 4 : at + 4] for at in range(15, len(below), 15)]
        assert len(lines) == {3: 1 + 3, 60: 1 + 40 + 1}[features]
        assert all(line.min() < 160 for line in lines)
        assert (below[:, -6:] == 255).all()  # nothing is cut off
    with pytest.raises(ValueError, match="names must be 9, one for each feature, got 2"):
        plot_grid(images(4, 9), 2, None, tmp_path / "g.png", names=["a", "b"])


def test_same_input_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plot_grid(images(4, 9), 2, (3, 3), tmp_path / name, labels=["a", "b"], marked={0})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_refuses_bad_input(tmp_path: Path) -> None:
    x, bad = images(4, 4, 4), images(4, 4, 4)
    bad[1, 2] = np.nan
    cases: list[tuple[Any, Any, Any, dict[str, Any], str]] = [
        (bad, 2, (4, 4), {}, "samples must be finite"),
        (x, 0, (4, 4), {}, "columns must be at least 1, got 0"),
        (x, 2, (4, 4), {"labels": ["a"]}, "labels must be 2, one for each row, got 1"),
        (x, 2, (4, 5), {}, r"image_shape must be .* for 16 features, got \(4, 5\)"),
        (x, 2, (16,), {}, "image_shape must be"),
        (x, 2, (2, 2, 4), {}, "image_shape must be"),
    ]
    for samples, columns, shape, options, message in cases:
        with pytest.raises(ValueError, match=message):
            plot_grid(samples, columns, shape, tmp_path / "g.png", **options)
    with pytest.raises(ValueError, match=r"path must end in \.png, got 'g\.gif'"):
        plot_grid(x, 2, (4, 4), "g.gif")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        plot_grid(x, 2, (4, 4), tmp_path / "nowhere" / "g.png")
    assert list(tmp_path.iterdir()) == []


# ---- originals over reconstructions -------------------------------------------------------


def test_grey_images_are_drawn_pixel_by_pixel(tmp_path: Path) -> None:
    x, y = images(12, 8, 6), images(12, 8, 6, seed=1) * 3 - 1  # beyond the originals' range
    pixels = drawn(tmp_path, plot_reconstructions, x, y, (8, 6), n=5)
    h, w, zoom = 64, 48, 8
    assert pixels.shape == (2 * (MARGIN + h) + GAP, LEFT + 5 * (w + GAP) - GAP + MARGIN, 3)
    low, high = x[:5].min(), x[:5].max()
    for row, data in enumerate((x, y)):
        for i in range(5):
            top, left = MARGIN + row * (h + GAP), LEFT + i * (w + GAP)
            grey = ((data[i] - low) / (high - low)).clip(0, 1).reshape(8, 6)
            expected = (grey * 255 + 0.5).astype(np.uint8).repeat(zoom, 0).repeat(zoom, 1)
            picture = pixels[top : top + h, left : left + w]
            np.testing.assert_array_equal(picture, np.stack([expected] * 3, axis=2))


def test_mnist_sized_pictures_are_small_files(tmp_path: Path) -> None:
    x = (images(10, 28, 28) * 256).astype(np.uint8)
    pixels = drawn(tmp_path, plot_reconstructions, x, x / 255, (28, 28, 1))
    above, below = pixels[10:66, LEFT:], pixels[70:126, LEFT:]
    np.testing.assert_array_equal(above, below)  # uint8 counts as pixels
    assert (tmp_path / "drawn.png").stat().st_size < 100_000


def test_colour_images(tmp_path: Path) -> None:
    x = np.zeros((1, 4, 4, 3))
    x[0, :2, :, 0] = 1  # red above, blue below
    x[0, 2:, :, 2] = 1
    x = x.reshape(1, -1)
    pixels = drawn(tmp_path, plot_reconstructions, x, 1 - x, (4, 4, 3))
    picture = pixels[MARGIN : MARGIN + 64, LEFT : LEFT + 64]
    assert (picture[:32] == (255, 0, 0)).all()
    assert (picture[32:] == (0, 0, 255)).all()
    assert (pixels[MARGIN + 64 + GAP :][:32, LEFT : LEFT + 64] == (0, 255, 255)).all()


@pytest.mark.parametrize("shape", [(300, 200), (1, 30), (1, 784), (784, 1), (1, 1), (130, 2, 3)])
def test_images_of_odd_shapes(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = images(2, *shape)
    pixels = drawn(tmp_path, plot_reconstructions, x, x, shape)
    assert max(pixels.shape) < 500
    assert pixels[MARGIN:-MARGIN, LEFT:].min() < 100


def test_constant_images(tmp_path: Path) -> None:
    x = np.full((1, 9), 0.3)
    pixels = drawn(tmp_path, plot_reconstructions, x, x, (3, 3))
    assert (pixels[20:40, LEFT + 10 : LEFT + 40] == 128).all()


@pytest.mark.parametrize("shape", [(9, 40), (1, 40), (3, 1), (2, 2)])
def test_samples_that_are_no_images(shape: tuple[int, int], tmp_path: Path) -> None:
    x = images(*shape)
    pixels = drawn(tmp_path, plot_reconstructions, x, x * 0.5, None, n=4)
    assert pixels.shape == (210, LEFT + 110 * min(4, shape[0]), 3)
    colourful = np.ptp(pixels.astype(int), axis=2) > 60
    assert colourful[:105].any()
    assert colourful[105:].any()


def test_named_features_run_downwards_beside_their_names(tmp_path: Path) -> None:
    x, names = images(2, 30), ["$x^{$", *["name" * 20] * 29]
    pixels = drawn(tmp_path, plot_reconstructions, x, x, None, names=names)
    left = LEFT + 7 * 32
    assert pixels.shape == (2 * (20 + 13 * 30), left + 2 * 110, 3)
    rows = pixels[:410, LEFT : left - 2].min(axis=(1, 2)) < 160
    assert all(rows[at : at + 13].any() for at in range(40, 375))  # names all along
    blue = (np.abs(pixels[:410].astype(int) - BLUE).sum(axis=2) < 120).any(axis=1)
    assert np.flatnonzero(blue).min() < 60 and np.flatnonzero(blue).max() > 365
    many = drawn(tmp_path, plot_reconstructions, images(2, 41), images(2, 41), None,
                 names=["a"] * 41)  # fmt: skip
    assert many.shape[:2] == (210, LEFT + 2 * 110)  # as without names
    with pytest.raises(ValueError, match="names must be 30, one for each feature, got 2"):
        plot_reconstructions(x, x, None, tmp_path / "r.png", names=["a", "b"])


def test_long_names_keep_both_ends() -> None:
    names = [f"distance to the nearest railway station_{i}" for i in (27, 35)]
    assert [short(name) for name in names] == [
        "distance to the...way station_27", "distance to the...way station_35",
    ]  # fmt: skip
    for n in range(60):
        assert len(short("x" * n)) == min(n, 32)


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
