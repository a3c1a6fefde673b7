"""What shuffling, gathering and scaling the uint8 pixels cost of an epoch on the numba backend.

    python benchmarks/data_path.py

The time within ``batches.Order`` and ``batches.Feeder`` over that of the whole epoch, for the
nets and batch sizes of ``tinyae bench --only epoch``: median and quartiles of 25 epochs.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.cases import nets
from benchmarks.contestants.own import own_epoch
from tinyae.train import batches

EPOCHS = 25


def watch(owner: type, name: str, spent: list[float]) -> None:
    """From now on each call of a function appends its seconds."""
    function: Callable[..., Any] = getattr(owner, name)

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        result = function(*args, **kwargs)
        spent.append(time.perf_counter() - started)
        return result

    setattr(owner, name, watched)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    spent: list[float] = []
    watch(batches.Order, "__init__", spent)
    watch(batches.Order, "positions", spent)
    watch(batches.Feeder, "fill", spent)
    print("net    batch  % of an epoch  (quartiles)")
    for net, batch in itertools.product(nets.NETS, nets.BATCHES):
        epoch = own_epoch("numba", "epoch", net, nets.pixels(batch), batch)
        epoch()
        shares = []
        for _ in range(EPOCHS):
            spent.clear()
            started = time.perf_counter()
            epoch()
            shares.append(100 * sum(spent) / (time.perf_counter() - started))
        low, median, high = np.quantile(shares, [0.25, 0.5, 0.75])
        print(f"{net:5} {batch:6}  {median:13.2f}  ({low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    main()
