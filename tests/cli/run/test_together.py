"""Commands whose rows several processes divide: the figures and files of one process."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parallel.launching import needs_mpi, run
from tinyae import Autoencoder
from tinyae.cli.main import main

EPS = float(np.finfo(np.float64).eps)


def tinyae(size: int, *arguments: Any) -> subprocess.CompletedProcess[str]:
    done = run(size, "-m", "tinyae", *arguments)
    assert done.returncode == 0, done.stderr
    return done


@needs_mpi
def test_evaluate_divides_the_rows(tmp_path: Path) -> None:
    """Of the net sums of so many batches, whatever the ranks: each mean has a few roundings. PCA's
    are sums over all rows in another order. A unit at work in the last rows alone is not dead."""
    rows = np.random.default_rng(0).random((1500, 6)).astype(np.float32)
    rows[:, 0] = np.arange(1500) >= 1400
    rows[::7, 3] = np.nan
    np.save(tmp_path / "rows.npy", rows)
    for rank, part in enumerate((rows[:400], rows[400:])):
        np.save(tmp_path / f"part-{rank}.npy", part)
    folder = tmp_path / "run"
    options = ("--hidden", "8", "--code", "2", "--epochs", "1", "--activation", "relu")
    given = ("--data", str(tmp_path / "rows.npy"), *options, "--backend", "numpy")
    assert main(["train", *given, "--out", str(folder)]) == 0
    ae = Autoencoder.load(folder / "model.npz")
    values = ae.parameters()
    values["encoder.0.weight"][:, :3] = 0
    values["encoder.0.weight"][0, 2] = 1
    values["encoder.0.bias"][:3] = -0.5  # dead, but the third, which reads the first column
    ae.set_parameters(values).save(folder / "model.npz")
    dead = ae.zero_units(rows)["encoder.0"]
    assert ae.zero_units(rows[:1400])["encoder.0"] == dead + 1
    evaluate = "evaluate", folder, "--json", "--backend", "numpy"
    whole, part = (("--data", tmp_path / name) for name in ("rows.npy", "part-{rank}.npy"))
    # 1,500 rows are three batches: of 5 ranks the first has none
    one, two, five = said = [tinyae(size, *evaluate) for size in (1, 2, 5)]
    said += [tinyae(2, *evaluate, *whole), tinyae(2, *evaluate, *part)]
    assert tinyae(2, *evaluate).stdout == two.stdout
    parted = tmp_path / "parted"
    tinyae(2, "train", *part, *options, "--backend", "numpy", "--out", parted)
    alone = run(1, "-m", "tinyae", "evaluate", parted)
    assert alone.returncode == 2 and "'mpirun -n N tinyae evaluate RUN' reads" in alone.stderr
    given = "--data", tmp_path / "part-1.npy"
    said_alone = tinyae(1, "evaluate", parted, *given).stderr
    assert "no PCA to compare with: the training data lie on the ranks: " in said_alone
    assert "PCA 2" in tinyae(2, "evaluate", parted, *given).stdout
    for done, expected, error in (
        (two, one, 8 * EPS),
        (five, one, 8 * EPS),
        (said[4], said[3], 1e-5),  # batches of other rows: outputs of the net in float32
    ):
        here, there = (json.loads(found.stdout) for found in (done, expected))
        assert here["squared_error"] == pytest.approx(there["squared_error"], rel=error)
        assert here["pca_squared_error"] == pytest.approx(
            there["pca_squared_error"], rel=len(rows) * EPS
        )
        assert here["samples"] == there["samples"] == (1500 if done is said[4] else 150)
    for done in said:
        text = f"units that are 0 for all training samples: {dead} of the 8 of encoder.0"
        assert done.stderr.count(text) == 1


@needs_mpi
def test_outliers_are_those_of_one_process(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2500, 3)) @ rng.normal(size=(3, 3))
    rows[::500] *= 5
    np.save(tmp_path / "rows.npy", rows)
    for rank, part in enumerate((rows[:1000], rows[1000:])):
        np.save(tmp_path / f"part-{rank}.npy", part)
    learn = "--top", "50", "--json", "--members", "20"
    found = {}
    for size, name in ((1, "rows"), (2, "rows"), (2, "part-{rank}")):
        out, data = tmp_path / f"{size}-{name[:4]}", tmp_path / f"{name}.npy"
        done = tinyae(size, "outliers", "--data", data, "--new", data, *learn, "--out", out)
        found[out.name] = [
            {name: value for name, value in judged.items() if name != "data"}
            for judged in json.loads(done.stdout)["judged"]
        ]
    one, two, parts = found
    assert found[one][0]["outliers"] > 5
    assert found[one][1]["rows"] == 2500
    assert found[parts] == found[two] == found[one]
    for name in ("outliers.csv", "outliers.npz", "outliers-rows.csv"):
        files = [(tmp_path / out / name) for out in (one, two, parts)]
        if name == "outliers-rows.csv":
            files[2] = tmp_path / parts / "outliers-part-all.csv"
        expected, *others = [file.read_bytes() for file in files]
        assert others == [expected, expected]
    again = run(2, "-m", "tinyae", "outliers", "--data", data, "--out", tmp_path / two)
    assert again.returncode == 2
    assert again.stderr.count("holds outliers already") == 1
