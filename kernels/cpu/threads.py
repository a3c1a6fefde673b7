"""The threads of the Numba column: how many a kernel uses, and how they wait.

Two pools on the same cores, say OpenBLAS's and OpenMP's, whose threads spin while they wait, make
a step 20 to 70 times slower. This column calls no BLAS, so that one pool is at work in a step, and
its threads spin for microseconds only before they sleep, so that they leave the cores to whatever
comes next: NumPy, PyTorch, another process. Settings of other libraries are not touched.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba

from . import cores
from .pieces import Kernel, run, run_alone

GRAIN = 250_000  # multiply-adds that are worth one more thread: some microseconds

# Turns that GNU OpenMP's threads spin: by default 300,000, some milliseconds, in which they steal
# the cores from all others, and from each other where there are fewer cores than threads.
SPINS = {"GOMP_SPINCOUNT": "2000"}  # some 40 microseconds: a launch from Python finds them awake
USERS_CHOICE = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")

_local = threading.local()
_process = os.getpid()
_by_default = functools.cache(cores.threads)  # reads some files


def start() -> str:
    """Starts Numba's threads, unless they run already; returns the name of their library.

    OpenMP reads its variables when it is loaded: they are set for that long only.
    """
    ours = {} if any(name in os.environ for name in USERS_CHOICE) else SPINS
    os.environ.update(ours)
    try:
        numba.get_num_threads()
    finally:
        for name in ours:
            del os.environ[name]
    return str(numba.threading_layer())


def available() -> int:
    """Threads that a large problem gets: ``limited``, or ``cores.threads``; Numba's at the most."""
    _expect_threads()
    most = int(numba.get_num_threads())
    limit: int | None = getattr(_local, "limit", None)
    if limit is None:
        limit = (cores.threads if os.environ.get(cores.VARIABLE) else _by_default)()[0]
    return min(limit, most)


def threads_for(work: int) -> int:
    """Threads for so many multiply-adds: small problems use fewer."""
    if work < 2 * GRAIN:
        _expect_threads()
        return 1
    return max(1, min(available(), work // GRAIN))  # limited(0) leaves one


def _expect_threads() -> None:
    if os.getpid() != _process:
        raise RuntimeError(
            "this process was forked from one that had loaded the numba backend, whose threads do "
            "not survive that: start processes with the method 'spawn' or 'forkserver', or use "
            "backend='numpy' in them"
        )


def launch(kernel: Kernel | Callable[..., None], *arguments: Any, threads: int) -> None:
    """A kernel with its arguments, or kernel(*arguments, threads) whose own loops are parallel, on
    that many threads; others sleep."""
    if isinstance(kernel, Kernel):
        turns, job = kernel.alone(arguments)
        if threads == 1:
            run_alone(turns, job.address)
        else:
            start_on(threads, run, turns, job.address, threads)
    else:
        start_on(threads, kernel, *arguments, threads)


def start_on(threads: int, parallel: Callable[..., None], *arguments: Any) -> None:
    """parallel(*arguments), whose loops run on that many threads."""
    before = numba.get_num_threads()
    if threads == before:
        parallel(*arguments)
        return
    numba.set_num_threads(threads)
    try:
        parallel(*arguments)
    finally:
        numba.set_num_threads(before)


@contextmanager
def limited(threads: int | None) -> Iterator[int]:
    """At most so many threads in this block, in this Python thread; None changes nothing.

    Gives the number that is available then.
    """
    before = getattr(_local, "limit", None)
    _local.limit = before if threads is None else threads
    try:
        yield available()
    finally:
        _local.limit = before
