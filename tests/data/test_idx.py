"""IDX files: every type, the files found beside one, and an error for each thing that is wrong."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae.data.idx import find_idx, read_idx, read_idx_parts

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
