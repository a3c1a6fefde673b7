"""``tinyae outliers`` from end to end: what is said, what is written, and what is refused."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tinyae import OutlierDetector
from tinyae.cli.main import main

Output = pytest.CaptureFixture[str]
NAMES = "height,weight,age"
SMALL = ["--members", "20"]
PICTURES = importlib.util.find_spec("matplotlib") is not None


def people(n: int, seed: int, older: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height = 170 + 10 * rng.normal(size=n)
    return np.column_stack(
        [height, height - 100 + 4 * rng.normal(size=n), 40 + older + 9 * rng.normal(size=n)]
    )


def write(name: str, x: np.ndarray, header: str = NAMES) -> None:
    np.savetxt(name, x, "%.3f", ",", header=header, comments="")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x = people(200, 0)
    x[7, 1] = 190
    write("people.csv", x)
    return tmp_path


@pytest.fixture
def learnt(here: Path, capsys: Output) -> Path:
    assert main(["outliers", "--data", "people.csv", *SMALL, "--out", "run"]) == 0
    capsys.readouterr()
    return here / "run"


def read(path: Path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def test_one_outlier_is_said_to_be_one(here: Path, capsys: Output) -> None:
    argv = ["outliers", "--data", "people.csv", *SMALL, "--contamination", "0.005", "--out", "run"]
    assert main(argv) == 0
    assert "people.csv: 1 outlier in 200 rows, with a score above" in capsys.readouterr().out


def test_rows_with_their_reasons(here: Path, capsys: Output) -> None:
    argv = ["outliers", "--data", "people.csv", *SMALL, "--contamination", "0.02", "--out", "run"]
    assert main([*argv, "--top", "2"]) == 0
    out = capsys.readouterr().out
    assert "people.csv: 4 outliers in 200 rows, with a score above" in out
    lines = [line for line in out.splitlines() if "outlier " in line or "of the score" in line]
    assert len(lines) == 6  # two rows with three reasons each
    assert lines[0].split()[0] == "7" and " weight 190, expected " in lines[0]
    rows = read(Path("run/outliers.csv"))
    assert [int(row["row"]) for row in rows] == list(range(200))
    assert sum(row["outlier"] == "1" for row in rows) == 4
    assert sorted(int(row["rank"]) for row in rows) == list(range(1, 201))
    first = rows[7]
    assert first["rank"] == "1" and first["reason_1"].startswith("weight 190, expected ")
    assert all(bool(row["reason_3"]) == (row["outlier"] == "1") for row in rows)
    detector = OutlierDetector.load("run/outliers.npz")
    x = np.loadtxt("people.csv", delimiter=",", skiprows=1)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        scores, p = -detector.score_samples(x), detector.p_values(x)
    np.testing.assert_allclose([float(row["score"]) for row in rows], scores, rtol=1e-5)
    np.testing.assert_allclose([float(row["p_value"]) for row in rows], p, rtol=1e-5)
    found = {path.name for path in Path("run").iterdir()}
    pictures = {"outliers.png"} if PICTURES else set()
    assert found == {"outliers.csv", "outliers.json", "outliers.npz"} | pictures
    assert out.splitlines()[-1] == f"run: {', '.join(sorted(found))}"
    settings = json.loads(Path("run/outliers.json").read_text())
    assert settings["outliers"]["contamination"] == 0.02 and settings["outliers"]["members"] == 20


def test_what_has_moved_is_said_before_the_outliers(learnt: Path, capsys: Output) -> None:
    write("may.csv", people(100, 1, older=60))
    assert main(["outliers", "run", "--new", "may.csv"]) == 0
    mean, spread, outliers, *_ = capsys.readouterr().out.splitlines()
    assert mean.startswith("moved: age: the mean is ") and spread.startswith("moved: age: ")
    assert outliers.startswith("may.csv: ") and "in 100 rows" in outliers
    assert len(read(learnt / "outliers-may.csv")) == 100
    write("june.csv", people(100, 2))
    assert main(["outliers", "run", "--new", "june.csv", "--json", "--top", "1"]) == 0
    out = capsys.readouterr().out
    (judged,) = json.loads(out)["judged"]
    assert judged["moved"] == [] and judged["data"] == "june.csv" and judged["rows"] == 100
    (top,) = judged["top"]
    assert {"row", "score", "p_value", "outlier", "reasons"} == set(top)
    assert [set(reason) for reason in top["reasons"]] == 3 * [
        {"column", "share", "value", "expected", "spreads"}
    ]
    assert len(read(learnt / "outliers.csv")) == 200


def test_reasons_of_missing_cells_are_no_numbers(learnt: Path, capsys: Output) -> None:
    header, first, *lines = Path("people.csv").read_text().splitlines()
    holed = [f"{line.rsplit(',', 1)[0]}," for line in lines]
    Path("holed.csv").write_text("\n".join([header, first, *holed]))
    assert main(["outliers", "run", "--new", "holed.csv", "--json", "--top", "9"]) == 0
    (judged,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["judged"]
    last = header.rsplit(",", 1)[1]
    values = [r["value"] for top in judged["top"] if top["row"] for r in top["reasons"]
              if r["column"] == last]  # fmt: skip
    assert {*values} == {None}
    assert f"{last} missing, expected " in Path("run/outliers-holed.csv").read_text()


def test_both_at_once_is_the_same_and_labels_are_no_column(here: Path, capsys: Output) -> None:
    x = people(100, 1)
    write("may.csv", np.column_stack([x, np.arange(100) % 2]), NAMES + ",kind")
    write("june.csv", np.column_stack([x[:50], np.arange(50) % 2]), NAMES + ",kind")
    options = ["--data", "may.csv", "--label", "kind", *SMALL, "--json"]
    assert main(["outliers", *options, "--new", "june.csv", "--out", "a"]) == 0
    both = json.loads(capsys.readouterr().out)["judged"]
    assert main(["outliers", *options, "--out", "b"]) == 0
    capsys.readouterr()
    assert main(["outliers", "b", "--new", "june.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["judged"] == both[1:]
    assert {reason["column"] for reason in both[0]["top"][0]["reasons"]} == set(NAMES.split(","))


@pytest.mark.parametrize(("argv", "words"), [
    ("--data people.csv", "--data DATA --out RUN learns from a table"),
    ("--out new", "--data DATA --out RUN learns from a table"),
    ("run", "RUN takes --new FILE"),
    ("run --new people.csv --members 3", "RUN takes --new FILE"),
    ("run --new people.csv --out new", "RUN takes --new FILE"),
    ("run --new nowhere.csv", "nowhere.csv"),
    ("nowhere --new people.csv", "nowhere holds no outliers.npz: 'tinyae outliers --data DATA"),
    ("--data people.csv --out run", "run holds outliers already: 'tinyae outliers run --new FILE'"),
    ("--data people.csv --out mine", "mine holds diary.txt and no config.json or outliers.json"),
    ("--data people.csv --out new --contamination 0", "argument --contamination: invalid"),
    ("--data people.csv --out new --contamination 0.6", "argument --contamination: invalid"),
    ("--data people.csv --out new --rows 1", "rows must be an integer >= 2, got 1"),
])  # fmt: skip
def test_wrong_arguments(argv: str, words: str, learnt: Path, capsys: Output) -> None:
    Path("mine").mkdir()
    Path("mine/diary.txt").write_text("Dear diary")
    before = {path: path.read_bytes() for path in learnt.iterdir()}
    assert main(["outliers", *argv.split()]) == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 and not out
    assert {path: path.read_bytes() for path in learnt.iterdir()} == before
    assert not Path("new").exists()


@pytest.mark.parametrize(("x", "header", "words"), [
    (people(1, 0), NAMES, "1 sample(s) while a minimum of 2 is required"),
    (np.ones((9, 3)), NAMES, "every column is constant"),
])  # fmt: skip
def test_tables_that_teach_nothing(
    x: np.ndarray, header: str, words: str, here: Path, capsys: Output
) -> None:
    write("bad.csv", x, header)
    assert main(["outliers", "--data", "bad.csv", "--no-index", "--out", "new"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("tinyae: bad.csv: ") and words in err and err.count("\n") == 1
    assert not Path("new").exists()


@pytest.mark.parametrize(("header", "columns", "words"), [
    ("height,weight,shoe", 3, "bad.csv: .* unseen at fit time: - shoe .*now missing: - age"),
    ("weight,height,age", 3, "bad.csv: .* must be in the same order as they were in fit"),
    ("height,weight", 2, "bad.csv: .* now missing: - age"),
])  # fmt: skip
def test_new_rows_of_another_table(
    header: str, columns: int, words: str, learnt: Path, capsys: Output
) -> None:
    import re

    write("bad.csv", people(9, 1)[:, :columns], header)
    assert main(["outliers", "run", "--new", "bad.csv"]) == 2
    err = capsys.readouterr().err
    assert re.search(words, err) and err.count("\n") == 1
    assert not list(learnt.glob("*bad*"))


def test_the_data_are_never_written_over(learnt: Path, capsys: Output) -> None:
    before = (learnt / "outliers.csv").read_bytes()
    options = ["--drop", "reason_1", "--drop", "reason_2", "--drop", "reason_3", *SMALL]
    argv = ["outliers", "--data", "run/outliers.csv", *options, "--out", "run"]
    assert main(argv) == 2
    assert (learnt / "outliers.csv").read_bytes() == before
    (learnt / "outliers.npz").unlink()
    assert main(argv) == 2
    assert "is the file that is read" in capsys.readouterr().err
    assert (learnt / "outliers.csv").read_bytes() == before


@pytest.mark.parametrize("text", ["{", "[]", '{"outliers": {}}', '{"outliers": 1, "data": [1]}'])
def test_damaged_settings_are_one_line(text: str, learnt: Path, capsys: Output) -> None:
    (learnt / "outliers.json").write_text(text)
    assert main(["outliers", "run", "--new", "people.csv"]) in (1, 2)
    err = capsys.readouterr().err
    assert "run" in err and err.count("\n") == 1
