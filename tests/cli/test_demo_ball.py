"""``tinyae demo ball``: what its measures measure, and that its files say the same."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli.demo_ball import ROWS, midpoint
from tinyae.cli.main import main
from tinyae.codes.midpoints import APART, ball_pairs, centroids, connected, measure
from tinyae.data.ball import SIDE, ball_images


def test_pairs_are_apart_and_the_same_for_a_seed() -> None:
    frames = ball_pairs(300, seed=3)
    assert frames.first.shape == frames.true.shape == frames.last.shape == (300, SIDE * SIDE)
    a, b = centroids(frames.first), centroids(frames.last)
    # a ball never leaves the picture, so its centroid is its centre but for its jagged edge
    assert (np.linalg.norm(a - b, axis=1) >= APART - 0.1).all()
    np.testing.assert_allclose(centroids(frames.true), frames.centres, atol=0.05)
    np.testing.assert_allclose((a + b) / 2, frames.centres, atol=0.05)
    np.testing.assert_array_equal(ball_pairs(20, seed=3).last, frames.last[:20])
    assert not np.array_equal(ball_pairs(20, seed=4).last, frames.last[:20])


def test_the_truth_is_perfect_and_the_blend_is_two_ghosts() -> None:
    frames = ball_pairs(200, seed=0)
    assert asdict(measure(frames.true, frames)) == {
        "within_1px": 1.0, "error_ratio": 0.0, "area_ok": 1.0,
    }  # fmt: skip
    blend = measure(frames.blend, frames)
    assert (blend.within_1px, blend.error_ratio, blend.area_ok) == (1.0, 1.0, 0.0)


def test_what_is_counted() -> None:
    frames = ball_pairs(100, seed=1)
    beside = ball_images(np.add(frames.centres, (0.9, 0)))
    far = ball_images(np.add(frames.centres, (1.1, 0)))
    assert measure(beside, frames).within_1px == 1 and measure(far, frames).within_1px < 0.05
    larger = ball_images(frames.centres, radius=4.5)  # (4.5 / 3.5)^2 = 1.65 times the area
    assert measure(larger, frames).area_ok == 0
    twice = np.maximum(frames.true, frames.first)  # apart, or joined with more than the area
    assert measure(twice, frames).area_ok < 0.05
    assert measure(np.zeros_like(far), frames).area_ok == 0  # no ball, and no NaN
    assert measure(np.zeros_like(far), frames).within_1px == 0


@pytest.mark.parametrize(
    ("picture", "one_part"),
    [
        ("....", False),
        ("#...", True),
        ("##.#", False),
        ("#..#/#..#/####", True),  # a U: joined far from where numbering starts
        ("#.../.#../....", False),  # corners do not join
        ("####/...#/####/#.../####", True),  # a snake
        ("###/#.#/###", True),
    ],
)
def test_connected(picture: str, one_part: bool) -> None:
    mask = np.array([[pixel == "#" for pixel in row] for row in picture.split("/")])
    turned = [mask, mask[::-1], mask[:, ::-1], mask[::-1, ::-1]]
    assert connected(np.array(turned)).tolist() == [one_part] * 4
    assert connected(mask.T[None]).tolist() == [one_part]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    out = tmp_path / "ball"
    argv = ["demo", "ball", "--samples", "96", "--epochs", "2", "--pairs", "40", "--seed", "5"]
    assert main([*argv, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    result = json.loads((out / "ball.json").read_text())
    assert set(result["rows"]) == set(ROWS) and result["best"] in ROWS
    assert result["seconds"] > 0 and result["seed"] == 5
    assert (out / "ball.png").read_bytes().startswith(b"\x89PNG")
    frames = ball_pairs(40, seed=5)
    for row, figures in result["rows"].items():
        assert row in shown
        model = Autoencoder.load(out / f"{row}.npz")
        assert asdict(measure(midpoint(model, frames), frames)) == pytest.approx(figures, rel=1e-4)
    ratios = {row: figures["error_ratio"] for row, figures in result["rows"].items()}
    assert result["best"] == min(ratios, key=lambda row: ratios[row])
    assert main([*argv, "--out", str(out), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["rows"] == result["rows"]  # the same seed


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--pairs", "0"], "--pairs: must be an integer >= 1, got 0"),
        (["--samples", "-1"], "--samples: must be an integer >= 1"),
        (["--epochs", "0"], "--epochs: must be an integer >= 1"),
        (["--seed", "-1"], "--seed: invalid integer in [0, 2^64) value: '-1'"),
        (["--backend", "torch"], "backend must be 'auto' or one of"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    out = tmp_path / "none"
    assert main(["demo", "ball", "--out", str(out), *argv]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
