"""Damages files of every kind that tinyae reads, at random, and looks how reading them goes wrong.

Bytes are flipped, cut, inserted, copied and overwritten; numbers in headers become huge. Half of
the time this happens inside of a zip, gzip, PNG or JSON, whose checksums are then right again.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import re
import resource
import struct
import sys
import tempfile
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from benchmarks.reports import compare, rows
from tests.benchmarks.made_results import made
from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.data.datasets import load_dataset
from tinyae.data.rows import value_range
from tinyae.kernels.cuda import measured_plans
from tinyae.kernels.cuda.plan import TILES, Plan, Problem

X = np.random.default_rng(0).random((40, 12), np.float32)
HUGE = (10**12, 2**31, 2**32 - 1, 2**63, -1, 0, 1, 255, 65536)
ODD = (None, True, -1, 0.5, 2**64, 10**400, "x", "", [], {}, [[1]], float("nan"), float("inf"))
DEEP, LONG = b"[" * 100_000, b"9" * 5000  # JSON that exhausts Python's stack, and its integers


class Target(NamedTuple):
    """A sound file, and what reads it."""

    path: Path
    read: Callable[[Path], object]


def model(**options: Any) -> Autoencoder:
    return Autoencoder(hidden=(5,), code=2, epochs=2, batch_size=20, random_state=0,
                       validation_fraction=0.2, patience=2, backend="numpy", **options)  # fmt: skip


def load(path: Path, **options: Any) -> None:
    dataset = load_dataset(path, **options)
    for part in (dataset.train, dataset.test):
        value_range(part, str(path))


def command(*argv: object) -> None:
    """Runs a command; raises ValueError with what it complains of."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main([str(word) for word in argv])
    if code:
        raise ValueError(said.getvalue().removesuffix("\n"))


def load_plans(path: Path) -> None:
    """Of what cannot be read, nothing is said."""
    with mock.patch.object(measured_plans, "user_cache", lambda: path.parents[1]):
        for plan in measured_plans.load(path.stem).values():
            assert plan[:2] in TILES


def pictures(folder: Path) -> dict[str, Target]:
    """A folder of two pictures of every format."""
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    found = {}
    for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"):
        (folder / kind).mkdir()
        for name in ("a", "b"):
            picture.save(folder / kind / f"{name}.{kind}")
        found[kind] = Target(folder / kind / f"a.{kind}", lambda path: load(path.parent))
    return found


def files(folder: Path) -> dict[str, Target]:
    """A file of every other kind that the package reads."""
    found: dict[str, Target] = {}

    def add(name: str, write: Callable[[Any], object], read: Callable[[Path], object]) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb") as file:
            write(file)
        found[name] = Target(path, read)

    words = np.array(["ä", "b", "cc", "d"] * 10)
    lines = [f"{a},{b},{word}\n" for (a, b), word in zip(X[:, :2], words, strict=True)]
    idx = bytes([0, 0, 8, 3]) + struct.pack(">3I", 40, 3, 4) + bytes(range(240)) * 2
    add("floats.npy", lambda f: np.save(f, X), load)
    add("integers.npy", lambda f: np.save(f, np.asfortranarray(X * 99).astype(">i2")), load)
    add("words.npz", lambda f: np.savez(f, x=X, y=words), load)
    add("bytes.npz", lambda f: np.savez(f, x=X, y=np.char.encode(words, "utf-8")), load)
    packed = {"x_train": X, "y_train": X[:, 0] > 0.5, "x_test": X}
    add("packed.npz", lambda f: np.savez_compressed(f, **packed), load)
    add("table.csv", lambda f: f.write(("a,b,kind\n" + "".join(lines)).encode()),
        partial(load, label="kind"))  # fmt: skip
    add("numbers.csv", lambda f: np.savetxt(f, X, delimiter=","), load)
    add("my.idx", lambda f: f.write(idx), load)
    add("my.idx.gz", lambda f: f.write(gzip.compress(idx)), load)
    model().fit(X).save(folder / "model.npz")
    found["model.npz"] = Target(folder / "model.npz", lambda path: loaded(path).reconstruct(X))
    model().fit(X, checkpoint=folder / "checkpoint.npz")
    found["checkpoint.npz"] = Target(
        folder / "checkpoint.npz", lambda path: model().fit(X, checkpoint=path, resume=True)
    )
    run = folder / "run"
    command("train", "--data", folder / "floats.npy", "--out", run, "--hidden", 5, "--code", 2,
            "--epochs", 1, "--backend", "numpy")  # fmt: skip
    found["config.json"] = Target(
        run / "config.json", lambda path: command("evaluate", run, "--backend", "numpy")
    )
    for ending in ("npy", "csv"):
        command("encode", run, "--out", folder / f"codes.{ending}", "--backend", "numpy")
        found[f"codes.{ending}"] = Target(
            folder / f"codes.{ending}",
            lambda path: command("decode", run, "--codes", path, "--out", folder / "decoded.npy"),
        )
    add("results.json", lambda f: f.write(json.dumps(made()).encode()),
        lambda path: compare.render(rows.load(path), made()))  # fmt: skip
    add("plans/a.json", lambda f: f.write(measured_plans.text(
        "a", {Problem("fp32", "float32", "dense_forward", 4, 5, 6): Plan(*TILES[0], 1)}
    ).encode()), load_plans)  # fmt: skip
    return found


def loaded(path: Path) -> Autoencoder:
    return Autoencoder.load(path, backend="numpy")


# ---- damage ------------------------------------------------------------------------------


