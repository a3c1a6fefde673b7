"""Encoding and decoding data of any length through a network, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.rows import Rows
from .kernels.backend import Array
from .net.layers import Record
from .net.network import Network, Workspace, forward
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


def zero_units(network: Network, rows: Rows) -> dict[str, int]:
    """By layer, how many of its units are 0 for all samples; layers that have none are left out.

    The output is left out too: a pixel may always be 0. Ends once every unit has been seen at work.
    """
    zero: dict[str, NDArray[np.bool_]] = {}

    def look(x: Array, records: Sequence[Record]) -> Array:
        output = forward(network.backend, x, records[:-1])
        for record in records[:-1]:
            name = record.layer.name
            still = np.asarray(~network.backend.to_host(record.y).any(axis=0))
            zero[name] = still & zero[name] if name in zero else still
        return output

    for _ in _batches(network, look, rows):
        if not any(units.any() for units in zero.values()):
            break
    return {name: int(units.sum()) for name, units in zero.items() if units.any()}


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
            result = backend.to_host(stretch(x, workspace.records(size)))
            if not np.isfinite(result).all():
                _overflow(start, backend.to_host(x), result)
            yield start, x, result


def _overflow(start: int, x: NDArray[Any], result: NDArray[Any]) -> None:
    """Raises ValueError that names the first sample whose result is not finite."""
    row = int(np.argmin(np.isfinite(result).all(axis=1)))
    column = int(np.abs(x[row]).argmax())
    raise ValueError(
        f"sample {start + row} overflows {x.dtype} in the net: its largest value is "
        f"{x[row, column]:.6g} (column {column}). Scale the data, or use dtype='float64'"
    )
