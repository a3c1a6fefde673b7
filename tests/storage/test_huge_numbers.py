"""Every number of a model file and of a checkpoint, made huge: a FileError, or no hindrance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.stopping import Stop, stop_at
from tinyae import Autoencoder, DivergenceError, OutlierDetector
from tinyae.cli.output import print_zero_units

X = np.random.default_rng(0).random((40, 6))
HUGE = (2**63, 2**64, 10**39, 10**400, -(10**400), 1e308)


def make(**options: Any) -> Autoencoder:
    settings: dict[str, Any] = {
        "hidden": (4,), "code": 2, "epochs": 3, "batch_size": 10, "backend": "numpy",
        "random_state": 0, "validation_fraction": 0.2, "patience": 3,
    }  # fmt: skip
    return Autoencoder(**{**settings, **options})


def resume(path: Path) -> None:
    for seed in (0, None):  # the file's seed is used where there is no other
        make(random_state=seed).fit(X, checkpoint=path, resume=True)


def load(path: Path) -> None:
    ae = Autoencoder.load(path, backend="numpy")
    print_zero_units(ae, ae.zero_units_)
    ae.partial_fit(X)


def judge(path: Path) -> None:
    OutlierDetector.load(path).explain(X)


def write(path: Path) -> None:
    """A checkpoint within the second epoch, or a model."""
    if path.name == "outliers.npz":
        OutlierDetector(members=3, rows=8, contamination=0.1, random_state=0).fit(X).save(path)
        return
    if path.name == "checkpoint.npz":
        with pytest.raises(Stop):
            make().fit(X, checkpoint=path, callback=stop_at(3, 2))
        return
    ae = make(code_noise=(0.1, 0.0), activation="relu").fit(X)
    ae.zero_units_ = {"encoder.0": 1}
    ae.save(path)


def numbers(value: Any) -> Iterator[tuple[Any, Any]]:
    """(what holds it, its key) of each number."""
    for key in list(value if isinstance(value, dict) else range(len(value))):
        if isinstance(value[key], (dict, list)):
            yield from numbers(value[key])
        elif isinstance(value[key], (int, float)) and not isinstance(value[key], bool):
            yield value, key


@pytest.mark.filterwarnings("ignore:.*was written with threads")
@pytest.mark.parametrize(
    ("name", "read"),
    [("checkpoint.npz", resume), ("model.npz", load), ("outliers.npz", judge)],
    ids=["checkpoint", "model", "outliers"],
)
def test_a_huge_number_anywhere(name: str, read: Any, tmp_path: Path) -> None:
    file = tmp_path / name
    write(file)
    with np.load(file) as saved:
        arrays = dict(saved)
    meta = json.loads(str(arrays["meta"]))
    refused = set()
    for holder, key in numbers(meta):
        before = holder[key]
        for holder[key] in HUGE:
            np.savez(file, **arrays | {"meta": np.array(json.dumps(meta))})
            try:
                read(file)
            except DivergenceError:  # a learning rate, say, may be what it wants
                pass
            except ValueError as error:
                refused.add(key)
                text = str(error)
                assert str(file) in text and len(text.splitlines()) == 1, (key, text)
                assert len(text) < 500, (key, text)
        holder[key] = before
    expected = {
        resume: {"updates", "best_loss", 0}, load: {"n_iter", "encoder.0", 0},
        judge: {"n_features", "offset", "members", "held_out", "neighbours", "contamination"},
    }  # fmt: skip
    assert refused > expected[read]
