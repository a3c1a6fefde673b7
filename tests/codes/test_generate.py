"""Codes to decode: that grids, traversals and blends hold what they should, where they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyae.codes.generate import blend, code_grid, code_range, traversal, within_reach
from tinyae.kernels.conventions import ACTIVATION_FACTS, ACTIVATIONS
from tinyae.kernels.reference.activation import activation_forward


def codes(n: int = 500) -> np.ndarray:
    """Unit 1 skewed, unit 2 uniform."""
    rng = np.random.default_rng(0)
    return np.stack([rng.exponential(2, n), rng.random(n) - 5], axis=1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_reach_is_what_the_activation_gives(activation: str) -> None:
    x = np.concatenate([np.linspace(-50, 50, 100_001), np.linspace(-1.3, -0.7, 100_001)])
    y = np.empty_like(x)
    activation_forward(x, activation, y)
    np.testing.assert_array_equal(within_reach(y, activation), y)
    low, high, *_ = ACTIVATION_FACTS[activation]
    ends = within_reach([-1e9, 1e9], activation)
    np.testing.assert_array_equal(ends, [max(low, -1e9), min(high, 1e9)])
    # it comes near to each end, or goes on
    assert y.min() == pytest.approx(low, abs=1e-9) if np.isfinite(low) else y.min() < -0.4
    assert y.max() == pytest.approx(high, abs=1e-9) if np.isfinite(high) else y.max() == 50


def test_within_reach_keeps_shape_and_input() -> None:
    z = np.array([[-2.0, 0.5], [2.0, -0.5]])
    np.testing.assert_array_equal(within_reach(z, "tanh"), [[-1, 0.5], [1, -0.5]])
    np.testing.assert_array_equal(within_reach(z, "relu"), [[0, 0.5], [2, 0]])
    np.testing.assert_array_equal(within_reach(z, "identity"), z)
    assert z[0, 0] == -2


def test_code_range_leaves_one_percent_on_either_side() -> None:
    z = np.random.default_rng(1).permuted(np.tile(np.arange(201.0), (3, 1)), axis=1).T
    low, high = code_range(z)
    np.testing.assert_allclose(low, [2, 2, 2])
    np.testing.assert_allclose(high, [198, 198, 198])


@pytest.mark.parametrize("spacing", ["quantiles", "even"])
def test_grid_is_laid_out_as_axes_are(spacing: str) -> None:
    z = codes()
    low, high = code_range(z)
    grid = code_grid(z, 5, spacing).reshape(5, 5, 2)
    assert (grid[:, :, 0] == grid[0, :, 0]).all()  # unit 1 changes along rows alone
    assert (grid[:, :, 1] == grid[:, :1, 1]).all()
    np.testing.assert_allclose(grid[0, [0, -1], 0], [low[0], high[0]])
    np.testing.assert_allclose(grid[[-1, 0], 0, 1], [low[1], high[1]])
    assert (np.diff(grid[0, :, 0]) > 0).all() and (np.diff(grid[:, 0, 1]) < 0).all()


def test_spacings() -> None:
    z = codes(2001)
    even = code_grid(z, 9, "even").reshape(9, 9, 2)[0, :, 0]
    np.testing.assert_allclose(np.diff(even), np.diff(even)[0])
    values = code_grid(z, 9).reshape(9, 9, 2)[0, :, 0]
    between = np.histogram(z[:, 0], values)[0]
    np.testing.assert_allclose(between, 2001 * 0.98 / 8, atol=1.5)


def test_grid_of_one_lies_in_the_middle() -> None:
    z = codes()
    np.testing.assert_allclose(code_grid(z, 1), [np.median(z, axis=0)])
    np.testing.assert_allclose(code_grid(z, 1, "even"), [np.mean(code_range(z), axis=0)])


def test_grid_of_codes_that_do_not_vary() -> None:
    for spacing in ("quantiles", "even"):
        grid = code_grid(np.full((3, 2), 0.5, np.float32), 4, spacing)
        np.testing.assert_array_equal(grid, np.full((16, 2), 0.5))


@pytest.mark.parametrize(
    ("z", "arguments", "message"),
    [
        (np.zeros((4, 3)), (5,), "codes must have 2 units, to lie in a plane, got 3"),
        (np.zeros((4, 1)), (5,), "codes must have 2 units"),
        (np.zeros(4), (5,), r"codes must have shape \(n, k\), n >= 1, got \(4,\)"),
        (np.zeros((0, 2)), (5,), r"n >= 1, got \(0, 2\)"),
        (np.zeros((4, 2)), (0,), "size must be an integer >= 1, got 0"),
        (np.zeros((4, 2)), (5, "odd"), "spacing must be one of 'quantiles', 'even', got 'odd'"),
    ],
)
def test_grid_refuses(z: np.ndarray, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        code_grid(z, *arguments)


def test_traversal_changes_one_unit_at_a_time() -> None:
    code = np.array([0.3, -2.0, 7.0], np.float32)
    low, high = np.array([-1.0, -1.0, 0.0]), np.array([1.0, 3.0, 4.0])
    walk, own = traversal(code, low, high, 5)
    assert walk.shape == (3, 5, 3)
    np.testing.assert_array_equal(own, [3, 0, 4])  # outside of the range: at its end
    np.testing.assert_array_equal(walk[np.arange(3), own], np.tile(code, (3, 1)))
    for unit in range(3):
        others = np.delete(np.arange(3), unit)
        assert (walk[unit][:, others] == code[others]).all()
        expected = np.linspace(low[unit], high[unit], 5)
        expected[own[unit]] = code[unit]
        np.testing.assert_allclose(walk[unit, :, unit], expected)
        assert (np.diff(walk[unit, :, unit]) > 0).all()


def test_traversal_of_a_dead_unit_and_of_one_step() -> None:
    walk, own = traversal([2.0], [2.0], [2.0], 4)
    np.testing.assert_array_equal(walk, np.full((1, 4, 1), 2.0))
    walk, own = traversal([5.0, 1.0], [0.0, 0.0], [2.0, 2.0], 1)
    np.testing.assert_array_equal(walk, [[[5.0, 1.0]], [[5.0, 1.0]]])
    np.testing.assert_array_equal(own, [0, 0])


def test_blend() -> None:
    a, b = np.array([0.1, 4.0]), np.array([0.7, -4.0])
    way = blend(a, b, 5)
    np.testing.assert_array_equal(way[[0, -1]], [a, b])  # the very ends
    np.testing.assert_allclose(way[:, 1], [4, 2, 0, -2, -4])
    np.testing.assert_allclose(way[2], (a + b) / 2)
    with pytest.raises(ValueError, match="steps must be an integer >= 2, got 1"):
        blend(a, b, 1)
