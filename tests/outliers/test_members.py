"""Distances worked out by hand, and which rows each member has."""

from __future__ import annotations

import numpy as np
import pytest

from tinyae.data.scaling import Scaling
from tinyae.outliers.members import Members, draw, encoded, fit_members


def one(rows: list[list[float]], code: int, neighbours: int, updates: int = 0) -> Members:
    """A member of these rows, in the units that they have."""
    x = np.array(rows)
    plain = Scaling(np.zeros(x.shape[1]), np.ones(x.shape[1]))
    return fit_members(x[None], [plain], code, neighbours, updates, 1e-2)


def distances(members: Members, x: list[list[float]]) -> np.ndarray:
    return np.exp(np.concatenate([logs[0] for _, logs in members.log_distances(np.array(x))]))


def test_of_one_column_the_nearest_rows_count_but_never_the_row_itself() -> None:
    member = one([[0.0], [1.0], [3.0], [7.0]], code=1, neighbours=2)
    # from 0: 1 and 3; from 3: 1 and 0; from 4: 3 and 1 or 7
    expected = [(1 + 9) / 2, (4 + 9) / 2, (1 + 9) / 2]
    np.testing.assert_allclose(distances(member, [[0.0], [3.0], [4.0]]), expected)


def test_beside_the_code_the_residual_counts() -> None:
    # the principal direction is the diagonal; (3, 1) lies on it at (2, 2), with a residual of 2
    member = one([[0.0, 0.0], [1.0, 1.0], [4.0, 4.0]], code=1, neighbours=1)
    np.testing.assert_allclose(distances(member, [[3.0, 1.0]]), [2 + 2])
    ((squares, expected),) = member.expectations(np.array([[3.0, 1.0]]))
    np.testing.assert_allclose(squares, [4])
    np.testing.assert_allclose(expected, [[1.0, 1.0]], atol=1e-12)


@pytest.mark.parametrize("code", [1, 3, 5])
def test_residual_and_code_are_the_distance_to_what_the_nearest_codes_decode_to(code: int) -> None:
    rng = np.random.default_rng(code)
    rows, x = rng.normal(size=(30, 5)), np.concatenate([3 * rng.normal(size=(50, 5)), np.eye(5)])
    member = one(rows.tolist(), code, 5)
    ((squares, _),) = member.expectations(np.concatenate([x, rows]))
    found = distances(member, np.concatenate([x, rows]).tolist())
    np.testing.assert_allclose(found, squares, rtol=1e-8, atol=1e-8)


def test_of_trained_members_the_codes_choose_and_what_they_decode_to_counts() -> None:
    rng = np.random.default_rng(0)
    rows, x = rng.normal(size=(30, 5)), 2 * rng.normal(size=(50, 5))
    member = one(rows.tolist(), 2, 1, updates=50)
    y = x - member.center[0]
    layers = [(weight[0], bias[0]) for weight, bias in member.layers]
    apart = ((encoded(y, layers)[:, None] - member.codes[0]) ** 2).sum(axis=2)
    nearest = member.decoded(0)[apart.argmin(axis=1)]
    np.testing.assert_allclose(distances(member, x.tolist()), ((y - nearest) ** 2).sum(axis=1))
    untrained = distances(one(rows.tolist(), 2, 1), x.tolist())
    assert np.abs(distances(member, x.tolist()) / untrained - 1).max() > 0.1


def test_a_member_scales_by_its_own_units() -> None:
    rows, x = (
        np.random.default_rng(0).normal(size=(2, 20, 3)),
        np.random.default_rng(1).normal(size=(9, 3)),
    )
    scales = [Scaling(np.full(3, 5.0), np.full(3, 10.0)), Scaling(np.zeros(3), np.ones(3))]
    members = fit_members(np.stack([rows[0] * 10 + 5, rows[1]]), scales, 2, 3, 0, 1e-3)
    one_by_one = [fit_members(r[None], scales[1:], 2, 3, 0, 1e-3) for r in rows]
    ((_, logs),) = members.log_distances(x * 10 + 5)
    np.testing.assert_allclose(logs[0], distances_of(one_by_one[0], x))
    ((_, logs),) = members.log_distances(x)
    np.testing.assert_allclose(logs[1], distances_of(one_by_one[1], x))


def distances_of(members: Members, x: np.ndarray) -> np.ndarray:
    return np.log(distances(members, x.tolist()))


def test_rows_are_dealt_out() -> None:
    drawn = draw(7, 10, 6, 20)
    assert drawn.shape == (10, 6) and 0 <= drawn.min() and drawn.max() < 20
    for hand in range(0, 9, 3):  # three members have 18 of the 20 rows
        assert len(np.unique(drawn[hand : hand + 3])) == 18
    assert np.bincount(drawn.ravel()).min() >= 1
    assert not np.array_equal(drawn[0], drawn[3])
    np.testing.assert_array_equal(drawn, draw(7, 10, 6, 20))
    assert not np.array_equal(drawn, draw(8, 10, 6, 20))
