"""What ``tinyae bench`` measures, how it is counted, and that its checks let nothing wrong pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.cases import counts, dense_cases, net_cases, nets, random_cases, reference_updates
from benchmarks.cases.cases import GROUPS, SUITES, Case, Options, data_rng, select
from benchmarks.contestants.contestants import CONTESTANTS
from benchmarks.contestants.own import Own
from tests.kernels.test_random import word
from tests.kernels.test_update import Weight, hyper
from tinyae.kernels.conventions import MATMULS, OPTIMIZERS

# ---- counts


def test_products_are_counted_as_in_the_textbook() -> None:
    """2 m n k for each; a net's step is three products a layer, but no dx of the first."""
    for op in GROUPS["dense"]:
        assert getattr(counts, op)(3, 5, 7).flops == 2 * 3 * 5 * 7
    assert counts.dense_forward(3, 5, 7).bytes == 4 * (15 + 35 + 7 + 21)  # x, w, b, y
    assert counts.dense_backward_input(3, 5, 7).bytes == 4 * (21 + 35 + 15 + 15)  # + saved
    assert counts.dense_backward_weights(3, 5, 7).bytes == 4 * (15 + 21 + 35 + 7)
    assert counts.parameters(nets.layers("deep")) == 2_837_314
    assert counts.parameters(nets.layers("small")) == 209_968
    products = sum(2 * 32 * a * b for a, b in nets.layers("small"))
    step = counts.step(nets.layers("small"), 32)
    assert step.flops == 3 * products - 2 * 32 * 784 * 128
    assert counts.epoch(nets.layers("small"), 32, 64, 1).flops == 2 * step.flops
    for net in nets.NETS:
        parts = [net_cases.part_counts(op, net, 32).flops for op in GROUPS["dense"]]
        assert sum(parts) == counts.step(nets.layers(net), 32).flops


def test_elementwise_operations_are_counted() -> None:
    arrays = {"sgd": 3, "momentum": 5, "nesterov": 5, "adam": 7, "adamw": 7}
    for optimizer, passes in arrays.items():
        assert counts.elementwise(10, optimizer).bytes == 4 * 10 * passes
    assert counts.elementwise(10, "mse").bytes == 120
    assert counts.elementwise(10, "relu") == (10, 80)
    assert counts.elementwise(10, "relu backward") == (20, 120)
    assert counts.gather(2, 784, 1).bytes == 2 * (784 * 5 + 8)
    assert counts.elementwise(8, "random_permutation") == (0, 64)


# ---- what is asked for


def test_only_selects_operations_and_groups() -> None:
    for group, ops in GROUPS.items():
        found = {
            case.op.partition("/")[0].removesuffix("_mse").replace("matmul", "ladder")
            for suite in SUITES
            for case in select(suite, Options(only=(group,)))
        }
        assert found == ({"to_device", "to_host"} if group == "transfer" else set(ops))
    (case,) = select("kernel", Options(only=("adam",), nets=("small",)))
    assert (case.op, case.net) == ("adam", "small")


def test_sizes_nets_and_batches() -> None:
    dense = select("kernel", Options(only=("dense_forward",), sizes=(8, 16)))
    assert [(case.size, case.case) for case in dense] == [(8, "8x8x8"), (16, "16x16x16")]
    small = Options(only=("dense_forward",), sizes=(8,), nets=("small",), batches=(3,))
    assert [case.case for case in select("kernel", small)] == [
        "8x8x8", "3x784x128", "3x128x32", "3x32x128", "3x128x784",
    ]  # fmt: skip
    steps = select("step", Options(only=("step",), nets=("small",), batches=(32, 64)))
    assert {(case.net, case.batch) for case in steps} == {("small", 32), ("small", 64)}
    sizes = {case.size for case in select("kernel", Options(only=("dense",))) if case.size}
    assert {128, 4096, 8192} <= sizes
    huge = [case for case in select("kernel", Options()) if case.size == 8192]
    assert all(CONTESTANTS["cupy"].takes(c) and not CONTESTANTS["numpy"].takes(c) for c in huge)


