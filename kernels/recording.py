"""Recorded launches, and tickets, for runners whose launches end before the next one begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .grids import MAX_BLOCKS, Array, Dim


class Recording:
    """A ``Runner``'s launch, resident, cooperative, tickets, record, aside and join.

    ``run`` executes one launch.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    def run(
        self, file: str, kernel: str, dtype: str, grid: Dim, block: Dim, args: tuple[Any, ...],
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        raise NotImplementedError

    def launch(
        self, file: str, kernel: str, dtype: str, grid: Dim, block: Dim, args: tuple[Any, ...],
        cooperative: bool = False,
    ) -> None:  # fmt: skip
        """Runs ``kernel`` of ``file`` compiled for ``dtype``, or notes it.

        args: arrays (passed as pointers) and NumPy scalars of just the kernel's types.
        """
        recorded: list[Any] | None = getattr(self._local, "recorded", None)
        if recorded is None:
            self.run(file, kernel, dtype, grid, block, args, cooperative)
        else:
            recorded.append((file, kernel, dtype, grid, block, args, cooperative))

    def call(self, do: Callable[[], None]) -> None:
        """``do()``, or a note of it."""
        recorded: list[Any] | None = getattr(self._local, "recorded", None)
        if recorded is None:
            do()
        else:
            recorded.append(do)

    def resident(self, file: str, kernel: str, dtype: str) -> int:
        """There is no GPU that could be filled: as many as ever."""
        return MAX_BLOCKS

    def cooperative(self, file: str, kernel: str, dtype: str) -> int:
        """Several, so that they wait for each other; their threads are all there at once."""
        return 4

    def tickets(self, n: int) -> Array:
        """At least n uint32, zero before each launch: kernels leave them as they were."""
        held: Array = self._local.__dict__.get("tickets")
        if held is None or held.size < n:
            held = self._local.tickets = np.zeros(max(n, 1024), np.uint32)
        return held

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Notes the launches that ``work`` makes without running them; the result runs them."""
        launches: list[tuple[Any, ...] | Callable[[], None]] = []
        self._local.recorded, self._local.aside = launches, []
        try:
            work()
            self.join()
        finally:
            self._local.recorded = None

        def replay() -> None:
            for launch in launches:
                if callable(launch):
                    self.call(launch)
                else:
                    self.launch(*launch)

        return replay

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While recording, what is launched in this ``with`` block runs as late as it may: at
        ``join``. So it shows where something else has used up its arrays by then."""
        recorded = getattr(self._local, "recorded", None)
        if recorded is None:
            yield
            return
        self._local.recorded = self._local.aside
        try:
            yield
        finally:
            self._local.recorded = recorded

    def join(self) -> None:
        """What was launched aside comes before what follows."""
        if getattr(self._local, "recorded", None) is not None:
            self._local.recorded += self._local.aside
            self._local.aside = []