def damage(data: bytes, rng: random.Random) -> bytes:
    """One to three changes of the bytes, or of what they pack."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        inside = {b"PK": _in_zip, b"\x1f\x8b": _in_gzip, b"\x89P": _in_png}.get(data[:2])
        if data[:1] in (b"{", b"["):
            inside = _in_json
        if inside is not None and rng.random() < 0.5:
            with contextlib.suppress(Exception):  # damaged already
                data = inside(data, rng)
                continue
        data = _in_bytes(data, rng)
    return data


def _in_bytes(data: bytes, rng: random.Random) -> bytes:
    # headers stand at the beginning, a zip's at the end
    size = len(data)
    start = int(size * rng.random() ** rng.choice((1, 3)))
    start = size - 1 - start if rng.random() < 0.3 else start
    start = min(max(start, 0), max(size - 1, 0))
    stop = min(start + rng.choice((1, 2, 4, 8, 64)), size)
    kind = rng.randrange(7)
    if kind == 0 and data:
        return data[:start] + bytes([data[start] ^ 1 << rng.randrange(8)]) + data[start + 1 :]
    if kind == 1:
        return data[:start]
    if kind == 2:
        return data[:start] + rng.randbytes(rng.choice((1, 4, 100))) + data[start:]
    if kind == 3:
        other = rng.randrange(size + 1)
        return data[:start] + data[other : other + stop - start] + data[stop:]
    if kind == 4:
        return data[:start] + rng.choice((b"\xff", b"\0", b"\x7f")) * (stop - start) + data[stop:]
    numbers = list(re.finditer(rb"\d+", data[:4096]))
    if kind == 5 and numbers:
        found = rng.choice(numbers)
        return data[: found.start()] + b"%d" % rng.choice(HUGE) + data[found.end() :]
    return data[:start] + rng.choice((DEEP, LONG) if data[:1] == b"{" else (b"\n",)) + data[stop:]


def _in_zip(data: bytes, rng: random.Random) -> bytes:
    """A member is damaged, renamed, repeated, locked or packed otherwise."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    kind = rng.randrange(8)
    if kind == 0:
        members[at] = rng.choice(("x.npy", "../x.npy", "a\nb\x1b[31m", "")), content
    elif kind == 1:
        members.append(rng.choice(members))
    elif kind == 2:
        del members[at]
    elif name == "meta.npy" and kind < 7:
        text = _in_json(str(np.load(io.BytesIO(content))).encode(), rng).decode("utf-8", "replace")
        file = io.BytesIO()
        np.save(file, np.array(text))
        members[at] = name, file.getvalue()
    else:
        members[at] = name, _in_bytes(content, rng)
    file = io.BytesIO()
    packed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", packed) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _in_gzip(data: bytes, rng: random.Random) -> bytes:
    return gzip.compress(_in_bytes(gzip.decompress(data), rng))


def _in_png(data: bytes, rng: random.Random) -> bytes:
    """A chunk is damaged, mostly the header."""
    at = 8 if rng.random() < 0.7 else rng.choice([m.start() - 4 for m in re.finditer(b"ID", data)])
    (size,) = struct.unpack_from(">I", data, at)
    kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
    start = rng.choice((0, 4, rng.randrange(size)))
    huge = struct.pack(">I", rng.choice((0, 1, 9000, 12_000, 60_000, 2**31 - 1)))
    content = (content[:start] + huge + content[start + 4 :])[:size]
    body = kind + content
    return data[: at + 4] + body + struct.pack(">I", zlib.crc32(body)) + data[at + 12 + size :]


def _in_json(data: bytes, rng: random.Random) -> bytes:
    """A value anywhere is replaced, a name is changed, or there is one more."""
    value = json.loads(data)
    places = list(_places(value))
    holder, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0 and isinstance(holder, dict):
        holder[rng.choice(("x", "meta", key.upper()))] = holder.pop(key)
    elif kind == 1:
        del holder[key]
    else:
        other, name = rng.choice(places)
        holder[key] = rng.choice((*ODD, *HUGE, json.loads(json.dumps(other[name]))))
    return json.dumps(value).encode()


def _places(value: Any) -> Any:
    for key in list(value if isinstance(value, dict) else range(len(value))):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


# ---- judgement ---------------------------------------------------------------------------


def fault(target: Target, data: bytes) -> str:
    """What is wrong with how ``data`` are read in place of the file: "" for nothing."""
    whole = target.path.read_bytes()
    target.path.write_bytes(data)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            target.read(target.path)
    except (ValueError, OSError) as error:
        text = str(error)
        if len(text.splitlines()) != 1 or not text.isprintable() or len(text) > 1500:
            return f"not one short line: {text[:300]!r}"
        if "allow_pickle" in text or "max_header_size" in text:
            return f"advises to trust the file: {text!r}"
        if not any(n in text for n in ("tinyae: ", target.path.name, str(target.path.parent))):
            return f"does not name the file: {text!r}"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} from {last.filename}:{last.lineno}: {str(error)[:300]!r}"
    finally:
        target.path.write_bytes(whole)
    return "".join(f"warns: {str(w.message)[:300]!r} " for w in warned)


def fuzz(make: Callable[[Path], dict[str, Target]], n: int, seed: int) -> None:
    """Prints the faults that n damaged files show, then by how many MB the memory grew."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        found = list(make(Path(name)).items())
        for kind, target in found:
            assert not (said := fault(target, target.path.read_bytes())), (kind, said)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for i in range(n):
            kind, target = found[i % len(found)]
            if said := fault(target, damage(target.path.read_bytes(), rng)):
                print(f"{kind}, file {i}: {said}", flush=True)
        print("MB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)


if __name__ == "__main__":
    fuzz({"files": files, "pictures": pictures}[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
