"""A backend's own training step, and its threads: the same as its operations one by one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.reference import poisoned
from tests.train.stopping import assert_same_weights
from tinyae import Autoencoder, TiedAutoencoder
from tinyae.kernels.backend import Backend, Step, StepPlan
from tinyae.kernels.columns import available_backends, get_backend
from tinyae.kernels.conventions import ACTIVATIONS, LOSSES, OPTIMIZERS

needs_numba = pytest.mark.skipif("numba" not in available_backends(), reason="no numba")

X = np.random.default_rng(0).random((120, 37))


def trained(backend: str, kind: type[Autoencoder] = Autoencoder, **options: Any) -> Autoencoder:
    settings = {"hidden": (33, 17), "code": 5, "epochs": 3, "batch_size": 50, "random_state": 1,
                "weight_decay": 0.01, "backend": backend}  # fmt: skip
    return kind(**{**settings, **options}).fit(X)


def assert_close(a: Autoencoder, b: Autoencoder, tolerance: float) -> None:
    np.testing.assert_allclose(a.history_["loss"], b.history_["loss"], rtol=tolerance)
    np.testing.assert_allclose(
        a.history_["squared_error"], b.history_["squared_error"], rtol=tolerance
    )
    for name, value in a.parameters().items():
        np.testing.assert_allclose(
            value, b.parameters()[name], rtol=0, atol=100 * tolerance, err_msg=name
        )


@pytest.fixture(params=("by samples", "by layers"))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of the numba step, whichever the size of the net would choose."""
    from tinyae.kernels.cpu import step as step_numba

    monkeypatch.setattr(step_numba, "SMALL_NET", 10**9 if request.param == "by samples" else 0)
    monkeypatch.setattr(step_numba, "SLICE", 16)  # smaller than a thread's share
    monkeypatch.setattr(step_numba, "LEAST", 1)
    monkeypatch.setattr(step_numba, "PART_OF_DW", 200)
    monkeypatch.setattr("tinyae.kernels.cpu.threads.GRAIN", 1)


CASES = [
    (optimizer, loss, ACTIVATIONS[i % 9], (None, 0.5)[i % 2], ("float32", "float64")[i % 3 > 0])
    for i, (optimizer, loss) in enumerate(itertools.product(OPTIMIZERS, LOSSES))
]
KINDS = pytest.mark.parametrize("kind", (Autoencoder, TiedAutoencoder))


@needs_numba
@pytest.mark.usefixtures("way")
@KINDS
@pytest.mark.parametrize(("optimizer", "loss", "activation", "clip_norm", "dtype"), CASES)
def test_loss_curve_of_numpy(
    optimizer: str, loss: str, activation: str, clip_norm: float | None, dtype: str,
    kind: type[Autoencoder],
) -> None:  # fmt: skip
    """Nine updates: sums in another order, 1e-6 and 1e-14 of them, grow by 100 at most."""
    options = {
        "optimizer": optimizer, "loss": loss, "activation": activation, "clip_norm": clip_norm,
        "dtype": dtype, "output": {"bce": "sigmoid", "l1": "tanh"}.get(loss, "silu"), "kind": kind,
    }  # fmt: skip
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    assert_close(trained("numba", **options), trained("numpy", **options), tolerance)


@needs_numba
@pytest.mark.usefixtures("way")
@KINDS
@pytest.mark.parametrize("threads", (1, 2, None))
def test_two_runs_are_bit_equal(threads: int | None, kind: type[Autoencoder]) -> None:
    first, second = (trained("numba", kind, threads=threads, clip_norm=1.0) for _ in range(2))
    assert first.history_["loss"] == second.history_["loss"]
    assert_same_weights(first, second)


@needs_numba
@pytest.mark.usefixtures("way")
@KINDS
@pytest.mark.parametrize("batch", (1, 2, 3, 49, 50))
def test_any_batch_up_to_the_capacity(batch: int, kind: type[Autoencoder]) -> None:
    """Also fewer samples than threads: whoever has none adds nothing."""
    options = {"batch_size": 50, "dtype": "float64"}
    n = 50 + batch  # an epoch of two steps
    pair = [
        kind(hidden=(9,), code=2, epochs=1, random_state=0, backend=b, **options).fit(X[:n])
        for b in ("numba", "numpy")
    ]
    assert_close(*pair, 1e-13)


