"""What the CUDA C launchers need of the thing that runs them: CuPy on a GPU, or the host."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from ..grids import Array, Dim

NULL = np.uintp(0)  # a pointer, for an array that is not there


class Runner(Protocol):
    name: str
    array_type: type[Any]

    def launch(
        self, file: str, kernel: str, dtype: str, grid: Dim, block: Dim, args: tuple[Any, ...],
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        """Runs ``kernel`` of ``file``, compiled with REAL = dtype.

        args: arrays, passed as pointers, and NumPy scalars of just the kernel's types.
        cooperative: all blocks are there at once, so that they may wait for each other.
        """

    def resident(self, file: str, kernel: str, dtype: str) -> int:
        """Blocks of THREADS that the GPU has room for at once: in a grid-stride loop more of them
        would only wait."""

    def cooperative(self, file: str, kernel: str, dtype: str) -> int:
        """The most blocks of THREADS that a cooperative launch may have, 0 where there is none."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Notes the launches that ``work`` makes without running them; the result runs them.

        ``work`` has been run before, so that kernels are compiled and scratch memory is there.
        """

    def aside(self) -> AbstractContextManager[None]:
        """While recording, launches in this ``with`` block may run beside what follows it, up to
        ``join``. They must have scratch memory of their own. Elsewhere it does nothing."""

    def call(self, do: Callable[[], None]) -> None:
        """``do()``, again whenever what is being recorded is replayed."""

    def join(self) -> None:
        """What was launched aside comes before what follows."""

    def scratch(self, shape: tuple[int, ...], dtype: str, slot: int = 0) -> Array:
        """Uninitialised memory, valid until the slot is asked for again; allocated only to grow."""

    def tickets(self, n: int) -> Array:
        """At least n uint32, zero before each launch: kernels leave them as they were. For launches
        of the main branch, which follow one another."""