@pytest.mark.parametrize(
    ("options", "complaint"),
    (
        ({"only": ("conv",)}, "--only must be of .*adam.*, got 'conv'"),
        ({"nets": ("wide",)}, "--nets must be of deep, small, got 'wide'"),
        ({"sizes": (0,)}, "--sizes must be integers >= 1, got 0"),
        ({"batches": (-1,)}, "--batches must be integers >= 1, got -1"),
        ({"seconds": 0.0}, "--seconds must be > 0, got 0"),
    ),
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Options(**options)


# ---- checks: each must fail for a result that is slightly wrong


def result_of(
    case: Case, backend: str = "numpy", matmul: str = "fp32"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the case gives, what the backend makes of it)"""
    own = Own(backend, matmul)
    assert case.make is not None
    given = case.make(data_rng())
    moved = own._moved(given)
    own.op(case.op)(**moved)
    return given, {name: moved[name] for name in case.outputs}


QUICK = Options(quick=True, sizes=(40,), nets=("small",), batches=(16,))
KERNELS = [case for case in select("kernel", QUICK) if "random" not in case.op]


@pytest.mark.parametrize("case", KERNELS, ids=lambda case: case.id)
def test_a_check_passes_what_is_right_and_nothing_else(case: Any) -> None:
    given, result = result_of(case)
    case.check(given, result)
    for name, value in result.items():
        for spoil in (lambda v: v * 1.01 + 1e-3, lambda v: v * np.nan):
            with pytest.raises(AssertionError):
                case.check(given, {**result, name: spoil(value)})


@pytest.mark.parametrize("op", GROUPS["dense"])
def test_products_are_checked_as_they_were_multiplied(op: str) -> None:
    """TF32 passes for TF32 only; what is wrong by a hundredth passes for nothing."""
    (case,) = select("kernel", Options(only=(op,), sizes=(40,)))
    errors = {}
    for matmul in MATMULS:
        given, result = result_of(case, "cuda-host", matmul)
        errors[matmul] = case.check(given, result, matmul)
        spoilt = {name: value * 1.01 for name, value in result.items()}
        with pytest.raises(AssertionError):
            case.check(given, spoilt, matmul)
        for other in ("fp32", "3xtf32") if matmul == "tf32" else ():
            with pytest.raises(AssertionError):
                case.check(given, result, other)
    assert 0 < errors["3xtf32"] < 4 * errors["fp32"] < 1e-6 < errors["tf32"] < 2**-10


def test_the_error_of_a_product_counts_what_relu_lets_through() -> None:
    """A relative error of 1e-5 in each element, in parts of the terms' magnitudes."""
    (case,) = dense_cases.layer_cases(30, 40, 20, "relu", "identity")[:1]
    given = case.make(np.random.default_rng(0))
    x, w, b = (given[name].astype(np.float64) for name in ("x", "w", "b"))
    z, magnitudes = x @ w + b, np.abs(x) @ np.abs(w) + np.abs(b)
    expected = np.sqrt(np.mean((1e-5 * z / magnitudes)[z > 0] ** 2))
    y = np.maximum(z * (1 + 1e-5), 0)
    assert case.check(given, {"y": y}, "tf32") == pytest.approx(expected, rel=1e-3)


def test_rows_of_large_products_are_drawn() -> None:
    rows = dense_cases._rows(10_000, 10_000)
    assert rows[0] == 0 and rows[-1] == 9_999 and len(rows) >= dense_cases.ROWS_CHECKED
    assert dense_cases._rows(2048, 2048) == slice(None)


def test_random_numbers_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_cases, "LARGE", 20_000)
    cases = select("kernel", Options(only=("random",)))
    assert {case.op for case in cases} == set(GROUPS["random"])
    for case in cases:
        given, result = result_of(case)
        case.check(given, result)
        shifted = np.roll(result["out"], 1)
        if case.op == "random_permutation":
            shifted = np.arange(shifted.size)
        with pytest.raises(AssertionError):
            case.check(given, {"out": shifted})


@pytest.mark.parametrize("wrong", (None, "loss", "dw", "db"))
def test_a_step_is_checked_by_its_gradient(wrong: str | None) -> None:
    loss, gradients = net_cases.first_step("small", 8)
    moments = [(0.1 * dw, 0.1 * db) for dw, db in gradients]
    if wrong == "dw":
        moments[1] = (1.01 * moments[1][0], moments[1][1])
    if wrong == "db":
        moments[2] = (moments[2][0], -moments[2][1])
    if wrong is None:
        net_cases.check_step("small", 8, loss, moments)
    else:
        with pytest.raises(AssertionError, match=wrong):
            net_cases.check_step("small", 8, loss * (1.001 if wrong == "loss" else 1), moments)


def test_an_epoch_is_checked_by_its_losses() -> None:
    net_cases.check_epoch((5.0, 4.0), 5.01, 1e-2)
    for losses, right, what in (
        ((5.0, 5.1), 5.0, "does not learn"), ((6.0, 5.0), 5.0, "instead of 5"),
        ((float("nan"), float("nan")), None, "does not learn"),
    ):  # fmt: skip
        with pytest.raises(AssertionError, match=what):
            net_cases.check_epoch(losses, right, 1e-2)


def test_references_agree_with_the_tests() -> None:
    """The vectorised formulas here, the numbers one by one there."""
    words = [word(random_cases.STATE, j) for j in range(9)]
    assert random_cases.bits(random_cases.STATE, 9).tolist() == words
    given = {"w": np.array([0.7], "f4"), "grad": np.array([-1.25], "f4"), "hyper": hyper(1),
             "m": np.zeros(1, "f4"), "v": np.zeros(1, "f4"), "n_decayed": 1}  # fmt: skip
    for op in OPTIMIZERS:
        weight = Weight(w=float(given["w"][0]), decay=0.1)
        weight.update(op, -1.25)
        (found,), _ = reference_updates.updated(op, given, 1e-7)["w"]
        assert found == pytest.approx(weight.w, rel=1e-12)
