"""Arguments are checked when a step is made, not each time it is run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import tinyae
from tests.kernels.calls import OPS, arguments, on_device
from tests.reference import operation
from tinyae import Autoencoder
from tinyae.kernels import checks
from tinyae.kernels.backend import Backend

HOUSE = tuple(str(Path(module.__file__ or "").parent) for module in (tinyae, checks))


@pytest.mark.parametrize("op", OPS)
def test_the_same_without_a_check(
    backend: Backend, op: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, raw = (on_device(backend, op, arguments(op, dtype)) for _ in range(2))
    operation(backend, op)(**checked)
    monkeypatch.setattr(checks, "array", None)  # what all checks call
    operation(backend.unchecked, op)(**raw)
    for name, value in checked.items():
        if not np.isscalar(value) and not (op == "write" and name == "host"):
            assert backend.to_host(raw[name]).tobytes() == backend.to_host(value).tobytes(), name


def test_what_stands_in_for_an_operation_stays(backend: Backend) -> None:
    """A test's or a benchmark's own operation has no check before it: it is called as it is."""
    calls = []
    other = replace(backend, loss=lambda *_: calls.append("loss"))
    other.unchecked.loss("mse", *[np.zeros((1, 1))] * 3, np.zeros(2))
    assert calls == ["loss"]
    assert backend.unchecked.unchecked == backend.unchecked


def test_a_step_of_training_makes_few_calls() -> None:
    """Of the first step, whose arguments are checked, and of those after it; 784-128-32-128-784."""
    calls, after_step = [0], []

    def count(frame: FrameType, event: str, _: Any) -> None:
        calls[0] += event == "call" and frame.f_code.co_filename.startswith(HOUSE)

    X = np.random.default_rng(0).random((160, 784), dtype=np.float32)
    ae = Autoencoder(hidden=(128,), code=32, backend="numpy", epochs=1, batch_size=32)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        ae.fit(X, callback=lambda _: after_step.append(calls[0]))
    finally:
        sys.setprofile(before)
    second, third, fourth, _ = np.diff(after_step).tolist()
    assert second == third == fourth <= 110
