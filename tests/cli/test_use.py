"""Names in what a table's run writes: of the code's units, and of the table's columns."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli import train
from tinyae.cli.main import main
from tinyae.data.datasets import load_dataset

NAMES = ["width, cm", "7", 'a "b"', "ä"]
SMALL = ["--hidden", "6", "--code", "2", "--epochs", "1", "--backend", "numpy"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "can_draw", lambda: False)  # pictures are not what is tested here


def write(path: str, names: list[str] | None) -> str:
    rows = np.random.default_rng(0).random((30, 4)).round(4).tolist()
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*([names] if names else []), *rows])
    return path


def read(path: str) -> tuple[list[str], np.ndarray]:
    with open(path, encoding="utf-8", newline="") as file:
        first, *rest = csv.reader(file)
    return first, np.array(rest, np.float32)


def test_a_table_with_names_gives_tables_with_names() -> None:
    write("t.csv", NAMES)
    assert main(["train", "--data", "t.csv", *SMALL, "--out", "run"]) == 0
    ae, table = Autoencoder.load("run/model.npz"), load_dataset("t.csv", test_fraction=0).train
    np.save("plain.npy", np.asarray(table))
    for data in ([], ["--data", "t.csv"], ["--data", "plain.npy"]):  # all in the source's order
        assert main(["encode", "run", *data, "--out", "z.csv"]) == 0
        names, codes = read("z.csv")
        assert names == ae.get_feature_names_out().tolist()
        np.testing.assert_array_equal(codes, ae.encode(table))
        assert main(["reconstruct", "run", *data, "--part", "all", "--out", "r.csv"]) == 0
        assert main(["decode", "run", "--codes", "z.csv", "--out", "x.csv"]) == 0
        for path in ("r.csv", "x.csv"):
            names, samples = read(path)
            assert names == NAMES
            np.testing.assert_array_equal(samples, ae.reconstruct(table))
            assert load_dataset(path).columns == tuple(NAMES)
    assert main(["evaluate", "run", "--data", "r.csv"]) == 0


def test_without_names_there_is_no_first_line_of_names() -> None:
    write("t.csv", None)
    assert main(["train", "--data", "t.csv", *SMALL, "--out", "run"]) == 0
    for command in (["encode", "run"], ["reconstruct", "run", "--part", "all"]):
        assert main([*command, "--out", "z.csv"]) == 0
        assert len(np.loadtxt("z.csv", delimiter=",")) == 30
    assert main(["decode", "run", "--codes", "z.csv", "--out", "x.csv"]) == 2  # 4, not 2, columns
