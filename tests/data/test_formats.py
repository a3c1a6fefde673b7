"""Array files and tables: what is read, and one clear error for each thing that is wrong."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae.data.formats import read_csv, read_npz
from tinyae.reading import read_npy

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
        ["a", "b"], ["x", "y", "z"], ["x_train", "x"], ["x_train", "y_test"],
        ["x_test", "y_test"], ["x_train", "x_test", "extra"], ["x", "X"], [],
    ],
)  # fmt: skip
def test_npz_of_other_names(tmp_path, keys):
    path = npz(tmp_path, **dict.fromkeys(keys, X))
    with raises(path, "x_train", "found " + (", ".join(keys) or "none")):
        read_npz(path)


def test_npz_of_objects_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=np.array(["a", None, 1], object))
    with raises(path, "'y'", "Python objects"):
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
