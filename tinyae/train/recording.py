"""A training step that a device replays: recorded once for each batch size, then the host sends
nothing within an epoch but the word to go on.

What changes from step to step lies in device memory before the epoch begins: the order of all
samples, and a row of numbers (learning rate, corrections, noise) for every step. A cursor, in
device memory too, says which of them are next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..kernels.backend import Array, Recorder
from ..kernels.conventions import HYPER
from ..net import streams
from ..net.network import Network, Workspace
from ..net.noise import CodeNoise
from .batches import Feeder, Order
from .curriculum import TargetBlur
from .optimizers import Optimizer


class RecordedSteps:
    """The steps of an epoch over the samples of ``feeder``, which lie in the backend's memory."""

    def __init__(
        self, recorder: Recorder, network: Network, optimizer: Optimizer, feeder: Feeder,
        workspace: Workspace, history: Array, noise: CodeNoise | None, blur: TargetBlur | None,
    ) -> None:  # fmt: skip
        self.recorder = recorder
        self.network, self.optimizer = network, optimizer
        self.feeder, self.workspace = feeder, workspace
        self.history = history  # (steps, 2): the totals of each step
        self.noise, self.blur = noise, blur
        backend, steps = network.backend, len(history)
        self._cursor = backend.to_device(np.zeros(1, np.int64))
        self._order = backend.empty((len(feeder.rows),), "int64")
        self._numbers = backend.empty((steps, len(HYPER) + 2), "float64")
        self._positions = backend.empty((workspace.capacity,), "int64")
        self._hyper = backend.empty((len(HYPER),), "float64")
        self._totals = backend.empty((2,), "float64")
        # without noise nobody reads these
        self._std = noise.std if noise else backend.empty((1,), "float64")
        self._state = noise.state if noise else backend.to_device(streams.state(0, streams.NOISE))
        self._replays: dict[tuple[int, bool], Callable[[], None] | None] = {}

    def begin_epoch(
        self, order: Order, epoch: int, step: int, learning_rates: Sequence[float],
        progress: Sequence[float],
    ) -> None:  # fmt: skip
        """Lays out the epoch, to be entered at ``step``.

        learning_rates, progress: for each step of the epoch, the latter the part of training done.
        """
        backend, first = self.network.backend, epoch * len(learning_rates)
        order.write_all(self._order)
        before = self.optimizer.updates - step  # updates before this epoch's first
        rows = [
            (*self.optimizer.numbers(before + i + 1, rate),
             self.noise.std_at(done) if self.noise else 0.0, first + i)
            for i, (rate, done) in enumerate(zip(learning_rates, progress, strict=True))
        ]  # fmt: skip
        backend.write(np.array(rows, np.float64), self._numbers)
        backend.write(np.array([step], np.int64), self._cursor)

    def step(self, n: int) -> None:
        """The next step, of n samples: run as it is for the first time, recorded for the second."""
        key = (n, self.blur is not None and self.blur.now > 0)
        if key not in self._replays:
            self._work(n)
            self._replays[key] = None
        else:
            replay = self._replays[key]
            if replay is None:
                replay = self._replays[key] = self.recorder.record(lambda: self._work(n))
            replay()
        self.optimizer.updates += 1

    def _work(self, n: int) -> None:
        """Everything that a step launches, on arrays that are the same at every step."""
        positions, x = self._positions[:n], self.workspace.input[:n]
        self.recorder.begin_step(
            self._cursor, self._order, self.workspace.capacity, self._numbers, positions,
            self._hyper, self._std, self._state,
        )  # fmt: skip
        self.feeder.fill(positions, x)
        target = x if self.blur is None else self.blur.target(x)
        records = self.workspace.records(n)
        self.network.loss_and_gradient(x, target, records, self._totals, self.noise)
        self.optimizer.apply(self._hyper, guard=self._totals)
        self.recorder.end_step(self._cursor, self._totals, self.history)
