"""The ranks of a communicator of MPI, which train one net."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..data.rows import Rows
from ..kernels.backend import Backend
from ..kernels.cpu import cores
from ..train.alone import Alone
from ..train.objective import Objective
from ..train.optimizers import Optimizer
from ..train.sizes import SMALL
from ..train.training import Training
from ..train.work import Work
from .devices import DEVICES, DeviceWork, take_gpu
from .local_rows import LocalRows, local_rows
from .talk import agreed, once, wait
from .work import SharedWork, expect_shared

T = TypeVar("T")

PATIENCE = 5.0  # seconds in which the others must have failed as well


class Team(Alone):
    """``comm``: an intracommunicator of mpi4py; every one of its ranks calls the same methods.

    A rank that leaves its ``with`` block by an error which the others do not have within 5 s says
    so and ends all of them (``MPI_Abort``): they would wait for it for ever.
    """

    def __init__(self, comm: Any) -> None:
        self.rank, self.size, self.first = comm.rank, comm.size, comm.rank == 0
        # one for each purpose, so that messages of two never meet
        self._steps, self._talk, self._end = (comm.Dup() for _ in range(3))
        self.threads = _threads(self._talk)
        self._works: list[SharedWork | DeviceWork] = []
        self._local = False

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        request = self._end.Ibarrier()
        if not wait(request, PATIENCE if error is not None else None):
            name = type(error).__name__
            print(f"tinyae: {self._who()}: {error or name}: all ranks end", file=sys.__stderr__)
            if sys.__stderr__ is not None:
                sys.__stderr__.flush()
            self._steps.Abort(1)
        for work in self._works:
            work.close()
        for comm in (self._steps, self._talk, self._end):
            comm.Free()

    def once(self, do: Callable[[], T]) -> T:
        return once(self._talk, do)

    def each(self, do: Callable[[], T]) -> T:
        return agreed(self._talk, do)

    def expect_same(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        own = facts()
        expected = self._talk.bcast(own)
        self.each(lambda: _expect_equal(own, expected, self.rank))

    def joined(self, rows: Rows, local: bool) -> Rows:
        self._local = local
        return local_rows(self._talk, rows) if local else rows

    def of_rows(self, rows: Rows, do: Callable[[Rows], T]) -> T:
        if not isinstance(rows, LocalRows):
            return self.once(lambda: do(rows))
        if rows.shape[0] * rows.shape[1] > SMALL:
            return self.each(lambda: do(rows))
        whole = rows.whole()  # cross-validation trains on them, in one process
        return self.once(lambda: do(whole))

    def work(
        self, objective: Objective, optimizer: Optimizer, capacity: int, fused: bool = False
    ) -> Work:
        backend = objective.network.backend.name
        expect_shared(backend, objective.terms, objective.noise is not None, self._local)
        work: SharedWork | DeviceWork
        if backend in DEVICES:
            found = self.each(lambda: DEVICES[backend](self._talk))
            work = DeviceWork(self._steps, objective, optimizer, capacity, found)
        else:
            work = SharedWork(self._steps, objective, optimizer, capacity, fused)
        self._works.append(work)
        return work

    def place(self, backend: Callable[[], Backend]) -> None:
        own = self.each(backend)
        found = self._talk.allgather((own.name, own.matmul))
        if len({*found}) > 1:
            each = ", ".join(f"{' '.join(names)} on rank {i}" for i, names in enumerate(found))
            raise ValueError(
                f"all ranks must have one backend and one matmul: {each}: name them (--backend, "
                "--matmul)"
            )
        if own.name == "cupy":
            from mpi4py import MPI

            machine = self._talk.Split_type(MPI.COMM_TYPE_SHARED)
            take_gpu(self._talk, machine)
            machine.Free()

    def begin(self, training: Training) -> None:
        optimizer = training.optimizer
        backend = optimizer.parameters.backend
        for array in (optimizer.parameters.values, *optimizer.moments.values(), training.totals):
            held = array if backend.host else backend.to_host(array)
            self._steps.Bcast(held)
            if not backend.host:
                backend.write(held, array)
        training.state, optimizer.updates = self._talk.bcast((training.state, optimizer.updates))

    def _who(self) -> str:
        return f"rank {self.rank} of {self.size} on {platform.node()}"


def _expect_equal(facts: Mapping[str, Any], expected: Mapping[str, Any], rank: int) -> None:
    other = [
        f"{name} {facts.get(name)!r} on rank {rank}, {expected.get(name)!r} on rank 0"
        for name in sorted({*facts, *expected})
        if facts.get(name) != expected.get(name)
    ]
    if other:
        raise ValueError(f"all ranks must train the same net on the same data: {'; '.join(other)}")


def _threads(comm: Any) -> int:
    """This rank's share of the cores of its machine, unless a variable says how many it has.

    A core that several ranks may run on counts in part on each.
    """
    number, origin = cores.threads()
    neighbours = comm.allgather((platform.node(), _cpus()))
    mine = [cpus for node, cpus in neighbours if node == platform.node()]
    if origin.endswith("_NUM_THREADS"):
        return number
    own = sum(1 / sum(cpu in cpus for cpus in mine) for cpu in _cpus())
    return max(1, min(int(own + 1e-9), number // len(mine) if "quota" in origin else number))


def _cpus() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))
