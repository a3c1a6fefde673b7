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
from tinyae.data.reading import Reading
from tinyae.data.tables import coded, schema
from tinyae.data.tables import text as reader
from tinyae.data.tables.coded import MISSING
from tinyae.data.tables.text import read_table
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
        ("1;2\n3;4;5\n", None, ["line 2: expected 2 cells", "separated by semicolons"]),
        ("1:2\n3:4\n", None, ["line 1", "got '1:2'", "separated by commas"]),
        ('a,b\n1,"1,234.5"\n', None, ["line 2", "'1,234.5'", "without thousands separators"]),
        ("a;b\n1,5;1.234,5\n", None, ["line 2", "'1.234,5'", "without thousands separators"]),
        ("a;b\n1;1'234\n", None, ["line 2", '"1\'234"', "without thousands separators"]),
        ("a;b\n1;1 234\n", None, ["line 2", "'1 234'", "without thousands separators"]),
        ("a;b\n1,5;2,5\n3.5;4\n", None, ["line 3", "'3.5'", "--decimal ."]),
        ("a,price\n3,1.5\n", "price", ["line 2", "('price'", "'1.5'", "--drop price"]),
        ("a;price\n3,5;1,5\n", "price", ["line 2", "('price'", "'1,5'", "--drop price"]),
        ("1,2\n3,4\n5,dog\n", None, ["line 3", "got 'dog'", "no column of text", "--label 1"]),
        ("dog\ncat\n", None, ["line 1", "got 'dog'", "separated by commas"]),
        ("a,b\n1,\n2,\n", "a", ["cannot be learnt from", "'b' is left out", "no value in any row"]),
        ("a,b\n1,x\n2,x\n", "a", ["cannot be learnt from", "its only value is 'x'"]),
        ("a,a\n1,x\n2,y\n", None, ["two columns have the name 'a'"]),
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
    monkeypatch.setattr(reader, "expect_memory", lambda p, n: expect_memory(p, n << 30))
    path.write_bytes(gzip.compress(b"1\n" * 70_000))
    if Path("/proc/meminfo").exists():  # elsewhere the system does not say how much is free
        with raises(path, "takes 524,288.0 GiB of memory", error=FileError):
            read_table(path)
    monkeypatch.setattr(reader, "LONGEST", 1000)
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


@pytest.mark.parametrize("word", ["inf", "-Infinity", "1e999", "12x", "missing"])
@pytest.mark.parametrize("line", [0, 57, 239])
@pytest.mark.parametrize("column", [0, 2])
def test_a_cell_that_is_no_finite_number_is_found_wherever_it_is(tmp_path, word, line, column):
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


@pytest.mark.parametrize("bad", ["word", "inf"])
def test_advice_for_a_name_that_is_a_number_works(tmp_path, bad):
    path = csv(tmp_path, f"a,2,b,c\n1,2,3,4\n5,{bad},7,8\n")
    with pytest.raises(ValueError, match="'2'") as error:
        read_table(path)
    advice = str(error.value).split("--drop ")[1].split(" ")[0]
    assert read_table(path, Reading(drop=[int(advice)])).samples.shape == (2, 3)


# Missing cells, and columns of text


@pytest.mark.parametrize("word", [*sorted(MISSING), " ", "NaN"])
@pytest.mark.parametrize("line", [0, 57, 239])
def test_a_missing_cell_is_nan_in_a_number_and_in_a_text(tmp_path, word, line):
    rows = [[f"{i}.5", ["cat", "dog"][i % 2], f"{i % 7}"] for i in range(240)]
    whole = read_table(csv(tmp_path, "\n".join(map(",".join, rows)))).samples
    for column, cells in enumerate(([0], [2, 3], [1])):
        holes = [*rows[:line], [*rows[line]], *rows[line + 1 :]]
        holes[line][column] = word.upper() if line == 57 else word
        path = csv(tmp_path, "\n".join(["a,kind,b", *map(",".join, holes)]))
        expected = whole.copy()
        expected[line, cells] = np.nan
        part = read_table(path)
        np.testing.assert_array_equal(part.samples, expected)
        assert part.columns == ("a", "b", "kind=cat", "kind=dog") == part.schema.names
        part = read_table(path, Reading(drop=["kind"]))  # numbers alone need no schema
        assert part.schema is None and part.columns == ("a", "b")
        np.testing.assert_array_equal(part.samples, expected[:, :2])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_text_is_told_by_most_of_the_first_cells(tmp_path, caplog, separator, header):
    """Of four cells, and of a hundred."""
    for n, words in [(4, 1), (4, 2), (4, 3), (4, 4), (100, 1), (100, 45), (100, 55), (100, 100)]:
        cells = [("dog" if i % 2 else "cat") if i >= n - words else "7" for i in range(n)]
        lines = [separator.join([f"{i / 4}", cell, "yes"]) for i, cell in enumerate(cells)]
        lines[1] = lines[1].replace("yes", "no")
        lines.insert(1, separator.join(["1", "", "no"]))
        top = [separator.join(["a", "kind", "ok"])] * header
        path = csv(tmp_path, "\n".join([*top, *lines]))
        if 2 * words <= n:
            with raises(f"line {n - words + 2 + header}: expected a number in column 1"):
                read_table(path)
            continue
        levels = ["7", "cat", "dog"] if words < n else ["cat", "dog"]
        schema = read_table(path, Reading(header=header)).schema
        assert [*schema.categories[0].levels] == levels
        assert schema.source == (("a", "kind", "ok") if header else ("0", "1", "2"))


