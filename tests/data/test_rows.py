"""Samples in every layout: read as a contiguous copy would be, and never copied as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder, passes
from tinyae.data import rows as module
from tinyae.data.pca import fit_pca
from tinyae.data.rows import as_rows, far_outside, value_range
from tinyae.kernels.backend import Backend
from tinyae.train import batches
from tinyae.train.checkpoint import fingerprint

Array = np.ndarray[Any, Any]


def misaligned(x: Array) -> Array:
    return np.frombuffer(b"-" + x.tobytes(), x.dtype, offset=1).reshape(x.shape)


# Of values: floats in [0, 1) with few digits, so that float16 holds them.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "float32": lambda x: x.astype("f4"),
    "float32, Fortran order": lambda x: np.asfortranarray(x, "f4"),
    "float64, Fortran order": np.asfortranarray,
    "uint8, Fortran order": lambda x: np.asfortranarray(x * 255, "u1"),
    "bool, Fortran order": lambda x: np.asfortranarray(x > 0.5),
    "columns of a wider array": lambda x: np.hstack([x, x])[:, 3:-3],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "last row first": lambda x: x[::-1],
    "last feature first": lambda x: x[:, ::-1],
    "one row again and again": lambda x: np.broadcast_to(x[0], x.shape),
    "float16": lambda x: x.astype("f2"),
    "float16, Fortran order": lambda x: np.asfortranarray(x, "f2"),
    "long double": lambda x: x.astype("g"),
    "big-endian float64": lambda x: x.astype(">f8"),
    "big-endian int16, Fortran order": lambda x: np.asfortranarray(x * 1000, ">i2"),
    "misaligned": misaligned,
    "pictures, Fortran order": lambda x: np.asfortranarray(x.reshape(len(x), 2, -1)),
    "pictures, transposed": lambda x: x.reshape(len(x), 2, -1).transpose(0, 2, 1),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def values(n: int, n_features: int = 6) -> Array:
    return np.random.default_rng(0).integers(0, 512, (n, n_features)) / 512


@every_layout
def test_a_slice_is_a_view_of_its_samples(layout: str) -> None:
    x = LAYOUTS[layout](values(20, 6))
    rows, whole = as_rows(x, flatten=True), np.asarray(as_rows(x, flatten=True))
    for where in (slice(3), slice(-4, None), slice(2, 15, 3), slice(None, None, -1), slice(9, 9)):
        part = rows[where]
        assert part.shape == whole[where].shape and part.dtype == rows.dtype
        assert part.array is rows.array
        np.testing.assert_array_equal(np.asarray(part), whole[where])
        np.testing.assert_array_equal(np.asarray(part[::2]), whole[where][::2])
    for positions in ([3, 1], np.arange(20) % 3 == 0, np.array([-1])):
        np.testing.assert_array_equal(np.asarray(rows[positions]), whole[positions])
        np.testing.assert_array_equal(np.asarray(rows[positions, ...]), whole[positions])
    np.testing.assert_array_equal(rows[-2], whole[-2])
    np.testing.assert_array_equal([*rows], whole)
    for wrong in (20, (0, 1), "a", np.ones(19, bool), 1.5):
        with pytest.raises(IndexError):
            rows[wrong]


@pytest.fixture
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_BYTES", 0)
    monkeypatch.setattr(module, "CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr(batches, "ORDER_CHUNK", 1 << 12)


def contiguous(x: Array) -> Array:
    flat = np.array(x.reshape(len(x), -1), order="C")
    known = flat.dtype.name not in ("float16", "longdouble", "float128") and flat.dtype.isnative
    return flat if known else flat.astype(np.float64)


@every_layout
def test_read_as_a_contiguous_copy(layout: str, nothing_is_small: None) -> None:
    x = LAYOUTS[layout](values(1000))
    rows, expected = as_rows(x, flatten=True), contiguous(x)
    assert np.shares_memory(rows.array, x) and rows.shape == expected.shape
    assert rows.dtype == expected.dtype
    scaled = expected * rows.scale
    np.testing.assert_array_equal(rows, scaled)
    some = np.array([7, 999, 0, 7])
    np.testing.assert_array_equal(rows.select(some), scaled[some])
    for part, piece in rows.pieces():
        np.testing.assert_array_equal(piece, expected[part])
        assert piece.dtype == expected.dtype and piece.flags.c_contiguous
    assert value_range(rows, "X") == (scaled.min(), scaled.max())
    assert fingerprint(rows) == fingerprint(as_rows(expected))


@every_layout
def test_small_data_are_put_in_order_at_once(layout: str) -> None:
    x = LAYOUTS[layout](values(20))
    rows = as_rows(x, flatten=True)
    assert rows.direct
    np.testing.assert_array_equal(rows.array, contiguous(x))


@every_layout
def test_trains_to_the_bytes_of_a_contiguous_copy(
    layout: str, backend: Backend, nothing_is_small: None
) -> None:
    x = LAYOUTS[layout](values(50))
    ae = Autoencoder(hidden=(5,), code=2, epochs=2, batch_size=16, random_state=0,
                     validation_fraction=0.2, backend=backend.name)  # fmt: skip
    parameters, codes = [], []
    for data in (as_rows(x, flatten=True), contiguous(x)):
        parameters.append(ae.fit(data).partial_fit(data).parameters())
        codes.append(ae.encode(data))
    np.testing.assert_array_equal(*codes)
    for name in parameters[0]:
        np.testing.assert_array_equal(parameters[0][name], parameters[1][name])


@pytest.mark.parametrize(
    "layout",
    ["float32, Fortran order", "uint8, Fortran order", "columns of a wider array", "float16",
     "pictures, Fortran order"],
)  # fmt: skip
def test_nothing_copies_it_whole(
    layout: str, tmp_path: Path, nothing_is_small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "BATCH", passes.LEAST)
    x = LAYOUTS[layout](values(40_000, 50))  # many batches
    rows = as_rows(x, flatten=True)
    ae = Autoencoder(hidden=(2,), code=1, epochs=1, batch_size=256, random_state=0,
                     backend="numpy")  # fmt: skip
    for use in (
        lambda: ae.fit(rows, checkpoint=tmp_path / "c.npz"),
        lambda: ae.encode(rows), lambda: ae.score(rows), lambda: ae.zero_units(rows),
        lambda: value_range(rows, "X"), lambda: fit_pca(rows, 1).squared_error(rows),
    ):  # fmt: skip
        tracemalloc.start()
        use()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.9 * x.size  # less than a byte of each value


BIG = """
import sys
import numpy as np
from tinyae import Autoencoder
from tinyae.cli.main import main

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

