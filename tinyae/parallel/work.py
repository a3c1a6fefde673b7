"""A training step that several ranks share: each has some rows of the minibatch."""

from __future__ import annotations

from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.backend import Array
from ..train.batches import Feeder
from ..train.interrupts import DeferredInterrupt
from ..train.objective import Objective
from ..train.optimizers import Optimizer
from ..train.work import Work
from .shares import GRAIN, Place, share
from .talk import ALL_HERE, wait

HOSTS = ("numpy", "numba")  # backends


class AgreedInterrupt(DeferredInterrupt):
    """A signal to any rank is ``asked``; ``requested`` it is on all ranks, after the same step.

    Repeated signals are not heeded: a launcher may pass on what the terminal has sent already.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


class SharedWork(Work):
    """Gradients of the rank's rows, summed over all ranks, then the same update on each.

    The sum is one of a fixed order: rank r gets its part of the flat gradient from every rank, adds
    them in the order of ranks, and gives the sum to all (a reduction scattered, then gathered: what
    every rank sends does not grow with their number; Thakur, Rabenseifner, Gropp, "Optimization of
    collective communication operations in MPICH", 2005). So all ranks have the same bits, and so
    have two runs of as many ranks, whichever MPI it is.
    """

    def __init__(
        self, comm: Any, objective: Objective, optimizer: Optimizer, capacity: int,
        fused: bool = False,
    ) -> None:  # fmt: skip
        backend, parameters = objective.network.backend, objective.network.parameters
        if backend.name not in HOSTS:
            raise ValueError(
                f"backend {backend.name!r} trains in one process only; several ranks of MPI need "
                "backend='numba' or 'numpy' (--backend numba)"
            )
        for term in objective.terms:
            if not term.of_samples:
                raise ValueError(
                    f"{type(term).__name__} is no sum over samples that ranks of MPI could share: "
                    "train in one process" + (f", or use {term.instead}" if term.instead else "")
                )
        self.comm, self.reduce = comm, self._reduce
        super().__init__(objective, optimizer, capacity, fused)
        noisy = objective.noise is not None or objective.draws
        self._grain, self._place = GRAIN if noisy else 1, Place()
        self._checked, self._bare = map(self._place.at_home, (self._checked, self._bare))
        self._weight = 0.0  # this rank's part of the minibatch
        ranks = range(comm.size)
        parts = [share(parameters.size, rank, comm.size) for rank in ranks]
        self._counts, self._places = [last - first for first, last in parts], [p[0] for p in parts]
        own = self._counts[comm.rank]
        self._sent = np.empty(parameters.size, parameters.dtype)
        self._received = np.empty((comm.size, own), parameters.dtype)
        self._from = [own] * comm.size, [own * rank for rank in ranks]
        self._told, self._heard = np.zeros(3), np.zeros((comm.size, 3))
        self._signals = AgreedInterrupt()

    def run(self, feeder: Feeder, positions: Array, n: int, hyper: Array, totals: Array) -> None:
        first, last = share(n, self.comm.rank, self.comm.size, self._grain)
        self._place.first, self._weight = first, (last - first) / n
        if first < last:
            super().run(feeder, positions[first:last], last - first, hyper, totals)
            return
        gradients = self.network.parameters.gradients
        gradients[:], totals[:] = 0, 0
        self._reduce(gradients, totals)
        self.optimizer.apply(self._bare, hyper, guard=totals)

    def _reduce(self, gradients: Array, totals: Array) -> None:
        """Gradients of the means over each rank's rows -> that of the mean over all of them."""
        self._told[:] = *totals, self._signals.asked
        wait(self.comm.Iallgather(self._told, self._heard))
        losses, squares, asked = self._heard.sum(axis=0)
        totals[:] = losses, squares
        self._signals.requested |= bool(asked)
        if not np.isfinite(losses):
            return  # no update
        np.multiply(gradients, gradients.dtype.type(self._weight), out=self._sent)
        parts = self._counts, self._places
        sending = self.comm.Ialltoallv([self._sent, parts], [self._received, self._from])
        wait(sending, spin=ALL_HERE)
        summed, *others = self._received
        for other in others:
            summed += other
        wait(self.comm.Iallgatherv(summed, [gradients, parts]), spin=ALL_HERE)

    def interrupt(self) -> DeferredInterrupt:
        self._signals = AgreedInterrupt()
        return self._signals

    def judged(self, n: int) -> range:
        return range(self.comm.rank, n, self.comm.size)

    def summed(self, totals: NDArray[Any]) -> NDArray[Any]:
        every = np.empty((self.comm.size, *totals.shape))
        wait(self.comm.Iallgather(totals, every))
        sums: NDArray[Any] = every.sum(axis=0)
        return sums

    def gather(self) -> None:
        """All terms are sums over samples, and so are their states. Where a run was interrupted
        within the epoch, those of before are the first rank's: the checkpoint has no others."""
        for term in self.objective.terms:
            for state in term.state().values():
                state[...] = self.summed(state.astype(np.float64))
