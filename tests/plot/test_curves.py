"""Curves of a training: that they are there, whatever the training gave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.plot.pictures import NEEDED, drawn, images, read, shows
from tinyae.plot.codes import plot_code
from tinyae.plot.curves import plot_loss
from tinyae.plot.grids import plot_reconstructions

pytest.importorskip("matplotlib", reason=NEEDED)


HISTORY = {
    "loss": [9.0, 5.0, 4.0],
    "squared_error": [90.0, 9.0, 0.9],
    "val_loss": [9.5, 6.0, 5.0],
    "val_squared_error": [91.0, 12.0, 3.0],
    "learning_rate": [1e-3, 1e-3, 1e-3],
    "seconds": [1.0, 1.0, 1.0],
}


def test_loss_draws_both_curves_in_both_panels(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, plot_loss, HISTORY)
    assert pixels.shape == (360, 940, 3)
    for half in (pixels[:, :470], pixels[:, 470:]):
        assert shows(half, "#1f5fa8")
        assert shows(half, "#d9822b")


def test_loss_without_validation_or_squared_error(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, plot_loss, {"loss": [3.0]})
    assert pixels.shape == (360, 470, 3)
    assert shows(pixels, "#1f5fa8")
    assert not shows(pixels, "#d9822b")


@pytest.mark.parametrize(
    "loss", [[np.nan, np.nan], [1.0, np.inf, np.nan], [0.0, -100.0], [1e-12, 1e12], [2.0] * 300]
)
def test_loss_draws_whatever_a_training_gave(loss: list[float], tmp_path: Path) -> None:
    drawn(tmp_path, plot_loss, {"loss": loss, "val_loss": []})


def test_same_input_same_bytes_and_other_input_other_bytes(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    plot_loss(HISTORY, a)
    plot_loss(HISTORY, str(b))
    plot_loss(HISTORY | {"val_loss": [9.5, 6.0, 5.5]}, c)
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


def test_loss_refuses_bad_histories(tmp_path: Path) -> None:
    path = tmp_path / "loss.png"
    with pytest.raises(ValueError, match=r"history must hold \"loss\".*it has \['seconds'\]"):
        plot_loss({"seconds": [1.0]}, path)
    with pytest.raises(ValueError, match=r"history\['val_loss'\] must have shape \(2,\), got \(1,"):
        plot_loss({"loss": [2.0, 1.0], "val_loss": [1.0]}, path)
    assert list(tmp_path.iterdir()) == []


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path must end in \.png, got 'loss\.pdf'"):
        plot_loss(HISTORY, "loss.pdf")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        plot_loss(HISTORY, tmp_path / "nowhere" / "loss.png")


def test_says_what_is_missing_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    x = images(2, 2, 2)
    for draw in (
        lambda path: plot_loss(HISTORY, path),
        lambda path: plot_reconstructions(x, x, (2, 2), path),
        lambda path: plot_code(x[:, :2], None, path),
    ):
        with pytest.raises(ImportError) as caught:
            draw(tmp_path / "x.png")
        assert str(caught.value) == NEEDED
    assert list(tmp_path.iterdir()) == []


def test_leaves_matplotlib_alone(tmp_path: Path) -> None:
    """In a fresh process: not loaded on import, no pyplot and no changed setting after drawing."""
    program = (
        "import sys, tinyae.plot.curves as p\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"  # dict() would look for a window system
        "p.plot_loss({'loss': [2.0, 1.0]}, sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "x.png"], check=True)
    read(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["nonsense", "module://nowhere", "", "svg"])
def test_draws_whatever_window_system_is_chosen(tmp_path: Path, name: str) -> None:
    """And leaves the choice to who draws in windows."""
    program = (
        "import os, sys, tinyae.plot.curves as p\n"
        "p.plot_loss({'loss': [2.0, 1.0]}, sys.argv[1])\n"
        "assert os.environ['MPLBACKEND'] == sys.argv[2]\n"
        "import matplotlib\n"
        "chosen = matplotlib.rcParams._get_backend_or_none()\n"
        "assert chosen == (sys.argv[2] if sys.argv[2] in ('module://nowhere', 'svg') else None)\n"
    )
    environment = {**os.environ, "MPLBACKEND": name}
    argv = [sys.executable, "-c", program, tmp_path / "x.png", name]
    subprocess.run(argv, check=True, env=environment)
    read(tmp_path / "x.png")
