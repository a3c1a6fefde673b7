"""The ball data set: geometry, reproducibility, errors."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from tinyae.data.ball import HIGH, LOW, RADIUS, SIDE, ball_centres, ball_images


def test_each_pixel_follows_the_formula():
    centres = [(4.0, 23.0), (10.25, 17.5)]
    images = ball_images(centres)
    assert images.shape == (2, 784) and images.dtype == np.float32
    for (x, y), image in zip(centres, images.reshape(2, SIDE, SIDE), strict=True):
        for row in range(SIDE):
            for column in range(SIDE):
                distance = math.sqrt((column - x) ** 2 + (row - y) ** 2)
                expected = min(max(RADIUS + 0.5 - distance, 0.0), 1.0)
                assert image[row, column] == pytest.approx(expected, abs=1e-6)


def test_x_is_the_column_and_y_the_row():
    image = ball_images([(5, 20)]).reshape(SIDE, SIDE)
    assert image[20, 5] == 1
    assert image[5, 20] == 0


def test_a_disc_never_leaves_the_picture():
    corners = [(x, y) for x in (LOW, HIGH) for y in (LOW, HIGH)]
    sums = ball_images(corners).sum(axis=1)
    assert sums == pytest.approx([sums[0]] * 4, rel=1e-6)
    assert sums[0] == pytest.approx(math.pi * RADIUS**2, rel=0.02)


def test_radius_and_side_can_be_chosen():
    image = ball_images([(2, 1)], radius=1, side=5).reshape(5, 5)
    assert image[1, 2] == 1
    assert image[1, 3] == image[0, 2] == 0.5
    assert image[3].max() == 0


def test_centres_fill_their_square_evenly():
    centres = ball_centres(20_000)
    assert centres.shape == (20_000, 2) and centres.dtype == np.float64
    assert centres.min() >= LOW and centres.max() < HIGH
    counts, _, _ = np.histogram2d(*centres.T, bins=4, range=[(LOW, HIGH)] * 2)
    assert np.abs(counts / 1250 - 1).max() < 0.15  # 5 standard deviations
    assert abs(np.corrcoef(centres.T)[0, 1]) < 0.03


def test_centres_depend_on_seed_and_stream_alone():
    centres = ball_centres(100, seed=7, stream=3)
    np.testing.assert_array_equal(ball_centres(40, seed=7, stream=3), centres[:40])
    others = [dict(seed=8, stream=3), dict(seed=7, stream=4), dict(seed=7 + 2**32, stream=3)]
    for other in others:
        assert not np.isin(ball_centres(100, **other), centres).any()


def test_the_data_are_the_same_on_every_machine():
    images = ball_images(ball_centres(8))
    digest = hashlib.sha256(images.astype("<f4").tobytes()).hexdigest()
    assert digest[:16] == "5303b548283d46a2"


def test_none_are_none():
    assert ball_images(ball_centres(0)).shape == (0, 784)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n=-1), "n must not be negative, got -1"),
        (dict(n=1, seed=-1), r"seed must lie in \[0, 2\^64\), got -1"),
        (dict(n=1, seed=2**64), "seed must lie"),
        (dict(n=1, stream=2**32), r"stream must lie in \[0, 2\^32\)"),
    ],
)
def test_bad_arguments_of_centres(arguments, message):
    with pytest.raises(ValueError, match=message):
        ball_centres(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(centres=[1.0, 2.0]), r"centres must have shape \(n, 2\), got \(2,\)"),
        (dict(centres=np.zeros((4, 3))), r"got \(4, 3\)"),
        (dict(centres=[(5, 5)], radius=0), "radius must be positive, got 0"),
        (dict(centres=[(5, 5)], radius=math.nan), "radius must be positive, got nan"),
        (dict(centres=[(5, 5)], side=0), "side must be at least 1, got 0"),
    ],
)
def test_bad_arguments_of_images(arguments, message):
    with pytest.raises(ValueError, match=message):
        ball_images(**arguments)
