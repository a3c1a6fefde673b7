"""The operations of the contract, each on random data, with its float64 reference.

Formulas and tolerances come from tests/reference.py; where the check of a whole product would take
longer than timing it, rows are drawn at random, and all of their columns are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import counts
import nets
import numpy as np
from cases import Arguments, Case, Options, batches
from cases import nets as chosen_nets
from reference_random import bernoulli, bits, normal, normal_tolerance, uniform
from reference_updates import updated

import reference
from reference import assert_within, eps, poisoned
from tinyae.kernels.conventions import ACTIVATIONS, HYPER, LOSSES

DTYPE = "float32"
EPS = eps(DTYPE)

SIZES = (128, 256, 512, 1024, 2048, 4096)
GPU_SIZES = (8192,)
QUICK_SIZES = (128, 512)
ROWS_CHECKED = 512

LARGE = 4_000_000  # numbers: several arrays of them are beyond a CPU's caches
QUICK_LARGE = 500_000


def kernels(options: Options) -> list[Case]:
    makers = (dense, activation, loss, update, random, gather)
    return [
        case for make in makers for case in make(options) if options.wants(case.op)
    ]  # fmt: skip


def quick_net(options: Options) -> tuple[str, ...]:
    return chosen_nets(options) if options.nets or not options.quick else ("deep",)


# ---- the dense layer


def dense(options: Options) -> list[Case]:
    cases = []
    sizes = options.sizes or (QUICK_SIZES if options.quick else (*SIZES, *GPU_SIZES))
    for n in sizes:
        most = "gpu" if n > max(SIZES) else "cpu"
        cases += dense_cases(n, n, n, "identity", "identity", size=n, most=most)
    if options.squares_alone:
        return cases
    for net in quick_net(options):
        seen = set()
        below = "identity"
        for (n_in, n_out), name in zip(nets.layers(net), nets.activations(net), strict=True):
            if (n_in, n_out) not in seen and not (options.quick and len(seen) == 2):
                seen.add((n_in, n_out))
                for batch in batches(options, (128,)):
                    cases += dense_cases(batch, n_in, n_out, name, below, net=net, batch=batch)
            below = name
    return cases


def dense_cases(
    m: int, n_in: int, n_out: int, activation: str, below: str, most: str = "cpu", **about: Any
) -> list[Case]:
    """``below``: the activation of the layer below, whose slope the gradient of x takes."""
    shape = f"{m}x{n_in}x{n_out}"

    def data(rng: np.random.Generator) -> tuple[Any, ...]:
        x, w, dz = (
            rng.standard_normal(s, np.float32) for s in ((m, n_in), (n_in, n_out), (m, n_out))
        )
        return x, w, dz

    def forward(rng: np.random.Generator) -> Arguments:
        x, w, _ = data(rng)
        return {"x": x, "w": w, "b": rng.standard_normal(n_out, np.float32),
                "activation": activation, "y": poisoned((m, n_out), DTYPE),
                "pre": None}  # fmt: skip

    def backward_input(rng: np.random.Generator) -> Arguments:
        x, w, dz = data(rng)
        saved = reference.saved_for_backward(below, x, DTYPE)
        return {"dz": dz, "w": w, "activation": below, "saved": saved,
                "dx": poisoned((m, n_in), DTYPE)}  # fmt: skip

    def backward_weights(rng: np.random.Generator) -> Arguments:
        x, _, dz = data(rng)
        return {"x": x, "dz": dz, "dw": poisoned((n_in, n_out), DTYPE),
                "db": poisoned((n_out,), DTYPE)}  # fmt: skip

    common = {"most": most, **about}
    return [
        Case("kernel", "dense_forward", shape, counts.dense_forward(m, n_in, n_out),
             make=forward, outputs=("y",), check=check_forward, **common),
        Case("kernel", "dense_backward_input", shape,
             counts.dense_backward_input(m, n_in, n_out),
             make=backward_input, outputs=("dx",), check=check_backward_input, **common),
        Case("kernel", "dense_backward_weights", shape,
             counts.dense_backward_weights(m, n_in, n_out),
             make=backward_weights, outputs=("dw", "db"), check=check_backward_weights, **common),
    ]  # fmt: skip


def _rows(n: int, columns: int) -> Any:
    """All rows of a result, or if they are many some of them: the first, the last, random ones."""
    if n * columns <= 2048**2:
        return slice(None)
    drawn = np.random.default_rng(3).choice(n, min(n, ROWS_CHECKED), replace=False)
    return np.unique([0, n - 1, *drawn])


def _product(a: Any, b: Any) -> tuple[Any, Any]:
    """a @ b in float64 and its tolerance."""
    return a.astype(np.float64) @ b.astype(np.float64), reference.product_tolerance(a, b, DTYPE)


def check_forward(given: Arguments, result: Arguments) -> None:
    x, w, b, name, y = given["x"], given["w"], given["b"], given["activation"], result["y"]
    rows = _rows(*y.shape)
    z, slack = _product(x[rows], w)
    z += b
    slack += (x.shape[1] + 1) * EPS * np.abs(b)
    tolerance = reference.STEEPEST * slack
    tolerance += reference.activation_tolerance(name, np.abs(z) + slack, DTYPE)
    assert_within(y[rows], reference.activation(name, z), tolerance, "y")


def check_backward_input(given: Arguments, result: Arguments) -> None:
    """``saved`` is relu's output or the identity's: the slope is exact."""
    dz, w, dx = given["dz"], given["w"], result["dx"]
    rows = _rows(*dx.shape)
    dy, slack = _product(dz[rows], w.T)
    slope = reference.derivative(given["activation"], given["saved"][rows])
    assert_within(dx[rows], dy * slope, slack + EPS * np.abs(dy), "dx")


def check_backward_weights(given: Arguments, result: Arguments) -> None:
    x, dz, dw = given["x"], given["dz"], result["dw"]
    rows = _rows(*dw.shape)
    expected, slack = _product(np.ascontiguousarray(x.T[rows]), dz)
    assert_within(dw[rows], expected, slack, "dw")
    if "db" in result:
        ones = np.ones((1, len(dz)))
        tolerance = reference.product_tolerance(ones, dz, DTYPE)[0]
        assert_within(result["db"], dz.sum(axis=0, dtype=np.float64), tolerance, "db")


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

    cases = []
    for name in names:
        cases.append(Case(
            "kernel", "activation_forward", f"{name} {label}", counts.activation_forward(n, name),
            make=partial(forward, name), outputs=("y",), check=check_activation,
        ))  # fmt: skip
        cases.append(Case(
            "kernel", "activation_backward", f"{name} {label}",
            counts.activation_backward(n, name), make=partial(backward, name), outputs=("dx",),
            check=check_backward,
        ))  # fmt: skip
    return cases


def check_activation(given: Arguments, result: Arguments) -> None:
    x, name = given["x"], given["activation"]
    tolerance = reference.activation_tolerance(name, x, DTYPE)
    assert_within(result["y"], reference.activation(name, x), tolerance, "y")


def loss(options: Options) -> list[Case]:
    batch_sizes = batches(options, (128, 2048))

    def make(name: str, shape: tuple[int, int], rng: np.random.Generator) -> Arguments:
        return {"name": name, "output": 3 * rng.standard_normal(shape, np.float32),
                "target": rng.random(shape, np.float32), "gradient": poisoned(shape, DTYPE),
                "totals": poisoned((2,), "float64")}  # fmt: skip

    cases = []
    for name in ("mse", "bce") if options.quick else LOSSES:
        for batch in batch_sizes:
            shape = (batch, nets.N_FEATURES)
            cases.append(Case(
                "kernel", "loss", f"{name} {batch}x{nets.N_FEATURES}",
                counts.loss(batch * nets.N_FEATURES, name), batch=batch,
                make=partial(make, name, shape), outputs=("gradient", "totals"), check=check_loss,
            ))  # fmt: skip
    return cases


def check_loss(given: Arguments, result: Arguments) -> None:
    name, output, target = given["name"], given["output"], given["target"]
    value, slope = reference.loss(name, output, target)
    value_slack, slope_slack = reference.loss_tolerances(name, output, target, DTYPE)
    squared = np.square(reference.reconstruction(name, output) - target)
    squared_slack = reference.squared_error_tolerance(name, output, target, DTYPE)
    totals = [value.sum(), squared.sum()]
    assert_within(result["totals"], totals, [value_slack, squared_slack], "totals")
    tolerance = (slope_slack + 2 * EPS * np.abs(slope)) / len(output)
    assert_within(result["gradient"], slope / len(output), tolerance, "gradient")


# ---- updates

MOMENTS = {"sgd": (), "momentum": ("v",), "nesterov": ("v",), "adam": ("m", "v"),
           "adamw": ("m", "v")}  # fmt: skip
UPDATES_DONE = 100


def update(options: Options) -> list[Case]:
    cases = []
    for net in quick_net(options):
        n = counts.parameters(nets.layers(net))
        for op, moments in MOMENTS.items():
            if op not in ("sgd", "adam") and options.spares(op):
                continue
            cases.append(Case(
                "kernel", op, f"{n}", counts.update(n, op), net=net,
                make=partial(_update, n, moments), outputs=("w", *moments),
                check=partial(check_update, op),
            ))  # fmt: skip
        cases.append(Case(
            "kernel", "clip_by_norm", f"{n}, within the norm", counts.clip_by_norm(n), net=net,
            make=partial(_clip, n), outputs=("grad", "norm"), check=check_clip,
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


# ---- random numbers, and rows of the data

STATE = np.array([0x12345678, 0x9ABCDEF0, 1, 7], np.uint32)


def random(options: Options) -> list[Case]:
    n = QUICK_LARGE if options.quick else LARGE
    plain: dict[str, tuple[dict[str, Any], str, Callable[..., None]]] = {
        "random_bits": ({}, "uint32", check_bits),
        "random_uniform": ({"low": -1.0, "high": 1.0}, DTYPE, check_uniform),
        "random_normal": ({"mean": 0.5, "std": 2.0}, DTYPE, check_normal),
        "random_bernoulli": ({"probability": 0.3}, DTYPE, check_bernoulli),
        "random_permutation": ({"n": n, "start": 0}, "int64", check_permutation),
    }

    def make(extra: dict[str, Any], dtype: str, rng: np.random.Generator) -> Arguments:
        return {"state": STATE, **extra, "out": poisoned((n,), dtype)}

    def noise(rng: np.random.Generator) -> Arguments:
        shape = (n // 1000, 1000)
        return {"state": STATE, "std": np.array([0.25]), "x": rng.standard_normal(shape, DTYPE),
                "out": poisoned(shape, DTYPE)}  # fmt: skip

    cases = [
        Case("kernel", op, f"{n}", counts.random(n, op), make=partial(make, extra, dtype),
             outputs=("out",), check=check)
        for op, (extra, dtype, check) in plain.items()
        if op not in ("random_bits", "random_bernoulli") or not options.spares(op)
    ]  # fmt: skip
    return [*cases, Case("kernel", "add_normal", f"{n}", counts.random(n, "add_normal"),
                         make=noise, outputs=("out",), check=check_noise)]  # fmt: skip


def check_bits(given: Arguments, result: Arguments) -> None:
    np.testing.assert_array_equal(result["out"], bits(given["state"], result["out"].size))


def check_uniform(given: Arguments, result: Arguments) -> None:
    expected = uniform(given["state"], result["out"].size, given["low"], given["high"])
    scale = abs(given["low"]) + abs(given["high"])
    assert_within(result["out"], expected, 2 * EPS * scale, "out")


def check_normal(given: Arguments, result: Arguments) -> None:
    g = normal(given["state"], result["out"].size)
    expected = given["mean"] + given["std"] * g
    tolerance = given["std"] * normal_tolerance(given["state"], g.size, EPS)
    assert_within(result["out"], expected, tolerance + 2 * EPS * np.abs(expected), "out")


def check_noise(given: Arguments, result: Arguments) -> None:
    x, std = given["x"].reshape(-1), given["std"][0]
    expected = x + std * normal(given["state"], x.size)
    tolerance = std * normal_tolerance(given["state"], x.size, EPS)
    tolerance += 2 * EPS * (np.abs(expected) + np.abs(x))
    assert_within(result["out"].reshape(-1), expected, tolerance, "out")


def check_distribution(given: Arguments, result: Arguments) -> None:
    """Of another generator's numbers: mean and deviation within six standard errors."""
    if "std" in given:
        mean, std, kurtosis = given["mean"], given["std"], 3.0
    else:
        mean, std = (given["low"] + given["high"]) / 2, (given["high"] - given["low"]) / 12**0.5
        kurtosis = 1.8
    out = result["out"].astype(np.float64)
    assert_within(out.mean(), mean, 6 * std / out.size**0.5, "mean")
    error = 0.5 * ((kurtosis - 1) / out.size) ** 0.5
    assert_within(out.std(), std, 6 * std * error + 1e-6, "standard deviation")


