"""``report.md`` and ``columns.png``: what they say of a table's columns is so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli import train
from tinyae.cli.main import main
from tinyae.cli.output import to_draw
from tinyae.data.datasets import load_dataset
from tinyae.plot.columns import plot_column_errors

SMALL = ["--hidden", "6", "--code", "2", "--epochs", "3", "--backend", "numpy"]
NAMES = ["height", "a|b", "deviation in mm", "x"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(50, 4)) * [1, 1000, 0.01, 5] + [180, 0, 0, 3]
    lines = [",".join(NAMES), *(",".join(map(repr, row)) for row in X.tolist())]
    Path("t.csv").write_text("\n".join(lines))
    np.savetxt("plain.csv", X, delimiter=",")
    np.save("t.npy", X)


def table(text: str) -> dict[str, list[float]]:
    """The lines by column: standard deviation, error, PCA, and both in standard deviations."""
    lines = text.split("PCA / sd |\n")[1].split("\n\n", maxsplit=1)[0].splitlines()[1:]
    found = {}
    for line in lines:
        name, *values = line.replace("\\|", "\0").strip("| ").split(" | ")
        found[name.replace("\0", "|")] = [*map(float, values)]
    return found


@pytest.mark.parametrize("scale", ["standard", "robust", "none"])
def test_errors_by_column(scale: str) -> None:
    assert main(["train", "--data", "t.csv", *SMALL, "--out", "run", "--scale", scale]) == 0
    found = table(Path("run/report.md").read_text())
    dataset, ae = load_dataset("t.csv"), Autoencoder.load("run/model.npz")
    train_rows, test = np.asarray(dataset.train), np.asarray(dataset.test)
    spread = train_rows.std(axis=0)
    rms = np.sqrt(((ae.reconstruct(test) - test) ** 2).mean(axis=0))
    center, units = (0.0, 1.0) if ae.scaling_ is None else ae.scaling_
    scaled = (train_rows - center) / units
    mean, v = scaled.mean(axis=0), np.linalg.svd(scaled - scaled.mean(axis=0))[2][:2]
    rest = (test - center) / units - mean
    pca = np.sqrt(((rest - rest @ v.T @ v) ** 2).mean(axis=0)) * units
    assert sorted(found) == sorted(NAMES)
    for i, name in enumerate(NAMES):
        expected = [spread[i], rms[i], pca[i], rms[i] / spread[i], pca[i] / spread[i]]
        np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=6e-4)
    worst = [values[3] for values in found.values()]
    assert worst == sorted(worst, reverse=True)


def test_a_column_without_test_values_has_no_error() -> None:
    tested = np.asarray(load_dataset("t.csv").test)[:, 0]
    lines = Path("t.csv").read_text().splitlines()
    for i, line in enumerate(lines[1:], start=1):
        first, rest = line.split(",", 1)
        lines[i] = ("" if float(first) in tested else first) + "," + rest
    Path("t.csv").write_text("\n".join(lines))
    assert main(["train", "--data", "t.csv", *SMALL, "--out", "run"]) == 0
    text = Path("run/report.md").read_text()
    assert sorted(table(text)) == sorted(NAMES[1:])
    assert "Columns without a value in the test rows: 1." in text


def test_pictures_are_linked_where_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    assert main(["train", "--data", "plain.csv", *SMALL, "--out", "drawn"]) == 0
    text = Path("drawn/report.md").read_text()
    for name in ("columns", "code", "reconstructions", "loss"):
        assert f"({name}.png)" in text and Path("drawn", f"{name}.png").exists()
    assert set(table(text)) == {"0", "1", "2", "3"}
    monkeypatch.setattr(train, "can_draw", lambda: False)
    assert main(["train", "--data", "t.csv", *SMALL, "--out", "not"]) == 0
    assert ".png" not in Path("not/report.md").read_text()
    assert main(["train", "--data", "t.npy", *SMALL, "--out", "array"]) == 0
    assert not Path("array/report.md").exists()


def test_bars_of_wrong_lengths(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    with pytest.raises(ValueError, match="one length, got 2, 3 and 3"):
        plot_column_errors(["a", "b"], np.ones(3), np.ones(3), tmp_path / "x.png")
    names = ["$x^{$", *(f"c{i}" * 20 for i in range(98))]  # no markup
    plot_column_errors(names, np.ones(99), np.ones(99), tmp_path / "x.png")


def test_pictures_of_a_table_are_on_one_scale() -> None:
    """In their own units one column would hide the rest; pictures of pixels stay as they are."""
    ae = Autoencoder(hidden=(3,), code=2, epochs=1, random_state=0)
    X = np.asarray(load_dataset("t.csv").train)
    ae.fit(X)
    assert ae.scaling_ is not None
    shown = to_draw(ae, X, None)
    np.testing.assert_allclose(shown.std(axis=0), 1, rtol=1e-12)
    assert to_draw(ae, X, (2, 2)) is X
    assert to_draw(ae.set_params(scale=None).fit(X), X, None) is X
