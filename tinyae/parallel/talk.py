"""How ranks wait for each other, and agree on what has failed."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Outcome = tuple[Any, BaseException | None]

SPIN, LONGEST = 1e-3, 0.02  # seconds before it sleeps, and of the longest sleep
ALL_HERE = 1.0  # seconds before it sleeps where all ranks have come and data are on their way

_give_way: Callable[[], object] = getattr(os, "sched_yield", lambda: time.sleep(0))


def wait(request: Any, seconds: float | None = None, spin: float = SPIN) -> bool:
    """Whether ``request`` was done within that time.

    A blocking call of MPI keeps a core busy until it returns, which another rank may need to come
    to the same call: this one gives the core away after every look, and sleeps after ``spin``
    seconds. A long message comes piece by piece, one a look: it should not be slept on.
    """
    started = time.monotonic()
    while not request.Test():
        waited = time.monotonic() - started
        if seconds is not None and waited > seconds:
            return False
        if waited < spin:
            _give_way()
        else:
            time.sleep(min(waited / 10, LONGEST))
    return True


def agreed(comm: Any, do: Callable[[], T]) -> T:
    """``do()`` on every rank of ``comm``; raises on all what it raises on one, with its name."""
    found = tried(do)
    wait(comm.Ibarrier())
    failures = comm.allgather(found[1])
    if found[1] is None and any(failures):
        rank = next(rank for rank, failure in enumerate(failures) if failure is not None)
        raise _like(failures[rank], f"rank {rank} of {comm.size}: {failures[rank]}")
    value: T = value_of(found)
    return value


def once(comm: Any, do: Callable[[], T]) -> T:
    """What ``do`` returns or raises on the first rank of ``comm``, on all."""
    found = tried(do) if comm.rank == 0 else None
    wait(comm.Ibarrier())
    value: T = value_of(comm.bcast(found))
    return value


def tried(do: Callable[[], T]) -> Outcome:
    """(what it returns, None) or (None, what it raises, or an error like it that travels)."""
    try:
        return do(), None
    except BaseException as error:
        try:
            return None, pickle.loads(pickle.dumps(error))
        except Exception:
            return None, RuntimeError(f"{type(error).__name__}: {error}")


def _like(error: BaseException, text: str) -> BaseException:
    try:
        return type(error)(text)
    except Exception:  # it is made of something else
        return RuntimeError(text)


def value_of(found: Outcome) -> Any:
    value, error = found
    if error is not None:
        raise error
    return value
