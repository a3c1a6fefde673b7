"""Files that claim too much, archives that are odd, and files that would run code."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae import Autoencoder, FileError
from tinyae.data.datasets import load_dataset
from tinyae.storage.untrusted import brief, open_npz

X = np.random.default_rng(0).random((20, 6))


def header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def zipped(content: bytes, claims: int | None = None, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of one array; its directory may claim that there are more bytes of it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr("x.npy", content)
        archive.infolist()[0].file_size = len(content) if claims is None else claims
    return file.getvalue()


def idx(*shape: int, data: bytes = b"") -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(9999)))


@pytest.fixture
def small_memory() -> Iterator[None]:
    """Whatever is read takes less than 16 MB."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6


ROWS = 10**12
GIB = 8 * 10**9 + 128  # of an array of 1e9 numbers, with its header


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npy", header((ROWS, 4)) + bytes(64), "takes 32000000000000 bytes, got 64"),
        ("a.npy", header((2**32, 2**32)), "takes"),
        ("a.npy", header((2**62, 4, 0)), "cannot be read"),
        ("a.npy", header((-1, 4)), "got (-1, 4)"),
        ("a.npy", header((4, 4), "<U999999999"), "cannot be read"),
        ("a.npz", zipped(header((ROWS, 4))), "takes 32000000000000"),
        ("a.npz", zipped(header((10**9,)), GIB, zipfile.ZIP_STORED), "cannot unpack to 8000000128"),
        ("a.npz", zipped(header((10**9,)), GIB), "cannot unpack to 8000000128"),
        pytest.param(
            "a.npz", zipped(header((ROWS,)), 8 * ROWS + 128, zipfile.ZIP_LZMA), "not deflate",
            marks=pytest.mark.skipif(
                not Path("/proc/meminfo").exists(), reason="how much memory is free, Linux says"
            ),
        ),
        ("a.idx", idx(2**32 - 1, 2**32 - 1, 9), "truncated"),
        ("a.idx", idx(*[1] * 255, data=b"1"), "dimension"),
        ("a.idx", gzip.compress(idx(2**31, 9, data=b"1")), "truncated"),
        ("a.idx", gzip.compress(idx(3, data=bytes(5 * 10**7))), "too long"),
    ],
)  # fmt: skip
def test_a_claim_is_refused_before_memory_is_taken(
    tmp_path: Path, small_memory: None, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with raises(tmp_path / name, words, error=FileError) as caught:
        load_dataset(tmp_path / name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("size", [(60_000, 60_000), (10_000, 10_000)])
def test_a_picture_of_too_many_pixels(
    tmp_path: Path, size: tuple[int, int], small_memory: None
) -> None:
    pytest.importorskip("PIL.Image", reason="reading images needs Pillow")
    (tmp_path / "a.png").write_bytes(png(*size))
    with raises(tmp_path / "a.png", f"{size[0] * size[1]} pixels", error=FileError):
        load_dataset(tmp_path)


def test_zeros_compress_well_and_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((1000, 20_000), np.float32))
    assert path.stat().st_size < 1e5
    assert load_dataset(path).train.shape == (900, 20_000)


# ---- archives ----------------------------------------------------------------------------


def members(*names: str, encrypted: bool = False, method: int = 0) -> bytes:
    """Each holds X; the directory says what else is asked for."""
    array, file = io.BytesIO(), io.BytesIO()
    np.save(array, X)
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # of a name that occurs twice
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), array.getvalue())
    data = bytearray(file.getvalue())
    for kind, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(kind) + flags
        data[at] |= encrypted
        data[at + 2] = method
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (members("x.npy", "x.npy"), "two arrays have the name 'x'"),
        (members("x.npy", "x"), "two arrays have the name 'x'"),
        (members("x.npy", "a\nb\x1b.npy"), r"found x, a b\x1b"),
        (members("x.npy", encrypted=True), "is encrypted"),
        (members("x.npy", method=99), "compression"),
        (members("x.npy", *map(str, range(999))), "..."),
        (members("x.npy")[:-1], "cannot be read as .npz file"),
        (zipped(header((20, 6), "|O")), "Python objects"),
        (zipped(header((20, 6), "|V8")), "expected an array of numbers or words"),
        (zipped(header((20, 6), "<M8[s]") + bytes(960)), "must hold real numbers"),
        (zipped(header((20, 6), "<c16") + bytes(1920)), "Complex data not supported"),
        (zipped(header((20, 6), "<U1") + bytes(480)), "must hold real numbers"),
        (zipped(header((10**12,), "<U0")), "expected an array of numbers or words"),
        (zipped(header(()) + bytes(8)), "got shape ()"),
        (zipped(header((0, 6))), "got shape (0, 6)"),
        (zipped(header((20, 0))), "got shape (20, 0)"),
        (zipped(header((20, 6)) + bytes(961)), "takes 960 bytes, got 961"),
        (zipped(header((20, 6)) + bytes(959)), "takes 960 bytes, got 959"),
        (zipped(header((20, 6)).replace(b"shape", b"shame")), "its header is damaged"),
        (zipped(header((20, 6)).replace(b"}", b" ")), "its header is damaged"),
        (zipped(b"\x93NUMPY\x02\x00\x00\xf0\xff\x00" + b" " * 0xFFF000), "its header is damaged"),
        (zipped(b"\x93NUMPY\x09\x00" + bytes(99)), "its header is damaged"),
    ],
)
def test_archives_that_cannot_be_used(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_dataset(path)
    text = str(caught.value)
    assert str(path) in text and words in text and text.isprintable()
    assert len(text) < 800 and "pickle" not in text
    with pytest.raises(FileError):
        Autoencoder.load(path)


def test_a_member_with_a_path_is_an_array_like_others(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.npz"
    path.parent.mkdir()
    path.write_bytes(members("../out.npy"))
    assert len(load_dataset(path).train) == 18
    assert [*tmp_path.iterdir()] == [path.parent] and [*path.parent.iterdir()] == [path]


def test_labels_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for words in (np.array([b"\xff"] * 20), np.full(20, 0x7FFFFFFF, "<u4").view("<U1")):
        np.savez(path, x=X, y=words)
        with raises(path, "labels that are words must be Unicode", error=FileError):
            load_dataset(path)


@pytest.mark.parametrize(("dtype", "shape"), [(">f4", (3, 2)), ("<i8", ()), ("?", (7,))])
@pytest.mark.parametrize("order", ["C", "F"])
def test_members_are_read_as_numpy_reads_them(
    tmp_path: Path, dtype: str, shape: Any, order: Any
) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype, order)
    np.savez_compressed(tmp_path / "a.npz", meta='{"format": "f", "version": 1}', a=array)
    with open_npz(tmp_path / "a.npz", "f", 1) as (_, read):
        got = read({"a": (array.shape, dtype)})["a"]
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype and got.strides == array.strides and got.flags.writeable


# ---- code --------------------------------------------------------------------------------


class Trap:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.idx", "meta.npz", "raw.npy", "raw.npz"])
def test_nothing_is_executed(tmp_path: Path, name: str) -> None:
    trap, path = np.array([Trap(tmp_path / "marker")] * 2, object), tmp_path / name
    if name in ("a.npz", "meta.npz"):
        np.savez(path, allow_pickle=True, **{"x" if name == "a.npz" else "meta": trap})
    elif name == "a.npy":
        np.save(path, trap, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(trap))
    for read in (
        load_dataset,
        Autoencoder.load,
        lambda p: make().fit(X, checkpoint=p, resume=True),
    ):
        with pytest.raises(FileError) as caught:
            read(path)
        assert "pickle" not in str(caught.value)
    assert not (tmp_path / "marker").exists()
    pickle.loads(pickle.dumps(trap))
    assert (tmp_path / "marker").exists()  # the trap works


def make() -> Autoencoder:
    return Autoencoder(hidden=(), code=2, epochs=1, random_state=0, backend="numpy")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '{"a": ' * 100_000])