@needs_numba
def test_it_is_the_step_of_a_tied_net(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinyae.kernels.cpu.step import NumbaStep

    step, sizes = NumbaStep.__call__, []

    def noted(self: NumbaStep, x: np.ndarray, *rest: Any) -> None:
        sizes.append(len(x))
        step(self, x, *rest)

    monkeypatch.setattr(NumbaStep, "__call__", noted)
    trained("numba", TiedAutoencoder, validation_fraction=0.0)
    assert sizes == [50, 50, 20] * 3


@needs_numba
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("widths", ((1, 1), (37, 4), (37, 16, 1), (37, 33, 17, 5)))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_the_gradient_of_tied_layers(widths: tuple[int, ...], dtype: str, threads: int) -> None:
    """Beside that of a plain net with the same weights twice: the sums of both uses, of the same
    terms in another order; biases have the same bits."""
    backend, rng, kept, totals = get_backend("numba"), np.random.default_rng(2), [], []
    assert backend.make_step is not None and backend.limit_threads is not None
    x = np.ascontiguousarray(X[:50, : widths[0]], dtype)
    sizes = (*itertools.pairwise(widths), *itertools.pairwise(widths[::-1]))
    weights = [rng.standard_normal(size) for size in sizes[: len(widths) - 1]]
    biases = rng.standard_normal(sum(m for _, m in sizes))
    ties = tuple((len(sizes) - 1 - i, i) for i in range(len(weights)))
    for tied, upper in ((ties, []), ((), [w.T for w in weights[::-1]])):
        values = np.concatenate([*map(np.ravel, weights + upper), biases]).astype(dtype)
        kept.append(poisoned(values.shape, dtype))
        totals.append(poisoned((2,), "float64"))
        plan = StepPlan(
            layers=tuple((*size, "silu") for size in sizes), loss="mse", optimizer="sgd",
            clip_norm=None, values=values, moments=(), n_weights=len(values) - len(biases),
            capacity=50, tied=tied, gradients=kept[-1],
        )  # fmt: skip
        with backend.limit_threads(threads):
            step = backend.make_step(plan)
            assert step is not None
            step(x, x, np.zeros(8), totals[-1])
    np.testing.assert_array_equal(*totals)
    ends = np.cumsum([n * m for n, m in sizes])
    *ours, ours_b = np.split(kept[0], ends[: len(weights)])
    *apart, apart_b = np.split(kept[1], ends)
    np.testing.assert_array_equal(ours_b, apart_b)
    for i, dw in enumerate(ours):
        right = apart[i].reshape(sizes[i]) + apart[-1 - i].reshape(sizes[-1 - i]).T
        atol = 4 * len(x) * np.finfo(dtype).eps * np.abs(right).max()
        np.testing.assert_allclose(dw, right.ravel(), rtol=0, atol=atol)


PLAN = StepPlan(
    layers=((37, 4, "relu"), (4, 37, "identity")), loss="mse", optimizer="sgd", clip_norm=None,
    values=np.empty(0), moments=(), n_weights=2 * 37 * 4, capacity=50,
)  # fmt: skip


def make_step(backend: Backend, values: np.ndarray, loss: str = "mse") -> Step:
    assert backend.make_step is not None
    return backend.make_step(replace(PLAN, values=values, loss=loss))


def parameters() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(2 * 37 * 4 + 4 + 37)


@needs_numba
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("bad", (np.nan, np.inf, 1e300))
def test_a_loss_that_is_not_finite_changes_nothing(bad: float) -> None:
    values, x = parameters(), X[:50].copy()
    x[31, 3] = bad
    totals = poisoned((2,), "float64")
    make_step(get_backend("numba"), values)(x, x, np.full(8, 0.1), totals)
    assert not np.isfinite(totals[0])
    assert values.tobytes() == parameters().tobytes()


@needs_numba
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("clip_norm", (None, 0.01))
def test_a_gradient_that_is_kept_is_that_of_the_update(clip_norm: float | None) -> None:
    """Of plain descent with rate 1 it is what an update takes away; it is never clipped."""
    backend, x = get_backend("numba"), X[:50]
    assert backend.make_step is not None
    before, values, kept = parameters(), parameters(), poisoned(parameters().shape, "float64")
    hyper, totals, other = np.zeros(8), np.empty(2), np.empty(2)
    hyper[0] = 1.0
    make_step(backend, values)(x, x, hyper, totals)
    plan = replace(PLAN, values=before, gradients=kept, clip_norm=clip_norm)
    step = backend.make_step(plan)
    assert step is not None
    step(x, x, hyper, other)
    assert before.tobytes() == parameters().tobytes()
    np.testing.assert_array_equal(values, before - kept)  # each is rounded once
    np.testing.assert_array_equal(other, totals)


@needs_numba
@pytest.mark.usefixtures("way")
def test_the_input_is_not_changed() -> None:
    x = X[:50].copy()
    make_step(get_backend("numba"), parameters())(x, x, np.full(8, 0.1), poisoned((2,), "float64"))
    np.testing.assert_array_equal(x, X[:50])


def test_a_column_without_threads_refuses_their_number(backend: Backend) -> None:
    if backend.limit_threads is None:
        with pytest.raises(ValueError, match="threads=2 is for backend='numba'"):
            trained(backend.name, threads=2)
    else:
        trained(backend.name, threads=2)
    with pytest.raises(ValueError, match="threads must be an integer >= 1, got 0"):
        trained(backend.name, threads=0)
