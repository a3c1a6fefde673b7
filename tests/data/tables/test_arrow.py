"""Tables of typed columns: .parquet, .feather and .arrow give what the same table in text gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae import FileError
from tinyae.data.datasets import load_dataset
from tinyae.data.reading import Reading
from tinyae.data.tables import arrow
from tinyae.data.tables.arrow import SUFFIXES, read_arrow
from tinyae.data.tables.text import read_table
from tinyae.storage.untrusted import expect_memory

pa = pytest.importorskip("pyarrow", reason="it writes .parquet and .feather files")
pd = pytest.importorskip("pandas", reason="it writes .parquet and .feather files")
pl = pytest.importorskip("polars", reason="it writes .parquet and .feather files")
pytest.importorskip("pyarrow.parquet", reason="it writes .parquet files")

N = 90
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({
    "height": RNG.normal(size=N).round(3), "colour": RNG.choice(["red", "blue", "green"], N),
    "day": pd.date_range("2020", periods=N), "count": RNG.integers(0, 9, N),
    "size": pd.Categorical(RNG.choice(["S", "M", "L"], N)), "id": [f"u{i}" for i in range(N)],
    "single": RNG.normal(size=N).round(2).astype(np.float32),
    "text": [f"{i / 2}" for i in range(N)],
    "y": RNG.integers(0, 3, N), "word": RNG.choice(["yes", "no"], N),
    "flag": RNG.random(N) < 0.3,
})  # fmt: skip
for _row, _name in enumerate(["height", "colour", "count", "size", "single", "text"]):
    FRAME.loc[[_row, 70 + _row], _name] = None


def write(path: Path, frame: Any = FRAME, how: str = "pandas", rows: int = 40) -> Path:
    """The frame in parts of a few rows, by either library, to whatever the name says."""
    table = pl.from_pandas(frame) if how == "polars" else pa.Table.from_pandas(frame)
    if path.suffix == ".parquet":
        if how == "polars":
            table.write_parquet(path, row_group_size=rows)
        else:
            pa.parquet.write_table(table, path, row_group_size=rows)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif how == "polars":
        table.write_ipc(path)
    else:
        packed = pa.ipc.IpcWriteOptions(compression="lz4" if path.suffix == ".feather" else None)
        new = pa.ipc.new_stream if how == "stream" else pa.ipc.new_file
        with new(path, table.schema, options=packed) as file:
            file.write_table(table, rows)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("how", ["pandas", "polars", "stream"])
def test_a_table_is_what_it_is_in_text(tmp_path: Path, suffix: str, how: str, caplog: Any) -> None:
    reading = Reading(label="y", drop=["word"])
    expected = read_table(write(tmp_path / "a.csv"), reading)
    said = {r.getMessage().split(": ")[1].split("'")[1] for r in caplog.records}
    caplog.clear()
    calls: list[tuple[int, int]] = []
    path = write(tmp_path / f"a{suffix}", how=how)
    part = read_arrow(path, reading, lambda *call: calls.append(call))
    assert part.schema == expected.schema and part.columns == expected.columns
    assert part.schema.source == ("height", "colour", "count", "size", "single", "text", "flag")
    same = np.round(part.samples, 3), np.round(expected.samples, 3)  # float32
    np.testing.assert_array_equal(*same)
    np.testing.assert_array_equal(part.labels, expected.labels)
    assert {r.getMessage().split("'")[1] for r in caplog.records} == said == {"day", "id"}
    assert calls[-1][0] == N and [*calls] == sorted(calls)
    again = read_table(tmp_path / "a.csv", reading, schema=part.schema)
    np.testing.assert_array_equal(again.samples, expected.samples)
    data = load_dataset(path, label="word", drop=["y"], schema=part.schema, test_fraction=0)
    np.testing.assert_array_equal(np.asarray(data.train), part.samples)
    assert data.label_names == ("no", "yes") and data.schema == part.schema


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_numbers_alone_need_no_schema(tmp_path: Path, suffix: str) -> None:
    frame = FRAME[["height", "y"]]
    part = read_arrow(write(tmp_path / f"a{suffix}", frame))
    np.testing.assert_array_equal(part.samples, frame.to_numpy())
    assert (
        part.schema is None and part.columns == ("height", "y") and part.samples.flags.c_contiguous
    )
    assert read_arrow(write(tmp_path / f"a{suffix}", frame[:0])).samples.shape == (0, 2)


def test_text_that_is_missing_in_a_whole_part(tmp_path: Path) -> None:
    words = [None] * 40 + ["a", "b"] * 20 + [None] * 40
    frame = pd.DataFrame({"x": pd.Series(words, dtype="str"), "n": range(120)})
    for suffix in SUFFIXES:
        part = read_arrow(write(tmp_path / f"a{suffix}", frame))
        assert part.columns == ("n", "x=a", "x=b")
        assert part.schema.back(part.samples)["x"].tolist() == words


def test_the_index_of_pandas_is_left_out_and_said(tmp_path: Path, caplog: Any) -> None:
    frame = FRAME[["height", "y"]].set_axis(RNG.permutation(N))
    path = write(tmp_path / "a.parquet", frame)
    assert read_arrow(path).columns == ("height", "y") and "--no-index" in caplog.text
    kept = read_arrow(path, Reading(index=False))
    assert kept.samples.shape == (N, 3)
    assert read_arrow(path, Reading(index=True)).columns == ("y", "__index_level_0__")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(label="z"), ["one column named 'z' (label), found 0", "height, colour"]),
        (dict(label=11), ["no label column 11: there are 11 columns"]),
        (dict(drop=["z"]), ["one column named 'z' (drop)"]),
        (dict(label="day"), ["the label 'day' must be numbers or words: it holds dates"]),
        (dict(label="colour"), ["the label 'colour' is missing in row 1 (counted from 0)"]),
        (dict(label="single"), ["the label 'single' is missing in row 4"]),
        (dict(drop=range(11)), ["at least one feature, got shape (90, 0)"]),
        (dict(drop=[0, 1, 3, 4, 6, 7, 8, 9, 10]), ["cannot be learnt from", "'day' is left out"]),
        (dict(separator=";"), ["separator=';' is for a .csv file", "the file"]),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, suffix: str, options: Any, words: list[str]) -> None:
    path = write(tmp_path / f"a{suffix}")
    with raises(*words) as caught:
        load_dataset(path, **options)
    text = str(caught.value)
    assert text.isprintable() and text.count(str(path)) == 1


def test_a_word_among_numbers_and_infinity_are_errors(tmp_path: Path) -> None:
    for values, words in (
        (["1", "x", "2"], "column 'n': expected numbers, got 'x' in row 1"),
        ([1.0, 2.0, np.inf], "expected finite numbers, got inf in sample 2, column 0"),
    ):
        path = write(tmp_path / "a.parquet", pd.DataFrame({"n": values}))
        with raises(path, words):
            load_dataset(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_pyarrow(tmp_path: Path, suffix: str, monkeypatch: Any) -> None:
    path = write(tmp_path / f"a{suffix}")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with raises(f'{suffix} files need pyarrow: pip install "tinyae[tables]"', error=ImportError):
        load_dataset(path)


def test_many_rows_of_few_bytes_are_refused_before_the_memory_is_full(
    tmp_path: Path, monkeypatch: Any
) -> None:
    if not Path("/proc/meminfo").exists():
        return  # the system does not say how much is free
    monkeypatch.setattr(arrow, "expect_memory", lambda p, n: expect_memory(p, n << 30))
    path = write(tmp_path / "a.parquet", pd.DataFrame({"x": [1] * 70_000}), rows=100_000)
    with raises(path, "takes 524,288.0 GiB of memory", error=FileError):
        load_dataset(path)
    monkeypatch.undo()
    nulls = pa.Array.from_buffers(pa.null(), 1 << 30, [None], null_count=1 << 30)  # no bytes
    nothing = pa.RecordBatch.from_arrays([nulls] * 1000, [f"c{i}" for i in range(1000)])
    with pa.ipc.new_file(tmp_path / "a.arrow", nothing.schema) as file:
        file.write_batch(nothing)
    with raises("a.arrow", "takes 8,000.0 GiB of memory", error=FileError):
        load_dataset(tmp_path / "a.arrow")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_an_error_of_one_line(tmp_path: Path, suffix: str) -> None:
    """Bytes changed, cut off and put in anywhere: read as a table all the same, or a FileError."""
    good = write(tmp_path / f"good{suffix}").read_bytes()
    rng, path, refused = np.random.default_rng(0), tmp_path / f"bad{suffix}", 0
    changed = [b"", b"x", good[:40], good[40:], b"PAR1" * 9, b"ARROW1\0\0" * 9]
    for _ in range(150):
        data = bytearray(good)
        for at in rng.integers(len(data), size=rng.integers(1, 4)):
            how = rng.integers(3)
            if how == 0 and at < len(data):
                data[at] = rng.integers(256)
            elif how == 1:
                del data[at : at + int(rng.integers(1, 100))]
            else:
                data[at:at] = rng.bytes(4)
        changed.append(bytes(data))
    for data in changed:
        path.write_bytes(data)
        try:
            read_arrow(path, Reading(label="y"))
        except FileError as error:
            text = str(error)
            assert text.startswith(f"{path}: ") and text.isprintable() and len(text) < 500
            refused += 1
        except ValueError as error:  # sound, but with another column in the place of the label
            assert str(error).startswith(f"{path}: expected one column named 'y'")
            refused += 1
    assert refused > 20
