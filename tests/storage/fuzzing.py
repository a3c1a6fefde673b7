"""Damages files of every kind that tinyae reads, at random, and looks how reading them goes wrong.

Bytes are flipped, cut, inserted, copied and overwritten; numbers in headers become huge. Half of
the time this happens inside of a zip, gzip, PNG or JSON, whose checksums are then right again.
A seed damages the same bytes each time: no file holds a time, a path or a last digit of a training.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import logging
import os
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
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from benchmarks.reports import compare, rows
from tests.benchmarks.made_results import made
from tinyae import Autoencoder, OutlierDetector
from tinyae.cli.main import main
from tinyae.data.datasets import load_dataset
from tinyae.data.rows import value_range
from tinyae.kernels.cuda import measured_plans
from tinyae.kernels.cuda.plan import TILES, Plan, Problem
from tinyae.storage.files import META, write_npz
from tinyae.storage.kinds import kind_of

X = np.random.default_rng(0).random((40, 12), np.float32)
HUGE = (10**12, 2**31, 2**32 - 1, 2**63, -1, 0, 1, 255, 65536)
ODD = (None, True, -1, 0.5, 2**64, 10**400, "x", "", [], {}, [[1]], float("nan"), float("inf"))
DEEP, LONG = b"[" * 100_000, b"9" * 5000  # JSON that exhausts Python's stack, and its integers


class Target(NamedTuple):
    """A sound file, and what reads it."""

    path: Path
    read: Callable[[Path], object]


def model() -> Autoencoder:
    return Autoencoder(hidden=(5,), code=2, epochs=2, batch_size=20, random_state=0,
                       validation_fraction=0.2, patience=2, backend="numpy")  # fmt: skip


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


def reproducible(path: Path) -> None:
    """Takes the times out of an archive, and the digits that depend on how a processor sums."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(str(arrays.pop(META)), parse_float=lambda text: float(f"{float(text):.3g}"))
    history = meta.get("history") or meta["fitted"].get("history")
    if history:
        history["seconds"] = [0.5] * len(history["seconds"])
    rounded = {name: np.round(array, 2) + 0.0 for name, array in arrays.items()}  # no -0.0
    write_npz(path, meta.pop("format"), meta.pop("version"), meta, rounded)


def files(folder: Path) -> dict[str, Target]:
    """A file of every other kind that the package reads."""
    words = np.array(["ä", "b", "cc", "d"] * 10)
    lines = [f"{a},{b},{word}\n" for (a, b), word in zip(X[:, :2], words, strict=True)]
    idx = bytes([0, 0, 8, 3]) + struct.pack(">3I", 40, 3, 4) + bytes(range(240)) * 2
    problem = Problem("fp32", "float32", "dense_forward", 4, 5, 6)
    np.save(folder / "floats.npy", X)
    np.save(folder / "integers.npy", np.asfortranarray(X * 99).astype(">i2"))
    np.savez(folder / "words.npz", x=X, y=words)
    np.savez(folder / "bytes.npz", x=X, y=np.char.encode(words, "utf-8"))
    np.savez_compressed(folder / "packed.npz", x_train=X, y_train=X[:, 0] > 0.5, x_test=X)
    np.savetxt(folder / "numbers.csv", X, delimiter=",")
    (folder / "table.csv").write_text("a,b,kind\n" + "".join(lines), encoding="utf-8")
    (folder / "table.csv.gz").write_bytes(
        gzip.compress((folder / "table.csv").read_bytes(), mtime=0)
    )
    mixed = [f"{i},{word},{'' if i % 9 else i / 2}\n" for i, word in enumerate(words)]
    (folder / "mixed.csv").write_text("n,word,m\n" + "".join(mixed), encoding="utf-8")
    (folder / "my.idx").write_bytes(idx)
    (folder / "my.idx.gz").write_bytes(gzip.compress(idx, mtime=0))
    (folder / "results.json").write_text(json.dumps(made()))
    (folder / "plans").mkdir()
    (folder / "plans/a.json").write_text(measured_plans.text("a", {problem: Plan(*TILES[0], 1)}))
    model().fit(X, checkpoint=folder / "checkpoint.npz").save(folder / "model.npz")
    OutlierDetector(members=3, rows=8, random_state=0).fit(X).save(folder / "outliers.npz")
    for name in ("checkpoint.npz", "model.npz", "outliers.npz"):
        reproducible(folder / name)
    run, numpy = folder / "run", ("--backend", "numpy")
    command("train", "--data", folder / "floats.npy", "--out", run, "--hidden", 5, "--code", 2,
            "--epochs", 1, *numpy)  # fmt: skip
    config = (run / "config.json").read_text()  # relative to where ``fuzz`` works
    (run / "config.json").write_text(config.replace(f"{folder.resolve()}{os.sep}", ""))

    def decode(path: Path) -> None:
        command("decode", run, "--codes", path, "--out", folder / "decoded.npy", *numpy)

    np.save(folder / "codes.npy", X[:, :2])
    np.savetxt(folder / "codes.csv", X[:, :2], "%.9g", ",")
    readers: dict[str, Callable[[Path], object]] = {
        **dict.fromkeys(("floats.npy", "integers.npy", "words.npz", "bytes.npz", "packed.npz",
                         "numbers.csv", "mixed.csv", "my.idx", "my.idx.gz"), load),
        **dict.fromkeys(("table.csv", "table.csv.gz"), lambda path: load(path, label="kind")),
        "model.npz": lambda path: Autoencoder.load(path, backend="numpy").reconstruct(X),
        "checkpoint.npz": lambda path: model().fit(X, checkpoint=path, resume=True),
        "run/config.json": lambda path: command("evaluate", run, *numpy),
        "outliers.npz": lambda path: OutlierDetector.load(path).explain(X),
        "codes.npy": decode,
        "codes.csv": decode,
        "results.json": lambda path: compare.render(rows.load(path), made()),
        "plans/a.json": load_plans,
    }  # fmt: skip
    return {name: Target(folder / name, read) for name, read in readers.items()}


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
    # more often where headers are: at the beginning, and a zip's at the end
    start = int(len(data) * rng.random() ** rng.choice((1, 3)))
    start = max(len(data) - 1 - start, 0) if rng.random() < 0.3 else start
    other, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64))
    stop = min(start + length, len(data))
    old, number = data[start:stop], rng.choice([*re.finditer(rb"\d+", data[:4096])] or [None])
    kind = rng.randrange(7)
    if kind == 0 and old:
        new = bytes([old[0] ^ 1 << rng.randrange(8)]) + old[1:]
    elif kind == 1:
        new, stop = b"", len(data)
    elif kind == 2:
        new = rng.randbytes(length) + old
    elif kind == 3:
        new = data[other : other + length]
    elif kind == 4 and number is not None:
        start, stop, new = *number.span(), b"%d" % rng.choice(HUGE)
    elif kind == 5 and data[:1] == b"{":
        new = rng.choice((DEEP, LONG))
    else:
        new = rng.choice((b"\xff", b"\0", b"\x7f")) * len(old)
    return data[:start] + new + data[stop:]


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
            archive.writestr(zipfile.ZipInfo(name), content, packed)  # of 1980
    return file.getvalue()


