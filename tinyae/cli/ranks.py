"""Commands under mpirun or srun: the first process runs them, the others train with it.

All that is read, printed and written is the first one's business. Where it trains into a run
folder it tells the others, which open the same data and call ``fit`` as it does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress

from ..parallel import launch
from .options import UsageError
from .run_folder import follow_training


def quiet() -> bool:
    """Whether another process does the talking."""
    return launch.started()[1] > 0


def run(command: Callable[[argparse.Namespace], None], given: argparse.Namespace) -> None:
    """``command``, by all processes that were started.

    Raises UsageError for one that is the work of one process, and RuntimeError where processes
    cannot talk to each other.
    """
    size, rank, _ = launch.started()
    if size == 1:
        command(given)
        return
    if not getattr(given, "together", False):
        raise UsageError(
            f"{size} processes were started by mpirun or srun, and this command is the work of "
            "one: start it without (train, sweep and doctor can be started by mpirun)"
        )
    launch.world()
    if rank == 0:
        try:
            command(given)
        finally:
            launch.tell(None)
        return
    while (job := launch.heard()) is not None:
        with suppress(Exception, KeyboardInterrupt):  # the first one has it too, and says so
            follow_training(*job)
