"""How ranks add up their gradients, and update the parameters by the sum.

All ways have the same order, that of the ranks, so that all ranks have the same bits, and so have
two runs of as many ranks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.backend import Array, Backend
from ..kernels.conventions import MOMENTS
from ..net.network import Network
from ..train.optimizers import Optimizer
from .machine import SharedMemory, shared_memory
from .shares import share
from .talk import ALL_HERE, wait

BLOCK = 1 << 16  # parameters summed and updated at a time: they stay in the second-level cache


class Sum:
    """By messages: rank r gets its part of the gradient from every rank, adds them and gives the
    sum to all. What each sends does not grow with their number (Thakur, Rabenseifner, Gropp,
    "Optimization of collective communication operations in MPICH", 2005)."""

    def __init__(self, comm: Any, optimizer: Optimizer) -> None:
        self.comm, self.optimizer = comm, optimizer
        self.parameters = parameters = optimizer.parameters
        self.parts = [share(parameters.size, rank, comm.size) for rank in range(comm.size)]
        self.first, self.last = self.parts[comm.rank]

    def leave(self, flat: bool) -> None:
        """This rank's gradients are there, for the others to have: ``flat`` if they were written
        to ``parameters.gradients`` as a whole, not layer by layer."""

    def update(
        self, ops: Backend, hyper: Array, totals: Array, weights: NDArray[np.float64]
    ) -> None:
        """The same on all ranks, by the sum of their gradients, each times its weight, after all
        have left theirs."""
        self._add(self.parameters.gradients, weights)
        self.optimizer.apply(ops, hyper, guard=totals)

    def _add(self, gradients: Array, weights: NDArray[np.float64]) -> None:
        counts, size = [last - first for first, last in self.parts], self.comm.size
        places, own = [first for first, _ in self.parts], self.last - self.first
        received = np.empty((size, own), gradients.dtype)
        gradients *= gradients.dtype.type(weights[self.comm.rank])
        places_of = [own] * size, [own * rank for rank in range(size)]
        sending = self.comm.Ialltoallv([gradients, (counts, places)], [received, places_of])
        wait(sending, spin=ALL_HERE)
        summed, *others = received
        for other in others:
            summed += other
        wait(self.comm.Iallgatherv(summed, [gradients, (counts, places)]), spin=ALL_HERE)

    def close(self) -> None:
        """All ranks have done with it."""


class MachineSum(Sum):
    """On one machine, in ``memory`` that the ranks share.

    Where nothing but layers has views of the values (``plain``), and the update is divided, the
    ranks have one copy of them in that memory; else each has its own.
    """

    def __init__(
        self, comm: Any, optimizer: Optimizer, memory: SharedMemory, network: Network, plain: bool
    ) -> None:
        super().__init__(comm, optimizer)
        self.memory, arrays = memory, memory.arrays
        self._rows = [arrays[_row(rank)] for rank in range(comm.size)]
        self._sum, self._values = arrays["sum"], arrays["values"]
        # a rule that goes number by number needs its own part of the moments alone
        p, self._divided = self.parameters, divides(optimizer)
        self._network, self._own = network, p.values
        self._one_copy = self._divided and plain
        if self._one_copy:
            self._values[self.first : self.last] = p.values[self.first : self.last]
            comm.Barrier()
            network.rebase(self._values)
        # a step that writes the flat gradient writes it here; layers have views of their own array
        self._gradients, p.gradients = p.gradients, self._rows[comm.rank]
        if self._divided:
            part = slice(self.first, self.last)
            for name, moment in optimizer.moments.items():
                arrays[name][part] = moment[part]
                optimizer.moments[name] = arrays[name]
        self._block = np.empty((2, min(BLOCK, self.last - self.first)), p.dtype)

    def leave(self, flat: bool) -> None:
        if not flat:
            self._rows[self.comm.rank][:] = self._gradients

    def update(
        self, ops: Backend, hyper: Array, totals: Array, weights: NDArray[np.float64]
    ) -> None:
        for start in range(self.first, self.last, BLOCK):
            part = slice(start, min(start + BLOCK, self.last))
            summed = self._summed(part, weights)
            if self._divided:
                self._update_part(ops, part, summed, hyper, totals)
            else:
                self._sum[part] = summed
        wait(self.comm.Ibarrier(), spin=ALL_HERE)
        if self._one_copy:
            return
        if self._divided:
            values = self.parameters.values
            for others in (slice(0, self.first), slice(self.last, len(values))):
                values[others] = self._values[others]
            return
        self._gradients[:] = self._sum
        self.parameters.gradients = self._gradients
        self.optimizer.apply(ops, hyper, guard=totals)
        self.parameters.gradients = self._rows[self.comm.rank]

    def _summed(self, part: slice, weights: NDArray[np.float64]) -> Array:
        total, other = self._block[:, : part.stop - part.start]
        for row, weight in zip(self._rows, weights, strict=True):
            first = row is self._rows[0]
            np.multiply(row[part], row.dtype.type(weight), out=total if first else other)
            if not first:
                total += other
        return total

    def _update_part(
        self, ops: Backend, part: slice, summed: Array, hyper: Array, totals: Array
    ) -> None:
        p, optimizer = self.parameters, self.optimizer
        w, moments = p.values[part], tuple(m[part] for m in optimizer.moments.values())
        n_decayed = min(max(p.n_weights - part.start, 0), len(w))
        ops.update(optimizer.name, w, summed, moments, hyper, n_decayed, totals)
        if not self._one_copy:
            self._values[part] = w

    def close(self) -> None:
        self.parameters.gradients = self._gradients
        wait(self.comm.Ibarrier())
        moments = self.optimizer.moments
        moments.update({name: moment.copy() for name, moment in moments.items()})
        if self._one_copy:
            self._own[:] = self._values
            self._network.rebase(self._own)
            wait(self.comm.Ibarrier())
        self._rows, self._sum, self._values = [], self._block[0], self._block[0]
        self.memory.free()


def divides(optimizer: Optimizer) -> bool:
    """Whether its rule goes number by number, so that any part can be updated by itself."""
    return type(optimizer) is Optimizer and optimizer.name in MOMENTS and not optimizer.clip_norm


def sum_for(comm: Any, optimizer: Optimizer, network: Network, plain: bool) -> Sum:
    """The fastest one that there is for these ranks; ``plain``: see ``MachineSum``."""
    if comm.size == 1:
        return Sum(comm, optimizer)
    size = optimizer.parameters.size
    names = [*map(_row, range(comm.size)), "sum", "values", *optimizer.moments]
    memory = shared_memory(comm, dict.fromkeys(names, size), optimizer.parameters.dtype)
    if memory is None:
        return Sum(comm, optimizer)
    return MachineSum(comm, optimizer, memory, network, plain)


def _row(rank: int) -> str:
    return f"gradient of rank {rank}"
