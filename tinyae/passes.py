"""Samples through a net with its weights as they are: batch by batch, or a few at once."""

from __future__ import annotations

import contextvars
import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import isfinite
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .data.rows import Rows
from .kernels.backend import Array, Backend
from .kernels.columns import get_backend
from .kernels.conventions import NEEDS_INPUT
from .kernels.scratch import Scratch, exchange
from .net.layers import Layer, Record
from .net.network import Network, Workspace, forward
from .train.batches import Feeder

BATCH, LEAST = 2048, 512  # samples of a batch; fewer where layers are wide, see ``_most``
FEW = 16  # samples for which a batch's preparations would take longer than the net
AT_ONCE = 32  # errors in float64: memory that fits into a core's cache
KEPT = 32 << 20  # bytes of a batch, and of results that are kept between calls
NETS = 4  # of which a thread keeps memory for batches
BY_NUMPY = ("numpy", "numba")  # backends on which NumPy takes a few; others are there to be run

Plans = WeakKeyDictionary[Network, "tuple[list[_Plan], list[_Plan]]"]
# a stretch of the net: (network, (batch, n_in), records) -> (batch, n_out)
Stretch = Callable[[Network, Array, Sequence[Record]], Array]


def run(network: Network, stretch: Stretch, rows: Rows, width: int) -> NDArray[Any]:
    """``stretch`` (``Network.encode``, ``decode`` or ``reconstruct``) over all samples.

    Returns (n, width) in the network's dtype.
    """
    out = np.empty((len(rows), width), network.dtype)
    for start, _, result in _batches(network, stretch, rows):
        out[start : start + len(result)] = result
    return out


def at_once(network: Network, stretch: Stretch, x: NDArray[Any]) -> NDArray[Any] | None:
    """``stretch`` over a few samples x (n, n_in) in the net's dtype, none of them missing, on a
    backend of ``BY_NUMPY``.

    NumPy does it, in memory that is kept: by the net for as many as were at work at once. None
    where the result is not finite, or its squares overflow: ``run`` tells why, or finds no fault.
    """
    plans = network.plans
    plan: _Few | None
    try:
        plan = plans.pop()  # from now on nobody else has it, be it a thread or a signal handler
    except IndexError:
        plan = None
    if plan is None or plan.layers is not network.layers:
        plan = _Few(network)
    others = exchange(plan.scratch)
    try:
        return plan.quietly(plan.through, stretch, x)
    finally:
        exchange(others)
        if plan.small:
            plans.append(plan)


def errors_of_few(
    network: Network, x: NDArray[Any], records: Sequence[Record]
) -> NDArray[np.float64]:
    """The stretch to ``squared_errors`` (n,)."""
    result = network.reconstruct(x, records)
    result -= x
    return _of_rows(result)


class _Plan:
    """The net over the same weights, its operations without their checks, and memory for samples.

    ``layers`` are the net's own: they are others where its weights have moved (``rebase``).
    """

    def __init__(self, network: Network, backend: Backend, capacity: int) -> None:
        self.network, self.layers = copy.copy(network), network.layers
        self.network.plans = []
        self.network.backend = backend.unchecked
        if network.architecture.link != "identity":
            self.network.room = backend.empty((capacity, network.n_features), network.dtype)
        self.network.layers = self.own_layers()
        self.workspace = Workspace(self.network, capacity)
        self.small = backend.host and capacity * _bytes_of_a_sample(network) <= KEPT
        self.scratch = Scratch()

    def own_layers(self) -> list[Layer]:
        return self.layers


class _Few(_Plan):
    """For NumPy. ``quietly`` calls a function in a context of its own, in which NumPy says nothing
    of overflows: to enter that takes a fraction of the time of ``np.errstate``."""

    def __init__(self, network: Network) -> None:
        super().__init__(network, get_backend("numpy"), FEW)
        self.network.fill = self.network.room = None
        self.quietly = contextvars.Context().run
        self.quietly(partial(np.seterr, all="ignore"))

    def own_layers(self) -> list[Layer]:
        return [_with_rows(layer) for layer in self.layers]

    def through(self, stretch: Stretch, x: NDArray[Any]) -> NDArray[Any] | None:
        """See ``at_once``."""
        result: NDArray[Any] = stretch(self.network, x, self.workspace.records(len(x)))
        flat = result.ravel()
        if not isfinite(flat.dot(flat)):
            return None
        return result if result.base is None else result.copy()  # a part of the memory that is kept


def _with_rows(layer: Layer) -> Layer:
    """The same over the same weights, its biases (1, n): NumPy adds them to one sample in less than
    half of the time that it takes where shapes differ."""
    if (b := getattr(layer, "b", None)) is None:
        return layer
    layer = copy.copy(layer)
    layer.b = b[None]  # type: ignore[attr-defined]
    return layer


class _Kept(threading.local):
    def __init__(self) -> None:
        self.plans: Plans = WeakKeyDictionary()


_kept = _Kept()


def _plan(network: Network, capacity: int) -> tuple[_Plan, list[_Plan]]:
    """A plan of this thread, which nobody has meanwhile: what interrupts, as a signal handler does,
    gets another one. And the list that it is left in for whoever comes next. NumPy has a few
    samples here too, whatever they come as, so that they have the bits of ``at_once``."""
    if (spares := _kept.plans.get(network)) is None:
        if len(_kept.plans) >= NETS:
            _kept.plans.clear()
        spares = _kept.plans[network] = ([], [])
    backend, spare = network.backend, spares[0]
    if capacity <= FEW and backend.name in BY_NUMPY:
        backend, spare, capacity = get_backend("numpy"), spares[1], FEW
    plan = spare.pop() if spare else None
    if plan is None or plan.layers is not network.layers or plan.workspace.capacity < capacity:
        plan = _Plan(network, backend, capacity)
    plan.network.fill = network.fill  # it may have come since
    return plan, spare


