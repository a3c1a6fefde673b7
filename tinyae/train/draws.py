"""Random numbers in training that are others at every update, and the same in a resumed run."""

from __future__ import annotations

from ..kernels.backend import Backend
from ..net import streams

JUDGED = 2**32 - 1  # the step of a stream that no update comes to


class Draws:
    """The Philox ``state`` uint32 (4,) of a stream, in the backend's memory; its step is the
    update, which a recorded step writes itself (see ``recording``)."""

    def __init__(self, backend: Backend, seed: int, stream: int) -> None:
        self._write, self._seed, self._stream = backend.write, seed, stream
        self.state = backend.to_device(streams.state(seed, stream))

    def prepare(self, update: int) -> None:
        self._write(streams.state(self._seed, self._stream, update), self.state)

    def judge(self) -> None:
        """For validation data: the same each time."""
        self.prepare(JUDGED)
