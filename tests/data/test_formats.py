"""The readers of files: what they return, and one clear error for each thing that is wrong."""

from __future__ import annotations

import gzip
import io
import re
import zipfile

import numpy as np
import pytest

from tinyae.data.formats import read_csv, read_npy, read_npz
from tinyae.data.idx import find_idx, read_idx, read_idx_parts
from tinyae.data.images import read_images


def raises(*words):
    """pytest.raises(ValueError) whose message has all these words, in this order."""
    return pytest.raises(ValueError, match="(?s)" + ".*".join(re.escape(str(w)) for w in words))


# .npy


def test_npy_is_mapped_not_read(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "a.npy", array)
    read = read_npy(tmp_path / "a.npy")
    assert isinstance(read, np.memmap) and read.mode == "r"
    np.testing.assert_array_equal(read, array)


def test_npy_of_objects_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[1, "a"]], object), allow_pickle=True)
    with raises(path, ".npy", "Python objects"):
        read_npy(path)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00", "truncated"])
def test_npy_that_is_none(tmp_path, content):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100, 10)))
    path.write_bytes(path.read_bytes()[:-1] if content == "truncated" else content)
    with raises(path, "cannot be read as .npy file"):
        read_npy(path)


def test_npz_under_the_name_of_npy_and_the_reverse(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        np.savez(file, x=np.zeros((2, 2)))
    with raises(tmp_path / "a.npy", "expected one array", "archive"):
        read_npy(tmp_path / "a.npy")
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, np.zeros((2, 2)))
    with raises(tmp_path / "a.npz", "expected an archive", "one array"):
        read_npz(tmp_path / "a.npz")


# .npz

X, Y = np.arange(6).reshape(3, 2), np.array([0, 1, 2])
X2, Y2 = X[:2] + 10, Y[:2] + 10


def npz(tmp_path, **arrays):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    return path


def test_npz_as_keras_writes_it(tmp_path):
    train, test = read_npz(npz(tmp_path, x_train=X, y_train=Y, x_test=X2, y_test=Y2))
    for got, expected in [
        (train.samples, X), (train.labels, Y), (test.samples, X2), (test.labels, Y2)
    ]:  # fmt: skip
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("names", ["Xy", "xy", "XY"])
def test_npz_of_x_and_y(tmp_path, names):
    train, test = read_npz(npz(tmp_path, **{names[0]: X, names[1]: Y}))
    np.testing.assert_array_equal(train.samples, X)
    np.testing.assert_array_equal(train.labels, Y)
    assert test is None


def test_npz_in_part(tmp_path):
    train, test = read_npz(npz(tmp_path, x_train=X, x_test=X2))
    assert train.labels is None and test.labels is None
    train, test = read_npz(npz(tmp_path, X_train=X, y_train=Y))
    assert train.labels is not None and test is None
    train, test = read_npz(npz(tmp_path, whatever=X))
    assert train.labels is None and test is None


@pytest.mark.parametrize(
    "keys",
    [
        ["a", "b"],
        ["x", "y", "z"],
        ["x_train", "x"],
        ["x_train", "y_test"],
        ["x_test", "y_test"],
        ["x_train", "x_test", "extra"],
        ["x", "X"],
    ],
)
def test_npz_of_other_names(tmp_path, keys):
    path = npz(tmp_path, **dict.fromkeys(keys, X))
    with raises(path, "x_train", "found " + ", ".join(keys)):
        read_npz(path)


def test_npz_without_arrays(tmp_path):
    path = npz(tmp_path)
    with raises(path, "found none"):
        read_npz(path)


def test_npz_of_objects_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=np.array(["a", None, 1], object))
    with raises(path, "'y'", "allow_pickle=False"):
        read_npz(path)


