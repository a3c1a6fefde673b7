"""``tinyae tune``: finds how this GPU multiplies fastest, and keeps it for training.

Products are cut up as ``kernels/cuda/plan.py`` says. Every tile and number of splits that may be
worth it is launched on random numbers, compared with float64, then timed. Operands lie in the
GPU's cache as far as they fit, as they do in training. What is kept for a net is decided by its
training steps: ``tune_steps``.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...estimator import Autoencoder
from ...kernels import columns
from ...kernels.backend import Backend
from ...kernels.conventions import MATMULS
from ...kernels.cuda import measured_plans
from ...kernels.cuda.dense import DenseKernels
from ...kernels.cuda.plan import (
    MOST_SPLITS,
    MULTIPROCESSORS,
    SHORTEST_PART,
    SPLITS,
    TILES,
    Plan,
    Problem,
    choose,
)
from ...kernels.cuda.runner import Runner
from ...kernels.grids import blocks
from ...train.progress import Waiting
from ..options import command, integers
from ..output import table, write_text
from . import tune_steps
from .timing import Timer, gpu_timer

MOST_BLOCKS = 8 * MULTIPROCESSORS  # more of them only make more parts to be added up
CLEARLY = 0.98  # of the time without measuring: what gains less may be noise
TRIED = 3  # in a step: those that are fastest alone
SPOTS = 64  # rows and columns of a result that are compared

EPILOG = """\
A product of matrices is cut into tiles, one for each block of the GPU, and its sums perhaps into
parts. Which cut is best depends on the GPU and on the shapes. This command launches every cut that
may be worth it on the shapes of a net, checks the results, and tries the fastest ones in a whole
training step. It keeps those that make the step faster (with --square: the fastest) in the user's
cache, for each kind of GPU; backend cupy uses them from then on. Sums are then rounded in another
order than without. What was found is saved as it goes, after each batch size.

examples:
  tinyae tune                                     784-1000-500-250-30 and back
  tinyae tune --features 784 --hidden 128 --code 32 --batch-size 256
  tinyae tune --matmul 3xtf32
  tinyae tune --square 4096
