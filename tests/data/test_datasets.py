"""load_dataset: every kind of source, the split, the labels, and what is refused."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.raising import raises
from tests.data.test_idx import idx_bytes
from tinyae.data import datasets
from tinyae.data.ball import ball_centres, ball_images
from tinyae.data.datasets import load_dataset, split_positions
from tinyae.data.reading import ARROWS, PICTURES, TABLES, Reading
from tinyae.data.rows import Rows


def numbered(n, *shape, dtype=np.float64):
    """n samples, all values of sample i being i."""
    return np.broadcast_to(np.arange(n).reshape(n, *[1] * len(shape)), (n, *shape)).astype(dtype)


def values(rows):
    """Which samples of ``numbered`` these are; uint8 was divided by 255."""
    return np.rint(np.asarray(rows)[:, 0] * (255 if rows.dtype == np.uint8 else 1)).astype(int)


def saved(path, array):
    np.save(path, array)
    return path


def write_mnist(folder, labels=True):
    folder.mkdir(exist_ok=True)
    for part, n in (("train", 12), ("t10k", 4)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(numbered(n, 3, 2)))
        if labels:
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(n) % 10))
    return folder


# Names


def test_ball_is_always_the_same():
    data = load_dataset("ball")
    assert (data.name, data.image_shape) == ("ball", (28, 28))
    assert data.train.shape == (5000, 784) and data.test.shape == (1000, 784)
    assert data.train.dtype == np.float32 and isinstance(data.train, Rows)
    assert data.train_labels is data.test_labels is data.label_names is None
    np.testing.assert_array_equal(data.train.array[:9], ball_images(ball_centres(9)))
    np.testing.assert_array_equal(data.test.array[:9], ball_images(ball_centres(9, stream=1)))


def test_digits():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    data = load_dataset("digits")
    assert data.train.shape == (1617, 64) and data.test.shape == (180, 64)
    assert data.train.dtype == np.float32 and data.image_shape == (8, 8)
    assert data.train.array.min() == 0 and data.train.array.max() == 1
    assert data.train_labels.dtype == np.int64 and data.label_names is None
    assert set(data.test_labels) == set(data.train_labels) == set(range(10))


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with raises('needs scikit-learn: pip install "tinyae[digits]"', error=ImportError):
        load_dataset("digits")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_mnist_is_fetched(tmp_path, monkeypatch, name):
    asked = []
    monkeypatch.setattr(
        "tinyae.data.download.fetch", lambda name: asked.append(name) or write_mnist(tmp_path)
    )
    data = load_dataset(name)
    assert asked == [name] and data.name == name
    assert data.train.shape == (12, 6) and data.test.shape == (4, 6)
    assert data.train_labels.tolist() == [*range(10), 0, 1]


def test_a_name_goes_before_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mnist(tmp_path / "ball")
    assert len(load_dataset("ball").train) == 5000
    assert len(load_dataset("./ball").train) == 12
    assert len(load_dataset(Path("ball")).train) == 12


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("mnits", "did you mean 'mnist'?"),
        ("fashion_mnist", "did you mean 'fashion-mnist'?"),
        ("Ball", "did you mean 'ball'?"),
        ("nowhere/data.npy", "."),
        (Path("nowhere"), "."),
        ("", "."),
    ],
)
def test_neither_name_nor_path(tmp_path, monkeypatch, source, hint):
    monkeypatch.chdir(tmp_path)
    with raises(
        repr(str(source)), hint, "ball, digits, mnist, fashion-mnist", ".npy", ".csv", "IDX",
        error=FileNotFoundError,
    ):  # fmt: skip
        load_dataset(source)


# Files and folders


def test_npy_stays_on_the_disk(tmp_path):
    data = load_dataset(saved(tmp_path / "a.npy", numbered(40, 3, dtype=np.float32)))
    assert (data.name, data.image_shape, data.train_labels) == ("a.npy", None, None)
    for rows in (data.train, data.test):
        array = rows.array
        while not isinstance(array, np.memmap):
            assert array.base is not None, "the array was copied"
            array = array.base
    assert data.train.array is data.test.array
    assert sorted([*values(data.train), *values(data.test)]) == list(range(40))


def test_npy_in_fortran_order_and_foreign_byte_order(tmp_path):
    for array in (np.asfortranarray(numbered(10, 3)), numbered(10, 3, dtype=">f4")):
        data = load_dataset(saved(tmp_path / "a.npy", array))
        assert data.train.array.flags.c_contiguous and data.train.dtype.isnative
        assert sorted([*values(data.train), *values(data.test)]) == list(range(10))


def test_uint8_stays_uint8_and_is_scaled_when_read(tmp_path):
    data = load_dataset(saved(tmp_path / "a.npy", np.full((5, 2), 255, np.uint8)))
    assert data.train.dtype == np.uint8
    assert np.asarray(data.train).max() == 1


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((5,), None), ((4, 3), (4, 3)), ((4, 3, 1), (4, 3)), ((4, 3, 3), (4, 3, 3)),
        ((4, 3, 4), None), ((3, 8, 8), None), ((2, 2, 2, 2), None),
    ],
)  # fmt: skip
def test_samples_are_flattened_and_pictures_remembered(tmp_path, shape, image_shape):
    array = np.arange(6 * np.prod(shape)).reshape(6, *shape)
    data = load_dataset(saved(tmp_path / "a.npy", array))
    assert data.image_shape == image_shape
    assert data.train.shape == (5, np.prod(shape))
    np.testing.assert_array_equal(data.train.array, array.reshape(6, -1))


def test_npz_with_its_own_test_part(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=numbered(5, 2, 2), x_test=numbered(3, 2, 2))
    data = load_dataset(tmp_path / "a.npz", test_fraction=0.5)
    assert values(data.train).tolist() == [0, 1, 2, 3, 4]
    assert values(data.test).tolist() == [0, 1, 2]
    assert data.image_shape == (2, 2)


def test_labels_go_with_their_samples(tmp_path):
    np.savez(tmp_path / "a.npz", X=numbered(50, 4), y=np.arange(50) + 7)
    data = load_dataset(tmp_path / "a.npz", test_fraction=0.3)
    assert len(data.test) == 15
    np.testing.assert_array_equal(data.train_labels, values(data.train) + 7)
    np.testing.assert_array_equal(data.test_labels, values(data.test) + 7)


def test_csv(tmp_path):
    lines = [f"{i},{'odd' if i % 2 else 'even'},0.5" for i in range(20)]
    (tmp_path / "a.CSV").write_text("\n".join(["a,kind,b", *lines]))
    data = load_dataset(tmp_path / "a.CSV", label="kind")
    assert data.train.shape == (18, 2) and data.label_names == ("even", "odd")
    np.testing.assert_array_equal(data.train_labels, values(data.train) % 2)
    np.testing.assert_array_equal(data.test_labels, values(data.test) % 2)


def test_idx_file_and_folder(tmp_path):
    folder = write_mnist(tmp_path / "digits")
    for source in (folder, folder / "train-images-idx3-ubyte", str(folder)):
        data = load_dataset(source)
        assert data.train.shape == (12, 6) and data.test.shape == (4, 6)
        assert data.train.dtype == np.uint8 and data.image_shape == (3, 2)
        assert data.test_labels.tolist() == [0, 1, 2, 3]
    assert data.name == "digits"


def test_idx_alone_is_split(tmp_path):
    folder = write_mnist(tmp_path, labels=False)
    data = load_dataset(folder / "t10k-images-idx3-ubyte")
    assert len(data.train) == 3 and len(data.test) == 1 and data.train_labels is None
    assert load_dataset(folder).test_labels is None


def test_idx_labels_of_one_part_only(tmp_path):
    folder = write_mnist(tmp_path)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    data = load_dataset(folder)
    assert len(data.train_labels) == 12 and data.test_labels is None


def test_folder_of_pictures(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="reading images needs Pillow")
    for name in ("dog", "cat"):
        (tmp_path / name).mkdir()
        for i in range(5):
            image.new("L", (4, 3), i + 10 * (name == "dog")).save(tmp_path / name / f"{i}.png")
    data = load_dataset(tmp_path)
    assert data.image_shape == (3, 4) and data.train.dtype == np.uint8
    assert data.label_names == ("cat", "dog")
    np.testing.assert_array_equal(data.train_labels, values(data.train) >= 10)
    assert load_dataset(tmp_path, size=(2, 5)).image_shape == (5, 2)


# The split


def test_split_is_a_fixed_partition():
    train, test = split_positions(1000, 0.1)
    assert train.dtype == test.dtype == np.int64 and len(test) == 100
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    assert sorted([*train, *test]) == list(range(1000))
    assert abs(test.mean() - 499.5) < 100  # 3.5 standard deviations
    # evaluate relies on it: whoever changes these changes what saved models have seen
    assert test[:5].tolist() == [2, 35, 40, 56, 69]
    assert split_positions(10, 0.3)[1].tolist() == [0, 6, 9]


@pytest.mark.parametrize(
    ("n", "fraction", "n_test"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.001, 1), (10, 0.999, 9)]
)
def test_each_part_gets_a_sample(n, fraction, n_test):
    train, test = split_positions(n, fraction)
    assert (len(train), len(test)) == (n - n_test, n_test)


def test_one_sample_cannot_be_split(tmp_path):
    path = saved(tmp_path / "a.npy", np.zeros((1, 3)))
    with raises(path, "at least 2 samples", "got 1"):
        load_dataset(path)
    with raises("n must be at least 2", "got 1"):
        split_positions(1, 0.5)


def test_nothing_is_held_out_and_all_keep_their_order(tmp_path):
    for n in (1, 30):
        x, y = np.random.default_rng(0).random((n, 4)), np.arange(n)
        np.savez(tmp_path / "a.npz", x=x, y=y)
        dataset = load_dataset(tmp_path / "a.npz", test_fraction=0)
        assert np.array_equal(np.asarray(dataset.train), x) and len(dataset.test) == 0
        assert np.array_equal(dataset.train_labels, y) and len(dataset.test_labels) == 0


@pytest.mark.parametrize("fraction", [1, -0.1, 1.5, float("nan")])
def test_bad_fraction(fraction):
    with raises("test_fraction must lie in [0, 1), got", fraction):
        load_dataset("ball", test_fraction=fraction)


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 1, 2], np.uint8), np.array([3, 1, 2], ">i4"),
        np.array([3.0, 1.0, 2.0], np.float32), np.array([[3], [1], [2]]),
    ],
)  # fmt: skip
def test_labels_become_int64(tmp_path, labels):
    np.savez(tmp_path / "a.npz", x_train=numbered(3, 2), y_train=labels, x_test=numbered(2, 2))
    data = load_dataset(tmp_path / "a.npz")
    assert data.train_labels.dtype == np.int64 and data.train_labels.dtype.isnative
    assert data.train_labels.tolist() == [3, 1, 2]
    assert data.test_labels is None and data.label_names is None


@pytest.mark.parametrize("kind", ["U", "S"])
def test_words_are_numbered_over_both_parts(tmp_path, kind):
    np.savez(
        tmp_path / "a.npz",
        x_train=numbered(3, 2),
        y_train=np.array(["dog", "ant", "dog"]).astype(kind),
        x_test=numbered(2, 2),
        y_test=np.array(["caterpillar", "dog"]).astype(kind),
    )
    data = load_dataset(tmp_path / "a.npz")
    assert data.label_names == ("ant", "caterpillar", "dog")
    assert data.train_labels.tolist() == [2, 0, 2] and data.test_labels.tolist() == [1, 2]
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.arange(4), ["one label for each of 3 samples", "(4,)"]),
        (np.eye(3), ["one label for each of 3 samples", "(3, 3)"]),
        (np.array(1), ["one label for each of 3 samples", "()"]),
        (np.array([0, 0.5, 1]), ["whole numbers", "label 1 is 0.5"]),
        (np.array([0, 1, np.nan]), ["whole numbers", "label 2 is nan"]),
        (np.array([0, -np.inf, 1]), ["whole numbers", "label 1 is -inf"]),
        (np.array([0, 1, 2**63], np.uint64), ["label 2 is 9223372036854775808"]),
        (np.array([0, 1, 2j]), ["whole numbers or words, got complex128"]),
    ],
)
def test_bad_labels(tmp_path, labels, words):
    path = tmp_path / "a.npz"
    np.savez(path, x=numbered(3, 2), y=labels)
    with raises(path, *words):
        load_dataset(path)


def test_words_in_one_part_and_numbers_in_the_other(tmp_path):
    path = tmp_path / "a.npz"
    x = numbered(2, 2)
    np.savez(path, x_train=x, y_train=np.array(["a", "b"]), x_test=x, y_test=np.arange(2))
    with raises(path, "all words or all numbers"):
        load_dataset(path)


# What is refused


@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (5, 0), (5, 3, 0), (0, 2, 2)])
def test_arrays_without_samples_or_features(tmp_path, shape):
    path = saved(tmp_path / "a.npy", np.zeros(shape))
    with raises(path, "at least one sample by at least one feature", f"got shape {shape}"):
        load_dataset(path)
    np.savez(tmp_path / "a.npz", x_train=np.zeros((2, 2)), x_test=np.zeros(shape))
    with raises("a.npz", f"got shape {shape}"):
        load_dataset(tmp_path / "a.npz")


def test_a_csv_of_labels_alone(tmp_path):
    (tmp_path / "a.csv").write_text("1\n2\n")
    with raises("a.csv", "got shape (2, 0)"):
        load_dataset(tmp_path / "a.csv", label=0)


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.ones((3, 2), complex), "Complex"),
        (np.full((3, 2), "a"), "real numbers"),
        (np.zeros((3, 2), "M8[s]"), "real numbers"),
    ],
)
def test_arrays_that_are_no_real_numbers(tmp_path, array, word):
    with raises(word):
        load_dataset(saved(tmp_path / "a.npy", array))


def test_parts_of_different_shapes(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=numbered(3, 2, 2), x_test=numbered(3, 4))
    with raises(path, "the same shape", "(2, 2) and (4,)"):
        load_dataset(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.xls", ["unknown format; expected", ".npy", "IDX"]),
        ("a.png", ["a single picture: pass the folder"]),
    ],
)
def test_unknown_formats(tmp_path, name, words):
    (tmp_path / name).write_text("1 2 3")
    with raises(tmp_path / name, *words):
        load_dataset(tmp_path / name)


OPTIONS = dict(
    label=0, drop=("a",), header=True, index=False, separator=";", decimal=",", encoding="latin-1",
    size=(8, 8), skip_bad=True,
)  # fmt: skip


def test_arguments_that_the_source_has_no_use_for(tmp_path):
    assert set(OPTIONS) == {option.name for option in dataclasses.fields(Reading)}
    npy = saved(tmp_path / "a.npy", np.zeros((3, 2)))
    np.savez(tmp_path / "a.npz", np.zeros((3, 2)))
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    (tmp_path / "a.parquet").write_text("")
    (tmp_path / "pictures").mkdir()
    mnist = write_mnist(tmp_path / "mnist")
    for source, used, words in [
        ("ball", {}, ["the data set ball"]),
        (npy, {}, ["the file", npy]),
        (tmp_path / "a.npz", {}, ["the file", "a.npz"]),
        (tmp_path / "a.csv", TABLES, ["the file", "a.csv"]),
        (tmp_path / "a.parquet", ARROWS, ["the file", "a.parquet"]),
        (mnist / "train-images-idx3-ubyte", {}, ["the file", "idx3"]),
        (mnist, {}, ["folder", "IDX files"]),
        (tmp_path / "pictures", PICTURES, ["the folder", "pictures"]),
    ]:
        for name in set(OPTIONS).difference(used):
            kind = "a folder of pictures" if name in PICTURES else "a .csv file"
            with raises(f"{name}={OPTIONS[name]!r}", kind, *words):
                load_dataset(source, **{name: OPTIONS[name]})


# Values that cannot be learnt


def write_rows(path, rows):
    """One float array (n, 3) as each kind of source that can hold NaN."""
    if path.suffix == ".csv":
        np.savetxt(path, rows, delimiter=",", header="a,b,c", comments="")
    elif path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".npz":
        np.savez(path, x_train=rows[:20], x_test=rows[20:])
    else:
        sizes = np.array(rows.shape, ">u4").tobytes()
        path.write_bytes(b"\0\0\x0e\2" + sizes + rows.astype(">f8").tobytes())
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.npy", "a.npz", "a-idx2-ubyte"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_no_infinite_value_reaches_training(tmp_path, name, value):
    """Wherever it is, in the training part or among the samples held out."""
    for at in range(30):
        rows = np.random.default_rng(0).random((30, 3))
        rows[at, at % 3] = value
        path = write_rows(tmp_path / name, rows)
        row = {"a.csv": f"line {at + 2}", "a.npz": f"sample {at % 20}"}.get(name, f"sample {at}")
        place = f"('{'abc'[at % 3]}'" if name == "a.csv" else "counted from 0"
        with pytest.raises(ValueError) as caught:
            load_dataset(path)
        message = str(caught.value)
        assert message.startswith(str(path)) and "\n" not in message
        for words in (f"{row}", f"column {at % 3}", place, str(value), "finite"):
            assert words in message
        assert ("test part" in message) == (name == "a.npz" and at >= 20)


@pytest.mark.parametrize("name", ["a.csv", "a.npy", "a.npz", "a-idx2-ubyte"])
def test_a_missing_number_of_a_row_is_nan(tmp_path, name):
    rows = np.random.default_rng(0).random((30, 3))
    rows[[0, 7, 29], [0, 1, 2]] = np.nan
    data = load_dataset(write_rows(tmp_path / name, rows))
    both = np.concatenate([np.asarray(data.train), np.asarray(data.test)])
    assert np.isnan(both).sum() == 3 and data.schema is None
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(rows, axis=0))


def test_a_table_of_text_has_a_schema_that_reads_another(tmp_path):
    (tmp_path / "a.csv").write_text("n,kind,y\n" + "1,cat,u\n2,dog,v\n3,cat,v\n" * 9)
    data = load_dataset(tmp_path / "a.csv", label="y")
    assert data.columns == ("n", "kind=cat", "kind=dog") == data.schema.names
    assert data.train.shape == (24, 3) and data.label_names == ("u", "v")
    (tmp_path / "b.csv").write_text("n,kind\n5,dog\n,\n")
    new = load_dataset(tmp_path / "b.csv", schema=data.schema, test_fraction=0)
    np.testing.assert_array_equal(np.asarray(new.train), [[5, 0, 1], [np.nan] * 3])
    assert new.schema == data.schema
    for source in ("ball", saved(tmp_path / "a.npy", np.zeros((3, 2))), tmp_path):
        with raises("a schema is for a table, but got", source):
            load_dataset(source, schema=data.schema)


def test_of_a_picture_the_pixel_is_named(tmp_path):
    array = np.zeros((9, 4, 5))
    array[7, 2, 3] = np.nan
    with raises("a.npy", "sample 7, column 2, 3"):
        load_dataset(saved(tmp_path / "a.npy", array))


@pytest.mark.parametrize("source", ["a.npy", "a.npz"])
def test_alpha_is_left_out_as_of_files(tmp_path, caplog, source):
    array = np.random.default_rng(0).integers(0, 256, (20, 3, 5, 4), np.uint8)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x_train=array[:15], x_test=array[15:])
    data = load_dataset(tmp_path / source)
    assert data.image_shape == (3, 5, 3)
    both = np.concatenate([np.asarray(data.train), np.asarray(data.test)])
    expected = array[..., :3].reshape(20, -1) / 255
    np.testing.assert_allclose(np.sort(both, axis=0), np.sort(expected, axis=0), rtol=1e-12)
    assert "alpha" in caplog.text


def test_names_are_those_of_the_documentation():
    assert datasets.NAMES == ("ball", "digits", "mnist", "fashion-mnist")
    for name in datasets.NAMES:
        assert name in load_dataset.__doc__


@pytest.mark.parametrize("name", ["pipe.npy", "pipe.csv", "pipe"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with raises(name, "neither a file nor a folder"):
        load_dataset(tmp_path / name)
