"""One training step: everything that is launched for a minibatch, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.backend import Array, Backend, Epoch, Step, StepPlan, Update
from ..net.network import Workspace
from .batches import Feeder
from .interrupts import DeferredInterrupt
from .objective import Objective
from .optimizers import Optimizer


class Work:
    """gather x -> forward -> loss and gradient -> backward -> update, on the same arrays each time.

    With ``fused`` the backend's own step takes the place of what follows the gathering, where it
    has one that can do all of this.

    A subclass may share the steps among processes (``parallel``): ``reduce``, if there is one, is
    called between the gradient and the update, with the gradients and the totals of a step.
    """

    reduce: Callable[[Array, Array], None] | None = None

    def __init__(
        self, objective: Objective, optimizer: Optimizer, capacity: int, fused: bool = False
    ) -> None:
        self.objective, self.optimizer = objective, optimizer
        self.network = network = objective.network
        self.workspace = Workspace(network, capacity, training=True)
        self.totals = network.backend.to_device(np.zeros(2))  # of a step, where nothing else is
        self._checked, self._bare = network.backend, network.backend.unchecked
        self._planned: set[int] = set()
        self._may_fuse = fused
        self._fused = self._fused_step()

    def update_by(self, update: Update) -> None:
        """From now on steps end with another operation than the backend's."""
        self._checked, self._bare = (
            replace(ops, update=update) for ops in (self._checked, self._bare)
        )

    def run(self, feeder: Feeder, positions: Array, n: int, hyper: Array, totals: Array) -> None:
        """One update from the n samples of ``feeder`` at these positions, see ``step``."""
        feeder.fill(positions, self.workspace.input[:n])
        self.step(n, hyper, totals)

    def step(self, n: int, hyper: Array, totals: Array) -> None:
        """One update from the first n samples of ``workspace.input``.

        ``hyper`` holds the numbers of ``conventions.HYPER``; totals = [losses, squared errors],
        summed. A loss that is not finite changes no parameter.
        """
        ops, x = self._plan(n), self.workspace.input[:n]
        target = self.objective.target(ops, x)
        if self._fused is not None:
            self._fused(x, target, hyper, totals)
        else:
            records = self.workspace.records(n, noisy=self.objective.noise is not None)
            self.objective.gradient(ops, x, target, records, totals)
        if self.reduce is not None:
            self.reduce(self.network.parameters.gradients, totals)
        if self._fused is None or self.reduce is not None:
            self._update(ops, hyper, totals)
        self._end(ops)

    def _update(self, ops: Backend, hyper: Array, totals: Array) -> None:
        self.optimizer.apply(ops, hyper, guard=totals)

    def _end(self, ops: Backend) -> None:
        for term in self.objective.terms:
            term.after(ops)

    def replayed_step(self, epoch: Epoch) -> Step | None:
        """The backend's own step that gathers its samples and keeps its place in the epoch by
        itself; None where it has none that can do all of this."""
        return None if self.objective.terms else self._fused_step(epoch)

    # What else processes that share the steps do together

    def interrupt(self) -> DeferredInterrupt:
        """How training learns that it is to end."""
        return DeferredInterrupt()

    def judge(self, feeder: Feeder, number: int, positions: Array, totals: Array) -> None:
        """What this process judges of batch ``number`` of the validation data, which has the
        samples of ``feeder`` at these positions: adds to totals, of ``step``, which are 0."""
        self._judge(self.network.backend, feeder, positions, totals)

    def _judge(self, ops: Backend, feeder: Feeder, positions: Array, totals: Array) -> None:
        x = self.workspace.input[: len(positions)]
        feeder.fill(positions, x)
        self.objective.judge(ops, x, self.workspace.records(len(positions)), totals)

    def summed(self, totals: NDArray[Any]) -> NDArray[Any]:
        """Of all processes: float64 (n, 2), 0 where another process judged the batch."""
        return totals

    def gather(self) -> None:
        """After an epoch: the terms' states become those of all processes."""

    def _plan(self, n: int) -> Backend:
        """The operations for a step of n samples.

        They check their arguments in the first such step. Later steps have the same arrays, and
        get the operations alone.
        """
        if n in self._planned:
            return self._bare
        self._planned.add(n)
        return self._checked

    def _fused_step(self, epoch: Epoch | None = None) -> Step | None:
        make_step, parameters = self.network.backend.make_step, self.network.parameters
        if make_step is None or not self._may_fuse:
            return None
        architecture, dense = self.network.architecture, self.network.architecture.dense
        place = {spec.name: i for i, spec in enumerate(dense)}
        plan = StepPlan(
            layers=tuple((spec.n_in, spec.n_out, spec.activation) for spec in dense),
            loss=architecture.loss,
            optimizer=self.optimizer.name,
            clip_norm=self.optimizer.clip_norm,
            values=parameters.values,
            moments=tuple(self.optimizer.moments.values()),
            n_weights=parameters.n_weights,
            capacity=self.workspace.capacity,
            plain=self.objective.plain,
            tied=tuple((i, place[spec.of]) for i, spec in enumerate(dense) if spec.of),
            gradients=None if self.reduce is None else parameters.gradients,
            epoch=epoch,
        )
        return make_step(plan)
