"""Memory whose every byte knows whether it is there, and whether something was written to it.

A space has a row for each block (shared), each thread (local), or one for all (global, parameters).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .parse import BITS

Array = Any

ABSENT, EMPTY, IN_FLIGHT, WRITTEN = 0, 1, 2, 3  # what a byte is

GAP = 256  # bytes between two allocations that belong to nobody; also their alignment

WHAT = {
    ABSENT: "out of bounds", EMPTY: "where nothing was written",
    IN_FLIGHT: "while an asynchronous copy to it is under way",
}  # fmt: skip


class Fault(Exception):
    """A wrong access, by the ``which``-th of the threads that run."""

    def __init__(self, what: str, which: int) -> None:
        super().__init__(what)
        self.what, self.which = what, which


class Space:
    """``rows`` times ``size`` bytes. Addresses begin at ``base``, so that 0 is in no allocation."""

    def __init__(self, name: str, rows: int, size: int, base: int = 0) -> None:
        self.name, self.base = name, base
        self.size = -(-size // 16) * 16  # a row begins where every access is aligned
        self.data = np.zeros(rows * self.size, np.uint8)
        self.state = np.zeros(rows * self.size, np.uint8)
        self.top = GAP if base else 0

    def allocate(self, size: int, align: int = 1, offset: int = 0) -> int:
        """The address of ``size`` empty bytes, in every row, ``offset`` bytes off alignment."""
        start = -(-self.top // align) * align + offset
        self.state.reshape(-1, self.size)[:, start : start + size] = EMPTY
        self.data.reshape(-1, self.size)[:, start : start + size] = 0xFF  # NaN
        self.top = start + size + (GAP if self.base else 0)
        return self.base + start

    def fill(self, address: int, values: Array) -> None:
        """Writes bytes to the space's first row."""
        start = address - self.base
        self.data[start : start + len(values)] = values
        self.state[start : start + len(values)] = WRITTEN

    def bytes_at(self, address: int, size: int) -> tuple[Array, Array]:
        """The bytes of the first row and what each of them is."""
        start = address - self.base
        return self.data[start : start + size], self.state[start : start + size]

    def load(self, rows: Array, addresses: Array, width: int, count: int = 1) -> list[Array]:
        """``count`` numbers of ``width`` bytes, one after the other, for each address."""
        first = self._places(rows, addresses, width * count, "read") // width
        data, state = self.data.view(BITS[width]), self.state.view(BITS[width])
        written = _repeated(WRITTEN, width)
        for k in range(count):
            wrong = state[first + k] != written
            if wrong.any():
                self._refuse(first + k, wrong, width, (ABSENT, EMPTY, IN_FLIGHT), "read", addresses)
        return [data[first + k] for k in range(count)]

    def store(self, rows: Array, addresses: Array, values: list[Array], width: int) -> None:
        first = self._places(rows, addresses, width * len(values), "write") // width
        data, state = self.data.view(BITS[width]), self.state.view(BITS[width])
        written = _repeated(WRITTEN, width)
        for k, value in enumerate(values):
            fresh = state[first + k] != written
            if fresh.any():
                self._refuse(first + k, fresh, width, (ABSENT, IN_FLIGHT), "write", addresses)
            data[first + k] = value
            state[first + k] = written

    def span(self, rows: Array, addresses: Array, size: int, verb: str) -> Array:
        """The indices of each address's bytes, (addresses, size), all of them there."""
        at = self._places(rows, addresses, size, verb)[:, None] + np.arange(size)
        allowed = (ABSENT, EMPTY, IN_FLIGHT) if verb == "read" else (ABSENT, IN_FLIGHT)
        for kind in allowed:
            wrong = (self.state[at] == kind).any(axis=1)
            if wrong.any():
                which = int(np.argmax(wrong))
                raise self._fault(verb, size, addresses[which], WHAT[kind], which)
        return at

    def _places(self, rows: Array, addresses: Array, size: int, verb: str) -> Array:
        start = addresses - self.base
        outside = (start < 0) | (start + size > self.size)
        if outside.any():
            which = int(np.argmax(outside))
            raise self._fault(verb, size, addresses[which], WHAT[ABSENT], which)
        if size & (size - 1) == 0:
            askew = start % size != 0
            if askew.any():
                which = int(np.argmax(askew))
                raise self._fault(verb, size, addresses[which], "misaligned", which)
        return rows * self.size + start

    def _refuse(
        self, index: Array, suspects: Array, width: int, kinds: tuple[int, ...], verb: str,
        addresses: Array,
    ) -> None:  # fmt: skip
        """Raises Fault where one of the suspects has a byte of these kinds."""
        state = self.state.reshape(-1, width)
        for which in np.flatnonzero(suspects):
            found = [kind for kind in kinds if (state[index[which]] == kind).any()]
            if found:
                raise self._fault(verb, width, addresses[which], WHAT[found[0]], int(which))

    def _fault(self, verb: str, size: int, address: Any, what: str, which: int) -> Fault:
        return Fault(f"{size}-byte {verb} of {self.name} memory at {int(address):#x} {what}", which)


def _repeated(kind: int, width: int) -> Any:
    return np.full(width, kind, np.uint8).view(BITS[width])[0]
