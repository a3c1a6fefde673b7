"""Minibatch rows: every data type, wherever the data lie, and no row that does not exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.reference import assert_within, awkward_shapes, call, eps, poisoned
from tinyae.kernels.backend import Backend

KINDS = ("uint8", "bool", "int32", "float32", "float64")


def gather(
    backend: Backend, data: np.ndarray, indices: np.ndarray, scale: float, dtype: str
) -> np.ndarray:
    (out,) = call(
        backend, "gather", ("out",),
        data=data, indices=np.asarray(indices, np.int64), scale=scale,
        out=poisoned((len(indices), data.shape[1]), dtype),
    )  # fmt: skip
    return out


def check_gather(
    backend: Backend, data: np.ndarray, indices: np.ndarray, scale: float, dtype: str
) -> None:
    """The data's and the scale's conversion and the product are rounded once each."""
    expected = data[indices].astype(np.float64) * scale
    tolerance = 2 * eps(dtype) * np.abs(expected)
    out = gather(backend, data, indices, scale, dtype)
    assert_within(out, expected, tolerance, (data.dtype, out.shape))


def some_data(shape: tuple[int, int], kind: str) -> np.ndarray:
    values = np.random.default_rng(1).integers(0, 256, shape)
    return (values - 100.3 if kind.startswith("float") else values % 2 if kind == "bool" else values
            ).astype(kind)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", (1.0, 1 / 255, -2.5))
def test_gather(backend: Backend, kind: str, scale: float, dtype: str) -> None:
    rng = np.random.default_rng(2)
    for batch, n_features in awkward_shapes(2, backend):
        indices = rng.integers(0, 23, batch)
        check_gather(backend, some_data((23, n_features), kind), indices, scale, dtype)


@pytest.mark.parametrize("kind", ("uint8", "int32", "float32", "float64"))
def test_rows_are_copied_exactly(backend: Backend, kind: str) -> None:
    """Scale 1: in float64 nothing is rounded, rows repeat, come in any order, or not at all."""
    data = some_data((5, 7), kind)
    for indices in ([4, 4, 0, 4, 1, 1], [0], [2] * 40, []):
        out = gather(backend, data, np.array(indices), 1.0, "float64")
        np.testing.assert_array_equal(out, data[np.array(indices, int)].astype("float64"))


def test_the_brightest_pixel_is_exactly_one(backend: Backend, dtype: str) -> None:
    pixels = np.arange(256, dtype=np.uint8)[None]
    out = gather(backend, pixels, np.array([0]), 1 / 255, dtype)
    assert out[0, 0] == 0
    assert out[0, 255] == 1
    assert (np.diff(out[0]) > 0).all()


@pytest.mark.parametrize("kind", ("uint8", "float32"))
def test_memory_map(backend: Backend, tmp_path: Path, kind: str, dtype: str) -> None:
    data = some_data((11, 6), kind)
    data.tofile(tmp_path / "data")
    mapped = np.memmap(tmp_path / "data", kind, mode="r", shape=data.shape)
    indices = np.array([10, 0, 3, 3], np.int64)
    out = backend.to_device(poisoned((4, 6), dtype))
    on_device = mapped if backend.host else backend.to_device(mapped)
    backend.gather(on_device, backend.to_device(indices), 0.5, out)
    np.testing.assert_array_equal(backend.to_host(out), gather(backend, data, indices, 0.5, dtype))


def test_no_data_and_no_batch(backend: Backend, dtype: str) -> None:
    assert gather(backend, np.zeros((0, 4), dtype), np.array([]), 1.0, dtype).shape == (0, 4)
    assert gather(backend, np.zeros((3, 0), dtype), np.array([2]), 1.0, dtype).shape == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", (-1, 5, -(2**62), 2**62))
def test_a_row_that_does_not_exist(backend: Backend, kind: str, bad: int, dtype: str) -> None:
    for n in (5, 0):
        data = some_data((n, 3), kind)
        indices = np.array([0, bad, 1])
        if backend.host:
            with pytest.raises(IndexError, match=r"indices must lie in \[0, "):
                gather(backend, data, indices, 1.0, dtype)
        else:
            np.testing.assert_array_equal(
                np.isnan(gather(backend, data, indices, 1.0, dtype)).all(axis=1),
                [n == 0, True, n == 0],
            )