def squared_errors(network: Network, rows: Rows) -> NDArray[np.float64]:
    """Sum over features of (x - reconstruction)^2 for each sample, float64 (n,), where x is not
    missing."""
    out = np.empty(len(rows))
    for start, error in errors(network, rows):
        out[start : start + len(error)] = sums_of_squares(error)
    return out


def sums_of_squares(error: NDArray[Any]) -> NDArray[np.float64]:
    """Of each row, in float64."""
    with np.errstate(over="ignore"):
        return _row_sums(error)


def _row_sums(error: NDArray[Any]) -> NDArray[np.float64]:
    sums = np.empty(len(error))
    for start in range(0, len(error), AT_ONCE):
        sums[start : start + AT_ONCE] = _of_rows(error[start : start + AT_ONCE])
    return sums


def _of_rows(error: NDArray[Any]) -> NDArray[np.float64]:
    wide = error.astype(np.float64, copy=False)
    sums: NDArray[np.float64] = np.vecdot(wide, wide)
    return sums


def errors(network: Network, rows: Rows) -> Iterator[tuple[int, NDArray[Any]]]:
    """(first position, reconstruction - x) of each batch; 0 where x is missing."""
    for start, x, result in _batches(network, Network.reconstruct, rows):
        result -= on_host(network.backend, x)
        if network.fill is not None:
            result[np.isnan(result)] = 0
        yield start, result


def zero_units(network: Network, rows: Rows) -> dict[str, NDArray[np.bool_]]:
    """By layer, which of its units (n_out,) are 0 for all samples.

    The output is left out too: a pixel may always be 0. Ends once every unit has been seen at work.
    """
    zero: dict[str, NDArray[np.bool_]] = {}

    def look(network: Network, x: Array, records: Sequence[Record]) -> Array:
        output = forward(network.backend, network.filled(x), records[:-1])
        for record in records[:-1]:
            if not record.layer.parameters:  # its units are those of the layer below
                continue
            name = record.layer.name
            still = np.asarray(~network.backend.to_host(record.y).any(axis=0))
            zero[name] = still & zero[name] if name in zero else still
        return output

    for _ in _batches(network, look, rows):
        if not any(units.any() for units in zero.values()):
            break
    return zero


def _batches(network: Network, stretch: Stretch, rows: Rows) -> Any:
    """(first position, input on the backend, result on the host, overwritten by the next) of each
    batch."""
    n, n_in = rows.shape
    capacity = min(_most(network), n)
    plan, spare = _plan(network, capacity)
    backend, dtype = plan.network.backend, network.dtype
    inputs = rows.array
    if not (as_it_lies := backend.host and rows.plain(dtype)):
        feeder = Feeder(backend, rows, capacity, dtype)
        inputs = backend.empty((capacity, n_in), dtype)
    try:
        with np.errstate(all="ignore"):
            for start in range(0, n, capacity):
                size = min(capacity, n - start)
                others = exchange(plan.scratch)  # what this interrupts has its own
                try:
                    if as_it_lies:
                        x = inputs[start : start + size]
                    else:
                        x = inputs[:size]
                        feeder.fill(np.arange(start, start + size), x)
                    result = stretch(plan.network, x, plan.workspace.records(size))
                    result = on_host(backend, result)
                finally:
                    exchange(others)
                if not np.isfinite(result).all():
                    _overflow(start, on_host(backend, x), result)
                yield start, x, result
    finally:
        if plan.small and not spare:
            spare.append(plan)


def _most(network: Network) -> int:
    """Samples of a batch: as many as fit into KEPT with their numbers in all layers.

    BATCH is a multiple of it, so that ranks may share samples by BATCH without other sums.
    """
    most = BATCH
    while most > LEAST and most * _bytes_of_a_sample(network) > KEPT:
        most //= 2
    return most


def _bytes_of_a_sample(network: Network) -> int:
    """Of its numbers in all layers: input, outputs, and what some activations are applied to."""
    plan = network.architecture
    numbers = network.n_features * (1 if plan.link == "identity" else 2)
    numbers += sum(spec.n_out * (1 + (spec.activation in NEEDS_INPUT)) for spec in plan.dense)
    return numbers * np.dtype(network.dtype).itemsize


def on_host(backend: Backend, array: Array) -> NDArray[Any]:
    """The array itself, where it lies on the host."""
    values: NDArray[Any] = array if backend.host else backend.to_host(array)
    return values


def _overflow(start: int, x: NDArray[Any], result: NDArray[Any]) -> None:
    """Raises ValueError that names the first sample whose result is not finite."""
    row = int(np.argmin(np.isfinite(result).all(axis=1)))
    column = int(np.argmax(np.nan_to_num(np.abs(x[row]))))
    raise ValueError(
        f"sample {start + row} overflows {x.dtype} in the net: its largest value is "
        f"{x[row, column]:.6g} (column {column}). Scale the data"
        + (", or use dtype='float64'" if x.dtype != np.float64 else "")
    )
