"""Memory that the ranks of one machine share (a window of MPI-3): a sum without messages.

Each rank leaves its gradient in a row of its own. Then rank r adds up part r of all rows, in the
order of ranks, and where an optimizer goes number by number it updates that part too, the moments
of which only it needs: so the update is divided among the ranks, as in ZeRO (Rajbhandari, Rasley,
Ruwase, He, "ZeRO: memory optimizations toward training trillion parameter models", SC 2020).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .talk import agreed

Array = NDArray[Any]

ROOM = "/dev/shm"  # where Linux has shared memory: beyond its size a process is killed
LINE = 64  # bytes: no two ranks write into the same line of a cache


class SharedMemory:
    """Arrays that all ranks of ``comm`` have, zero at first; ``sizes``: by name, of one dtype."""

    def __init__(self, comm: Any, sizes: Mapping[str, int], dtype: DTypeLike) -> None:
        from mpi4py import MPI

        item = np.dtype(dtype).itemsize
        places, end = {}, 0
        for name, size in sizes.items():
            places[name], end = end, end + -(-size * item // LINE) * LINE
        self._window = MPI.Win.Allocate_shared(end if comm.rank == 0 else 0, 1, comm=comm)
        memory: Any = self._window.Shared_query(0)[0]
        self.arrays: dict[str, Array] = {
            name: np.frombuffer(memory, dtype, size, places[name]) for name, size in sizes.items()
        }
        own = range(comm.rank, len(sizes), comm.size)  # also where its pages are to be
        for i, array in enumerate(self.arrays.values()):
            if i in own:
                array[:] = 0
        comm.Barrier()

    def free(self) -> None:
        """By all ranks; the arrays are gone then."""
        self.arrays.clear()
        self._window.Free()


def shared_memory(comm: Any, sizes: Mapping[str, int], dtype: DTypeLike) -> SharedMemory | None:
    """None where the ranks are not all on one machine, or it has no such room; the same for all."""
    from mpi4py import MPI

    machine = comm.Split_type(MPI.COMM_TYPE_SHARED)
    together = machine.size == comm.size
    machine.Free()
    wanted = 2 * sum(sizes.values()) * np.dtype(dtype).itemsize
    if not all(comm.allgather(together and _room() > wanted)):
        return None
    try:
        return agreed(comm, lambda: SharedMemory(comm, sizes, dtype))
    except Exception:  # an MPI without such windows: messages do as well
        return None


def _room() -> float:
    try:
        found = os.statvfs(ROOM)
    except (AttributeError, OSError):
        return float("inf")
    return float(found.f_bavail * found.f_frsize)
