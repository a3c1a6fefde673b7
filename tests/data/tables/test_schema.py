"""What the columns of a table are, from every library, their matrix, and back to the table."""

from __future__ import annotations

import copy
import json
import logging
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae.data.tables import coded as coding
from tinyae.data.tables.coded import OTHER
from tinyae.data.tables.frames import as_frame, library_of, table_of
from tinyae.data.tables.schema import Category, Schema, learn_schema

pd = pytest.importorskip("pandas", reason="it makes tables of pandas")
pl = pytest.importorskip("polars", reason="it makes tables of polars")
pa = pytest.importorskip("pyarrow", reason="it makes tables of pyarrow")

N = 60
KINDS = ["cat", "dog", "owl"]
WORDS = [KINDS[i % 3] for i in range(N)]
COUNT = [i % 7 for i in range(N)]
BITS = [i % 3 == 0 for i in range(N)]
DAYS = [date(2020, 1, 1) + timedelta(i) for i in range(N)]


def holed(values: Any) -> list[Any]:
    """Without the value of row 3."""
    return [None if i == 3 else v for i, v in enumerate(values)]


NUMBERS: dict[str, Any] = {
    **{f"pandas {kind}": pd.Series(COUNT).astype(kind) for kind in
       ("int8", "uint64", "float32", "float64", "object", "str", "string")},
    **{f"pandas {kind}": pd.array(holed(COUNT), dtype=kind) for kind in ("Int8", "Float64")},
    "pandas bool": pd.Series(BITS), "pandas objects of bool": pd.Series(holed(BITS), dtype=object),
    "pandas boolean": pd.array(holed(BITS), dtype="boolean"),
    "pandas text of bool": pd.Series([v if v is None else str(v) for v in holed(BITS)]),
    "pandas sparse": pd.arrays.SparseArray([float(v) for v in COUNT]),
    "pandas Decimal": pd.Series([Decimal(v) for v in COUNT]),
    "pandas None": pd.Series(holed(COUNT), dtype=object),
    "pandas text and numbers": pd.Series([str(v) if v % 2 else v for v in COUNT], dtype=object),
    "pandas arrow": pd.array(holed(COUNT), dtype=pd.ArrowDtype(pa.int64())),
    **{f"polars {kind}": pl.Series(holed(COUNT), dtype=kind) for kind in
       (pl.Int8, pl.UInt64, pl.Float32, pl.Float64, pl.Decimal(10, 2))},
    "polars Boolean": pl.Series(holed(BITS)), "polars text": pl.Series([f" {v}" for v in COUNT]),
    **{f"pyarrow {kind}": pa.array(holed(COUNT), kind) for kind in
       (pa.int8(), pa.uint64(), pa.float32(), pa.decimal128(10, 2))},
    "pyarrow bool": pa.array(holed(BITS)),
    "pyarrow parts": pa.chunked_array([COUNT[:9], holed(COUNT)[9:]]),
    "pyarrow text": pa.array([f"{v}.0" for v in COUNT]),
    "array": np.array(COUNT), "array of text": np.array([f"{v}" for v in COUNT]), "list": COUNT,
}  # fmt: skip

TEXTS: dict[str, Any] = {
    **{f"pandas {kind}": pd.Series(holed(WORDS), dtype=kind)
       for kind in ("object", "str", "string", "category")},
    "pandas arrow": pd.array(holed(WORDS), dtype=pd.ArrowDtype(pa.string())),
    "pandas arrow dictionary": pd.array(
        holed(WORDS), dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))),
    "pandas with blanks": pd.Series([f" {v} " if v else v for v in holed(WORDS)]),
    "pandas NA": pd.Series([v or "NA" for v in holed(WORDS)]),
    **{f"polars {kind}": pl.Series(holed(WORDS), dtype=kind)
       for kind in (pl.String, pl.Categorical, pl.Enum([*reversed(KINDS), "elk"]))},
    "pyarrow string": pa.array(holed(WORDS)),
    "pyarrow large": pa.array(holed(WORDS), pa.large_string()),
    "pyarrow dictionary": pa.array(holed(WORDS)).dictionary_encode(),
    "pyarrow view": pa.array(holed(WORDS), pa.string_view()),
    "pyarrow parts": pa.chunked_array([pa.array(holed(WORDS)[:9]), pa.array(holed(WORDS)[9:])]),
    "pyarrow dictionaries": pa.chunked_array(
        [pa.array(part).dictionary_encode() for part in (holed(WORDS)[:4], holed(WORDS)[4:])]),
    "array": np.array(holed(WORDS), object),
    "array of text": np.array([v or "?" for v in holed(WORDS)]),
}  # fmt: skip

