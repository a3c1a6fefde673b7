"""Folders of pictures: formats, modes, labels, and an error for each thing that is wrong."""

from __future__ import annotations

import io
import os
import sys

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae.data.datasets import load_dataset
from tinyae.data.images import read_image_parts, read_images


@pytest.fixture
def pil():
    return pytest.importorskip("PIL.Image", reason="reading images needs Pillow")


def grey(pil, value, size=(4, 3)):
    return pil.new("L", size, value)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def test_images_in_one_folder_are_sorted(tmp_path, pil):
    for name, value in [("b.png", 20), ("a.bmp", 10), ("c.PGM", 30), ("d.tif", 40)]:
        save(grey(pil, value), tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    (tmp_path / ".cache").mkdir()
    part = read_images(tmp_path)
    assert part.samples.dtype == np.uint8 and part.samples.shape == (4, 3, 4)
    assert part.samples[:, 0, 0].tolist() == [10, 20, 30, 40]
    assert part.labels is None


def test_images_keep_their_orientation(tmp_path, pil):
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    save(pil.fromarray(array), tmp_path / "a.png")
    np.testing.assert_array_equal(read_images(tmp_path).samples, array[None])


def test_images_of_every_ending(tmp_path, pil):
    endings = ["png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "pgm", "ppm"]
    for ending in endings:
        save(pil.new("RGB", (4, 3), (200, 100, 50)), tmp_path / f"a.{ending}")
    samples = read_images(tmp_path).samples
    assert samples.shape == (len(endings), 3, 4, 3)
    spread = np.abs(samples.astype(int) - [200, 100, 50]).max(axis=(1, 2, 3))
    assert spread.max() < 30  # jpg, webp and gif lose a little


def test_sub_folders_are_labels(tmp_path, pil):
    for name in ("dog/1.png", "cat/2.png", "cat/1.png"):
        save(grey(pil, 9), tmp_path / name)
    (tmp_path / "readme.txt").write_text("cats and dogs")
    assert read_images(tmp_path).labels.tolist() == ["cat", "cat", "dog"]


def test_one_picture_in_colour_makes_all_rgb(tmp_path, pil):
    save(grey(pil, 9), tmp_path / "a.png")
    save(pil.new("RGB", (4, 3), (1, 2, 3)), tmp_path / "b.png")
    samples = read_images(tmp_path).samples
    assert samples.shape == (2, 3, 4, 3)
    assert samples[:, 0, 0].tolist() == [[9, 9, 9], [1, 2, 3]]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, 255),
        ("L", 7, 7),
        ("LA", (7, 0), 7),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (1, 2, 3, 0), [1, 2, 3]),
    ],
)
def test_modes(tmp_path, pil, mode, colour, expected):
    save(pil.new(mode, (4, 3), colour), tmp_path / "a.png")
    assert read_images(tmp_path).samples[0, 0, 0].tolist() == expected


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"])
@pytest.mark.parametrize(
    ("palette", "expected"), [([7, 7, 7, 9, 9, 9], 7), ([1, 2, 3, 4, 5, 6], [1, 2, 3])]
)
def test_palettes(tmp_path, pil, palette, expected, transparency):
    image = pil.new("P", (4, 3), 0)
    image.putpalette(palette)
    image.putpixel((3, 2), 1)
    options = {} if transparency is None else {"transparency": transparency}
    save(image, tmp_path / "a.png", **options)
    assert read_images(tmp_path).samples[0, 0, 0].tolist() == expected


def test_of_several_frames_the_first_is_read(tmp_path, pil):
    frames = [grey(pil, 10), grey(pil, 200)]
    save(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    samples = read_images(tmp_path).samples
    assert samples.shape == (1, 3, 4) and samples.max() == 10


def test_different_sizes_are_an_error_that_size_resolves(tmp_path, pil):
    save(grey(pil, 9), tmp_path / "a.png")
    save(grey(pil, 9), tmp_path / "b.png")
    save(grey(pil, 9, (5, 3)), tmp_path / "c.png")
    with raises(tmp_path / "a.png", "4x3", tmp_path / "c.png", "5x3", "--size WIDTHxHEIGHT"):
        read_images(tmp_path)
    samples = read_images(tmp_path, (6, 2)).samples
    assert samples.shape == (3, 2, 6) and (samples == 9).all()


@pytest.mark.parametrize("size", [(0, 3), (3, -1), (3,), (1, 2, 3)])
def test_bad_size(tmp_path, pil, size):
    with raises("size must be (width, height)", size):
        read_images(tmp_path, size)


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        ([], ["no pictures (.bmp, "]),
        (["a.png", "cat/b.png"], ["a.png", "b.png", "got both"]),
        (["train/cat/a.png"], ["a.png lies too deep"]),
    ],
)
def test_pictures_that_are_not_there_or_misplaced(tmp_path, pil, pictures, words):
    (tmp_path / "notes.txt").write_text("no picture")
    for name in pictures:
        save(grey(pil, 9), tmp_path / name)
    with raises(tmp_path, *words):
        read_images(tmp_path)