def everything(path):
    peaks = []
    look = lambda progress: peaks.append(anonymous())
    X = np.load(path, mmap_mode="r")
    net = {"hidden": (16,), "code": 1, "epochs": 1, "batch_size": 1024, "backend": "numpy"}
    ae = Autoencoder(**net, random_state=0).fit(X, callback=look)
    ae.encode(X), ae.score(X), look(0)
    argv = ["--hidden", "16", "--code", "1", "--epochs", "1", "--batch-size", "1024"]
    run = path + ".run"
    for command in (
        ["train", "--data", path, *argv, "--backend", "numpy", "--out", run],
        ["evaluate", run, "--backend", "numpy"],
        ["encode", run, "--backend", "numpy", "--out", path + ".codes.npy"],
    ):
        assert main(command) == 0
        look(0)
    return max(peaks)

few, many = sys.argv[1:]  # what a net of this width, its PCA and its pictures need is there
needed = everything(few)
print("grew", everything(many) - needed)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "fortran", "gib"),
    [
        ("f4", False, 4),
        ("f2", False, 0.25),
        (">f8", False, 1),
        ("f4", True, 0.5),
        ("u1", True, 0.2),
    ],
)
def test_resident_memory_stays_flat(tmp_path: Path, dtype: str, fortran: bool, gib: float) -> None:
    """A sparse file of zeros. Pages of the file itself are the system's, to keep or drop."""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("resident memory is read from /proc")
    shape = (int(gib * 2**30) // (np.dtype(dtype).itemsize * 1024), 1024)
    few, many = str(tmp_path / "few.npy"), str(tmp_path / "many.npy")
    np.save(few, np.zeros((5000, 1024), dtype))
    np.lib.format.open_memmap(many, "w+", dtype, shape, fortran)
    done = subprocess.run([sys.executable, "-c", BIG, few, many], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split("grew")[1]) < 64 * 1024


@pytest.mark.parametrize(
    ("new", "trained", "far"),
    [
        ((0, 1), (0, 1), False), ((-1, 2), (0, 1), False), ((-1.1, 1), (0, 1), True),
        ((0, 2.1), (0, 1), True), ((0, 255), (0, 1), True), ((-4, 9), (-3, 4), False),
        ((0.1, 0.9), (0.4, 0.5), False), ((0, 1), None, False), ((0, 1e-9), (0, 0), True),
        ((250, 350), (280, 300), False),
    ],
)  # fmt: skip
def test_far_outside(new: Any, trained: Any, far: bool) -> None:
    assert bool(far_outside(*new, trained, False)) == far


def test_pixels_far_off_floats() -> None:
    for trained, far in (((0, 255), True), ((-3, 3), True), ((0, 1), False), ((-1, 2), False)):
        assert bool(far_outside(0, 0.5, trained, True)) == far


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "bits"), [("2", 0x7D01), ("4", 0x7FA00001), ("8", 0x7FF4000000000001)]
)
def test_signalling_nan_is_found_without_a_warning(kind: str, bits: int, order: str) -> None:
    samples = np.full((4, 3), bits, f"{order}u{kind}").view(f"{order}f{kind}")
    for layout in (samples, np.asfortranarray(samples), samples[::2]):
        with pytest.raises(ValueError, match="contains NaN"):
            value_range(as_rows(layout), "X")
