"""Optimiser updates against the published formulas, worked one weight at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.reference import assert_within, awkward_shapes, call, eps, normals
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import HYPER, MOMENTS
from tinyae.kernels.reference.update import BLOCK

every_optimizer = pytest.mark.parametrize("optimizer", MOMENTS)

RATE, DECAY, MU, BETA1, BETA2, EPS = 0.05, 0.1, 0.9, 0.8, 0.95, 1e-8
PERIOD = 7  # of the test data: no divisor of any block, so that few weights stand for all


def hyper(t: int) -> np.ndarray:
    numbers = {
        "learning_rate": RATE, "weight_decay": DECAY, "momentum": MU,
        "beta1": BETA1, "beta2": BETA2, "eps": EPS,
        "correction1": 1 - BETA1**t, "correction2": 1 - BETA2**t,
    }  # fmt: skip
    assert set(numbers) == set(HYPER)
    return np.array([numbers[name] for name in HYPER])


@dataclass
class Weight:
    """One weight in Python floats; ``way`` is the length of the way it has gone."""

    w: float
    decay: float
    m: float = 0.0
    v: float = 0.0
    way: float = 0.0
    grads: list[float] = field(default_factory=list)

    def update(self, optimizer: str, g: float) -> None:
        before = self.w
        self.grads.append(g + (self.decay * before if optimizer != "adamw" else 0.0))
        t = len(self.grads)
        if optimizer == "sgd":
            self.w = before - RATE * self.grads[-1]
        elif optimizer == "momentum":  # the velocity as the sum that it is
            self.v = sum(MU ** (t - 1 - i) * g for i, g in enumerate(self.grads))
            self.w = before - RATE * self.v
        elif optimizer == "nesterov":
            self.v = sum(MU ** (t - 1 - i) * g for i, g in enumerate(self.grads))
            self.w = before - RATE * (self.grads[-1] + MU * self.v)
        else:  # the moments as the weighted means that they are (Kingma and Ba, equation 1)
            self.m = (1 - BETA1) * sum(BETA1 ** (t - 1 - i) * g for i, g in enumerate(self.grads))
            self.v = (1 - BETA2) * sum(
                BETA2 ** (t - 1 - i) * g * g for i, g in enumerate(self.grads)
            )
            m_hat, v_hat = self.m / (1 - BETA1**t), self.v / (1 - BETA2**t)
            step = RATE * m_hat / (math.sqrt(v_hat) + EPS)
            if optimizer == "adamw":
                step += RATE * self.decay * before
            self.w = before - step
        self.way += abs(self.w - before)


def gradients(t: int) -> list[float]:
    """PERIOD gradients of changing size; each keeps its sign, so that moments do not cancel."""
    return [(-1) ** i * (1.0 + 0.5 * math.sin(3.0 * t + i)) for i in range(PERIOD)]


START = [0.7 * math.cos(2.0 * i) for i in range(PERIOD)]


def tiled(values: list[float], n: int, dtype: str) -> np.ndarray:
    return np.resize(np.array(values, dtype), n)


def updated(
    backend: Backend, optimizer: str, w: np.ndarray, grad: np.ndarray, t: int = 1, *,
    n_decayed: int, loss: float = 0.5, **state: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    """w and the optimiser's moments, which are zero unless ``state`` has them, an update later."""
    state = {"w": w, **{name: np.zeros_like(w) for name in MOMENTS[optimizer]}, **state}
    guard = np.array([loss, np.nan])
    numbers = {"hyper": hyper(t), "n_decayed": n_decayed, "guard": guard}
    results = call(backend, optimizer, tuple(state), grad=grad, **state, **numbers)
    return dict(zip(state, results, strict=True))


