"""A trained net's ``encode`` and ``reconstruct``, for one sample, for a few and for many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import counts, nets
from benchmarks.cases.cases import GROUPS, Case, Options
from benchmarks.cases.cases import nets as chosen_nets
from benchmarks.cases.counts import Counts
from tests import reference

ROWS = (1, 16, 2000)

# Nine float32 sums of up to 1000 terms, of the largest number: ten times what was seen.
TOLERANCE = 1e-5


def chains(options: Options) -> list[Case]:
    cases = []
    for net in chosen_nets(options):
        for op in filter(options.wants, GROUPS["latency"]):
            for n in options.batches or ((1,) if options.quick else ROWS):
                work = Counts(0, 0)
                for n_in, n_out in nets.layers(net)[: layers_of(op, net)]:
                    work += counts.dense_forward(n, n_in, n_out)
                case = f"{n} row{'s' if n > 1 else ''}"
                cases.append(Case("latency", op, case, work, net=net, batch=n))
    return cases


def layers_of(op: str, net: str) -> int:
    """How many of the net's layers it goes through."""
    return len(nets.NETS[net]) if op == "encode" else len(nets.layers(net))


def check_chain(
    op: str, net: str, weights: list[tuple[Any, Any]], x: NDArray[Any], result: NDArray[Any]
) -> None:
    """Against float64: relu between, a sigmoid after the last layer."""
    y = x.astype(np.float64)
    names = [*nets.activations(net)[:-1], "sigmoid"][: layers_of(op, net)]
    for (w, b), name in zip(weights, names, strict=False):
        y = reference.activation(name, y @ w.astype(np.float64) + b)
    if result.shape != y.shape:
        raise AssertionError(f"{op} gives shape {result.shape} instead of {y.shape}")
    off = float(np.abs(result - y).max() / np.abs(y).max())
    if not off <= TOLERANCE:
        raise AssertionError(f"{op} is off by {off:.2g} of the largest number")
