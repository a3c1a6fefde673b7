"""Encoding and decoding data of any length through a network, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.rows import Rows
from .kernels.backend import Array
from .net.layers import Record
from .net.network import Network, Workspace
from .train.batches import Feeder

BATCH = 512

# a stretch of the net: (batch, n_in) -> (batch, n_out)
Stretch = Callable[[Array, Sequence[Record]], Array]


def run(network: Network, stretch: Stretch, rows: Rows, width: int) -> NDArray[Any]:
    """``stretch`` (``network.encode``, ``decode`` or ``reconstruct``) over all samples.

    Returns (n, width) in the network's dtype.
    """
    out = np.empty((len(rows), width), network.dtype)
    for start, _, result in _batches(network, stretch, rows):
        out[start : start + len(result)] = result
    return out


def squared_errors(network: Network, rows: Rows) -> NDArray[np.float64]:
    """Sum over features of (x - reconstruction)^2 for each sample, float64 (n,)."""
    out = np.empty(len(rows))
    for start, x, result in _batches(network, network.reconstruct, rows):
        error = result - network.backend.to_host(x)
        np.einsum("ij,ij->i", error, error, dtype=np.float64, out=out[start : start + len(x)])
    return out


def _batches(network: Network, stretch: Stretch, rows: Rows) -> Any:
    """(first position, input on the backend, result on the host) of each batch."""
    backend, (n, n_in) = network.backend, rows.shape
    capacity = min(BATCH, n)
    workspace = Workspace(network, capacity)
    feeder = Feeder(backend, rows, capacity, network.dtype)
    inputs = backend.empty((capacity, n_in), network.dtype)
    with np.errstate(all="ignore"):
        for start in range(0, n, capacity):
            size = min(capacity, n - start)
            x = inputs[:size]
            feeder.fill(np.arange(start, start + size), x)
            yield start, x, backend.to_host(stretch(x, workspace.records(size)))
