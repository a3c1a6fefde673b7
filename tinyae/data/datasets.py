"""One way to samples: ``load_dataset`` takes a name or a path and returns train and test rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.reference.random import random_permutation
from ..storage.untrusted import errors_of, read_npy
from .ball import SIDE, ball_centres, ball_images
from .formats import Part, Parts, read_npz
from .idx import find_idx, read_idx_parts
from .images import SUFFIXES, read_image_parts
from .reading import ARROWS, PICTURES, TABLES, Progress, Reading
from .rows import Rows, as_rows
from .tables.arrow import is_arrow, read_arrow
from .tables.schema import Schema
from .tables.text import read_table, table_kind

log = logging.getLogger(__name__)

Labels = NDArray[np.int64]

NAMES = ("ball", "digits", "mnist", "fashion-mnist")
FORMATS = (
    "a .npy or .npz file, a table (.csv, .tsv, .txt, .data; .gz or not; .parquet, .feather, "
    ".arrow) or IDX file (.gz or not), a folder of IDX files or of pictures"
)

NO_WORDS = "labels that are words must be Unicode, or bytes of UTF-8"

BALL_SEED = 0
BALL_TRAIN, BALL_TEST = 5000, 1000

# Constant, so that a later evaluation holds out the same samples.
SPLIT_STATE = np.array([0x7E57, 0xDA7A, 0, 0], np.uint32)


@dataclass(frozen=True)
class Dataset:
    """Samples to learn from and samples to judge by, with what is known about them."""

    name: str
    train: Rows  # (n, n_features); train[:100] is a view of some, np.asarray(train) an array
    test: Rows
    train_labels: Labels | None  # (len(train),)
    test_labels: Labels | None  # (len(test),)
    image_shape: tuple[int, ...] | None  # (height, width) or (height, width, channels)
    label_names: tuple[str, ...] | None  # what label i is called, where labels were words
    columns: tuple[str, ...] | None = None  # what the features are called, where a table says it
    schema: Schema | None = None  # what a table's columns are, where some are not numbers


def load_dataset(
    source: str | Path,
    *,
    test_fraction: float = 0.1,
    label: str | int | None = None,
    drop: Sequence[str | int] = (),
    header: bool | None = None,
    index: bool | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    size: tuple[int, int] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
    schema: Schema | None = None,
) -> Dataset:
    """The data set of this name, or the data at this path.

    Names: ball (made on the spot), digits (scikit-learn's), mnist and fashion-mnist
    (downloaded once). A path is a .npy file (memory-mapped, may exceed the memory), a .npz
    file (see ``formats.read_npz``), a table (.csv, .tsv, .txt or .data, gzipped or not;
    .parquet, .feather or .arrow, with pyarrow), an IDX file or a folder with MNIST's IDX files
    (the files found beside it by MNIST's names come along), or a folder of pictures (see
    ``images.read_image_parts``). A name goes before a path: "./mnist" and Path("mnist") are
    folders.

    For tables. Columns are named by their name or by their index from 0 (negative: from the
    end) in the file. ``label``: the column of labels, whole numbers or words. ``drop``: columns
    that are no features. ``header``: whether the first line holds names; by default it does if
    one of its cells is no number where the next line has one, or if it counts 0, 1, 2, ...
    ``index``: whether the first column numbers the lines and is left out; by default it does if
    it has whole numbers under no name, or counts up by one without a header.
    ``separator``: a character, "tab" or "space" (any run of blanks). ``decimal``: "." or ",".
    ``encoding``: one that Python knows, by default UTF-8. Of .parquet, .feather and .arrow the
    columns have types, so that only ``label``, ``drop`` and ``index`` say something of them.
    A cell that is empty, NA, ? or the like is missing, NaN. Where a column holds text (fewer than
    half of its first cells are numbers) the samples are a matrix of the numbers, then one column
    for each level of each text: ``Dataset.schema`` says which, and makes the table again; columns
    that cannot be learnt from are left out. ``schema``: that of another table, whose columns this
    one must have.

    For folders of pictures. ``size`` = (width, height) resizes them. ``skip_bad`` leaves out
    those that cannot be read.

    What is told by the data themselves and leaves something out is logged as a warning.
    ``progress`` is called now and then with (done, all), in bytes or pictures.

    Samples of more than one dimension are flattened; if they are pictures, image_shape keeps
    their shape. uint8 stays uint8, which Rows scales to [0, 1]; of RGBA pictures in uint8 the
    alpha is dropped. Where the source has no test part, max(1, round(test_fraction n)) samples
    are held out, always the same ones; with a test_fraction of 0 none, and ``train`` has all in
    the source's order.

    Raises FileNotFoundError for what is neither a name nor a path, ImportError for a missing
    optional package, OSError for a failed download, and ValueError for data that cannot be
    used, infinity among them and NaN in pictures, and for arguments that the source has no use for.
    """
    if not isinstance(test_fraction, Real):
        raise TypeError(f"test_fraction must be a number in [0, 1), got {test_fraction!r}")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction must lie in [0, 1), got {test_fraction}")
    reading = Reading(label, drop, header, index, separator, decimal, encoding, size, skip_bad)
    if source in NAMES:
        reading.expect_only(frozenset(), f"the data set {source}")
        if schema is not None:
            raise ValueError(f"a schema is for a table, but got the data set {source}")
        name = where = str(source)
        train, test = _named(name)
        return _assemble(name, where, train, test, test_fraction)
    path = Path(source).expanduser()
    if not str(source) or not path.exists():
        raise FileNotFoundError(_unknown(str(source)))
    if not (path.is_file() or path.is_dir()):  # reading a pipe may wait for ever
        raise ValueError(f"{path} is neither a file nor a folder, but a pipe or a device")
    if schema is not None and not is_table(path):
        raise ValueError(f"a schema is for a table, but got {path}")
    train, test = _read(path, reading, progress, schema)
    return _assemble(path.resolve().name, str(path), train, test, test_fraction)


def is_table(path: Path) -> bool:
    """Whether it is a file whose name is that of a table."""
    return path.is_file() and bool(table_kind(path) or is_arrow(path))


def _unknown(source: str) -> str:
    close = get_close_matches(source.lower().replace("_", "-"), NAMES, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return (
        f"{source!r} is neither a data set nor an existing path{hint} "
        f"Data sets: {', '.join(NAMES)}. Paths: {FORMATS}."
    )


def _named(name: str) -> Parts:
    if name == "ball":
        return _ball(BALL_TRAIN, stream=0), _ball(BALL_TEST, stream=1)
    if name == "digits":
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise ImportError(
                'the digits data set needs scikit-learn: pip install "tinyae[digits]"'
            ) from None
        digits = load_digits()
        return Part((digits.images / 16).astype(np.float32), digits.target), None
    from .download import fetch

    return _read_folder(fetch(name), Reading(), None)


def _ball(n: int, stream: int) -> Part:
    return Part(ball_images(ball_centres(n, BALL_SEED, stream)).reshape(n, SIDE, SIDE))


def _read(path: Path, reading: Reading, progress: Progress | None, schema: Schema | None) -> Parts:
    if path.is_dir():
        return _read_folder(path, reading, progress)
    if table_kind(path):
        reading.expect_only(TABLES, f"the file {path}")
        return read_table(path, reading, progress, schema), None
    if is_arrow(path):
        reading.expect_only(ARROWS, f"the file {path}")
        return read_arrow(path, reading, progress, schema), None
    reading.expect_only(frozenset(), f"the file {path}")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return Part(read_npy(path)), None
    if suffix == ".npz":
        return read_npz(path)
    if "idx" in path.name or "ubyte" in path.name:
        return read_idx_parts(path)
    hint = " (a single picture: pass the folder of pictures)" if suffix in SUFFIXES else ""
    raise ValueError(f"{path}: unknown format{hint}; expected {FORMATS}")


def _read_folder(folder: Path, reading: Reading, progress: Progress | None) -> Parts:
    idx = find_idx(folder)
    if idx is not None:
        reading.expect_only(frozenset(), f"the folder {folder} of IDX files")
        return read_idx_parts(idx)
    reading.expect_only(PICTURES, f"the folder {folder}")
    return read_image_parts(folder, reading.size, reading.skip_bad, progress)


def _assemble(
    name: str, where: str, train: Part, test: Part | None, test_fraction: float
) -> Dataset:
    """``where`` is what errors call the source."""
    train, test = _opaque(train, where), None if test is None else _opaque(test, where)
    shape = train.samples.shape[1:]
    train_rows = _rows(train, where)
    test_rows = None if test is None else _rows(test, f"{where}, test part")
    labels, label_names = _as_labels([train] if test is None else [train, test], where)
    train_labels, test_labels = labels[0], labels[-1]
    if test is None or test_rows is None:
        if len(train_rows) < 2 and test_fraction > 0:
            raise ValueError(
                f"{where}: expected at least 2 samples, to train on one and hold one out, got 1"
            )
        kept, held_out = np.arange(len(train_rows)), np.empty(0, np.int64)
        if test_fraction > 0:
            kept, held_out = split_positions(len(train_rows), test_fraction)
        test_rows = train_rows.select(held_out)
        train_rows = train_rows.select(kept)
        if train_labels is not None and test_labels is not None:
            train_labels, test_labels = train_labels[kept], test_labels[held_out]
    elif test.samples.shape[1:] != shape:
        raise ValueError(
            f"{where}: training and test samples must have the same shape, got {shape} and "
            f"{test.samples.shape[1:]}"
        )
    return Dataset(
        name, train_rows, test_rows, train_labels, test_labels, _image_shape(shape), label_names,
        train.columns, train.schema,
    )  # fmt: skip


def _rows(part: Part, where: str) -> Rows:
    samples = part.samples
    if samples.ndim < 2 or samples.size == 0:
        raise ValueError(
            f"{where}: expected an array of at least one sample by at least one feature, "
            f"got shape {samples.shape}"
        )
    rows = as_rows(samples, where, flatten=True)
    rows.schema = part.schema
    for at, piece in rows.pieces() if rows.dtype.kind == "f" else ():
        # of rows of numbers NaN is a missing value; of a picture it is damage
        finite = np.isfinite(piece) if samples.ndim > 2 else ~np.isinf(piece)
        if not finite.all():
            row, feature = divmod(int(np.argmin(finite)), piece.shape[1])
            place = [int(i) for i in np.unravel_index(feature, samples.shape[1:])]
            raise ValueError(
                f"{where}: expected finite numbers, got {piece[row, feature]} in sample "
                f"{at.start + row}, column {', '.join(map(str, place))} (counted from 0)"
            )
    return rows


def _opaque(part: Part, where: str) -> Part:
    """RGBA pictures of 8 bits without their alpha, as from files."""
    samples = part.samples
    if samples.dtype != np.uint8 or samples.ndim != 4 or samples.shape[3] != 4:
        return part
    log.warning(
        "%s: of %d pictures with four channels the fourth, alpha, is left out", where, len(samples)
    )
    return Part(samples[..., :3], part.labels)


def _image_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """What of a sample's shape is a picture that can be drawn: grey or RGB."""
    if len(shape) == 3 and shape[2] == 1:
        return shape[:2]
    return shape if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3) else None


