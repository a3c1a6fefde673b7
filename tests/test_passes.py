"""A few samples at once: the same numbers, the same complaints, as those of any batch."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest

from tests.export.nets import nets
from tinyae import Autoencoder, inference, passes
from tinyae.kernels.columns import available_backends
from tinyae.passes import FEW

Array = np.ndarray[Any, Any]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the autoencoder take the way of large batches."""
    return lambda: [monkeypatch.setattr(module, "FEW", 0) for module in (inference, passes)]


def everything(ae: Autoencoder, X: Array, Z: Array) -> list[Array]:
    calls = (ae.encode, ae.reconstruct, ae.score_samples)
    return [*(call(x) for call in calls for x in (X, X[:1])), ae.decode(Z), ae.decode(Z[:1])]


@pytest.mark.filterwarnings("ignore:X ranges over")
@pytest.mark.parametrize("backend", ("numpy", "numba"))
def test_the_numbers_of_a_batch(batches: Any, backend: str) -> None:
    """Bit for bit on numpy; on numba NumPy takes over, so that sums round in another order."""
    if backend == "numba":
        pytest.importorskip("numba", reason="needs numba")
    made = [(ae, X) for ae, X in nets(32, ("float32", "float64"))]
    few, many = list[list[Array]](), list[list[Array]]()
    for out in (few, many):
        for ae, X in made:
            other = Autoencoder(**{**ae.get_params(), "backend": backend}).fit(X)
            other.set_parameters(ae.parameters())
            out.append(everything(other, X, ae.encode(X)))
        batches()
    for (ae, _), a, b in zip(made, few, many, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype
            if backend == "numpy":
                np.testing.assert_array_equal(x, y)
            else:  # at most 33 terms a sum, four layers; scores are sums of squares
                size = 4 * 33 * float(np.finfo(ae.dtype).eps)
                np.testing.assert_allclose(x, y, rtol=20 * size, atol=20 * size)


def ball() -> tuple[Autoencoder, Array]:
    X = np.random.default_rng(0).random((40, 9), np.float32)
    return Autoencoder(hidden=(5,), code=2, epochs=0, backend="numpy").fit(X), X


@pytest.mark.parametrize("missing", (False, True))
def test_however_samples_lie_they_give_the_same_bits(missing: bool) -> None:
    """NumPy has a few of them, of a net so wide that Numba's sums would differ."""
    pytest.importorskip("numba", reason="needs numba")
    X = np.random.default_rng(0).random((60, 37), np.float32)
    X[9:, 3] = np.nan if missing else 0
    ae = Autoencoder(hidden=(61, 33), code=7, epochs=0, backend="numba").fit(X)
    codes = ae.encode(X[:4])
    for same in (
        X[:4].tolist(),
        np.asfortranarray(X[:4]),
        X[:4].astype(">f4"),
        np.flip(X[3::-1], 0),
    ):
        np.testing.assert_array_equal(ae.encode(same), codes)
    if missing:
        np.testing.assert_array_equal(ae.encode(X[[0, 1, 2, 9]])[:3], codes[:3])
    ae.set_params(threads=1)
    np.testing.assert_array_equal(ae.encode(X[:4]), codes)


def test_the_result_is_the_callers() -> None:
    ae, X = ball()
    first = ae.encode(X[:3])
    before = first.copy()
    ae.encode(X[3:6])
    np.testing.assert_array_equal(first, before)
    first[:] = 0
    np.testing.assert_array_equal(ae.encode(X[:3]), before)


def test_weights_may_change_between_calls() -> None:
    ae, X = ball()
    before = ae.encode(X[:1])
    ae.set_parameters({name: 2 * value for name, value in ae.parameters().items()})
    np.testing.assert_allclose(ae.encode(X[:1]), ae.encode(X)[:1], rtol=1e-6)
    assert not np.array_equal(ae.encode(X[:1]), before)
    ae.fit(np.where(X < 0.1, np.nan, X))  # of another net, which may read missing values
    assert np.isfinite(ae.encode(np.where(X < 0.1, np.nan, X)[:4])).all()


@pytest.mark.parametrize("n", (1, FEW + 1))
def test_what_moved_weights_leave_behind_is_not_used(n: int) -> None:
    """As where ranks of one machine share them, which free that memory in the end."""
    ae, X = ball()
    network = ae._network
    before, values = ae.encode(X[:n]), network.parameters.values
    network.rebase(2 * values)
    moved = ae.encode(X[:n])
    assert not np.array_equal(moved, before)
    network.rebase(values)
    np.testing.assert_array_equal(ae.encode(X[:n]), before)


@pytest.mark.parametrize("n", (1, FEW + 1))
def test_threads_do_not_meet(n: int) -> None:
    ae, X = ball()
    expected = ae.reconstruct(X)
    wrong = list[int]()

    def work(start: int) -> None:
        for i in (*range(start, 40), *range(start)) * 20:
            if not np.allclose(ae.reconstruct(X[i : i + n]), expected[i : i + n], atol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(10 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(ae._network.plans) <= len(threads)  # as many as were at work at once


@pytest.mark.parametrize(
    ("output", "n", "dtype"),
    (
        ("sigmoid", 3, np.float32),
        ("identity", 3, np.float32),
        ("sigmoid", FEW + 1, np.float32),
        ("sigmoid", FEW + 1, np.float64),  # which a batch converts
    ),
)
def test_a_signal_handler_may_use_the_net_that_it_interrupts(
    output: str, n: int, dtype: Any
) -> None:
    """Between any two steps: neither of the two calls writes into memory of the other."""
    X = np.random.default_rng(0).random((2 * n, 9)).astype(dtype)
    ae = Autoencoder(hidden=(5,), code=2, activation="silu", output=output, loss="mse",
                     scale=None, epochs=0, random_state=0, backend="numpy").fit(X)  # fmt: skip
    calls = (ae.encode, ae.reconstruct, ae.score_samples)
    expected = [(call(X[:n]), call(X[n:])) for call in calls]
    met, inside = list[int](), False

    def interrupt(frame: Any, event: str, _: object) -> Any:  # as a handler, at every line
        nonlocal inside
        if not inside:
            inside = True
            for call, (_, other) in zip(calls, expected):
                np.testing.assert_array_equal(call(X[n:]), other)
            met.append(frame.f_lineno)
            inside = False
        return interrupt

    for call, (own, _) in zip(calls, expected):
        before = sys.gettrace()
        sys.settrace(interrupt)
        try:
            found = call(X[:n])
        finally:
            sys.settrace(before)
        np.testing.assert_array_equal(found, own)
    assert len(met) > 100


def test_a_sample_without_a_value_may_overflow() -> None:
    X = np.random.default_rng(0).random((40, 9))
    X[:, 3] = np.nan
    ae = Autoencoder(hidden=(5,), code=2, output="identity", epochs=0, missing="allow").fit(X)
    ae.set_parameters({name: np.full_like(v, 1e38) for name, v in ae.parameters().items()})
    for n in (1, FEW + 1):
        with pytest.raises(ValueError, match="sample 0 overflows float32"):
            ae.reconstruct(np.full((n, 9), np.nan))


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_numbers_whose_squares_overflow(batches: Any, dtype: str) -> None:
    """They are finite: no fault, and no warning."""
    X = np.random.default_rng(0).random((3, 9)).astype(dtype)
    ae = Autoencoder(hidden=(), code=2, output="identity", dtype=dtype, epochs=0,
                     backend="numpy").fit(X)  # fmt: skip
    large = np.sqrt(np.finfo(dtype).max)
    ae.set_parameters({name: v * large for name, v in ae.parameters().items()})
    few = [ae.encode(X), ae.decode(X[:, :2])]
    batches()
    for found, right in zip(few, [ae.encode(X), ae.decode(X[:, :2])], strict=True):
        assert np.abs(found).max() > large / 10
        np.testing.assert_array_equal(found, right)


def test_few_nets_keep_memory_for_batches_and_no_wide_one_does() -> None:
    made = [ball()[0] for _ in range(2 * passes.NETS)]
    X = np.random.default_rng(0).random((FEW + 1, 9), np.float32)
    expected = made[0].reconstruct(X)
    for ae in made * 2:
        np.testing.assert_array_equal(ae.reconstruct(X), expected)
        assert len(passes._kept.plans) <= passes.NETS
        assert any(passes._kept.plans[ae._network])
    width = passes.KEPT // 4 // len(X)
    wide = Autoencoder(hidden=(width,), code=1, backend="numpy").initialize(2)
    wide.encode(X[:, :2])
    assert not any(passes._kept.plans[wide._network])


@pytest.mark.parametrize(("activation", "arrays"), (("relu", 1), ("silu", 2)))
@pytest.mark.parametrize("hidden", (8, 1000, 1500, 3000, 60_000))
def test_batches_fit_into_the_memory_that_is_kept(
    hidden: int, activation: str, arrays: int
) -> None:
    ae = Autoencoder(hidden=(hidden,), activation=activation, code=1, backend="numpy")
    network = ae.initialize(2)._network
    most, row = passes._most(network), 4 * (2 * arrays * hidden + 5)
    assert passes.BATCH % most == 0 and most >= passes.LEAST
    assert most * row <= passes.KEPT or most == passes.LEAST
    assert 2 * most * row > passes.KEPT or most == passes.BATCH


@pytest.mark.filterwarnings("ignore:X ranges over")
@pytest.mark.parametrize("trained", (True, False))
@pytest.mark.parametrize("n", (1, FEW, FEW + 1))
@pytest.mark.parametrize(
    ("value", "said"),
    ((np.nan, "NaN"), (np.inf, "infinity"), (1e300, "too large for float32"), (1e38, "overflows")),
)
def test_bad_values(trained: bool, n: int, value: float, said: str) -> None:
    ae, _ = ball()
    if not trained:
        ae = Autoencoder(hidden=(5,), code=2, backend="numpy").initialize(9)
    ae.set_parameters({name: array + 3 for name, array in ae.parameters().items()})
    X = np.ones((n, 9))
    X[-1, 4] = value
    for call in (ae.encode, ae.reconstruct, ae.score_samples):
        with pytest.raises(ValueError, match=said):
            call(X)
    Z = np.full((n, 2), value)
    with pytest.raises(ValueError, match=said):
        ae.decode(Z)


@pytest.mark.parametrize("X", (np.full((2, 9), 200.0), np.full((2, 9), 200, np.uint8)))
def test_data_far_outside_are_told(X: Array) -> None:
    ae, _ = ball()
    if X.dtype == np.uint8:
        ae.data_range_ = 50, 200
    with pytest.warns(UserWarning, match="X ranges over"):
        ae.encode(X)


def test_a_backend_that_is_there_to_be_run_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuda-host executes the kernels themselves, whatever the number of samples."""
    if "cuda-host" not in available_backends():
        pytest.skip("needs a C++ compiler")
    X = np.random.default_rng(0).random((40, 9), np.float32)
    ae = Autoencoder(hidden=(5,), code=2, epochs=0, backend="cuda-host").fit(X)
    monkeypatch.setattr(passes, "_Few", None)  # of NumPy
    np.testing.assert_allclose(ae.encode(X[:3]), ae.encode(X)[:3], rtol=1e-6)