@pytest.mark.parametrize("cut", [0, 5, 100])
@pytest.mark.parametrize("ending", ["png", "jpg", "gif"])
def test_damaged_pictures(tmp_path, pil, ending, cut):
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    whole = io.BytesIO()
    pil.fromarray(noise).save(whole, {"jpg": "jpeg"}.get(ending, ending))
    path = tmp_path / f"a.{ending}"
    path.write_bytes(whole.getvalue()[:cut])
    with raises(path, "cannot be read as a picture"):
        read_images(tmp_path)


@pytest.mark.parametrize(("mode", "ending"), [("I;16", "png"), ("F", "tif")])
def test_more_than_8_bits_are_refused(tmp_path, pil, mode, ending):
    path = tmp_path / f"a.{ending}"
    save(pil.new(mode, (4, 3)), path)
    with raises(path, "8 bits per channel", "mode " + mode[0]):
        read_images(tmp_path)


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'needs Pillow: pip install "tinyae\[images\]"'):
        read_images(tmp_path)


TURNED = {  # what each value of EXIF's orientation asks of the pixels
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
    5: np.transpose, 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
    0: lambda a: a, 9: lambda a: a,
}  # fmt: skip


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
@pytest.mark.parametrize("ending", ["png", "tif", "packed.tif", "jpg", "webp"])
def test_pictures_are_turned_as_their_exif_data_say(tmp_path, pil, ending, mode):
    """Against rotations by hand; a JPEG of few, large blocks is nearly exact."""
    pixels = np.kron(
        np.array([[0, 90, 180], [255, 40, 130]], np.uint8), np.ones((16, 16), np.uint8)
    )
    image = pil.fromarray(pixels).convert("L" if (mode, ending) == ("P", "jpg") else mode)
    options = {"compression": "tiff_lzw"} if ending == "packed.tif" else {"quality": 95}
    for value, turn in TURNED.items():
        if ending == "packed.tif" and value not in range(1, 9):
            continue  # libtiff does not write it
        exif = pil.Exif()
        exif[0x0112] = value
        save(image, tmp_path / str(value) / f"a.{ending}", exif=exif, **options)
        for size in (None, turn(pixels).shape[::-1]):  # with and without a size
            samples = read_images(tmp_path / str(value), size).samples
            samples = samples if samples.ndim == 3 else samples[..., 0]
            assert samples.shape[1:] == turn(pixels).shape
            assert np.abs(samples[0].astype(int) - turn(pixels)).max() < 16


