"""A training step that a device replays: recorded once for each batch size, then the host sends
nothing within an epoch but the word to go on.

What changes from step to step lies in device memory before the epoch begins: the order of all
samples, and a row of numbers (learning rate, corrections, noise) for every step. A cursor, in
device memory too, says which of them are next: gathering the samples reads it, and the update moves
it on, so that neither needs a launch of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import numpy as np

from ..kernels.backend import Array, Epoch, Recorder
from ..kernels.conventions import HYPER
from .batches import Feeder, Order
from .work import Work


class RecordedSteps:
    """The steps of an epoch over the samples of ``feeder``, which lie in the backend's memory. From
    now on they are the only steps of ``work``."""

    def __init__(self, recorder: Recorder, work: Work, feeder: Feeder, history: Array) -> None:
        self.recorder, self.work = recorder, work
        backend, steps = work.network.backend, len(history)  # (steps, 2): the totals of each
        self._cursor = backend.to_device(np.zeros(1, np.int64))
        self._order = backend.empty((len(feeder.rows),), "int64")
        self._numbers = backend.empty((steps, len(HYPER) + 2), "float64")
        self._hyper = backend.empty((len(HYPER),), "float64")
        noise = work.objective.noise  # without it nobody reads these
        std = noise.std if noise else backend.empty((1,), "float64")
        state = noise.state if noise else backend.to_device(np.zeros(4, np.uint32))
        states = [state, *(draws.state for draws in work.objective.draws)]
        self._feeder, *self._others = [self._begun_by(feeder, std, state) for state in states]
        work.update_by(partial(recorder.end_step, self._cursor, history))
        self._replays: dict[Hashable, Callable[[], None] | None] = {}
        self._whole = work.replayed_step(Epoch(
            cursor=self._cursor, order=self._order, batch_size=work.workspace.capacity,
            numbers=self._numbers, data=feeder.data, scale=feeder.rows.scale, history=history,
        ))  # fmt: skip

    def _begun_by(self, feeder: Feeder, std: Array, state: Array) -> Feeder:
        """``feeder`` at the step that the cursor says, of whose samples ``fill`` takes a range."""

        def gather(data: Array, indices: range, scale: float, out: Array) -> None:
            self.recorder.begin_step(
                self._cursor, self._order, self.work.workspace.capacity, self._numbers,
                self._hyper, std, state, data, indices.start, scale, out,
            )  # fmt: skip

        return feeder.by(gather)

    def begin_epoch(
        self, order: Order, epoch: int, step: int, learning_rates: Sequence[float],
        progress: Sequence[float],
    ) -> None:  # fmt: skip
        """Lays out the epoch, to be entered at ``step``.

        learning_rates, progress: for each step of the epoch, the latter the part of training done.
        """
        backend, first = self.work.network.backend, epoch * len(learning_rates)
        optimizer, noise = self.work.optimizer, self.work.objective.noise
        order.write_all(self._order)
        before = optimizer.updates - step  # updates before this epoch's first
        rows = [
            (*optimizer.numbers(before + i + 1, rate), noise.std_at(done) if noise else 0.0,
             first + i)
            for i, (rate, done) in enumerate(zip(learning_rates, progress, strict=True))
        ]  # fmt: skip
        backend.write(np.array(rows, np.float64), self._numbers)
        backend.write(np.array([step], np.int64), self._cursor)

    def step(self, n: int) -> None:
        """The next step, of n samples: one launch where the backend has that."""
        if self._whole is not None:
            x = self.work.workspace.input[:n]
            self._whole(x, x, self._hyper, self.work.totals)
        else:
            self._replay(n)
        self.work.optimizer.updates += 1

    def _replay(self, n: int) -> None:
        """Runs the step as it is for the first time, records it for the second."""
        key = (n, *(term.mode() for term in self.work.objective.terms))
        if key not in self._replays:
            self._launch(n)
            self._replays[key] = None
        else:
            replay = self._replays[key]
            if replay is None:
                replay = self._replays[key] = self.recorder.record(lambda: self._launch(n))
            replay()

    def _launch(self, n: int) -> None:
        """Everything that a step launches, on arrays that are the same at every step."""
        work = self.work
        for other in self._others:  # no sample: for the update's number in a draw's state
            other.fill(range(0), work.workspace.input[:0])
        work.run(self._feeder, range(n), n, self._hyper, work.totals)