"""


def add_commands(commands: Any) -> None:
    parser = command(commands, "tune", _tune, "measure how this GPU multiplies a net's shapes best",
                     epilog=EPILOG)  # fmt: skip
    parser.count("--features", 784, "of a sample")
    for name, default, help in (
        ("--hidden", (1000, 500, 250), "the encoder's hidden layers; '' for none"),
        ("--batch-size", (128, 256, 1024), "samples per update"),
        ("--square", None, "N x N matrices instead of a net's layers"),
    ):
        kind = _integers_or_none if name == "--hidden" else integers
        parser.option(name, default, help, type=kind, metavar="N,N,...")
    parser.count("--code", 30, "code units")
    parser.force_option()
    parser.option("--matmul", "fp32", "as for 'tinyae train'", choices=MATMULS)


def _integers_or_none(text: str) -> tuple[int, ...]:
    return integers(text) if text else ()


_integers_or_none.__name__ = "list of integers"


def _tune(given: argparse.Namespace) -> None:
    backend = columns.get_backend("cupy", given.matmul)  # or says what is missing, and the remedy
    from ...kernels.cuda import memory
    from ...kernels.cuda.device import DeviceRunner

    runner = DeviceRunner()
    timer, device = gpu_timer(runner), runner.device_name
    if given.square:
        groups = [problems([(n, n), (n, n)], [n], given.matmul) for n in given.square]
    else:
        widths = [given.features, *given.hidden, given.code]
        layers = list(itertools.pairwise(widths + widths[-2::-1]))
        groups = [problems(layers, [batch], given.matmul) for batch in given.batch_size]
    steps = []
    for group, batch in zip(groups, given.square or given.batch_size, strict=True):
        found = []
        with Waiting(f"measuring {len(group)} products") as report:
            for i, problem in enumerate(group, start=1):
                found.append(tune(runner, backend, problem, timer))
                report(i, len(group))
        kept = {tuned.problem: tuned.plan for tuned in found}
        if not given.square:
            net = Autoencoder(hidden=given.hidden, code=given.code)
            step = tune_steps.Step(runner, memory, net, given.features, batch, given.matmul)
            with Waiting(f"timing steps of {batch} samples") as report:
                chosen = in_step(step, found, gpu_timer(runner, graph=False), report)
            kept = chosen.plans
            steps.append((batch, chosen))
        save(device, kept)
        print(render(found, kept))
    if steps:
        print("\n" + render_steps(steps))
    print(f"\n{device}: {measured_plans.file_for(device)}")


def in_step(
    step: tune_steps.Step, found: Sequence[Tuned], timer: Timer, report: Callable[[int, int], None]
) -> tune_steps.Chosen:
    """Of the plans that are fastest alone, those that make the step faster; the products that gain
    most are tried first."""
    first = sorted(found, key=lambda tuned: tuned.seconds - tuned.usual_seconds)
    candidates = {
        tuned.problem: [tuned.usual, *(p for p in tuned.fastest[:TRIED] if p != tuned.usual)]
        for tuned in first
    }
    times, most = itertools.count(1), 2 + sum(map(len, candidates.values())) - len(found)

    def seconds(plans: tune_steps.Plans) -> float:
        took = step.seconds(plans, timer)
        report(min(next(times), most), most)
        return took

    return tune_steps.choose(candidates, seconds)


def render(found: Sequence[Tuned], kept: Mapping[Problem, Plan]) -> str:
    """A line for each problem: the times alone, without measuring and with the fastest plan, and
    the plan that is kept."""
    rows = [
        (
            tuned.problem.kernel, _sizes(tuned.problem),
            _name(tuned.usual), round(tuned.usual_seconds * 1e6, 2),
            _name(tuned.plan), round(tuned.seconds * 1e6, 2),
            round(tuned.usual_seconds / tuned.seconds, 2), _name(kept[tuned.problem]),
        )
        for tuned in found
    ]  # fmt: skip
    heads = ("product", "m x n x k", "usual", "us", "fastest", "us", "faster", "kept")
    return table(heads, rows)


def render_steps(steps: Sequence[tuple[int, tune_steps.Chosen]]) -> str:
    """A line for each batch size: a training step without measuring, and with what is kept."""
    rows = [
        (batch, round(usual * 1e6, 2), round(now * 1e6, 2), round(usual / now, 2))
        for batch, (_, usual, now) in steps
    ]
    return table(("step of", "usual, us", "kept, us", "faster"), rows)


def _sizes(problem: Problem) -> str:
    return f"{problem.m} x {problem.n} x {problem.k}"


def _name(plan: Plan) -> str:
    return f"{plan.rows}x{plan.columns}" + (f" / {plan.splits}" if plan.splits > 1 else "")


# ---- measuring ---------------------------------------------------------------------------


class Tuned(NamedTuple):
    """What was found for one problem by itself."""

    problem: Problem
    usual: Plan  # without measuring
    usual_seconds: float
    plan: Plan
    seconds: float
    fastest: list[Plan]  # all that were measured, in their order


class WrongResult(ArithmeticError):
    """A kernel's result is not the product, within rounding."""


def problems(
    layers: Sequence[tuple[int, int]], batches: Sequence[int], matmul: str = "fp32"
) -> list[Problem]:
    """The products of a training step, for layers (n_in, n_out); each once."""
    found = []
    for batch in batches:
        for i, (n_in, n_out) in enumerate(layers):
            found += [("dense_forward", batch, n_out, n_in)]
            found += [("dense_backward_weights", n_in, n_out, batch)]
            found += [("dense_backward_input", batch, n_in, n_out)] if i else []
    return [Problem(matmul, "float32", *sizes) for sizes in dict.fromkeys(found)]


