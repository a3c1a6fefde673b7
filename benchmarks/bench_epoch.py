"""Whole epochs, data path and all: the mean loss checked against float64, then timed.

By the host's clock on every device: an epoch is over when its mean loss is known.
"""

from __future__ import annotations

from typing import Any

import nets
import timing
from cases import Case, Options
from contestants import Contestant
from loaded import Loaded
from net_cases import OTHER_ORDER, SAME_ORDER, check_epoch
from own import own_epoch

SUITE = "epoch"


def test_epoch(
    benchmark: Any, contestant: Contestant, case: Case, loaded: Loaded, options: Options
) -> None:
    assert case.net is not None and case.batch is not None
    epoch = loaded.epoch(case.op, case.net, case.batch, options.quick)
    losses = epoch(), epoch()
    right = None
    if contestant.name != "sklearn":  # which draws weights of its own
        pixels = nets.pixels(case.batch, options.quick)
        right = own_epoch("numpy", case.op, case.net, pixels, case.batch, "float64")()
    check_epoch(losses, right, SAME_ORDER if contestant.kind == "backend" else OTHER_ORDER)
    timing.measure(benchmark, epoch, options.seconds)
