"""A table with text and empty cells through every command, and back as the table that it was."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.data.datasets import load_dataset
from tinyae.data.pca import fit_pca

SMALL = ["--code", "2", "--hidden", "8", "--epochs", "4", "--random-state", "0"]
Output = pytest.CaptureFixture[str]


def write(path: str, n: int, seed: int, **changed: Any) -> list[dict[str, Any]]:
    """n rows: an identifier, two numbers, two categories, a date; every seventh cell is empty."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        k = int(rng.integers(3))
        row = {
            "id": f"row {seed}-{i}", "size": f"{2 * k + rng.normal(0, 0.3):.4f}",
            "colour": ["red", "green", "blue"][k], "weight": f"{rng.normal():.4f}",
            "kind": "a" if k else "b", "day": f"2020-01-{1 + i % 28:02d}",
        }  # fmt: skip
        if i % 7 == 0:
            row[["size", "colour", "kind"][i // 7 % 3]] = ""
        rows.append({**row, **changed})
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return rows


def read(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output,
    caplog: pytest.LogCaptureFixture,
) -> str:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write("data.csv", 120, 0)
    write("new.csv", 30, 1)
    assert main(["train", "--data", "data.csv", *SMALL, "--out", "run"]) == 0
    out, err = capsys.readouterr()
    assert "missing" in err and "test" in out
    assert "Squared errors of epochs are of the columns of numbers" in out
    assert "'id' is left out: its text identifies rows" in caplog.text
    assert "'day' is left out" in caplog.text
    return "run"


def test_the_report_tells_of_categories(run: str) -> None:
    report = Path("run/report.md").read_text()
    assert report.startswith("# data.csv: 2 numbers for 4 columns\n")
    assert "| missing | allow |" in report and "| size |" in report and "colour=" not in report
    assert "| colour | 3 |" in report and "| kind | 2 |" in report
    config = json.loads(Path("run/config.json").read_text())
    assert config["columns"] == ["size", "weight", "colour=blue", "colour=green", "colour=red",
                                 "kind=a", "kind=b"]  # fmt: skip


def test_every_squared_error_is_that_of_score(run: str, capsys: Output) -> None:
    """Of the values that a row has, summed, and the mean over rows; beside PCA's, worked here."""
    dataset, ae = load_dataset("data.csv"), Autoencoder.load("run/model.npz")
    train, test = np.asarray(dataset.train), np.asarray(dataset.test)
    assert ae.scaling_ is not None and np.isnan(test).any()
    assert main(["evaluate", run]) == 0
    assert "; missing values count as none; of scaled" in capsys.readouterr().out
    assert main(["evaluate", run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["squared_error"] == pytest.approx(-ae.score(test), rel=1e-9)
    in_units = np.nansum((ae.reconstruct(test) - test) ** 2, axis=1).mean()
    assert found["raw_squared_error"] == pytest.approx(in_units, rel=1e-4)
    x, new = (ae.scaling_.apply(rows) for rows in (train, test))
    mean = np.nanmean(x, axis=0)
    axes = np.linalg.svd(np.nan_to_num(x - mean))[2][:2]
    rest = np.nan_to_num(new - mean) @ axes.T @ axes + mean - new
    by_hand = np.nansum(rest**2, axis=1).mean()
    assert found["pca_squared_error"] == pytest.approx(by_hand, rel=1e-9)
    assert fit_pca(x, 2).squared_error(new) == pytest.approx(by_hand, rel=1e-9)
    report = Path("run/report.md").read_text()
    size = np.sqrt(np.nanmean((ae.reconstruct(test) - test)[:, 0] ** 2))
    assert f"| size | {np.nanstd(train[:, 0]):.4g} | {size:.4g} |" in report


def test_another_table_is_read_by_what_was_learnt(
    run: str, capsys: Output, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    assert main(["evaluate", run]) == 0
    assert not caplog.text  # what was left out of its own data has been said
    for argv in (["evaluate", run, "--data", "new.csv"],
                 ["encode", run, "--data", "new.csv", "--out", "z.csv"],
                 ["decode", run, "--codes", "z.csv", "--out", "d.csv"],
                 ["reconstruct", run, "--data", "new.csv", "--part", "all", "--out", "r.csv"],
                 ["reconstruct", run, "--out", "r.png"],
                 ["sample", run, "-n", "3", "--npy", "s.npy", "--out", "s.png"]):  # fmt: skip
        assert main(argv) == 0, capsys.readouterr().err
    decoded, rebuilt = read("d.csv"), read("r.csv")
    assert decoded == rebuilt and [*decoded[0]] == ["size", "colour", "weight", "kind"]
    assert {row["colour"] for row in decoded} <= {"red", "green", "blue"}
    assert {row["kind"] for row in decoded} <= {"a", "b"} and len(decoded) == 30
    assert np.load("s.npy").shape == (3, 7)
    assert main(["sample", run, "-n", "5", "--npy", "s.csv", "--out", "s.png"]) == 0
    made = read("s.csv")
    Path("s.png").unlink()
    assert main(["sample", run, "-n", "5", "--out", "alone.csv"]) == 0
    assert read("alone.csv") == made and not Path(run, "samples.png").exists()
    assert len(made) == 5 and {row["colour"] for row in made} <= {"red", "green", "blue"}


def test_imputation_fills_the_holes_alone(run: str, capsys: Output) -> None:
    assert main(["impute", run, "--data", "new.csv", "--out", "full.csv"]) == 0
    out = capsys.readouterr().out
    assert "full.csv: 30 samples of 4 columns" in out
    assert "full.csv is without 'id', 'day', which training left out; impute of a DataFrame" in out
    holes = 0
    for before, after in zip(read("new.csv"), read("full.csv"), strict=True):
        for name, cell in after.items():
            assert cell != ""
            if before[name] == "":
                holes += 1
            elif name in ("colour", "kind"):
                assert cell == before[name]
            else:
                assert float(cell) == float(before[name])
                assert len(cell) <= len(before[name])  # 0.1, not 0.10000000000000001
    assert holes == 5


@pytest.mark.parametrize("label", ["kind", "group"])
def test_a_label_and_what_was_dropped_may_be_in_new_data_or_not(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("data.csv", "both.csv", "none.csv")):
        rows = write(name, 40, i, colour="red")
        left = ["kind", "group"] if i == 2 else []
        for k, row in enumerate(rows):
            row.update(group=k % 3, kind=row["kind"] or "a")
            row["colour"] = "ab"[k % 2]
            for column in ("id", "day", *left):
                del row[column]
        with open(name, "w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    other = "kind" if label == "group" else "group"
    argv = ["train", "--data", "data.csv", "--label", label, "--drop", other, *SMALL]
    assert main([*argv, "--out", "run"]) == 0
    argv = ["outliers", "--data", "data.csv", "--label", label, "--drop", other]
    assert main([*argv, "--members", "9", "--out", "odd"]) == 0
    codes = []
    for name in ("both.csv", "none.csv"):
        for command in (["encode"], ["impute"], ["reconstruct", "--part", "all"]):
            argv = [*command, "run", "--data", name, "--out", f"{command[0]}-{name}", "--force"]
            assert main(argv) == 0, capsys.readouterr().err
        assert main(["evaluate", "run", "--data", name]) == 0
        assert main(["outliers", "odd", "--new", name]) == 0, capsys.readouterr().err
        codes.append(read(f"encode-{name}"))
    argv = ["encode", "run", "--data", "both.csv", "--label", label, "--drop", other]
    assert main([*argv, "--out", "named.csv"]) == 0
    assert codes[0] == read("named.csv") and len(codes[1]) == 40


def test_where_the_code_is_no_shorter_than_a_row_fewer_numbers_are_advised(
    run: str, capsys: Output
) -> None:
    argv = ["train", "--data", "data.csv", *SMALL, "--initializer", "he"]
    for code, advice in (("7", "hold all 7 features; --code sets fewer"), ("6", "see --epochs")):
        assert main([*argv, "--code", code, "--out", f"run{code}"]) == 0
        assert advice in capsys.readouterr().out


def test_tables_that_do_not_fit(run: str, capsys: Output, caplog: pytest.LogCaptureFixture) -> None:
    write("unseen.csv", 10, 2, colour="violet")
    assert main(["encode", run, "--data", "unseen.csv", "--out", "z.csv"]) == 0
    assert "'colour'" in caplog.text and "'violet'" in caplog.text
    Path("other.csv").write_text("size,colour\n1,red\n2,blue\n3,red\n")
    assert main(["encode", run, "--data", "other.csv", "--out", "z.csv"]) == 2
    assert "missing 'weight', 'kind'" in capsys.readouterr().err
    assert main(["decode", run, "--codes", "new.csv", "--out", "d.csv"]) == 2
    assert "expected numbers, got a table with text" in capsys.readouterr().err


def test_few_columns_have_a_short_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    for n, code in ((3, 2), (21, 5), (64, 32)):
        np.save("x.npy", np.random.default_rng(0).random((30, n)))
        argv = ["train", "--data", "x.npy", "--hidden", "8", "--epochs", "1", "--out", str(n)]
        assert main(argv) == 0
        assert json.loads(Path(f"{n}/config.json").read_text())["model"]["code"] == code
        assert (f"code {code}: a quarter of {n} features" in capsys.readouterr().err) == (n < 64)
    assert main([*argv[:-1], "given", "--code", "3"]) == 0
    assert json.loads(Path("given/config.json").read_text())["model"]["code"] == 3
    assert main([*argv[:-1], "given", "--resume"]) == 0  # goes on with the code that it has


def test_a_run_without_holes_says_what_a_table_with_them_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    write("data.csv", 60, 0, kind="b", size="1.5", colour="red")
    text = Path("data.csv").read_text().replace("row 0-1,1.5,red", "row 0-1,2.5,blue")
    Path("data.csv").write_text(text.replace("row 0-2,1.5,red", "row 0-2,1.5,blue"))
    assert (
        main(["train", "--data", "data.csv", *SMALL, "--missing", "error", "--out", "whole"]) == 0
    )
    Path("holed.csv").write_text(text.replace("row 0-7,1.5", "row 0-7,"))
    Path("unseen.csv").write_text(text.replace("row 0-7,1.5,red", "row 0-7,1.5,violet"))
    for source, column in (("holed.csv", "size"), ("unseen.csv", "colour=")):
        for command in (
            ["evaluate"],
            ["encode", "--out", "z.npy"],
            ["impute", "--out", "z.npy"],
            ["reconstruct", "--out", "z.npy"],
            ["sample", "--out", "z.png"],
        ):
            capsys.readouterr()
            assert main([command[0], "whole", *command[1:], "--data", source]) == 2
            err = capsys.readouterr().err.splitlines()[-1]
            assert source in err and f"column '{column}" in err and "--missing allow" in err


@pytest.mark.parametrize("words", [False, True])
def test_a_new_table_of_one_row_may_have_holes(
    words: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["size", "colour", "weight", "kind"] if words else ["size", "weight"]
    rows = [[row[name] for name in names] for row in write("data.csv", 120, 0)]
    Path("data.csv").write_text("\n".join(map(",".join, [names, *rows])))
    assert main(["train", "--data", "data.csv", *SMALL, "--out", "run"]) == 0
    assert main(["outliers", "--data", "data.csv", "--members", "9", "--out", "o"]) == 0
    hole = ["0.5" if name == "weight" else "" for name in names]
    Path("one.csv").write_text("\n".join(map(",".join, [names, hole])))
    for argv in (["evaluate", "run"], ["encode", "run", "--out", "z.csv"],
                 ["impute", "run", "--out", "f.csv"]):  # fmt: skip
        assert main([*argv, "--data", "one.csv"]) == 0, capsys.readouterr().err
    (full,) = read("f.csv")
    assert "" not in full.values() and float(full["weight"]) == 0.5
    assert main(["outliers", "o", "--new", "one.csv"]) == 0, capsys.readouterr().err


def test_imputation_says_that_rare_levels_are_pooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    write("data.csv", 600, 0)
    text = Path("data.csv").read_text()
    Path("data.csv").write_text(text.replace(",red,", ",mauve,", 2))
    assert main(["train", "--data", "data.csv", *SMALL, "--out", "run"]) == 0
    assert main(["impute", "run", "--out", "full.csv"]) == 0
    assert "column 'colour': 2 rare levels are '(other)' in full.csv" in capsys.readouterr().out
    assert sum(row["colour"] == "(other)" for row in read("full.csv")) >= 2


def test_only_held_out_rows_have_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """Found before training, not after it."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(40, 3))
    np.savez("parts.npz", x_train=x, x_test=np.where(x > 1, np.nan, x))
    assert main(["train", "--data", "parts.npz", *SMALL, "--out", "run"]) == 0
    assert json.loads(Path("run/config.json").read_text())["model"]["missing"] == "allow"
    argv = ["train", "--data", "parts.npz", *SMALL, "--missing", "error", "--out", "other"]
    capsys.readouterr()
    assert main(argv) == 2
    assert "contains NaN" in capsys.readouterr().err and not Path("other/model.npz").exists()


def test_outliers_of_such_a_table(run: str, capsys: Output) -> None:
    assert main(["outliers", "--data", "data.csv", "--members", "20", "--out", "o"]) == 0
    assert len(read("o/outliers.csv")) == 120
    write("new.csv", 30, 1, colour="red", kind="a")
    assert main(["outliers", "o", "--new", "new.csv"]) == 0
    assert len(read("o/outliers-new.csv")) == 30
    assert "moved: colour=red" in capsys.readouterr().out