def test_a_header_over_text_alone_is_told_by_its_words(tmp_path):
    lines = ["red,S", "blue,M", "red,L", "blue,M"]
    named = read_table(csv(tmp_path, "\n".join(["colour,size", *lines])))
    bare = read_table(csv(tmp_path, "\n".join(lines)))
    np.testing.assert_array_equal(named.samples, bare.samples)
    assert (named.schema.source, bare.schema.source) == (("colour", "size"), ("0", "1"))


def test_what_cannot_be_learnt_is_left_out_and_said(tmp_path, caplog):
    columns = {
        "n": [i / 2 for i in range(40)], "kind": ["cat", "dog"] * 20, "c": [3] * 40,
        "same": ["x"] * 40, "empty": [""] * 40, "id": [f"u{i}" for i in range(40)],
        "day": [f"2020-01-{i % 28 + 1:02}" for i in range(40)],
        "german": [f"{i % 28 + 1}.12.2020" for i in range(40)],
        "clock": [f"{i % 12}:{i + 10} pm" for i in range(40)],
        "stamp": [f"2020-01-{i % 28 + 1:02}T10:00:00Z" for i in range(40)],
    }  # fmt: skip
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]
    part = read_table(csv(tmp_path, "\n".join([line + ",1" for line in lines])))
    assert part.schema.source == ("n", "kind") and part.columns == ("n", "kind=cat", "kind=dog")
    left = [*list(columns)[2:], "1"]
    assert [*part.schema.left] == left and len(caplog.records) == len(left)
    for name, record in zip(left, caplog.records):
        assert f"a.csv: column '{name}' is left out: it" in record.getMessage()


def test_another_table_is_read_by_the_schema_of_the_first(tmp_path, caplog):
    first = ["n,kind,id,m", *(f"{i},{'ab'[i % 2]},u{i},{i * i}" for i in range(40))]
    schema = read_table(csv(tmp_path, "\n".join(first))).schema
    assert schema.left == ("id",)
    caplog.clear()

    def again(text):
        return read_table(csv(tmp_path, text), schema=schema)

    for text in ("n,kind,m\n7,b,\n", "n,id,kind,m\n7,,b,NA\n", "n,kind,m,id\n7, b ,?,2020-01-01\n"):
        part = again(text)
        np.testing.assert_array_equal(part.samples, [[7, np.nan, 0, 1]])
        assert part.schema == schema and not caplog.records
    np.testing.assert_array_equal(again("n,kind,m\n7,c,1\n").samples, [[7, 1, np.nan, np.nan]])
    assert "column 'kind': 1 rows have a level that was not learnt, such as 'c'" in caplog.text
    for text, words in [
        ("n,kind\n7,b\n", ["another table", "missing 'm'"]),
        ("n,kind,m,k,l\n7,b,1,1,1\n", ["unknown 'k', 'l'"]),
        ("n,m,kind\n7,1,b\n", ["same order", "'m' stands in the place of 'kind'"]),
        ("n,kind,m\n7,b,x\n", ["line 2: expected a number in column 2 ('m'", "'x'"]),
        ("n,kind,m,m\n7,b,1,1\n", ["unknown 'm'"]),
        ("7,b,1\n", ["missing 'n', 'kind', 'm', unknown '0', '1', '2'"]),
    ]:
        with raises("a.csv", *words):
            again(text)


@pytest.mark.parametrize("n", [3_000, 12_000])
def test_as_many_texts_as_rows_are_no_columns(tmp_path, n, monkeypatch, caplog):
    monkeypatch.setattr(coded, "MOST_LEVELS", 5_000)
    monkeypatch.setattr(schema, "MOST_LEVELS", 5_000)
    part = read_table(csv(tmp_path, "\n".join(f"{i},u{i},{'ab'[i % 2]}" for i in range(n))))
    assert part.samples.shape == (n, 2)  # of the text two levels: the numbers count the lines
    many = "3,000" if n < 5_000 else "more than 5,000"
    assert f"'1' is left out: its text identifies rows, with {many} different" in caplog.text