LEFT: dict[str, tuple[Any, str]] = {
    "pandas datetime": (pd.Series(pd.date_range("2020", periods=N)), "dates"),
    "pandas zone": (pd.Series(pd.date_range("2020", periods=N, tz="UTC")), "dates"),
    "pandas date": (pd.Series(DAYS), "dates"),
    "pandas period": (pd.Series(pd.period_range("2020", periods=N, freq="D")), "dates"),
    "pandas timedelta": (pd.Series(pd.timedelta_range("1s", periods=N)), "dates"),
    "pandas text of dates": (pd.Series([f"{d}" for d in DAYS]), "dates"),
    "pandas interval": (pd.Series(pd.interval_range(0, N)), "type Interval"),
    "pandas complex": (pd.Series(np.arange(N) * 1j), "complex"),
    "pandas lists": (pd.Series([[1, 2]] * N), "nested"),
    "pandas objects": (pd.Series([object()] * N), "type object"),
    "pandas bytes": (pd.Series([b"x", b"y"] * (N // 2)), "type bytes"),
    "pandas empty": (pd.Series([None] * N), "no value"),
    "pandas empty category": (pd.Series(pd.Categorical([None] * N, KINDS)), "no value"),
    "pandas constant": (pd.Series([2.5, None] * (N // 2)), "only value is 2.5"),
    "pandas constant text": (pd.Series(["x", None] * (N // 2)), "only value is 'x'"),
    "pandas ids": (pd.Series([f"u{i}" for i in range(N)]), "60 different values in 60 rows"),
    "pandas ids as category": (pd.Series([f"u{i}" for i in range(N)], dtype="category"), "60 diff"),
    "polars Date": (pl.Series(DAYS), "dates"),
    "polars Datetime": (pl.Series([datetime(2020, 1, 1, i % 24) for i in range(N)]), "dates"),
    "polars Time": (pl.Series([time(i % 24) for i in range(N)]), "dates"),
    "polars Duration": (pl.Series([timedelta(i) for i in range(N)]), "dates"),
    "polars List": (pl.Series([[1, 2]] * N), "nested"),
    "polars Struct": (pl.Series([{"u": i} for i in range(N)]), "nested"),
    "polars Array": (pl.Series([[1, 2]] * N, dtype=pl.Array(pl.Int64, 2)), "nested"),
    "polars Null": (pl.Series([None] * N), "no value"),
    "polars ids": (pl.Series([f"u{i}" for i in range(N)]), "60 different values"),
    "polars Binary": (pl.Series([b"x", b"y"] * (N // 2)), "type bytes"),
    "pyarrow date": (pa.array(DAYS), "dates"), "pyarrow null": (pa.nulls(N), "no value"),
    "pyarrow list": (pa.array([[1]] * N), "nested"),
    "pyarrow binary": (pa.array([b"x"] * N), "binary"),
    "array of dates": (np.array(DAYS, "M8[D]"), "dates"),
    "array of lists": (np.ones((N, 2)), "nested"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_every_type(kind: str) -> None:
    schema, notes = learn_schema([("x", series(kind, NUMBERS[kind]))])
    assert schema == Schema(("x",)) and not notes
    got = schema.matrix([("x", series(kind, NUMBERS[kind]))])[:, 0]
    expected = np.array(BITS if "bool" in kind.lower() else COUNT, float)
    whole = np.array_equal(got, expected)
    expected[3] = np.nan
    assert whole or np.array_equal(got, expected, equal_nan=True)
    assert got.dtype == np.float64


@pytest.mark.parametrize("kind", TEXTS)
def test_text_of_every_type(kind: str) -> None:
    column = series(kind, TEXTS[kind])
    schema, notes = learn_schema([("x", column)])
    assert schema == Schema((Category("x", tuple(KINDS)),)) and not notes
    expected = np.array([[float(word == kind) for kind in KINDS] for word in WORDS])
    expected[3] = np.nan
    np.testing.assert_array_equal(schema.matrix([("x", column)]), expected)
    assert schema.back(expected)["x"].tolist() == holed(WORDS)


@pytest.mark.parametrize("kind", LEFT)
def test_what_cannot_be_learnt_is_left_out_with_its_reason(kind: str) -> None:
    column, reason = LEFT[kind]
    schema, (note,) = learn_schema([("x", column), ("y", np.arange(N))])
    assert schema == Schema(("y",), ("x",))
    assert note.startswith("column 'x' is left out: it") and reason in note
    assert note.isprintable() and len(note) < 300
    np.testing.assert_array_equal(schema.matrix([("x", None), ("y", [4])]), [[4]])
    with raises("no column can be learnt from: column 'x' is left out", reason):
        learn_schema([("x", column)])


def series(kind: str, column: Any) -> Any:
    return pd.Series(column) if kind.startswith("pandas") else column


# Levels


def test_levels_of_numbers_that_are_declared() -> None:
    for values in ([1, 2, 1, 10], [1.0, 2.0, 1.0, 10.0], ["1", "2", "1", "10"]):
        frame = pd.DataFrame({"x": pd.Categorical(values)})
        schema, _ = learn_schema(table_of(frame))
        assert schema.columns == (Category("x", ("1", "10", "2")),)
        for again in (values, [*map(str, values[:1]), 2.0, 1, " 10"]):
            new = pd.DataFrame({"x": pd.Series(again, dtype=object)})
            assert schema.back(schema.matrix(table_of(new)))["x"].tolist() == ["1", "2", "1", "10"]


def test_true_and_false_beside_another_word_are_levels() -> None:
    schema, _ = learn_schema([("x", ["True", "False", "maybe"] * 9)])
    assert schema.columns == (Category("x", ("False", "True", "maybe")),)


@pytest.mark.parametrize("text", ["x", "1,5", "NaNa"])
def test_a_word_in_a_column_of_numbers_is_an_error(text: str) -> None:
    for column in (
        pd.Series(["1", text, "2"]),
        pl.Series(["1", text, "2"]),
        pa.array(["1", text, "2"]),
    ):
        with raises("column 'n': expected numbers, got", repr(text), "in row 1"):
            learn_schema([("n", column)])


def test_rare_levels_are_pooled_and_unseen_ones_join_them(caplog: Any) -> None:
    words = ["a"] * 300 + ["b"] * 600 + ["c"] * 10 + ["d"] * 9 + ["e"] * 1
    schema, (note,) = learn_schema([("x", words)])
    assert schema.columns == (Category("x", ("a", "b", "c", OTHER), other=True),)
    assert note == (
        "column 'x' has 5 levels: the 2 least frequent, in 10 of 920 rows, count as one, '(other)'"
    )
    matrix = schema.matrix([("x", words)], say=False)
    assert matrix.sum(axis=0).tolist() == [300, 600, 10, 10] and not caplog.records
    new = schema.matrix([("x", ["new", "a", None, "new", "d"])])
    np.testing.assert_array_equal(
        new, [[0, 0, 0, 1], [1, 0, 0, 0], [np.nan] * 4, [0, 0, 0, 1], [0, 0, 0, 1]]
    )
    (record,) = caplog.records
    assert "column 'x': 3 rows" in record.getMessage() and "such as 'new'" in record.getMessage()
    assert learn_schema([("x", words)], rare=2)[0].categories[0].levels == (
        "a",
        "b",
        "c",
        "d",
        OTHER,
    )
    assert learn_schema([("x", words)], most=1)[0].categories[0].levels == ("b", OTHER)
    assert learn_schema([("x", words[:910])])[1] == ()


def test_without_other_an_unseen_level_is_missing(caplog: Any) -> None:
    schema, _ = learn_schema([("x", ["a", "b"]), ("y", ["u", "v"])])
    matrix = schema.matrix([("x", ["b", "c"]), ("y", ["v", "u"])])
    np.testing.assert_array_equal(matrix, [[0, 1, 0, 1], [np.nan, np.nan, 1, 0]])
    assert "column 'x': 1 rows" in caplog.text and "counts as missing" in caplog.text


def test_as_many_levels_as_rows_are_no_columns(monkeypatch: Any) -> None:
    n = 100_000
    for texts, reason in (
        ([f"u{i}" for i in range(n)], "100,000 different values in 100,000 rows"),
        ([f"u{i // 3}" for i in range(n)], "33,334 different values"),
        (["a"] * 40_000 + [f"u{i}" for i in range(60_000)], "60,001 different values"),
    ):
        schema, (note,) = learn_schema([("x", texts), ("y", np.arange(n))])
        assert schema.width == 1 and reason in note
    monkeypatch.setattr(coding, "MOST_LEVELS", 50)
    schema, (note,) = learn_schema([("x", ["a"] * 940 + [f"u{i}" for i in range(60)])])
    assert schema.categories[0].levels == ("a", OTHER) and "60 of 1,000 rows" in note


# Tables


def random_table(rng: np.random.Generator) -> dict[str, list[Any]]:
    """Columns of numbers and of words, in any order, with missing values."""
    table: dict[str, list[Any]] = {}
    n = int(rng.integers(30, 80))
    for j in range(rng.integers(1, 7)):
        if rng.random() < 0.5:
            values: list[Any] = rng.normal(size=n).round(3).tolist()
        else:
            levels = [f"{'äb,;é'[k]}{k}" for k in range(rng.integers(2, 6))]
            values = [levels[i % len(levels)] for i in rng.permutation(n)]
        missing = rng.random(n) < rng.choice([0, 0.1])
        table[f"c{j}"] = [None if hole else v for v, hole in zip(values, missing)]
    return table


@pytest.mark.parametrize("seed", range(20))
def test_random_tables_come_back_from_their_matrix(seed: int) -> None:
    table = random_table(np.random.default_rng(seed))
    frames = {"pandas": pd.DataFrame(table), "polars": pl.DataFrame(table)}
    schema, notes = learn_schema(table_of(frames["pandas"]))
    assert not notes and schema.source == tuple(table)
    matrix = schema.matrix(table.items())
    assert matrix.shape == (len(table["c0"]), schema.width) and len(schema.names) == schema.width
    bounds = [start for start, _ in schema.groups] + [schema.width]
    assert bounds[0] == len(schema.numbers) and (np.diff(bounds) > 1).all()
    for start, stop in schema.groups:
        assert set(np.nan_to_num(matrix[:, start:stop].sum(axis=1))) <= {0, 1}
    back = schema.back(matrix)
    for name, values in table.items():
        got = [None if v is None or v != v else v for v in back[name].tolist()]
        assert got == values
    for library, frame in frames.items():
        assert learn_schema(table_of(frame)) == (schema, notes)
        np.testing.assert_array_equal(schema.matrix(table_of(frame)), matrix)
        again = as_frame(library, back, None, frame)
        assert library_of(again) == library and type(again) is type(frame)
        np.testing.assert_array_equal(schema.matrix(table_of(again)), matrix)
        assert [*again.columns] == [*table]


def test_a_decoded_matrix_gives_the_likeliest_level() -> None:
    schema = Schema((Category("x", ("a", "b", OTHER), True), "n", Category("y", ("u", "v"))))
    assert schema.names == ("n", "x=a", "x=b", "x=(other)", "y=u", "y=v")
    assert schema.groups == ((1, 4), (4, 6)) and schema.source == ("x", "n", "y")
    back = schema.back(np.array([[0.5, 0.2, 0.3, 0.1, -1, -2], [7, 0, 0, 2, 0, 1]], np.float32))
    assert {name: column.tolist() for name, column in back.items()} == {
        "x": ["b", OTHER], "n": [0.5, 7], "y": ["u", "v"]}  # fmt: skip
    assert [*back] == ["x", "n", "y"] and back["n"].dtype == np.float64
    for shape in ((2, 5), (6,)):
        with raises("expected a matrix of 6 columns, got shape", shape):
            schema.back(np.zeros(shape))


def test_pandas_keeps_its_index() -> None:
    frame = pd.DataFrame({"x": ["a", "b"] * 9, "n": range(18)}, index=range(100, 118))
    schema, _ = learn_schema(table_of(frame))
    back = as_frame("pandas", schema.back(schema.matrix(table_of(frame))), None, frame)
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)
    assert library_of(np.ones((2, 2))) is None is table_of(np.ones((2, 2)))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("n", "missing 'k'"),
        ("", "missing 'n', 'k'"),
        ("nkab", "unknown 'a', 'b'"),
        ("na", "missing 'k', unknown 'a'"),
        ("kn", "'k' stands in the place of 'n'"),
        ("nkn", "unknown 'n'"),
    ],
)
def test_other_columns_than_those_learnt_are_named(columns: str, words: str) -> None:
    schema, _ = learn_schema([("n", [1, 2]), ("left", ["x", "x"]), ("k", ["a", "b"])])
    values = {"n": [1.5], "k": ["a"], "a": [1], "b": [1]}
    with raises("columns must be those that were learnt from, in the same order:", words):
        schema.matrix([(name, values[name]) for name in columns])
    assert schema.matrix([("left", [3]), ("n", [1.5]), ("k", ["b"])]).tolist() == [[1.5, 0, 1]]


def test_columns_of_another_kind_are_named() -> None:
    schema = Schema(("n", Category("k", ("a", "b"))))
    for n, k, words in [
        (["x"], ["a"], "column 'n': expected numbers, got 'x' in row 0"),
        (DAYS[:1], ["a"], "column 'n': expected numbers, but it holds dates"),
        ([1], DAYS[:1], "column 'k': expected text, but it holds dates"),
        ([np.inf], ["a"], "column 'n': expected finite numbers, got inf in row 0"),
        ([1, -(10**400)], ["a"] * 2, "column 'n': expected finite numbers, got -inf in row 1"),
        ([1, 2], ["a"], "columns must be of one length"),
    ]:
        with raises(words):
            schema.matrix([("n", n), ("k", k)])
    with raises("two columns have the name 'n': rename one"):
        learn_schema([("n", [1, 2]), ("n", [1, 2])])
    with raises("no column can be learnt from: none given"):
        learn_schema([])


# JSON

SCHEMA = Schema(("n", Category("k", ("a", "b")), "m", Category("l", ("x", OTHER), True)), ("id",))


def test_json_there_and_back() -> None:
    for schema in (SCHEMA, Schema(("n",)), Schema((Category("ä\n", ('"', "")),))):
        assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


ODD = [None, True, 0, -1, 0.5, float("nan"), 10**400, "", "n", "\ud800", [], {}, [[]], ["a", "a"],
       [1], {"name": "q"}, {"columns": ["n"], "left": []}]  # fmt: skip


def test_malformed_json_is_refused_in_a_line() -> None:
    """Anything in the place of any part of it, parts left out, added and doubled."""
    rng, good = np.random.default_rng(0), SCHEMA.to_json()
    refused = 0
    for _ in range(3000):
        changed = copy.deepcopy(good)
        places: list[tuple[Any, Any]] = [([changed], 0)]
        for holder, key in places:  # grows
            part = holder[key]
            keys = (
                [*part]
                if isinstance(part, dict)
                else range(len(part))
                if isinstance(part, list)
                else []
            )
            places.extend((part, key) for key in keys)
        holder, key = places[rng.integers(len(places))]
        how, odd = rng.integers(4), ODD[rng.integers(len(ODD))]
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, list):
            holder.append(holder[key])
        elif how == 2 and isinstance(holder, dict):
            holder["more"] = odd
        else:
            holder[key] = odd
        top = places[0][0]
        try:
            schema = Schema.from_json(top[0] if top else None)
        except ValueError as error:
            text = str(error)
            assert text.isprintable() and len(text) < 400
            refused += 1
        else:
            assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
            matrix = schema.matrix([(name, [None, None]) for name in schema.source])
            assert matrix.shape == (2, schema.width) and np.isnan(matrix).all()
    assert refused > 2000


def test_notes_and_warnings_are_one_line(caplog: Any) -> None:
    name = "a\nb" * 100
    schema, notes = learn_schema([(name, ["x\ny" * 99] * 30), ("k", ["u\n" * 99, "v"] * 15)])
    with caplog.at_level(logging.WARNING):
        schema.matrix([("k", ["w\n" * 99])])
    for line in (*notes, *(record.getMessage() for record in caplog.records)):
        assert line.isprintable() and len(line) < 400
    assert len(notes) == len(caplog.records) == 1
