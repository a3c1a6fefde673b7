"""The pictures of a run, looked at pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.reports import style
from benchmarks.reports.plots import draw_all, draw_selection
from tests.benchmarks.made_results import only, with_tf32
from tests.plot.pictures import shows

NAMES = ("roofline", "sizes", "ladder", "split", "step", "epoch")


def look(path: Path) -> np.ndarray:
    """The picture as uint8 (height, width, 3): not blank, and nothing cut off at its edges."""
    from matplotlib.image import imread

    pixels = (np.asarray(imread(path))[:, :, :3] * 255 + 0.5).astype(np.uint8)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()
    return pixels


def test_all_pictures_are_drawn_and_show_the_contestants(
    results: dict[str, Any], tmp_path: Path
) -> None:
    """A selection's picture is the one of the same rows among all pictures."""
    said: list[str] = []
    made = draw_all(results, tmp_path, said.append)
    assert [path.name for path in made] == [f"bench-{name}-cpu.png" for name in NAMES]
    assert sorted(tmp_path.iterdir()) == sorted(made) and said == []
    pixels = {name: look(path) for name, path in zip(NAMES, made, strict=True)}
    for name, picture in pixels.items():
        assert shows(picture, "#56b4e9" if name == "split" else style.KNOWN["numba"]) > 50, name
    selection = tmp_path / "selection.png"
    for name, suite in (("sizes", "kernel"), ("ladder", "ladder"), ("split", "step")):
        draw_selection(only(results, suite), selection)
        np.testing.assert_array_equal(look(selection), pixels[name])
    few = [each for each in results["rows"] if each["size"] == 512 or each["op"] == "adam"]
    draw_selection(results | {"rows": few}, selection)
    assert shows(look(selection), style.KNOWN["numba"]) > 50


def test_bars_are_as_long_as_their_values(results: dict[str, Any], tmp_path: Path) -> None:
    """90 GFLOP/s of BLAS beside 70 of numba, from zero on."""
    draw_selection(only(results, "ladder"), tmp_path / "bars.png")
    pixels = look(tmp_path / "bars.png")
    numba, blas = (max(shows(line[None], style.KNOWN[name]) for line in pixels)
                   for name in ("numba", "blas"))  # fmt: skip
    assert numba / blas == pytest.approx(70 / 90, rel=0.01)


def test_what_cannot_be_drawn_is_left_out_and_said(results: dict[str, Any], tmp_path: Path) -> None:
    results["rows"] = [each for each in results["rows"] if each["op"] in ("random_bits", "naive")]
    said: list[str] = []
    made = draw_all(results, tmp_path, said.append)
    assert [path.name for path in made] == ["bench-ladder-cpu.png"]
    assert len(said) == 5
    assert "no picture bench-split-cpu.png: no step was split by op" in said
    with pytest.raises(ValueError, match="nothing to draw: no row of the results has a time"):
        draw_selection(results | {"rows": []}, tmp_path / "none.png")
    assert [path.name for path in tmp_path.iterdir()] == ["bench-ladder-cpu.png"]


def test_a_gpu_has_pictures_of_its_own(results: dict[str, Any], tmp_path: Path) -> None:
    made = draw_all(with_tf32(results), tmp_path)
    assert [path.name for path in made] == [f"bench-{name}-gpu.png" for name in NAMES]
    pixels = [look(path) for path in made]
    assert shows(pixels[0], style.KNOWN["cublas-tf32"]) > 10
    assert shows(pixels[1], style.KNOWN["cupy"]) > 50