def check_bernoulli(given: Arguments, result: Arguments) -> None:
    expected = bernoulli(given["state"], result["out"].size, given["probability"])
    np.testing.assert_array_equal(result["out"], expected)


def check_permutation(given: Arguments, result: Arguments) -> None:
    """Each number once, and not in order; which one comes where is told by the tests."""
    out = result["out"]
    np.testing.assert_array_equal(np.bincount(out, minlength=given["n"]), 1)
    assert abs(np.corrcoef(out, np.arange(out.size))[0, 1]) < 6 / out.size**0.5, "out: in order"


def gather(options: Options) -> list[Case]:
    n = 6000 if options.quick else 60_000

    def make(batch: int, rng: np.random.Generator) -> Arguments:
        data = rng.integers(0, 256, (n, nets.N_FEATURES), dtype=np.uint8)
        return {"data": data, "indices": rng.integers(0, n, batch), "scale": 1 / 255,
                "out": poisoned((batch, nets.N_FEATURES), DTYPE)}  # fmt: skip

    return [
        Case("kernel", "gather", f"{batch} of {n}x{nets.N_FEATURES} uint8",
             counts.gather(batch, nets.N_FEATURES, 1), batch=batch, make=partial(make, batch),
             outputs=("out",), check=check_gather)
        for batch in batches(options)
    ]  # fmt: skip


