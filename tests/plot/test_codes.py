"""Codes as points: with labels of all kinds, projected, thinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plot.pictures import NEEDED, drawn
from tinyae.data.pca import plane
from tinyae.plot.codes import plot_code

pytest.importorskip("matplotlib", reason=NEEDED)


def clusters(k: int, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 3
    return np.random.default_rng(k).normal(size=(n, k)) + 6 * labels[:, None], labels


def plot_plane(codes: np.ndarray, labels: Any, path: Path) -> None:
    """Codes of any number of units, as ``tinyae train`` draws them."""
    points, titles = plane(codes)
    plot_code(points, labels, path, titles=titles)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("with_labels", [True, False])
def test_code(k: int, with_labels: bool, tmp_path: Path) -> None:
    codes, labels = clusters(k)
    pixels = drawn(tmp_path, plot_plane, codes, labels if with_labels else None)
    assert pixels.shape == (520, 680, 3)
    hues = {tuple(np.argsort(rgb)) for rgb in pixels[np.ptp(pixels.astype(int), axis=2) > 90]}
    assert len(hues) >= (3 if with_labels else 1)  # tab10: blue, orange, green


def test_code_shows_names(tmp_path: Path) -> None:
    codes, labels = clusters(2)
    names = ["_plain", "$x^{$", "a name that leaves room for points " * 9]  # none is markup
    for z in (codes[:, :1], codes):
        plain = drawn(tmp_path, plot_code, z, labels)
        assert not np.array_equal(plain, drawn(tmp_path, plot_code, z, labels, label_names=names))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    "labels",
    [
        np.linspace(-1, 1, 90),
        np.arange(90, dtype=np.uint8),
        np.array([f"s{i}" for i in range(90)]),
        np.array(["cat", "dog"] * 45),
        np.arange(90) % 20,
        np.arange(90) % 2 == 0,
        [0.5] * 90,
    ],
    ids=lambda labels: f"{np.asarray(labels).dtype}-{len(set(np.asarray(labels).tolist()))}",
)
def test_code_with_labels_of_all_kinds(k: int, labels: Any, tmp_path: Path) -> None:
    drawn(tmp_path, plot_plane, clusters(k)[0], labels)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("labels", [None, [4]])
def test_code_of_one_sample(k: int, labels: list[int] | None, tmp_path: Path) -> None:
    drawn(tmp_path, plot_plane, np.ones((1, k)), labels)


@pytest.mark.parametrize("jitter", [0.0, 2e-16])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_code_that_does_not_vary(k: int, jitter: float, tmp_path: Path) -> None:
    drawn(tmp_path, plot_plane, np.ones((6, k)) + jitter * np.arange(6)[:, None], None)


def test_code_of_many_samples_is_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    monkeypatch.setattr("tinyae.plot.codes.MAX_POINTS", 40)
    few = drawn(tmp_path, plot_code, codes, np.arange(20_000) // 1000)
    monkeypatch.undo()
    all_points = drawn(tmp_path, plot_code, codes, np.arange(20_000) // 1000)
    assert (all_points != 255).sum() > 3 * (few != 255).sum()


def test_code_refuses_bad_input(tmp_path: Path) -> None:
    path, (codes, labels) = tmp_path / "c.png", clusters(2)
    bad = codes.copy()
    bad[3, 1] = np.inf
    cases: list[tuple[Any, Any, Any, str]] = [
        (bad, labels, None, "codes must be finite, got NaN or infinity"),
        (codes[:, 0], labels, None, "Expected 2D array codes"),
        (clusters(3)[0], labels, None, "codes must have 1 or 2 columns, got 3"),
        (codes, labels[:-1], None, r"labels must have shape \(90,\), one for each .* got \(89,\)"),
        (codes, np.where(labels == 1, np.nan, 0.0), None, "labels must be finite"),
        (codes, labels, ["a", "b"], r"label_names has 2 names, labels are \[0, 1, 2\]"),
        (codes, labels - 1, ["a", "b", "c"], r"label_names has 3 names, labels are \[-1, 0, 1\]"),
        (codes, labels / 2, ["a", "b"], "label_names has 2 names"),
    ]
    for *arguments, names, message in cases:
        with pytest.raises(ValueError, match=message):
            plot_code(*arguments, path, label_names=names)
    assert list(tmp_path.iterdir()) == []
