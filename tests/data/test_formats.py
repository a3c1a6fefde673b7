"""Array files: what is read, and one clear error for each thing that is wrong."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae.data.formats import read_npz
from tinyae.untrusted import read_npy

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