def check_gather(given: Arguments, result: Arguments) -> None:
    expected = given["data"][given["indices"]].astype(np.float64) * given["scale"]
    assert_within(result["out"], expected, 2 * EPS * np.abs(expected), "out")


# ---- the ladder of products


def ladder(options: Options) -> list[Case]:
    """One case per size; which rungs there are is the contestant's to say."""
    if not options.wants("ladder"):
        return []

    def make(n: int, rng: np.random.Generator) -> Arguments:
        a, b = (rng.standard_normal((n, n), np.float32) for _ in range(2))
        return {"a": a, "b": b, "c": poisoned((n, n), DTYPE)}

    sizes = options.sizes or ((256,) if options.quick else (512, 1024))
    return [
        Case("ladder", "matmul", f"{n}x{n}x{n}", counts.matmul(n, n, n), size=n,
             make=partial(make, n), outputs=("c",), check=check_matmul)
        for n in sizes
    ]  # fmt: skip


def check_matmul(given: Arguments, result: Arguments) -> None:
    rows = _rows(*result["c"].shape)
    expected, slack = _product(given["a"][rows], given["b"])
    assert_within(result["c"][rows], expected, slack, "c")


def data_rng() -> np.random.Generator:
    """What every case's data are drawn from."""
    return np.random.default_rng(4)