def test_json_that_exhausts_the_reader(tmp_path: Path, text: str) -> None:
    np.savez(tmp_path / "a.npz", meta=np.array(text))
    with raises(tmp_path / "a.npz", "broken or truncated", error=FileError) as caught:
        Autoencoder.load(tmp_path / "a.npz")
    assert len(str(caught.value).splitlines()) == 1


def test_what_a_file_says_is_shown_in_one_short_line() -> None:
    assert brief("a\n\tb\x1b\ud800") == r"a b\x1b\ud800"
    assert len(brief("x" * 999)) == 203


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("checkpoint", [False, True])
def test_meta_data_that_are_no_unicode(checkpoint: bool, order: str, tmp_path: Path) -> None:
    """Wherever that is: also within a string of sound JSON."""
    file = tmp_path / "file.npz"
    ae = Autoencoder(hidden=(3,), code=2, epochs=1, random_state=0, backend="numpy")
    ae.fit(X, checkpoint=file) if checkpoint else ae.fit(X).save(file)
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    text = str(arrays["meta"])
    for at in (0, text.index("relu"), text.index("adam"), len(text) - 1):
        points = np.array([*map(ord, text)], f"{order}u4")
        points[at] = 0x110000
        np.savez(file, **arrays | {"meta": points.view(f"{order}U{len(text)}").reshape(())})
        with pytest.raises(FileError, match=f"{file}: .*its meta data are no Unicode"):
            ae.fit(X, checkpoint=file, resume=True) if checkpoint else Autoencoder.load(file)
