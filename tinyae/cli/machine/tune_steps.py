"""Plans of products, judged by the training step that they are part of.

In a step the gradients of weights run beside what the layers below wait for, so that a product that
is fastest alone may take from its neighbours what it gains. So steps are timed as training runs
them, recorded, and a plan is kept only where the whole step gets faster with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import assemble
from ...data.rows import Rows
from ...estimator import Autoencoder
from ...kernels import columns
from ...kernels.cuda.plan import Plan, Problem
from ...kernels.cuda.runner import Runner
from ...net.network import Network
from ...train.batches import Feeder
from ...train.objective import Objective
from ...train.recording import RecordedSteps
from ...train.work import Work
from .timing import CALLS, Timer

Plans = Mapping[Problem, Plan]

FASTER = 0.995  # of a step's time, at most, to keep a plan: what gains less may be noise
STEPS = CALLS + 2  # of an epoch: one as it is, one to be recorded, and those that are timed


class Step:
    """A recorded training step of ``batch`` random pictures on a runner of CUDA C kernels.

    ``memory``: the module of the column's arrays, None on the host.
    """

    def __init__(
        self, runner: Runner, memory: object | None, net: Autoencoder, features: int, batch: int,
        matmul: str = "fp32",
    ) -> None:  # fmt: skip
        self.batch, params = batch, net.get_params()
        self._plans: dict[Problem, Plan] = {}  # the column looks into it at each launch
        backend = columns.cuda_c(runner, matmul, self._plans, memory)
        plan = assemble.architecture(params, features, "sigmoid", "bce")
        network = Network(backend, plan, "float32")
        network.parameters.set(assemble.start(plan, "float32", "random", 0, None)[0])
        optimizer = assemble.optimizer(params, network)
        self.work = Work(Objective(network), optimizer, batch, fused=True)
        pixels = np.random.default_rng(0).integers(0, 256, (STEPS * batch, features), np.uint8)
        self._feeder = Feeder(backend, Rows(pixels), batch, "float32", resident=True)
        self._history = backend.to_device(np.zeros((STEPS, 2)))

    def seconds(self, plans: Plans, timer: Timer) -> float:
        """With products cut up as ``plans`` say, and the others as without measuring."""
        self._plans.clear()
        self._plans.update(plans)
        recorder: Any = self.work.network.backend.recorder
        steps = RecordedSteps(recorder, self.work, self._feeder, self._history)
        order = self._feeder.order(0, 0, shuffle=True)
        steps.begin_epoch(order, 0, 0, [1e-3] * STEPS, [0.0] * STEPS)
        for _ in range(2):
            steps.step(self.batch)
        return timer(lambda: steps.step(self.batch))


class Chosen(NamedTuple):
    """Plans of a step's products, and its seconds without measuring and with them."""

    plans: dict[Problem, Plan]
    usual_seconds: float
    seconds: float


def choose(
    candidates: Mapping[Problem, Sequence[Plan]], seconds: Callable[[Plans], float]
) -> Chosen:
    """For each product the plan, of its candidates, with which the step takes least time.

    A product's first candidate is what it has without measuring; ``seconds`` is a step's with such
    plans. Products are tried in their order, beside what was kept of those before. In the end both
    steps are timed again, and all is left as it was if the gain is not there a second time.
    """
    usual = {problem: plans[0] for problem, plans in candidates.items()}
    kept, least = dict(usual), seconds(usual)
    for problem, plans in candidates.items():
        for plan in plans[1:]:
            time = seconds({**kept, problem: plan})
            if time < FASTER * least:
                kept[problem], least = plan, time
    before = seconds(usual)
    after = seconds(kept) if kept != usual else before
    return Chosen(kept, before, after) if after < FASTER * before else Chosen(usual, before, before)