def test_npz_with_a_foreign_member(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with raises(path, "'readme.txt'", "no array"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"foreign", b"PK\x03\x04 and nothing behind it"])
def test_npz_that_is_none(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with raises(path, "cannot be read as .npz file"):
        read_npz(path)


def test_npz_with_a_damaged_array(tmp_path):
    path = npz(tmp_path, x=np.arange(1000.0).reshape(10, 100))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with raises(path, "cannot read array 'x'"):
        read_npz(path)


# .csv


def csv(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4.5\n",
        "1,2\r\n3,4.5",
        "a,b\n1,2\n3,4.5\n",
        "\n\na,b\n\n1, 2\n\n3,4.5\n\n",
        '"a","b, or c"\n"1","2"\n3,4.5\n',
        "0,x\n1,2\n3,4.5\n",
        "\ufeff1,2\n3,4.5\n",
    ],
)
def test_csv_with_and_without_header(tmp_path, text):
    part = read_csv(csv(tmp_path, text))
    assert part.samples.dtype == np.float64 and part.labels is None
    np.testing.assert_array_equal(part.samples, [[1, 2], [3, 4.5]])


@pytest.mark.parametrize(
    ("text", "label", "labels"),
    [
        ("a,kind,b\n1,7,2\n3,8,4\n", "kind", [7, 8]),
        ("a, kind ,b\n1,7,2\n3,8,4\n", 1, [7, 8]),
        ("a,kind,b\n1,7,2\n3,8,4\n", -2, [7, 8]),
        ("1,7,2\n3,8,4\n", 1, [7, 8]),
        ("1,7.0,2\n3,8,4\n", 1, [7.0, 8.0]),
        ("1,dog,2\n3,cat,4\n", 1, ["dog", "cat"]),
        ("a,kind,b\n1, dog ,2\n3,cat,4\n", "kind", ["dog", "cat"]),
        ("0,kind,1\n1,7,2\n3,8,4\n", 1, [7, 8]),
        ("0,9,1\n1,7,2\n3,8,4\n", "9", [7, 8]),
    ],
)
def test_csv_labels(tmp_path, text, label, labels):
    part = read_csv(csv(tmp_path, text), label)
    np.testing.assert_array_equal(part.samples, [[1, 2], [3, 4]])
    expected = np.array(labels)
    assert part.labels.dtype == expected.dtype
    np.testing.assert_array_equal(part.labels, expected)


@pytest.mark.parametrize(
    ("text", "label", "words"),
    [
        ("", None, ["expected lines of numbers", "empty file"]),
        ("\n\n", None, ["empty file"]),
        ("1,2\n3\n", None, ["line 2: expected 2 cells", "got 1"]),
        ("a,b\n\n1,2\n3,4,5\n", None, ["line 4: expected 2 cells", "got 3"]),
        ("1,2\n3,x\n", None, ["line 2: expected a number in column 1", "'x'"]),
        ("1,2\n3,\n", None, ["line 2", "column 1", "got ''"]),
        ("1;2\n3;4\n", None, ["line 1", "got '1;2'", "separated by commas"]),
        ("1,dog\n2,cat\n", None, ["line 1", "got 'dog'", "can only be the label"]),
        ("1,7,2\n3,8,x\n", 1, ["line 2: expected a number in column 2"]),
        ("1,7,2\nx,8,3\n", 1, ["line 2: expected a number in column 0"]),
        ("1,2\n3,4\n", 2, ["no label column 2: there are 2 columns"]),
        ("1,2\n3,4\n", -3, ["no label column -3"]),
        ("1,2\n3,4\n", "kind", ["one column named 'kind'", "found 0", "1, 2"]),
        ("a,a\n3,4\n", "a", ["one column named 'a'", "found 2"]),
        ("a,kind\n3,\n", "kind", ["line 2: the label (cell 1) is empty"]),
    ],
)
def test_csv_errors(tmp_path, text, label, words):
    path = csv(tmp_path, text)
    with raises(path, *words):
        read_csv(path, label)


def test_csv_of_a_header_alone(tmp_path):
    assert read_csv(csv(tmp_path, "a,b\n")).samples.shape == (0, 2)
    assert read_csv(csv(tmp_path, "a,b\n"), "a").samples.shape == (0, 1)


def test_csv_in_a_foreign_encoding(tmp_path):
    path = csv(tmp_path, "gr\u00f6\u00dfe\n1\n", "latin-1")
    with raises(path, "cannot be read as .csv file", "utf-8"):
        read_csv(path)


def test_csv_with_a_cell_without_end(tmp_path):
    path = csv(tmp_path, '1,2\n"' + "x" * 200_000)
    with raises(path, "after line", "field larger"):
        read_csv(path)


# IDX

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx_bytes(array, dtype="u1"):
    head = bytes([0, 0, CODES[dtype], array.ndim])
    return head + np.array(array.shape, ">u4").tobytes() + array.astype(dtype).tobytes()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dtype", CODES)
