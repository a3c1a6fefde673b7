"""Tables in text: what is read, what is told, and one clear error for each thing that is wrong."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import logging
from pathlib import Path

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae import FileError
from tinyae.data import tables
from tinyae.data.reading import Reading
from tinyae.data.tables import read_table
from tinyae.storage.untrusted import expect_memory


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
    part = read_table(csv(tmp_path, text))
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
    part = read_table(csv(tmp_path, text), Reading(label=label))
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
        ("1;2\n3;4;5\n", None, ["line 2: expected 2 cells", "separated by semicolons"]),
        ("1:2\n3:4\n", None, ["line 1", "got '1:2'", "separated by commas"]),
        ("a,when\n1,2020-01-31\n", None, ["line 2", "column 1 ('when'", "--drop when"]),
        ("a,when\n1,31.01.2020\n", None, ["line 2", "column 1 ('when'", "separated by"]),
        ("a,b\n1,NA\n", None, ["line 2", "column 1 ('b'", "got 'NA'"]),
        ('x\n1\n""\n', None, ["line 3", "column 0 ('x'", "got ''"]),
        ('a,b\n1,"1,234.5"\n', None, ["line 2", "'1,234.5'", "without thousands separators"]),
        ("a;b\n1,5;1.234,5\n", None, ["line 2", "'1.234,5'", "without thousands separators"]),
        ("a;b\n1;1'234\n", None, ["line 2", '"1\'234"', "without thousands separators"]),
        ("a;b\n1;1 234\n", None, ["line 2", "'1 234'", "without thousands separators"]),
        ("a;b\n1,5;2,5\n3.5;4\n", None, ["line 3", "'3.5'", "--decimal ."]),
        ("a,price\n3,1.5\n", "price", ["line 2", "('price'", "'1.5'", "--drop price"]),
        ("a;price\n3,5;1,5\n", "price", ["line 2", "('price'", "'1,5'", "--drop price"]),
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
        read_table(path, Reading(label=label))


def test_csv_of_a_header_alone(tmp_path):
    assert read_table(csv(tmp_path, "a,b\n")).samples.shape == (0, 2)
    assert read_table(csv(tmp_path, "a,b\n"), Reading(label="a")).samples.shape == (0, 1)


def test_csv_in_a_foreign_encoding(tmp_path):
    path = csv(tmp_path, "gr\u00f6\u00dfe\n1\n", "latin-1")
    with raises(path, "cannot be read as .csv file", "utf-8"):
        read_table(path)


def test_csv_with_a_cell_without_end(tmp_path):
    path = csv(tmp_path, '1,2\n"' + "x" * 200_000)
    with raises(path, "after line", "field larger"):
        read_table(path)


# How cells are written

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "blanks": "  "}
VALUES = np.round(np.random.default_rng(0).normal(0, 40, (12, 4)), 3)


@pytest.mark.parametrize(
    ("separator", "decimal"),
    [(name, sign) for name in SEPARATORS for sign in ".,"],
)
def test_every_way_to_write_a_table_is_told_from_its_lines(tmp_path, separator, decimal):
    """A property: what is written comes back, for every combination of the ways to write it."""
    between = SEPARATORS[separator]
    ways = itertools.product(
        ["{}", '"{}"'], ["\n", "\r\n", "\r"], ["", "names", "comment"], [False, True], ["", "end"]
    )
    for quotes, newline, top, words, end in ways:
        if between == decimal and '"' not in quotes:
            continue
        rows = [[f"{x:.6g}".replace(".", decimal) for x in row] for row in VALUES]
        names = ["height", "width", "x y", "z"]
        if separator == "blanks":
            names[2] = "xy"
        if words:
            rows = [["dog" if i % 3 else "cat", *row] for i, row in enumerate(rows)]
            names = ["kind", *names]
        lines = [between.join(quotes.format(cell) for cell in row) for row in rows]
        if top:
            mark = "# by hand\n# " if top == "comment" else ""
            lines.insert(0, mark + between.join(names))
        end = between if end else ""
        text = "".join(line + end + newline for line in lines)
        how = Reading(label=0 if words else None)
        part = read_table(csv(tmp_path, text), how)
        told = dataclasses.replace(how, decimal=decimal)
        np.testing.assert_array_equal(read_table(tmp_path / "a.csv", told).samples, part.samples)
        np.testing.assert_array_equal(part.samples, VALUES, repr(text[:80]))
        assert part.columns == (tuple(names[words:]) if top else None), repr(text[:80])
        if words:
            assert part.labels.tolist() == ["dog" if i % 3 else "cat" for i in range(12)]


@pytest.mark.parametrize("name", ["a.csv", "a.TSV", "a.txt", "a.data"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("packed", [False, True])
def test_endings_encodings_and_gzip(tmp_path, name, encoding, packed):
    content = "gr\u00f6\u00dfe;b\n1,5;2\n3;4\n".encode(encoding)
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    if not encoding.startswith("utf-8"):
        with raises(path, "in utf-8", "--encoding", "encoding=", "latin-1 or utf-16"):
            read_table(path)
    part = read_table(path, Reading(encoding=encoding))
    assert part.columns == ("gr\u00f6\u00dfe", "b")
    np.testing.assert_array_equal(part.samples, [[1.5, 2], [3, 4]])


def test_utf_16_without_its_mark(tmp_path):
    with raises("zero bytes", "--encoding"):
        read_table(csv(tmp_path, "a,b\n1,2\n", "utf-16-le"))


def test_a_gzip_bomb_is_refused_before_the_memory_is_full(tmp_path, monkeypatch):
    path = tmp_path / "a.csv.gz"
    monkeypatch.setattr(tables, "expect_memory", lambda p, n: expect_memory(p, n << 30))
    path.write_bytes(gzip.compress(b"1\n" * 70_000))
    if Path("/proc/meminfo").exists():  # elsewhere the system does not say how much is free
        with raises(path, "takes 524,288.0 GiB of memory", error=FileError):
            read_table(path)
    monkeypatch.setattr(tables, "LONGEST", 1000)
    path.write_bytes(gzip.compress(b"1,2\n" * 500 + b"1" * 1000))
    with raises(path, "line 501: longer than 1,000 characters", error=FileError):
        read_table(path)


@pytest.mark.parametrize("keep", [1, 20, -4])
def test_damaged_gzip(tmp_path, keep):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(b"\x1f\x8b" + gzip.compress(b"1,2\n" * 500)[2:][:keep])
    with raises(path, "damaged or truncated gzip file"):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("1:2\n3:4\n", dict(separator=":"), [[1, 2], [3, 4]]),
        ("1,5\n3,5\n", dict(separator=";"), [[1.5], [3.5]]),
        ("1,5\n3,5\n", dict(decimal=","), [[1.5], [3.5]]),
        ('"1,5",2\n"3,5",4\n', dict(decimal=",", separator=","), [[1.5, 2], [3.5, 4]]),
        ("1\t2\n3\t4\n", dict(separator="tab"), [[1, 2], [3, 4]]),
        ("1\t2\n3 4\n", dict(separator="space"), [[1, 2], [3, 4]]),
        ("1,2\n3,4\n", dict(header=True), [[3, 4]]),
        ("1,2,x\n3,4,5\n", dict(header=False, drop=-1), [[1, 2], [3, 4]]),
        ("a,b,c\n1,2,x\n", dict(drop=["c", 0]), [[2]]),
        ("who,b\nann,2\nbob,4\n", dict(index=True), [[2], [4]]),
    ],
)
def test_options_decide(tmp_path, text, options, expected):
    np.testing.assert_array_equal(
        read_table(csv(tmp_path, text), Reading(**options)).samples, expected
    )


# Headers and numbers of lines that would become data

PANDAS = {  # as DataFrame.to_csv writes them, and how many columns number the lines
    "a numbered header": ("0,1,2", ".5,.6,.7 .1,.2,.3 .4,.8,.9", 0),
    "an index": (",a,b", "0,.6,.7 1,.2,.3 2,.8,.9", 1),
    "both": (",0,1", "0,.6,.7 1,.2,.3 2,.8,.9", 1),
    "the index of a part": (",a,b", "7,.6,.7 2,.2,.3 5,.8,.9", 1),
    "saved again": ("Unnamed: 0.1,Unnamed: 0,a", "0,0,.7 1,1,.3 2,2,.9", 2),
    "numbers that come twice": (",a,b", "0,.6,.7 1,.2,.3 0,.8,.9", 1),
    "numbers with a point": ("Unnamed: 0,a,b", "0.0,.6,.7 1.0,.2,.3 2.,.8,.9", 1),
    "numbers below zero": (",a,b", "-2,.6,.7 -1,.2,.3 0,.8,.9", 1),
    "two indices": (",,a", "0,1,.7 0,2,.3 1,1,.9", 2),
    "a numbered header of two": ("0,1", ".5,.6 .1,-.2 1.5,2.5", 0),
    "without a header": ("", "0,.6,.7 1,.2,.3 2,.8,.9", 1),
}


@pytest.mark.parametrize("kind", PANDAS)
def test_what_is_no_data_is_left_out_and_told(tmp_path, caplog, kind):
    top, lines, index = PANDAS[kind]
    rows = np.array([[float(cell) for cell in line.split(",")] for line in lines.split()])
    path = csv(tmp_path, "\n".join([top, *lines.split()]))
    with caplog.at_level(logging.WARNING):
        part = read_table(path)
    np.testing.assert_array_equal(part.samples, rows[:, index:])
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert ("--no-index" if index else "--no-header") in record.getMessage()
    caplog.clear()
    kept = read_table(path, Reading(index=False) if index else Reading(header=False)).samples
    np.testing.assert_array_equal(kept, rows if index else [range(rows.shape[1]), *rows])
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1,2,3\n4,5,6\n7,8,9\n", 3),
        ("0,1,2\n3,4,5\n6,7,8\n", 3),  # a table that counts on
        ("0,1\n.5,.6\n", 2),  # two numbers over one line are too few to tell
        ("0,1\n.5,.6\n.7,.8\n1,.9\n", 2),  # and over others that are whole
        ("t,a\n0,.5\n1,.6\n2,.7\n", 2),  # the first column has a name
        ("0,.5\n1,.6\n3,.7\n", 2),
        ("1\n2\n3\n", 1),
    ],
)
def test_what_may_be_data_stays(tmp_path, caplog, text, columns):
    part = read_table(csv(tmp_path, text))
    assert part.samples.shape == (text.count("\n") - ("a" in text), columns)
    assert not caplog.records


def test_a_numbered_header_beside_the_label(tmp_path, caplog):
    for text, label in [
        ("0,1,2,kind\n.1,.2,.3,dog\n.4,.5,.6,cat\n", -1),
        ("0,1,2,3\ndog,.1,.2,.3\ncat,.4,.5,.6\n", 0),
        ("0,1,2,3\n.1,.2,.3,7\n.4,.5,.6,8\n", 3),
    ]:
        part = read_table(csv(tmp_path, text), Reading(label=label))
        np.testing.assert_array_equal(part.samples, [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
        assert len(part.labels) == 2


# Numbers that are none


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-Infinity", "1e999", ""])
@pytest.mark.parametrize("line", [0, 57, 239])
@pytest.mark.parametrize("column", [0, 2])
def test_a_missing_number_is_found_wherever_it_is(tmp_path, word, line, column):
    rows = [["1.5", "cat", "2.5"] for _ in range(240)]
    rows[line][2 * (column > 0)] = word
    text = "\n".join(["# by hand", "a,kind,b", *map(",".join, rows)])
    name = "ab"[column > 0]
    with raises(f"a.csv, line {line + 3}: ", f"column {column} ('{name}'", "got"):
        read_table(csv(tmp_path, text), Reading(label="kind"))


def test_progress_is_told_in_bytes_of_the_file(tmp_path):
    text = "1,2\n" * 20_000
    path = csv(tmp_path, text)
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(text.encode(), 0))
    calls = []
    for file in (path, packed):
        calls.clear()
        read_table(file, progress=lambda *call: calls.append(call))
        done, sizes = zip(*calls)
        assert set(sizes) == {file.stat().st_size} and len(calls) > 10
        assert sorted(done) == [*done] and 0 < done[0] < done[-1] <= sizes[0]


@pytest.mark.parametrize("bad", ["word", ""])
def test_advice_for_a_name_that_is_a_number_works(tmp_path, bad):
    path = csv(tmp_path, f"a,2,b,c\n1,{bad},3,4\n5,{bad},7,8\n")
    with pytest.raises(ValueError, match="'2'") as error:
        read_table(path)
    advice = str(error.value).split("--drop ")[1].split(" ")[0]
    assert read_table(path, Reading(drop=[int(advice)])).samples.shape == (2, 3)
