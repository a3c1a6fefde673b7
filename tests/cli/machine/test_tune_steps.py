"""Plans are chosen by the time of the step that they are part of, not by their own.

Without a GPU a function of the plans, or of what was launched, stands for the clock.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.machine.test_tune import Runner
from tinyae import Autoencoder
from tinyae.cli.machine import tune_steps
from tinyae.cli.machine.tune import problems
from tinyae.kernels.columns import BackendUnavailable, get_backend
from tinyae.kernels.cuda.plan import TILES, Plan, Problem
from tinyae.kernels.cuda.plan import choose as usual_plan

P, Q = (Problem("fp32", "float32", kernel, 8, 8, 8)
        for kernel in ("dense_backward_input", "dense_backward_weights"))  # fmt: skip
USUAL, LARGE, SMALL = Plan(32, 32, 1), Plan(128, 128, 1), Plan(32, 64, 2)
CANDIDATES = {P: [USUAL, LARGE, SMALL], Q: [USUAL, LARGE, SMALL]}


def test_what_makes_the_step_slower_is_not_kept() -> None:
    """LARGE comes first, as the fastest alone. Beside Q it slows a step down, SMALL does not."""
    alone = {USUAL: 50.0, LARGE: 10.0, SMALL: 40.0}

    def seconds(plans: tune_steps.Plans) -> float:
        return alone[plans[P]] + 50 + 100 * (LARGE in plans.values())

    chosen = tune_steps.choose(CANDIDATES, seconds)
    assert chosen == ({P: SMALL, Q: USUAL}, 100, 90)


def test_a_plan_is_judged_beside_those_that_are_kept() -> None:
    """Q's LARGE gains only with P's usual plan, which makes way for SMALL before."""
    times = {(SMALL, USUAL): 80.0, (USUAL, LARGE): 85.0, (SMALL, LARGE): 81.0, (SMALL, SMALL): 70.0}
    chosen = tune_steps.choose(CANDIDATES, lambda plans: times.get((plans[P], plans[Q]), 100.0))
    assert chosen == ({P: SMALL, Q: SMALL}, 100, 70)


@pytest.mark.parametrize("gain", [0.0, 0.4, -10.0])
def test_what_may_be_noise_is_not_kept(gain: float) -> None:
    seconds: Callable[[tune_steps.Plans], float] = lambda plans: 100 - gain * (plans[P] != USUAL)  # noqa: E731
    assert tune_steps.choose(CANDIDATES, seconds) == ({P: USUAL, Q: USUAL}, 100, 100)


def test_a_gain_must_be_there_twice() -> None:
    """The GPU was slow while the usual step was timed, and is not when both are timed again."""
    times = iter([100.0, 90, 90, 90, 90, 90, 90])
    chosen = tune_steps.choose(CANDIDATES, lambda plans: next(times))
    assert chosen == ({P: USUAL, Q: USUAL}, 90, 90)


def test_a_step_is_launched_with_its_plans() -> None:
    """And moves the net's weights, as in training."""
    try:
        get_backend("cuda-host")
    except BackendUnavailable as error:
        pytest.skip(str(error))
    runner = Runner()
    net = Autoencoder(hidden=(9,), code=3)
    step = tune_steps.Step(runner, None, net, 20, 5)
    before = step.work.network.parameters.values.copy()
    of_step = problems([(20, 9), (9, 3), (3, 9), (9, 20)], [5])
    for tile in TILES:
        plans = {problem: Plan(*tile, 1) for problem in of_step}

        def timer(work: Callable[[], None]) -> float:
            runner.launched.clear()
            work()
            return 7.0

        assert step.seconds(plans, timer) == 7
        name = f"{tile[0]}x{tile[1]}"
        assert {kernel.rpartition("_")[2] for kernel, _ in runner.launched} == {name}
        assert len(runner.launched) == len(of_step) == 11
    assert (step.work.network.parameters.values != before).any()
    runner.launched.clear()
    assert step.seconds({}, timer) == 7
    tiles = {f"{p.kernel}_{u.rows}x{u.columns}" for p in of_step for u in [usual_plan(*p[3:])]}
    assert {kernel for kernel, _ in runner.launched} == tiles
