"""Pictures that are moved at random as training reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.data.rows import Rows
from tinyae.data.shifts import ShiftedRows
from tinyae.kernels.columns import get_backend
from tinyae.train.batches import Feeder

SHAPES = ((5, 4), (4, 5, 3), (1, 6), (3, 1))


def moved(picture: Any, down: int, across: int) -> Any:
    """Pixel by pixel."""
    height, width = picture.shape[:2]
    out = np.empty_like(picture)
    for i in range(height):
        for j in range(width):
            line, place = min(max(i + down, 0), height - 1), min(max(j + across, 0), width - 1)
            out[i, j] = picture[line, place]
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reach", (1, 2))
def test_each_picture_gets_one_of_the_moves(shape: tuple[int, ...], reach: int) -> None:
    """All of them occur, anew in each epoch; the same seed and epoch give the same."""
    rng, n = np.random.default_rng(0), 300
    X = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    rows = ShiftedRows(Rows(X.reshape(n, -1)), shape, reach)
    assert len(rows) == n and rows.shape == (n, X[0].size)
    seen, epochs = set(), []
    for epoch in range(3):
        rows.begin_epoch(7, epoch)
        out = np.full(rows.shape, np.nan, np.float32)
        order = rng.permutation(n)
        rows.take(order, out)
        epochs.append(out[np.argsort(order)])
        for picture, found in zip(X[order], out, strict=True):
            moves = [
                (down, across) for down in range(-reach, reach + 1)
                for across in range(-reach, reach + 1)
                if (moved(picture, down, across).ravel() * np.float32(1 / 255) == found).all()
            ]  # fmt: skip
            assert moves
            seen |= {moves[0]} if len(moves) == 1 else set()
    assert not np.array_equal(epochs[0], epochs[1])
    if min(shape[:2]) > 2 * reach:
        assert len(seen) == (2 * reach + 1) ** 2
    rows.begin_epoch(7, 1)
    np.testing.assert_array_equal(np.asarray(rows, np.float32), epochs[1])


def test_no_backend_keeps_them_where_they_do_not_move() -> None:
    """``resident`` data would be read once and never move."""
    rows = ShiftedRows(Rows(np.random.default_rng(0).random((40, 12), np.float32)), (3, 4), 1)
    for name in ("numpy", "cuda-host"):
        backend = get_backend(name)
        feeder = Feeder(backend, rows, 40, "float32", resident=True)
        assert not feeder.resident
        out = backend.empty((40, 12), "float32")
        found = []
        for epoch in range(2):
            order = feeder.order(3, epoch, shuffle=False)
            feeder.fill(order.positions(0, 40), out)
            found.append(backend.to_host(out).copy())
        assert not np.array_equal(*found)


def make(**options: Any) -> Autoencoder:
    return Autoencoder(hidden=(8,), code=3, epochs=3, batch_size=16, image_shape=(4, 4),
                       random_state=0, backend="numpy", **options)  # fmt: skip


def test_training_sees_moved_pictures_and_resumes_to_the_same_bytes(tmp_path: Any) -> None:
    X = np.random.default_rng(0).random((50, 16))
    plain, shifted = make().fit(X), make(shift=1).fit(X)
    assert plain.history_["loss"] != shifted.history_["loss"]
    file = tmp_path / "checkpoint.npz"

    def stop(progress: Any) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(shift=1).fit(X, checkpoint=file, callback=stop)
    again = make(shift=1).fit(X, checkpoint=file, resume=True)
    for name, value in shifted.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], value)


def test_backends_see_the_same_moves() -> None:
    X = np.random.default_rng(0).random((50, 16))
    losses = [make(shift=1, dtype="float64").set_params(backend=name).fit(X).history_["loss"]
              for name in ("numpy", "numba")]  # fmt: skip
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "said"),
    (
        ({"shift": 1, "image_shape": None}, "shift moves pictures and needs image_shape"),
        ({"shift": -1}, "shift must be an integer >= 0"),
        (
            {"shift": 1, "scale": "standard"},
            "shift=1 moves pictures, whose pixels are on",
        ),
    ),
)
def test_what_cannot_be_meant(options: dict[str, Any], said: str) -> None:
    X = np.random.default_rng(0).random((50, 16))
    ae = make().fit(X)
    before = ae.encode(X)
    with pytest.raises(ValueError, match=said):
        ae.set_params(**options).fit(X)
    np.testing.assert_array_equal(ae.encode(X), before)  # the net stays as it was


def test_a_picture_is_not_moved_out_of_sight() -> None:
    x = np.random.default_rng(0).random((10, 12))
    with pytest.raises(ValueError, match=r"shift=3 would move pictures of 4 x 3 pixels .* below 3"):
        make().set_params(shift=3, image_shape=(4, 3)).fit(x)
    make().set_params(shift=2, image_shape=(4, 3)).fit(x)


def test_columns_of_categories_are_no_pixels() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    table = pandas.DataFrame({"size": np.arange(10) / 10, "kind": ["a", "b"] * 5, "n": [0, 1] * 5})
    with pytest.raises(ValueError, match="shift=1 moves pictures, and X has columns of categories"):
        make().set_params(shift=1, image_shape=(2, 2)).fit(table)