def candidates(problem: Problem) -> Iterator[Plan]:
    """Plans that may be worth it, the usual one first."""
    m, n, k = problem[3:]
    usual = choose(m, n, k)
    yield usual
    for tile in TILES:
        tiles = blocks(m, tile[0]) * blocks(n, tile[1])
        for splits in SPLITS:
            worth = k // splits >= SHORTEST_PART and tiles * splits <= MOST_BLOCKS
            plan = Plan(*tile, splits)
            if (splits == 1 or worth) and plan != usual:
                yield plan


def tune(runner: Runner, backend: Backend, problem: Problem, seconds: Timer) -> Tuned:
    """The fastest plan; raises WrongResult before a wrong kernel is timed."""
    rng = np.random.default_rng(0)
    arguments, check = _call(problem, rng)
    there = {
        name: backend.to_device(value) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    times: dict[Plan, float] = {}
    for plan in candidates(problem):
        op = getattr(
            DenseKernels(runner, matmul=problem.matmul, plans={problem: plan}), problem.kernel
        )
        op(**there)
        check({name: backend.to_host(there[name]) for name in ("y", "dx", "dw") if name in there})
        times[plan] = seconds(lambda op=op: op(**there))  # type: ignore[misc]
    usual = next(iter(times))
    best = min(times, key=times.__getitem__)
    if times[best] > CLEARLY * times[usual]:
        best = usual
    fastest = sorted(times, key=times.__getitem__)
    return Tuned(problem, usual, times[usual], best, times[best], fastest)


def _call(
    problem: Problem, rng: np.random.Generator
) -> tuple[dict[str, Any], Callable[[dict[str, Any]], None]]:
    """(the operation's arguments in host memory, a check of its result)"""
    m, n, k = problem[3:]

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    nan = np.full((m, n), np.nan, np.float32)
    arguments: dict[str, Any]
    if problem.kernel == "dense_forward":
        a, b, bias = normal(m, k), normal(k, n), normal(n)
        arguments = {"x": a, "w": b, "b": bias, "activation": "relu", "y": nan, "pre": None}
    elif problem.kernel == "dense_backward_input":
        a, b, saved = normal(m, k), normal(n, k), normal(m, n)
        arguments = {"dz": a, "w": b, "activation": "relu", "saved": saved, "dx": nan}
        b = b.T
    else:
        a, b = normal(k, m), normal(k, n)
        arguments = {"x": a, "dz": b, "dw": nan, "db": np.zeros(n, np.float32)}
        a = a.T
    rows, columns = (rng.permutation(size)[:SPOTS] for size in (m, n))
    a, b = a[rows].astype(np.float64), b[:, columns].astype(np.float64)
    exact, magnitudes = a @ b, np.abs(a) @ np.abs(b)
    if problem.kernel == "dense_forward":
        exact, magnitudes = exact + bias[columns], magnitudes + np.abs(bias[columns])
    # a rounding for each term of a sum, and parts; with tf32 two of each factor, to 11 bits
    rounding = (k + MOST_SPLITS + 20) * 2.0**-24 + (2.0**-9 if problem.matmul == "tf32" else 0)

    def check(results: dict[str, Any]) -> None:
        (got,) = results.values()
        got, wanted = got[np.ix_(rows, columns)], exact
        if problem.kernel == "dense_forward":
            wanted = np.maximum(exact, 0)
        if problem.kernel == "dense_backward_input":
            wanted = exact * (saved[np.ix_(rows, columns)] > 0)
        off = np.abs(got - wanted) - rounding * magnitudes
        if not (off <= 0).all():  # NaN is wrong too
            raise WrongResult(
                f"{problem}: off by {np.nanmax(off):.3g} more than rounding explains; nothing was "
                "saved for it"
            )

    return arguments, check


def save(device: str, kept: Mapping[Problem, Plan]) -> None:
    """Adds these to the plans for this GPU."""
    plans = {**measured_plans.load(device), **kept}
    path = measured_plans.file_for(device)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, measured_plans.text(device, plans))
