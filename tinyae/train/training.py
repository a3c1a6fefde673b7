"""The training loop: epochs of steps (see ``work``), and the state that lets a run go on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.rows import Rows
from .batches import Feeder, Order
from .divergence import DivergenceError, diagnose, expect_finite
from .interrupts import DeferredInterrupt
from .progress import Callback, Progress
from .recording import RecordedSteps
from .schedules import learning_rate_factor
from .work import Work


@dataclass(frozen=True)
class Settings:
    """What a training run does with network and data: the estimator's arguments of these names."""

    epochs: int
    shuffle: bool
    learning_rate: float
    schedule: str
    schedule_options: Mapping[str, float] | None
    warmup: float
    patience: int | None  # epochs without a better validation loss before it stops
    seed: int


@dataclass
class State:
    """Where training stands; with weights and moments it is all that a resumed run needs."""

    epoch: int = 0  # completed epochs
    step: int = 0  # completed steps of the epoch under way
    history: dict[str, list[float]] = field(default_factory=dict)
    best_loss: float = float("inf")
    best_epoch: int = 0
    best_values: NDArray[Any] | None = None  # the flat parameters after best_epoch


class Training:
    """One run of ``fit``: the work of a step, the data and the state.

    Steps read ``seen``, which is ``rows`` unless training sees them otherwise.
    """

    def __init__(
        self, work: Work, settings: Settings, rows: Rows, validation: Rows | None,
        seen: Rows | None = None,
    ) -> None:  # fmt: skip
        self.work = work
        self.network = network = work.network
        self.optimizer = work.optimizer
        self.settings = settings
        self.state = State()
        # (loss, squared error) of the validation data before the first epoch
        self.start: tuple[float, float] | None = None
        self.rows, self.validation = rows, validation
        self.n = len(rows)
        self._compiled = False  # which the first step does: it tells nothing of the others' time
        self.batch_size = work.workspace.capacity
        self.steps = -(-self.n // self.batch_size)
        backend, dtype = network.backend, network.dtype
        # of the epoch, per step: [sum of losses, sum of squared errors]
        self.totals = backend.to_device(np.zeros((self.steps, 2)))
        self._feeder = Feeder(backend, seen or rows, self.batch_size, dtype, resident=True)
        # steps to be replayed, where the backend can and nothing of a step comes from the host
        self._recorded = (
            RecordedSteps(backend.recorder, work, self._feeder, self.totals)
            if backend.recorder is not None and self._feeder.resident
            else None
        )
        self._validation = (
            Feeder(backend, validation, self.batch_size, dtype, resident=True)
            if validation is not None
            else None
        )

    def run(self, save: Callable[[], None], callback: Callback) -> None:
        """Trains to the end; ``save`` is called after every epoch and at an interrupt.

        Raises DivergenceError at the first loss that is not finite, and after an epoch whose
        weights are not, with the weights that the epoch began with (or the one before, if it was
        these that failed); KeyboardInterrupt at Ctrl-C.
        """
        state, settings = self.state, self.settings
        parameters = self.network.parameters
        # overflow is met with a diagnosis, not with NumPy's warnings
        with np.errstate(all="ignore"), self.work.interrupt() as interrupt:
            good = parameters.backend.to_host(parameters.values)
            if self._validation is not None and state.epoch == state.step == 0:
                self.start = self._validate(self._validation)
                self._remember_best(self.start[0])  # the start is a candidate
            while state.epoch < settings.epochs and not self._patience_is_over():
                # good once a finite loss has been seen with them
                entered = parameters.backend.to_host(parameters.values)
                first_step = state.step
                try:
                    self._epoch(interrupt, save, callback)
                except DivergenceError:
                    losses = parameters.backend.to_host(self.totals)[first_step:, 0]
                    proven = np.isfinite(losses[:1]).any()
                    parameters.backend.write(entered if proven else good, parameters.values)
                    raise
                good = entered
                save()
                if interrupt.requested:
                    raise KeyboardInterrupt
        if state.best_values is not None:
            parameters.backend.write(state.best_values, parameters.values)

    def _epoch(
        self, interrupt: DeferredInterrupt, save: Callable[[], None], callback: Callback
    ) -> None:
        state, backend = self.state, self.network.backend
        order = self._feeder.order(self.settings.seed, state.epoch, self.settings.shuffle)
        for term in self.work.objective.terms:
            term.prepare(state.epoch / self.settings.epochs)
        started = timed = time.perf_counter()
        first_step = state.step
        if self._recorded is not None:
            steps = range(self.steps)
            self._recorded.begin_epoch(
                order, state.epoch, state.step,
                [self._learning_rate(step) for step in steps],
                [self._progress_at(step) for step in steps],
            )  # fmt: skip
        while state.step < self.steps:
            self._step(order)
            state.step += 1
            if backend.host:  # elsewhere looking would stall the device: see the end of the epoch
                self._check_finite(state.step - 1, state.step, order)
            if not self._compiled:
                self._compiled, timed, first_step = True, time.perf_counter(), state.step
            if state.step < self.steps:
                seconds = time.perf_counter() - timed
                callback(self._progress(state.step - first_step, seconds, {}))
            if interrupt.requested:
                save()
                raise KeyboardInterrupt
        self._check_finite(0, self.steps, order)
        expect_finite(
            self.network.parameters, state.epoch + 1, self.steps, self.settings.learning_rate,
            self.work.objective.remedies,
        )  # fmt: skip
        totals = backend.to_host(self.totals).sum(axis=0) / self.n
        metrics = {"loss": float(totals[0]), "squared_error": float(totals[1])}
        self.work.gather()
        for term in self.work.objective.terms:
            metrics |= term.metrics()
        if self._validation is not None:
            metrics["val_loss"], metrics["val_squared_error"] = self._validate(self._validation)
        ended = time.perf_counter()
        metrics["learning_rate"] = self._learning_rate(self.steps - 1)
        metrics["seconds"] = ended - started
        for name, value in metrics.items():
            state.history.setdefault(name, []).append(value)
        report = self._progress(self.steps - first_step, ended - timed, metrics)
        state.epoch, state.step = state.epoch + 1, 0
        if self._validation is not None:
            self._remember_best(metrics["val_loss"])
        callback(report)

    def _step(self, order: Order) -> None:
        """One minibatch, one update."""
        step = self.state.step
        start = step * self.batch_size
        stop = min(start + self.batch_size, self.n)
        if self._recorded is not None:
            self._recorded.step(stop - start)
            return
        self.work.objective.begin(self._position(step)[0], self._progress_at(step))
        numbers = self.optimizer.next_numbers(self._learning_rate(step))
        positions = order.positions(start, stop)
        self.work.run(self._feeder, positions, stop - start, numbers, self.totals[step])

    def _progress_at(self, step: int) -> float:
        """The part of training that is done before this step of the epoch."""
        update, updates = self._position(step)
        return update / updates

    def _position(self, step: int) -> tuple[int, int]:
        """(update, updates): where training stands at this step of the epoch."""
        return self.state.epoch * self.steps + step, self.settings.epochs * self.steps

    def _learning_rate(self, step: int) -> float:
        s = self.settings
        update, updates = self._position(step)
        return s.learning_rate * learning_rate_factor(
            s.schedule, update, updates, s.warmup, s.schedule_options or {}
        )

    def _check_finite(self, first: int, last: int, order: Order) -> None:
        """Raises DivergenceError for the first of these steps whose loss is not finite."""
        totals = self.network.backend.to_host(self.totals[first:last])
        finite = np.isfinite(totals[:, 0])
        if finite.all():
            return
        step = first + int(np.argmin(finite))
        raise self._diverged(self._feeder, order, step, step + 1, totals[step - first, 0], "loss")

    def _diverged(
        self, feeder: Feeder, order: Order, batch: int, step: int, loss: float, name: str
    ) -> DivergenceError:
        """What to raise for this batch of the feeder's, found at ``step`` of the epoch."""
        start = batch * self.batch_size
        n = min(self.batch_size, len(feeder.rows) - start)
        positions = order.positions(start, start + n)
        if (held := feeder.rows.held(positions)) is not None:
            positions, n = positions[held], len(held)
        x = self.work.workspace.input[:n]
        feeder.fill(positions, x)
        where = diagnose(self.network, x, self.work.workspace.records(n))
        return DivergenceError(
            float(loss), self.state.epoch + 1, step, where, self.settings.learning_rate, name,
            self.work.objective.remedies,
        )  # fmt: skip

    def _validate(self, feeder: Feeder) -> tuple[float, float]:
        """(loss, squared error) per sample of the validation data; may raise DivergenceError."""
        backend, n = self.network.backend, len(feeder.rows)
        order = feeder.order(self.settings.seed, 0, shuffle=False)
        totals = backend.to_device(np.zeros((-(-n // self.batch_size), 2)))
        for i in range(len(totals)):
            start, stop = i * self.batch_size, min((i + 1) * self.batch_size, n)
            self.work.judge(feeder, i, order.positions(start, stop), totals[i])
        sums = self.work.summed(backend.to_host(totals))
        finite = np.isfinite(sums[:, 0])
        if not finite.all():
            bad = int(np.argmin(finite))
            raise self._diverged(feeder, order, bad, self.steps, sums[bad, 0], "validation loss")
        loss, squared_error = sums.sum(axis=0) / n
        return float(loss), float(squared_error)

    def _remember_best(self, loss: float) -> None:
        """``loss`` is that of the validation data, after ``state.epoch`` epochs."""
        state, parameters = self.state, self.network.parameters
        if self.settings.patience is None:
            return
        if loss < state.best_loss:
            state.best_loss, state.best_epoch = loss, state.epoch
            state.best_values = parameters.backend.to_host(parameters.values)

    def _patience_is_over(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.state.epoch - self.state.best_epoch >= patience

    def _progress(self, steps_done: int, seconds: float, metrics: dict[str, float]) -> Progress:
        state, settings = self.state, self.settings
        left = (settings.epochs - state.epoch) * self.steps - state.step
        per_step = seconds / steps_done if steps_done else math.nan
        return Progress(
            epoch=state.epoch + 1,
            epochs=settings.epochs,
            step=state.step,
            steps=self.steps,
            samples_per_second=self.n / self.steps / max(per_step, 1e-9),
            seconds_left=left * per_step if left else 0.0,
            metrics=metrics,
        )