def run(backend: Backend, optimizer: str, n: int, n_decayed: int, updates: int, dtype: str) -> None:
    """Compares w and all moments, after the last update, in all n elements.

    In one update each weight is rounded once, and its step and moments a dozen times more; a
    moment carries the errors of t updates. As nothing cancels (``gradients``), that makes
    t eps |w| and (12 + 2 t) eps of the way gone.
    """
    state = {"w": tiled(START, n, dtype)}
    kinds = {
        decay: [Weight(w=float(np.dtype(dtype).type(start)), decay=decay) for start in START]
        for decay in (DECAY, 0.0)
    }
    for t in range(1, updates + 1):
        grad = tiled(gradients(t), n, dtype)
        state = updated(backend, optimizer, grad=grad, t=t, n_decayed=n_decayed, **state)
        for weights in kinds.values():
            for weight, g in zip(weights, gradients(t), strict=True):
                weight.update(optimizer, float(np.dtype(dtype).type(g)))

    def expected(what: str) -> np.ndarray:
        decayed, plain = (
            np.resize([getattr(weight, what) for weight in weights], n)
            for weights in kinds.values()
        )
        return np.where(np.arange(n) < n_decayed, decayed, plain)

    what = (optimizer, n, n_decayed)
    growth = (12 + 2 * updates) * eps(dtype)
    largest = np.abs(expected("w")) + expected("way")
    tolerance = updates * eps(dtype) * largest + growth * expected("way")
    assert_within(state.pop("w"), expected("w"), tolerance, what)
    for name, value in state.items():
        assert_within(value, expected(name), growth * np.abs(expected(name)), (*what, name))


@every_optimizer
@pytest.mark.parametrize("n_decayed", (0, 4, 9))
def test_twenty_updates(backend: Backend, optimizer: str, n_decayed: int, dtype: str) -> None:
    run(backend, optimizer, 9, n_decayed, 20, dtype)