def test_idx_of_every_type(tmp_path, dtype, zipped):
    array = np.arange(1, 31).reshape(5, 3, 2)
    data = idx_bytes(array, dtype)
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(gzip.compress(data) if zipped else data)
    read = read_idx(path)
    assert read.dtype == np.dtype(dtype).newbyteorder("=") and read.dtype.isnative
    np.testing.assert_array_equal(read, array)


GOOD = idx_bytes(np.arange(12).reshape(3, 4))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["no IDX file", "got nothing"]),
        (b"\x00\x00", ["no IDX file", "got 00 00"]),
        (b"%PDF-1.7", ["no IDX file", "got 25 50 44 46"]),
        (b"\x00\x00\x0a\x01" + bytes(8), ["no IDX file", "08, 09, 0b, 0c, 0d, 0e"]),
        (b"\x00\x00\x08\x00", ["no IDX file", "number of dimensions"]),
        (GOOD[:7], ["truncated", "2 dimensions"]),
        (GOOD[:-1], ["truncated", "shape (3, 4) of uint8 takes 24 bytes", "got 23"]),
        (GOOD + b"\x00", ["too long", "takes 24 bytes", "got 25"]),
        (b"\x00\x00\x0e\x03" + b"\xff" * 12, ["truncated", "got 16"]),
        (gzip.compress(GOOD)[:-9], ["gzip"]),
        (gzip.compress(GOOD)[:5], ["gzip"]),
        (b"\x1f\x8b and something else entirely", ["gzip"]),
        (gzip.compress(b"something else"), ["no IDX file", "got 73 6f 6d 65"]),
    ],
)
def test_idx_errors(tmp_path, data, words):
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(data)
    with raises(path, *words):
        read_idx(path)


def put(folder, name, n, zipped=False):
    array = np.full((n, 2, 2), n) if "images" in name else np.full(n, n % 10)
    data = idx_bytes(array)
    (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("train", "test", "dot"),
    [("train", "t10k", "-"), ("train", "t10k", "."), ("emnist-a-train", "emnist-a-test", "-")],
)
def test_idx_brings_its_labels_and_its_test_part(tmp_path, train, test, dot, zipped):
    put(tmp_path, f"{train}-images{dot}idx3-ubyte", 5, zipped)
    put(tmp_path, f"{train}-labels{dot}idx1-ubyte", 5)
    put(tmp_path, f"{test}-images{dot}idx3-ubyte", 3)
    put(tmp_path, f"{test}-labels{dot}idx1-ubyte", 3, zipped)
    path = find_idx(tmp_path)
    assert path.name.startswith(train)
    first, second = read_idx_parts(path)
    assert first.samples.shape == (5, 2, 2) and first.labels.tolist() == [5] * 5
    assert second.samples.shape == (3, 2, 2) and second.labels.tolist() == [3] * 3


def test_idx_without_labels_or_test_part(tmp_path):
    put(tmp_path, "t10k-images-idx3-ubyte", 3)
    part, test = read_idx_parts(find_idx(tmp_path))
    assert len(part.samples) == 3 and part.labels is None and test is None
    put(tmp_path, "train-images-idx3-ubyte", 5)
    part, test = read_idx_parts(tmp_path / "t10k-images-idx3-ubyte")
    assert len(part.samples) == 3 and test is None
    put(tmp_path, "my.idx", 4)
    part, test = read_idx_parts(tmp_path / "my.idx")
    assert len(part.samples) == 4 and part.labels is None and test is None


def test_idx_zipped_and_not_is_one_and_several_are_an_error(tmp_path):
    assert find_idx(tmp_path) is None
    put(tmp_path, "train-images-idx3-ubyte", 5)
    put(tmp_path, "train-images-idx3-ubyte", 5, zipped=True)
    assert find_idx(tmp_path) == tmp_path / "train-images-idx3-ubyte"
    put(tmp_path, "other-train-images-idx3-ubyte", 5)
    with raises(tmp_path, "several", "other-train-images-idx3-ubyte, train-images-idx3-ubyte"):
        find_idx(tmp_path)


# Pictures


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
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r'needs Pillow: pip install "tinyae\[images\]"'):
        read_images(tmp_path)
