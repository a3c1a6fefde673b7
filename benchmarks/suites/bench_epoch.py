"""Whole epochs, data path and all: the mean loss checked against float64, then timed.

By the host's clock on every device: an epoch is over when its mean loss is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import timing
from benchmarks.cases import nets
from benchmarks.cases.cases import Case, Options
from benchmarks.cases.net_cases import OTHER_ORDER, SAME_ORDER, check_epoch
from benchmarks.contestants.contestants import Contestant
from benchmarks.contestants.loaded import Loaded
from benchmarks.contestants.own import own_epoch

SUITE = "epoch"


def reference_loss(case: Case, quick: bool, folder: Path | None) -> float:
    """Mean loss of the first epoch in float64; kept in ``folder`` for those who come after."""
    assert case.net is not None and case.batch is not None
    kept = folder / f"{case.op}-{case.net}-{case.batch}" if folder is not None else None
    if kept is not None and kept.exists():
        return float(kept.read_text(encoding="utf-8"))
    pixels = nets.pixels(case.batch, quick)
    loss = own_epoch("numpy", case.op, case.net, pixels, case.batch, "float64")()
    if kept is not None:
        kept.write_text(repr(loss), encoding="utf-8")
    return loss


def test_epoch(
    benchmark: Any, contestant: Contestant, case: Case, loaded: Loaded, options: Options,
    pytestconfig: pytest.Config,
) -> None:  # fmt: skip
    assert case.net is not None and case.batch is not None
    epoch = loaded.epoch(case.op, case.net, case.batch, options.quick)
    losses = epoch(), epoch()
    right = None
    if contestant.name != "sklearn":  # which draws weights of its own
        with timing.one_thread():
            right = reference_loss(case, options.quick, pytestconfig.getoption("references"))
    check_epoch(losses, right, SAME_ORDER if contestant.kind == "backend" else OTHER_ORDER)
    timing.measure(benchmark, epoch, options.seconds)