@every_optimizer
@pytest.mark.parametrize("n", (0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5))
def test_block_edges(backend: Backend, optimizer: str, n: int, dtype: str) -> None:
    for n_decayed in sorted({0, n // 2, max(n - 1, 0), n}):
        run(backend, optimizer, n, n_decayed, 2, dtype)


@every_optimizer
def test_gradients_that_change_sign(backend: Backend, optimizer: str) -> None:
    """float64 only: the moments cancel, hence errors relative to the largest gradient, 2: a step
    of at most 40 rates (momentum's 1 / (1 - mu), twice 2) errs by 50 eps of that."""
    rng = np.random.default_rng(1)
    grads = rng.uniform(-2, 2, (20, PERIOD))
    weights = [Weight(w=start, decay=DECAY) for start in START]
    state = {"w": np.array(START)}
    for t, grad in enumerate(grads, 1):
        state = updated(backend, optimizer, grad=grad, t=t, n_decayed=PERIOD, **state)
        for weight, g in zip(weights, grad.tolist(), strict=True):
            weight.update(optimizer, g)
        assert_within(state["w"], [x.w for x in weights], t * 40 * RATE * 50 * eps("float64"), t)


@every_optimizer
def test_a_gradient_of_zero(backend: Backend, optimizer: str, dtype: str) -> None:
    """Nothing is divided by zero, and only the decayed weights move."""
    w = np.array([1.0, -2.0, 3.0], dtype)
    after = updated(backend, optimizer, w, np.zeros_like(w), n_decayed=2)["w"]
    assert after[2] == w[2]
    assert (np.abs(after[:2]) < np.abs(w[:2])).all()


def test_a_gradient_of_zero_leaves_adam_without_decay_alone(backend: Backend, dtype: str) -> None:
    w = np.array([1.0, -2.0, 3.0], dtype)
    for optimizer in ("adam", "adamw"):
        zero = np.zeros_like(w)
        after = updated(backend, optimizer, w, zero, n_decayed=0)
        np.testing.assert_array_equal([after[name] for name in "wmv"], [w, zero, zero])


@every_optimizer
@pytest.mark.parametrize("bad", (np.nan, np.inf, -np.inf))
def test_a_loss_that_is_not_finite_changes_nothing(
    backend: Backend, optimizer: str, bad: float, dtype: str
) -> None:
    n = BLOCK + 1
    state = {name: tiled(START, n, dtype) for name in ("w", *MOMENTS[optimizer])}
    grad = np.full(n, np.nan, dtype)
    after = updated(backend, optimizer, grad=grad, n_decayed=n // 2, loss=bad, **state)
    for name, value in after.items():
        assert value.tobytes() == state[name].tobytes(), name


def test_moments_are_given_in_the_order_of_the_table(backend: Backend) -> None:
    w, grad, m, v, guard = (backend.to_device(np.full(2, x)) for x in (1.0, 3.0, 0.0, 0.0, 0.0))
    backend.update("adam", w, grad, (m, v), backend.to_device(hyper(1)), 0, guard)
    assert_within(backend.to_host(m), np.full(2, (1 - BETA1) * 3), 4 * eps("float64"))
    assert_within(backend.to_host(v), np.full(2, (1 - BETA2) * 9), 4 * eps("float64"))


# ---- clipping


def clip(backend: Backend, grad: np.ndarray, max_norm: float) -> tuple[np.ndarray, float]:
    clipped, norm = call(
        backend, "clip_by_norm", ("grad", "norm"),
        grad=grad, max_norm=max_norm, norm=np.full(1, np.nan),
    )  # fmt: skip
    return clipped, float(norm[0])


def test_clip_below_and_at_the_limit(backend: Backend, dtype: str) -> None:
    grad = np.array([3.0, 0.0, -4.0], dtype)
    for max_norm in (5.0, 5.1, 1e30):
        clipped, norm = clip(backend, grad, max_norm)
        assert norm == 5.0
        np.testing.assert_array_equal(clipped, grad)


@pytest.mark.parametrize("n", (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5))
def test_clip_above_the_limit(backend: Backend, n: int, dtype: str) -> None:
    """The norm: n roundings in float64. The factor and the product: two in dtype."""
    grad = tiled(gradients(1), n, dtype)
    exact = math.sqrt(math.fsum(float(g) ** 2 for g in grad))
    clipped, norm = clip(backend, grad, 0.25)
    assert norm == pytest.approx(exact, rel=n * eps("float64"))
    scaled = grad.astype(np.float64) * (0.25 / exact)
    assert_within(clipped, scaled, (2 * eps(dtype) + n * eps("float64")) * np.abs(scaled))


@pytest.mark.parametrize("n", (0, 1, 5))
def test_clip_zero(backend: Backend, n: int, dtype: str) -> None:
    clipped, norm = clip(backend, np.zeros(n, dtype), 1.0)
    assert norm == 0
    assert not clipped.any()


@pytest.mark.parametrize("bad", (np.nan, np.inf, -np.inf))
def test_clip_leaves_a_norm_that_is_not_finite(backend: Backend, bad: float, dtype: str) -> None:
    grad = np.array([1.0, bad, -2.0], dtype)
    clipped, norm = clip(backend, grad, 1.0)
    assert clipped.tobytes() == grad.tobytes()
    np.testing.assert_equal(norm, abs(bad))


def test_clip_sums_in_float64(backend: Backend) -> None:
    """1e30 squared is beyond float32."""
    clipped, norm = clip(backend, np.array([3e30, 4e30], "float32"), 1.0)
    assert norm == pytest.approx(5e30, rel=eps("float32"))
    assert_within(clipped, [0.6, 0.8], 2 * eps("float32"))


def test_unit_rows(backend: Backend, dtype: str) -> None:
    """The norm: a rounding in float64 for each number of the row. The factor and the product: two
    in dtype."""
    rng = np.random.default_rng(7)
    for shape in awkward_shapes(2, backend):
        w = normals(rng, shape, dtype)
        (unit,) = call(backend, "unit_rows", ("w",), w=w)
        exact = w / np.sqrt(np.square(w.astype(np.float64)).sum(axis=1, keepdims=True))
        slack = 2 * eps(dtype) + (shape[1] + 2) * eps("float64")
        assert_within(unit, exact, slack * np.abs(exact), shape)


def test_rows_without_a_length_stay(backend: Backend, dtype: str) -> None:
    """Squares are float64: 1e30 squared is beyond float32."""
    w = np.array([[0, 0], [np.nan, 1], [-np.inf, 1], [3e30, 4e30], [-5, 0]], dtype)
    (unit,) = call(backend, "unit_rows", ("w",), w=w)
    assert unit[:3].tobytes() == w[:3].tobytes()
    assert_within(unit[3:], [[0.6, 0.8], [-1, 0]], 2 * eps(dtype))