def test_broken_exif_data_leave_the_picture_as_it_is(tmp_path, pil):
    save(grey(pil, 9), tmp_path / "a.png", exif=b"Exif\0\0no TIFF header")
    assert read_images(tmp_path).samples.shape == (1, 3, 4)


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def test_unreadable_pictures_are_left_out_on_demand(tmp_path, pil, caplog):
    """Broken in the header or behind it, the first, the last or between: listed and counted."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 30, 30), np.uint8)
    for i, pixels in enumerate(noise):
        save(pil.fromarray(pixels), tmp_path / "ab"[i % 2] / f"{i:02}.png")
    bad = {0: 5, 6: 200, 11: 0}
    for i, keep in bad.items():
        cut(tmp_path / "ab"[i % 2] / f"{i:02}.png", keep)
    with raises("cannot be read as a picture", "--skip-bad", "skip_bad=True"):
        read_images(tmp_path)
    assert not caplog.records
    calls = []
    part = read_images(tmp_path, skip_bad=True, progress=lambda *call: calls.append(call))
    good = sorted(set(range(12)) - set(bad), key=lambda i: (i % 2, i))
    np.testing.assert_array_equal(part.samples, noise[good])
    assert part.labels.tolist() == ["ab"[i % 2] for i in good]
    assert "3 of 12 pictures" in caplog.text
    for i in bad:
        assert str(tmp_path / "ab"[i % 2] / f"{i:02}.png") in caplog.text
    assert len(calls) == 9 and {total for _, total in calls} == {12}


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("at", [0, 2])
def test_pictures_of_more_than_8_bits_are_left_out_on_demand(tmp_path, pil, caplog, dtype, at):
    for i in range(4):
        pixels = np.full((3, 5), i, dtype if i == at else np.uint8)
        save(pil.fromarray(pixels), tmp_path / f"{i}.tif")
    with raises(tmp_path / f"{at}.tif", "8 bits per channel", "--skip-bad"):
        read_images(tmp_path)
    part = read_images(tmp_path, skip_bad=True)
    assert part.samples[:, 0, 0].tolist() == [i for i in range(4) if i != at]
    assert f"{at}.tif" in caplog.text


def test_where_no_picture_can_be_read(tmp_path):
    pytest.importorskip("PIL.Image", reason="reading images needs Pillow")
    (tmp_path / "a.png").write_bytes(b"none")
    with raises(tmp_path, "none of 1 pictures"):
        read_images(tmp_path, skip_bad=True)


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "val")])
@pytest.mark.parametrize("below", [("cat", "dog"), ("",)])
def test_folders_named_as_parts_are_parts(tmp_path, pil, train, test, below):
    for part, value in ((train, 10), (test, 200)):
        for name in below:
            for i in range(3):
                save(grey(pil, value), tmp_path / part / name / f"{i}.png")
    (tmp_path / ".cache").mkdir()
    data = load_dataset(tmp_path)
    n = 3 * len(below)
    assert (data.train.array == 10).all() and (data.test.array == 200).all()
    assert len(data.train) == len(data.test) == n
    if below[0]:
        assert data.label_names == below
        assert data.train_labels.tolist() == data.test_labels.tolist() == [0] * 3 + [1] * 3
    else:
        assert data.train_labels is None


@pytest.mark.parametrize("name", ["train", "Training"])
@pytest.mark.parametrize("below", [("cat", "dog"), ("",)])
def test_of_a_training_part_alone_a_test_part_is_held_out(tmp_path, pil, name, below):
    for number, label in enumerate(below):
        for i in range(10):
            save(grey(pil, 100 * number), tmp_path / name / label / f"{i}.png")
    data = load_dataset(tmp_path)
    n = 10 * len(below)
    assert (len(data.train), len(data.test)) == (n - n // 10, n // 10)
    assert data.label_names == (below if below[0] else None)
    if below[0]:
        assert (np.asarray(data.train)[:, 0] > 0).tolist() == data.train_labels.tolist()


def test_parts_of_different_colours_and_a_part_that_is_not_read(tmp_path, pil, caplog):
    save(grey(pil, 9), tmp_path / "train/a.png")
    save(pil.new("RGB", (4, 3), (1, 2, 3)), tmp_path / "test/a.png")
    save(grey(pil, 9), tmp_path / "val/a.png")
    train, test = read_image_parts(tmp_path)
    assert train.samples.shape == test.samples.shape == (1, 3, 4, 3)
    assert (train.samples == 9).all() and test.samples[0, 0, 0].tolist() == [1, 2, 3]
    assert f"{tmp_path / 'val'} is not read" in caplog.text


@pytest.mark.parametrize("names", [("train", "bus"), ("test", "val"), ("train", "test", "bus")])
def test_other_names_beside_them_make_them_labels(tmp_path, pil, names):
    for name in names:
        save(grey(pil, 9), tmp_path / name / "a.png")
    part, test = read_image_parts(tmp_path)
    assert part.labels.tolist() == sorted(names) and test is None


@pytest.mark.parametrize("kind", ["a link that leads nowhere", "a pipe", "not to be read"])
def test_what_cannot_be_opened_is_skipped_as_what_is_damaged(
    pil, tmp_path, kind, monkeypatch, caplog
):
    for name in "ac":
        save(grey(pil, 1), tmp_path / f"{name}.png")
    bad = tmp_path / "b.png"
    if kind == "a link that leads nowhere":
        bad.symlink_to("nowhere")
    elif kind == "a pipe":
        os.mkfifo(bad)
    else:
        bad.touch()
        open_image = pil.open

        def refused(path):
            if path == bad:
                raise PermissionError(13, "Permission denied", str(path))
            return open_image(path)

        monkeypatch.setattr(pil, "open", refused)
    with raises("b.png", "--skip-bad"):
        read_images(tmp_path)
    assert read_images(tmp_path, skip_bad=True).samples.shape == (2, 3, 4)
    assert "1 of 3 pictures are left out" in caplog.text
