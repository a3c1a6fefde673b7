"""The operations of the contract, each on random data, with its float64 reference.

Formulas and tolerances come from tests/reference.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import counts, nets
from benchmarks.cases.cases import DTYPE, Arguments, Case, Options, batches, data_rng, quick_nets
from benchmarks.cases.dense_cases import dense
from benchmarks.cases.random_cases import random
from benchmarks.cases.reference_updates import updated
from tests import reference
from tests.reference import assert_within, eps, poisoned
from tinyae.kernels.conventions import ACTIVATIONS, HYPER, LOSSES, MOMENTS

EPS = eps(DTYPE)


def kernels(options: Options) -> list[Case]:
    makers = (dense, activation, loss, update, random, gather)
    return [case for make in makers for case in make(options) if options.wants(case.op)]


# ---- activations and losses


def activation(options: Options) -> list[Case]:
    shape = (512, 1000) if options.quick else (2048, 1000)
    n = shape[0] * shape[1]
    label = f"{shape[0]}x{shape[1]}"
    names = ("relu", "sigmoid", "gelu") if options.quick else ACTIVATIONS[1:]

    def forward(name: str, rng: np.random.Generator) -> Arguments:
        x = 3 * rng.standard_normal(shape, np.float32)
        return {"x": x, "activation": name, "y": poisoned(shape, DTYPE)}

    def inputs() -> tuple[Any, Any]:
        """x, which most activations' backward is not given, and dy"""
        rng = data_rng()
        return 3 * rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)

    def backward(name: str, _: np.random.Generator) -> Arguments:
        x, dy = inputs()
        saved = reference.saved_for_backward(name, x, DTYPE)
        return {"dy": dy, "activation": name, "saved": saved, "dx": poisoned(shape, DTYPE)}

    def check_backward(given: Arguments, result: Arguments) -> None:
        x, dy = inputs()
        slope = reference.derivative(given["activation"], x)
        slack = reference.derivative_tolerance(given["activation"], x, DTYPE)
        assert_within(result["dx"], dy * slope,
                      np.abs(dy) * (slack + 2 * EPS * np.abs(slope)), "dx")  # fmt: skip

    return [
        Case("kernel", op, f"{name} {label}", counts.elementwise(n, counted),
             make=partial(make, name), outputs=(out,), check=check)
        for name in names
        for op, counted, make, out, check in (
            ("activation_forward", name, forward, "y", check_activation),
            ("activation_backward", f"{name} backward", backward, "dx", check_backward),
        )
    ]  # fmt: skip


def check_activation(given: Arguments, result: Arguments) -> None:
    x, name = given["x"], given["activation"]
    tolerance = reference.activation_tolerance(name, x, DTYPE)
    assert_within(result["y"], reference.activation(name, x), tolerance, "y")


def loss(options: Options) -> list[Case]:
    def make(name: str, shape: tuple[int, int], rng: np.random.Generator) -> Arguments:
        return {"name": name, "output": 3 * rng.standard_normal(shape, np.float32),
                "target": rng.random(shape, np.float32), "gradient": poisoned(shape, DTYPE),
                "totals": poisoned((2,), "float64")}  # fmt: skip

    return [
        Case("kernel", "loss", f"{name} {batch}x{nets.N_FEATURES}",
             counts.elementwise(batch * nets.N_FEATURES, name), batch=batch,
             make=partial(make, name, (batch, nets.N_FEATURES)), outputs=("gradient", "totals"),
             check=check_loss)
        for name in (("mse", "bce") if options.quick else LOSSES)
        for batch in batches(options, (128, 2048))
    ]  # fmt: skip


def check_loss(given: Arguments, result: Arguments) -> None:
    reference.assert_loss(given["name"], given["output"], given["target"], **result, dtype=DTYPE)


# ---- updates

UPDATES_DONE = 100


def update(options: Options) -> list[Case]:
    cases = []
    for net in quick_nets(options):
        n = counts.parameters(nets.layers(net))
        for op, moments in MOMENTS.items():
            if op not in ("sgd", "adam") and options.spares(op):
                continue
            cases.append(Case(
                "kernel", op, f"{n}", counts.elementwise(n, op), net=net,
                make=partial(_update, n, moments), outputs=("w", *moments),
                check=partial(check_update, op),
            ))  # fmt: skip
        cases.append(Case(
            "kernel", "clip_by_norm", f"{n}, within the norm",
            counts.elementwise(n, "clip_by_norm"), net=net, make=partial(_clip, n),
            outputs=("grad", "norm"), check=check_clip,
        ))  # fmt: skip
    return cases


def _update(n: int, moments: tuple[str, ...], rng: np.random.Generator) -> Arguments:
    """The hundredth update; the decay acts on all numbers, as it does in every rival."""
    numbers = {"learning_rate": 1e-3, "weight_decay": 0.01, "momentum": 0.9, "beta1": 0.9,
               "beta2": 0.999, "eps": 1e-8, "correction1": 1 - 0.9**UPDATES_DONE,
               "correction2": 1 - 0.999**UPDATES_DONE}  # fmt: skip
    w, grad = (rng.standard_normal(n, np.float32) for _ in range(2))
    state = {name: rng.random(n, np.float32) + np.float32(0.1) for name in moments}
    return {"w": w, "grad": grad, **state, "hyper": np.array([numbers[name] for name in HYPER]),
            "n_decayed": n, "guard": np.array([0.5, 0.25])}  # fmt: skip


def check_update(op: str, given: Arguments, result: Arguments) -> None:
    for name, (expected, tolerance) in updated(op, given, EPS).items():
        assert_within(result[name], expected, tolerance, name)


def _clip(n: int, rng: np.random.Generator) -> Arguments:
    grad = rng.standard_normal(n, np.float32)
    return {"grad": grad, "max_norm": 2 * n**0.5, "norm": poisoned((1,), "float64")}


def check_clip(given: Arguments, result: Arguments) -> None:
    """Squares are summed in float64, in any order; an exact norm within bounds changes nothing."""
    norm = float(np.sqrt(np.square(given["grad"], dtype=np.float64).sum()))
    n = given["grad"].size
    assert_within(result["norm"], [norm], n * eps("float64") * norm, "norm")
    assert_within(result["grad"], given["grad"], 0, "grad")


# ---- rows of the data


def gather(options: Options) -> list[Case]:
    def samples(batch: int) -> int:
        """So many that no cache keeps the data of a large batch."""
        return max(6000 if options.quick else 60_000, 4 * batch)

    def make(batch: int, rng: np.random.Generator) -> Arguments:
        n = samples(batch)
        data = rng.integers(0, 256, (n, nets.N_FEATURES), dtype=np.uint8)
        return {"data": data, "indices": rng.integers(0, n, batch), "scale": 1 / 255,
                "out": poisoned((batch, nets.N_FEATURES), DTYPE)}  # fmt: skip

    return [
        Case("kernel", "gather", f"{batch} of {samples(batch)}x{nets.N_FEATURES} uint8",
             counts.gather(batch, nets.N_FEATURES, 1), batch=batch, make=partial(make, batch),
             outputs=("out",), check=check_gather)
        for batch in batches(options)
    ]  # fmt: skip


def check_gather(given: Arguments, result: Arguments) -> None:
    expected = given["data"][given["indices"]].astype(np.float64) * given["scale"]
    assert_within(result["out"], expected, 2 * EPS * np.abs(expected), "out")
