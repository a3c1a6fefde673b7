"""Ranks with a GPU each: the sum of gradients is part of the recorded step, on its stream.

Not yet run on GPUs: ``Nccl`` has been tested against a double of CuPy's bindings, and all else with
the backend ``cuda-host``, whose ranks add up by MPI.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Protocol

import numpy as np

from ..kernels.backend import Array
from ..train.batches import Feeder
from ..train.interrupts import DeferredInterrupt
from ..train.objective import Objective
from ..train.optimizers import Optimizer
from ..train.work import Work
from .shares import share
from .talk import wait

HEED = 16  # steps after which ranks ask each other for signals: the host runs ahead of its GPU


class Communicator(Protocol):
    """Sums of arrays in the memory of devices."""

    def all_reduce(self, array: Array, out: Array) -> None:
        """out = the sum of all ranks' arrays, the same bits on all; queued behind what the current
        stream has, as kernels are. float32 or float64; ``out`` may be ``array``."""

    def close(self) -> None:
        """All ranks have done with it."""


class Nccl:
    """NCCL by CuPy's bindings (https://docs.cupy.dev, ``cupy.cuda.nccl``); the ranks of ``comm``
    have a GPU each, and MPI tells them the id by which they meet."""

    def __init__(self, comm: Any) -> None:
        import cupy
        from cupy.cuda import nccl

        self._stream, self._sum = cupy.cuda.get_current_stream, nccl.NCCL_SUM
        self._types = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}
        unique = comm.bcast(nccl.get_unique_id() if comm.rank == 0 else None)
        self._nccl = nccl.NcclCommunicator(comm.size, unique, comm.rank)

    def all_reduce(self, array: Array, out: Array) -> None:
        self._nccl.allReduce(
            array.data.ptr, out.data.ptr, array.size, self._types[array.dtype.name], self._sum,
            self._stream().ptr,
        )  # fmt: skip

    def close(self) -> None:
        self._stream().synchronize()
        self._nccl.destroy()


# By backend, what makes the communicator of a device's ranks.
DEVICES: dict[str, Callable[[Any], Communicator]] = {"cupy": Nccl}


def take_gpu(comm: Any, machine: Any) -> None:
    """Makes a GPU of its own the current one of each rank; ``machine`` are the ranks of this one.

    Raises RuntimeError on all ranks where there are too few. Launchers may show each rank its own
    GPU alone, or all of them to all.
    """
    from cupy.cuda import runtime

    count = runtime.getDeviceCount()
    runtime.setDevice(machine.rank % count)
    ids = machine.allgather(runtime.deviceGetPCIBusId(runtime.getDevice()))
    if not all(comm.allgather(len({*ids}) == len(ids))):
        raise RuntimeError(
            f"every rank of MPI needs a GPU of its own, and on one machine {len(ids)} ranks have "
            f"{len({*ids})}: start one per GPU, or train on CPUs (--backend numba)"
        )


class LateInterrupt(DeferredInterrupt):
    """``requested`` on all ranks after the same step, of which every ``HEED``-th asks."""

    def __init__(self, comm: Any) -> None:
        self._comm, self._asked, self._steps, self._agreed = comm, False, 0, False
        super().__init__()

    @property
    def requested(self) -> bool:
        """Looked at once a step, by all ranks."""
        self._steps += 1
        if self._steps % HEED == 0 and not self._agreed:
            told, heard = np.array([self._asked]), np.zeros(self._comm.size, bool)
            wait(self._comm.Iallgather(told, heard))
            self._agreed = bool(heard.any())
        return self._agreed

    @requested.setter
    def requested(self, value: bool) -> None:
        self._asked = value

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._asked = True


class DeviceWork(Work):
    """A step of which each rank does a share, the gradients summed by a ``Communicator``."""

    def __init__(
        self, comm: Any, objective: Objective, optimizer: Optimizer, capacity: int,
        communicator: Communicator,
    ) -> None:  # fmt: skip
        super().__init__(objective, optimizer, capacity)
        self.comm, self.reduce, self._communicator = comm, self._reduce, communicator
        backend, parameters = self.network.backend, self.network.parameters
        self._zero = backend.to_device(np.zeros(1, np.int64))
        self._scaled = backend.empty((1, parameters.size), parameters.dtype)
        self._counted = backend.empty((1, 2), "float64")
        self._weight, self._counts = 0.0, 1.0
        assert backend.recorder is not None
        self._call = backend.recorder.call

    def run(self, feeder: Feeder, positions: Array, n: int, hyper: Array, totals: Array) -> None:
        first, last = share(n, self.comm.rank, self.comm.size)
        self._weight, self._counts = (last - first) / n, float(first < last)
        if first == last:  # fewer samples than ranks: one of another rank's, which counts as 0
            first, last = 0, 1
        super().run(feeder, positions[first:last], last - first, hyper, totals)

    def _reduce(self, gradients: Array, totals: Array) -> None:
        ops, comm = self._bare, self._communicator
        for array, scaled, weight in (
            (gradients, self._scaled, self._weight), (totals, self._counted, self._counts),
        ):  # fmt: skip
            ops.gather(array.reshape(scaled.shape), self._zero, weight, scaled)
            flat = scaled.reshape(array.shape)
            self._call(partial(comm.all_reduce, flat, array))

    def interrupt(self) -> DeferredInterrupt:
        return LateInterrupt(self.comm)

    def judge(self, feeder: Feeder, number: int, positions: Array, totals: Array) -> None:
        if number % self.comm.size == self.comm.rank:
            super().judge(feeder, number, positions, totals)

    def summed(self, totals: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        every = np.empty((self.comm.size, *totals.shape))
        wait(self.comm.Iallgather(totals, every))
        sums: np.ndarray[Any, Any] = every.sum(axis=0)
        return sums

    def close(self) -> None:
        self._communicator.close()
