"""The training loop: epochs of steps, and what is kept so that one can stop and go on.

for each epoch: for each minibatch x:
    gather x -> forward -> loss and gradient -> backward -> update
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.rows import Rows
from ..kernels.backend import Backend, Step, StepPlan
from ..net.network import Network
from ..net.noise import CodeNoise
from .batches import Feeder, Order
from .curriculum import TargetBlur
from .divergence import DivergenceError, diagnose
from .interrupts import DeferredInterrupt
from .optimizers import Optimizer
from .progress import Callback, Progress
from .recording import RecordedSteps
from .schedules import learning_rate_factor


@dataclass(frozen=True)
class Settings:
    """What a training run does with network and data."""

    epochs: int
    batch_size: int
    shuffle: bool
    learning_rate: float
    schedule: str
    schedule_options: dict[str, float]
    warmup: float
    patience: int | None  # epochs without a better validation loss before it stops
    code_noise: tuple[float, float]  # standard deviation at the beginning and at the end
    target_blur: float  # standard deviation in pixels at the beginning
    image_shape: tuple[int, ...]  # of a sample, where targets are blurred
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
    """One run of ``fit``: the net, the optimiser, the data and the state."""

    def __init__(
        self, network: Network, optimizer: Optimizer, settings: Settings, rows: Rows,
        validation: Rows | None,
    ) -> None:  # fmt: skip
        self.network = network
        self.optimizer = optimizer
        self.settings = settings
        self.state = State()
        self.rows = rows
        self.n = len(rows)
        self.batch_size = min(settings.batch_size, self.n)
        self.steps = -(-self.n // self.batch_size)
        backend, dtype = network.backend, network.dtype
        self._checked = backend
        first, last = settings.code_noise
        self._noise = CodeNoise(backend, settings.seed, first, last) if first or last else None
        self._blur = (
            TargetBlur(backend, settings.image_shape, settings.target_blur, self.batch_size, dtype)
            if settings.target_blur
            else None
        )
        self._workspace = network.workspace(
            self.batch_size, training=True, code_noise=self._noise is not None
        )
        # per step: [sum of losses, sum of squared errors]
        self._totals = backend.to_device(np.zeros((self.steps, 2)))
        self._feeder = Feeder(backend, rows, self.batch_size, dtype, resident=True)
        self._whole_step = self._make_step()
        self._recorded = self._make_recorded()
        self._validation = (
            Feeder(backend, validation, self.batch_size, dtype, resident=True)
            if validation is not None
            else None
        )

    def run(self, save: Callable[[], None], callback: Callback) -> None:
        """Trains to the end; ``save`` is called after every epoch and at an interrupt.

        Raises DivergenceError at the first loss that is not finite, with the weights that the
        epoch began with (or the one before, if it was these that failed); KeyboardInterrupt at
        Ctrl-C.
        """
        state, settings = self.state, self.settings
        parameters = self.network.parameters
        # overflow is met with a diagnosis, not with NumPy's warnings
        with np.errstate(all="ignore"), DeferredInterrupt() as interrupt, self._checks_in_the_end():
            good = parameters.backend.to_host(parameters.values)
            while state.epoch < settings.epochs and not self._patience_is_over():
                # good once a finite loss has been seen with them
                entered = parameters.backend.to_host(parameters.values)
                first_step = state.step
                try:
                    self._epoch(interrupt, save, callback)
                except DivergenceError as error:
                    proven = error.step > first_step + 1
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
        if self._blur is not None:
            self._blur.prepare(state.epoch / self.settings.epochs)
        started, first_step = time.perf_counter(), state.step
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
            seconds = time.perf_counter() - started
            if state.step < self.steps:
                callback(self._progress(state.step - first_step, seconds, {}))
            if interrupt.requested:
                save()
                raise KeyboardInterrupt
        self._check_finite(0, self.steps, order)
        totals = backend.to_host(self._totals).sum(axis=0) / self.n
        metrics = {"loss": float(totals[0]), "squared_error": float(totals[1])}
        if self._validation is not None:
            metrics["val_loss"], metrics["val_squared_error"] = self._validate(self._validation)
        seconds = time.perf_counter() - started
        metrics |= {"learning_rate": self._learning_rate(self.steps - 1), "seconds": seconds}
        for name, value in metrics.items():
            state.history.setdefault(name, []).append(value)
        report = self._progress(self.steps - first_step, seconds, metrics)
        state.epoch, state.step = state.epoch + 1, 0
        self._remember_best(metrics)
        callback(report)

    def _step(self, order: Order) -> None:
        """One minibatch, one update."""
        step = self.state.step
        start = step * self.batch_size
        stop = min(start + self.batch_size, self.n)
        if self._recorded is not None:
            self._recorded.step(stop - start)
            return
        x = self._workspace.input[: stop - start]
        totals = self._totals[step]
        self._feeder.fill(order.positions(start, stop), x)
        target = x
        if self._blur is not None:
            target = self._blur.target(x)
        if self._whole_step is not None:
            numbers = self.optimizer.next_numbers(self._learning_rate(step))
            self._whole_step(x, target, numbers, totals)
            return
        if self._noise is not None:
            self._noise.prepare(self._position(step)[0], self._progress_at(step))
        records = self._workspace.records(stop - start)
        self.network.loss_and_gradient(x, target, records, totals, self._noise)
        self.optimizer.update(self._learning_rate(step), guard=totals)
        if self.network.backend is self._checked:  # all further steps have the same arrays
            self._use(self._checked.unchecked)

    def _use(self, ops: Backend) -> None:
        """The operations of the steps that follow."""
        self.network.backend = self.network.parameters.backend = ops
        for layer in self.network.layers:
            layer.ops = ops

    @contextmanager
    def _checks_in_the_end(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._use(self._checked)

    def _make_step(self) -> Step | None:
        """The backend's own training step, where it has one and nothing is done between layers."""
        network, optimizer = self.network, self.optimizer
        if network.backend.make_step is None or self._noise is not None:
            return None
        plan = StepPlan(
            layers=tuple(layer[1:] for layer in network.architecture.layers()),
            loss=network.architecture.loss,
            optimizer=optimizer.name,
            clip_norm=optimizer.hyper.clip_norm,
            values=network.parameters.values,
            moments=tuple(optimizer.moments.values()),
            n_weights=network.parameters.n_weights,
            capacity=self.batch_size,
        )
        return network.backend.make_step(plan)

    def _make_recorded(self) -> RecordedSteps | None:
        """Steps to be replayed, where the backend can and nothing of a step comes from the host."""
        recorder = self.network.backend.recorder
        if recorder is None or not self._feeder.resident:
            return None
        return RecordedSteps(
            recorder, self.network, self.optimizer, self._feeder, self._workspace, self._totals,
            self._noise, self._blur,
        )  # fmt: skip

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
            s.schedule, update, updates, s.warmup, s.schedule_options
        )

    def _check_finite(self, first: int, last: int, order: Order) -> None:
        """Raises DivergenceError for the first of these steps whose loss is not finite."""
        totals = self.network.backend.to_host(self._totals[first:last])
        finite = np.isfinite(totals[:, 0])
        if finite.all():
            return
        step = first + int(np.argmin(finite))
        start = step * self.batch_size
        n = min(self.batch_size, self.n - start)
        x = self._workspace.input[:n]
        self._feeder.fill(order.positions(start, start + n), x)
        where = diagnose(self.network, x, self._workspace.records(n))
        loss = float(totals[step - first, 0])
        raise DivergenceError(
            loss, self.state.epoch + 1, step + 1, where, self.settings.learning_rate
        )

    def _validate(self, feeder: Feeder) -> tuple[float, float]:
        """(loss, squared error) per sample of the validation data."""
        network, backend = self.network, self.network.backend
        n = len(feeder.rows)
        order = feeder.order(self.settings.seed, 0, shuffle=False)
        totals = backend.to_device(np.zeros((-(-n // self.batch_size), 2)))
        for i, start in enumerate(range(0, n, self.batch_size)):
            stop = min(start + self.batch_size, n)
            x = self._workspace.input[: stop - start]
            feeder.fill(order.positions(start, stop), x)
            network.loss(x, x, self._workspace.records(stop - start), totals[i])
        loss, squared_error = backend.to_host(totals).sum(axis=0) / n
        return float(loss), float(squared_error)

    def _remember_best(self, metrics: dict[str, float]) -> None:
        state, parameters = self.state, self.network.parameters
        if self.settings.patience is None:
            return
        if metrics["val_loss"] < state.best_loss:
            state.best_loss, state.best_epoch = metrics["val_loss"], state.epoch
            state.best_values = parameters.backend.to_host(parameters.values)

    def _patience_is_over(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.state.epoch - self.state.best_epoch >= patience

    def _progress(self, steps_done: int, seconds: float, metrics: dict[str, float]) -> Progress:
        state, settings = self.state, self.settings
        left = (settings.epochs - state.epoch) * self.steps - state.step
        per_step = seconds / max(steps_done, 1)
        return Progress(
            epoch=state.epoch + 1,
            epochs=settings.epochs,
            step=state.step,
            steps=self.steps,
            samples_per_second=self.n / self.steps / max(per_step, 1e-9),
            seconds_left=left * per_step,
            metrics=metrics,
        )

    def totals_to_host(self) -> NDArray[np.float64]:
        """The epoch's totals so far, for a checkpoint within it."""
        return self.network.backend.to_host(self._totals)

    def restore_totals(self, totals: NDArray[np.float64]) -> None:
        self.network.backend.write(totals, self._totals)
