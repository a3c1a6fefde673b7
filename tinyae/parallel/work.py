"""A training step that several ranks share: each has some rows of the minibatch."""

from __future__ import annotations

from collections.abc import Iterable
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.backend import Array, Backend
from ..train.batches import Feeder
from ..train.interrupts import DeferredInterrupt
from ..train.objective import Objective, Term
from ..train.optimizers import Optimizer
from ..train.work import Work
from .devices import DEVICES
from .shares import GRAIN, Place, share
from .sums import sum_for
from .talk import ALL_HERE, wait

HOSTS = ("numpy", "numba")  # backends


def expect_shared(backend: str, terms: Iterable[Term], noise: bool, local: bool = False) -> None:
    """Raises ValueError for a backend, noise on the code or a term of the loss that ranks cannot
    share; ``local``: each has rows of its own."""
    device, terms = backend in DEVICES, list(terms)
    if backend not in HOSTS and not device:
        raise ValueError(
            f"backend {backend!r} trains in one process only; several ranks of MPI need "
            f"backend={' or '.join(map(repr, (*HOSTS, *DEVICES)))} (--backend numba)"
        )
    if device and (local or noise or any(term.draws for term in terms)):
        what = "rows of which each rank has its own" if local else "a step's random numbers"
        raise ValueError(
            f"{what} are for ranks of MPI on CPUs: use backend='numba', or train in one process"
        )
    for term in terms:
        if not term.of_samples:
            raise ValueError(
                f"{term.setting} is no sum over samples, which ranks of MPI could share: train in "
                "one process" + (f", or use {term.instead}" if term.instead else "")
            )


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
    """Gradients of the rank's rows, summed over all ranks (see ``sums``), then the same update on
    each."""

    def __init__(
        self, comm: Any, objective: Objective, optimizer: Optimizer, capacity: int,
        fused: bool = False,
    ) -> None:  # fmt: skip
        self.comm, self.reduce = comm, self._reduce
        self._sum = sum_for(comm, optimizer, objective.network, objective.plain)
        super().__init__(objective, optimizer, capacity, fused)
        noisy = objective.noise is not None or objective.draws
        self._grain, self._place = GRAIN if noisy else 1, Place()
        self._checked, self._bare = map(self._place.at_home, (self._checked, self._bare))
        # of a step: losses, squared errors, a signal, and the rank's part of the minibatch
        self._told, self._heard = np.zeros(4), np.zeros((comm.size, 4))
        self._signals = AgreedInterrupt()

    def run(self, feeder: Feeder, positions: Array, n: int, hyper: Array, totals: Array) -> None:
        positions = self._own(feeder, positions, n)
        self._told[3] = len(positions) / n
        if len(positions):
            super().run(feeder, positions, len(positions), hyper, totals)
            return
        totals[:] = 0
        self.network.parameters.gradients[:] = 0
        self._reduce(self.network.parameters.gradients, totals, flat=True)
        self._update(self._bare, hyper, totals)
        self._end(self._bare)

    def _own(self, feeder: Feeder, positions: Array, n: int) -> Array:
        """This rank's of a minibatch's n positions: its share, or those that it alone holds."""
        place = self._place
        place.rows, place.n = feeder.rows.held(positions), n
        if place.rows is not None:
            return positions[place.rows]
        place.first, last = share(n, self.comm.rank, self.comm.size, self._grain)
        return positions[place.first : last]

    def _reduce(self, gradients: Array, totals: Array, flat: bool = False) -> None:
        """The totals of all ranks, after all have left their gradients."""
        self._sum.leave(flat or self._fused is not None)
        self._told[:3] = *totals, self._signals.asked
        wait(self.comm.Iallgather(self._told, self._heard), spin=ALL_HERE)
        losses, squares, asked, _ = self._heard.sum(axis=0)
        totals[:] = losses, squares
        self._signals.requested |= bool(asked)

    def _update(self, ops: Backend, hyper: Array, totals: Array) -> None:
        if np.isfinite(totals[0]):
            self._sum.update(ops, hyper, totals, self._heard[:, 3])

    def close(self) -> None:
        """After the last step, by all ranks."""
        self._sum.close()

    def interrupt(self) -> DeferredInterrupt:
        self._signals = AgreedInterrupt()
        return self._signals

    def judge(self, feeder: Feeder, number: int, positions: Array, totals: Array) -> None:
        if feeder.rows.held(positions) is None:  # then a batch each
            if number % self.comm.size == self.comm.rank:
                super().judge(feeder, number, positions, totals)
            return
        own = self._own(feeder, positions, len(positions))
        if len(own):
            self._judge(self._checked, feeder, own, totals)

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