def split_positions(n: int, test_fraction: float) -> tuple[Labels, Labels]:
    """Which of n samples to train on and which to hold out: int64, ascending, always the same.

    Each part gets at least one. Raises ValueError for n < 2.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2, one to train on and one to hold out, got {n}")
    n_test = min(max(round(test_fraction * n), 1), n - 1)
    shuffled = np.empty(n, np.int64)
    random_permutation(SPLIT_STATE, n, 0, shuffled)
    # ascending: one pass over a part reads a memory map forwards
    return np.sort(shuffled[n_test:]), np.sort(shuffled[:n_test])


def _as_labels(parts: list[Part], where: str) -> tuple[list[Labels | None], tuple[str, ...] | None]:
    """Each part's labels as int64; words are numbered in the sorted order of all parts' words."""
    columns = [None if part.labels is None else _column(part, where) for part in parts]
    present = [column for column in columns if column is not None]
    words = [column.dtype.kind == "U" for column in present]
    if not any(words):
        return [None if column is None else _whole(column, where) for column in columns], None
    if not all(words):
        raise ValueError(f"{where}: labels must be either all words or all numbers, got both")
    vocabulary = np.unique(np.concatenate(present))
    with errors_of(where, NO_WORDS):
        names = tuple(vocabulary.tolist())
    numbered: list[Labels | None] = [
        None if column is None else np.searchsorted(vocabulary, column).astype(np.int64)
        for column in columns
    ]
    return numbered, names


def _column(part: Part, where: str) -> NDArray[Any]:
    labels = np.asarray(part.labels)
    if labels.ndim == 2 and labels.shape[1] == 1:  # as in Keras's cifar10
        labels = labels[:, 0]
    if labels.shape != (len(part.samples),):
        raise ValueError(
            f"{where}: expected one label for each of {len(part.samples)} samples, "
            f"got labels of shape {labels.shape}"
        )
    with errors_of(where, NO_WORDS):
        return np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels


def _whole(labels: NDArray[Any], where: str) -> Labels:
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"{where}: labels must be whole numbers or words, got {labels.dtype}")
    # as float64, also what int64 cannot hold compares as it should
    wide = labels.astype(np.float64)
    bad = ~(np.abs(wide) < 2.0**63) | (np.floor(wide) != wide)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"{where}: labels must be whole numbers (or words), label {at} is {labels[at]}"
        )
    return labels.astype(np.int64)
