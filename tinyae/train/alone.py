"""One process that trains alone: the places where ``parallel.Team`` has several agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ..data.rows import Rows
from ..kernels.backend import Backend
from .objective import Objective
from .optimizers import Optimizer
from .work import Work

if TYPE_CHECKING:
    from .training import Training

T = TypeVar("T")


class Alone:
    """Also a context manager, for the time of a ``fit``."""

    first = True  # this process writes and prints
    threads: int | None = None  # of a host backend, where nobody says how many

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """May not return where others go on."""

    def once(self, do: Callable[[], T]) -> T:
        """What ``do`` returns or raises in the first process, in all."""
        return do()

    def each(self, do: Callable[[], T]) -> T:
        """``do()`` in every process; raises in all what it raises in one."""
        return do()

    def expect_same(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Raises ValueError where those of another process differ."""

    def place(self, backend: Callable[[], Backend]) -> None:
        """Before the first array of the net is made in the memory of this backend."""

    def joined(self, rows: Rows, local: bool) -> Rows:
        """The samples of all processes, where each has its own; raises what does not fit."""
        return rows

    def of_rows(self, rows: Rows, do: Callable[[Rows], T]) -> T:
        """What ``do`` finds out of ``rows``, in all."""
        return do(rows)

    def work(
        self, objective: Objective, optimizer: Optimizer, capacity: int, fused: bool = False
    ) -> Work:
        return Work(objective, optimizer, capacity, fused)

    def begin(self, training: Training) -> None:
        """All stand where the first one stands."""