def _in_gzip(data: bytes, rng: random.Random) -> bytes:
    return gzip.compress(_in_bytes(gzip.decompress(data), rng), mtime=0)


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


class Judge(logging.Handler):
    """Prints what is logged where it is not one short line."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.isprintable() or len(text) > 1500:
            print(f"logs {text[:300]!r}", flush=True)


def fault(target: Target, data: bytes) -> str:
    """What is wrong with how ``data`` are read in place of the file: "" for nothing."""
    whole = target.path.read_bytes()
    target.path.write_bytes(data)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            kind = str(kind_of(target.path, target.path.suffix))
            target.read(target.path)
    except (ValueError, OSError) as error:
        text = str(error)
        short = len(text) < 1500 or "File name too long" in text
        if len(text.splitlines()) != 1 or not text.isprintable() or not short:
            return f"not one short line: {text[:300]!r}"
        if "allow_pickle" in text or "max_header_size" in text:
            return f"advises to trust the file: {text!r}"
        of_a_sample = "overflows float32 in the net" in text  # a model of damaged, finite weights
        if not of_a_sample and not any(
            n in text for n in ("tinyae: ", target.path.name, str(target.path.parent))
        ):
            return f"does not name the file: {text!r}"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} from {last.filename}:{last.lineno}: {str(error)[:300]!r}"
    finally:
        target.path.write_bytes(whole)
    if not kind.isprintable() or len(kind) > 500:
        return f"not one short line: {kind!r}"
    return "".join(f"warns: {str(w.message)[:300]!r} " for w in warned)


def fuzz(make: Callable[[Path], dict[str, Target]], n: int, seed: int) -> None:
    """Prints the faults that n damaged files show, by how many MB the memory grew, and a hash of
    all that was read."""
    rng, seen = random.Random(seed), hashlib.sha256()
    threads = mock.patch.dict(os.environ, OPENBLAS_NUM_THREADS="1")  # a checkpoint tells of them
    with threads, tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        logging.getLogger("tinyae").addHandler(Judge())
        found = list(make(Path(name)).items())
        for kind, target in found:
            assert not (said := fault(target, target.path.read_bytes())), (kind, said)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for i in range(n):
            kind, target = found[i % len(found)]
            data = damage(target.path.read_bytes(), rng)
            seen.update(data)
            if said := fault(target, data):
                print(f"{kind}, file {i}: {said}", flush=True)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print("MB", grown // 1024, seen.hexdigest())


if __name__ == "__main__":
    fuzz({"files": files, "pictures": pictures}[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
