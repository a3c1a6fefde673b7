"""The training loop: what an epoch computes, what it never does, and how it ends badly."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.train.stopping import assert_same_weights
from tinyae import Autoencoder, DivergenceError
from tinyae.kernels.backend import Backend
from tinyae.train import training
from tinyae.train.batches import ORDER_CHUNK, Order
from tinyae.train.progress import Progress, epoch_line
from tinyae.train.work import Work


def test_history_against_the_same_updates_one_by_one() -> None:
    """fit without shuffling is partial_fit on consecutive slices, at a constant learning rate."""
    X = np.random.default_rng(0).random((23, 5))
    options = {"hidden": (6,), "code": 2, "batch_size": 5, "random_state": 1, "dtype": "float64",
               "learning_rate": 0.01}  # fmt: skip
    ae = Autoencoder(**options, epochs=3, shuffle=False, schedule="constant", warmup=0.0).fit(X)
    step = Autoencoder(**options).partial_fit(X[:5])
    step.set_parameters(Autoencoder(**options, epochs=0).fit(X).parameters())
    zeros = {name: np.zeros_like(m) for name, m in step._optimizer.state().items()}
    step._optimizer.restore(0, zeros)
    for epoch in range(3):
        losses, errors = [], []
        for start in range(0, 23, 5):
            batch = X[start : start + 5]
            errors.append(((batch - step.reconstruct(batch)) ** 2).sum())
            step.partial_fit(batch)
            losses.append(step.loss_ * len(batch))
        assert ae.history_["loss"][epoch] == pytest.approx(sum(losses) / 23, rel=1e-12)
        assert ae.history_["squared_error"][epoch] == pytest.approx(sum(errors) / 23, rel=1e-12)
    for name, value in step.parameters().items():
        np.testing.assert_allclose(ae.parameters()[name], value, rtol=1e-12, err_msg=name)


def test_every_sample_is_visited_once_an_epoch_in_changing_order(backend: Backend) -> None:
    def order(n: int, epoch: int, shuffle: bool = True) -> Order:
        return Order(backend, n, 3, epoch, shuffle)

    def positions(order: Order, start: int, stop: int) -> np.ndarray:
        return backend.to_host(order.positions(start, stop))

    for n in (1, 2, 7, 1000, ORDER_CHUNK + 17):
        seen = []
        for epoch in (0, 1):
            one, step = order(n, epoch), max(1, n // 7)
            parts = [positions(one, i, min(i + step, n)) for i in range(0, n, step)]
            seen.append(np.concatenate(parts))
            np.testing.assert_array_equal(np.sort(seen[-1]), np.arange(n))
        assert n < 1000 or not np.array_equal(*seen)
    middle = positions(order(1000, 1), 600, 700)  # entered at once where a run resumes
    np.testing.assert_array_equal(middle, positions(order(1000, 1), 0, 1000)[600:700])
    np.testing.assert_array_equal(positions(order(9, 1, shuffle=False), 2, 5), [2, 3, 4])


def test_two_runs_are_bit_equal_and_another_seed_is_not() -> None:
    X = np.random.default_rng(0).random((300, 20))
    a, b, c = (
        Autoencoder(hidden=(16,), code=3, epochs=2, random_state=s).fit(X) for s in (1, 1, 2)
    )
    assert_same_weights(a, b)
    assert a.history_["loss"] == b.history_["loss"] != c.history_["loss"]


def wild(**options: Any) -> Autoencoder:
    """A net that diverges where the learning rate is large."""
    settings = {"hidden": (), "code": 2, "loss": "mse", "output": "identity", "optimizer": "sgd",
                "warmup": 0.0, "epochs": 20, "scale": None, "initializer": "he",
                "random_state": 0}  # fmt: skip
    return Autoencoder(**{**settings, **options})


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_names_epoch_step_layer_and_remedy(optimizer: str, dtype: str) -> None:
    X = np.random.default_rng(0).normal(size=(64, 10)) * 100
    rate = 1e200 if dtype == "float64" else 1e25
    ae = wild(hidden=(8,), code=3, optimizer=optimizer, learning_rate=rate, dtype=dtype,
              batch_size=16)  # fmt: skip
    with pytest.raises(DivergenceError) as caught:  # and no RuntimeWarning of NumPy's escapes
        ae.fit(X)
    error = caught.value
    assert (error.epoch, error.step) == (1, 2)
    assert error.layer in ("encoder.0", "encoder.1", "decoder.0", "decoder.1")
    for part in ("epoch 1, step 2", error.layer, "smaller learning_rate", "clip_norm"):
        assert part in str(error)
    assert np.isfinite(ae.reconstruct(X)).all()
    assert_same_weights(ae, Autoencoder(**{**ae.get_params(), "epochs": 0}).fit(X))


def test_weights_ruined_by_an_epochs_last_step_are_not_kept() -> None:
    """The first loss of epoch 2 is infinite: what epoch 1 began with is the last good."""
    X = np.random.default_rng(0).normal(size=(8, 3))
    ae = wild(epochs=3, learning_rate=1e200, batch_size=8, dtype="float64")
    with pytest.raises(DivergenceError) as caught:
        ae.fit(X)
    assert (caught.value.epoch, caught.value.step) == (2, 1)
    assert np.isfinite(ae.reconstruct(X)).all()
    assert ae.n_iter_ == 1 and len(ae.history_["loss"]) == 1


def test_weights_that_a_finite_loss_ruined_are_restored() -> None:
    """The gradient overflows while the loss does not: the epoch's first weights come back."""
    X = np.full((8, 3), 1e18, np.float32)
    ae = wild(loss="l1", learning_rate=1e25, batch_size=4)
    with pytest.raises(DivergenceError) as caught:
        ae.fit(X)
    assert "weights are not finite" in str(caught.value)
    assert_same_weights(ae, Autoencoder(**{**ae.get_params(), "epochs": 0}).fit(X))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", [8, 3])
@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_weights_ruined_by_the_very_last_update_are_not_kept(
    epochs: int, batch_size: int, optimizer: str, backend: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """No loss is computed with them any more. ``epochs`` 0: of partial_fit."""
    if backend == "numba":
        pytest.importorskip("numba", reason="a backend of its own")
    monkeypatch.setattr(
        training, "learning_rate_factor",
        lambda _, update, updates, *__: 1e42 if update == updates - 1 else 1.0,
    )  # fmt: skip
    X = np.random.default_rng(0).random((8, 3))
    ae = wild(epochs=epochs, batch_size=batch_size, optimizer=optimizer, backend=backend,
              learning_rate=1e-3, dtype="float32")  # fmt: skip
    kept = Autoencoder(**{**ae.get_params(), "epochs": 0}).fit(X).parameters()

    def keep(p: Progress) -> None:
        if p.step == p.steps:
            kept.update(ae.parameters())

    with pytest.raises(DivergenceError, match="the updated weight became .* are not finite") as e:
        if epochs:
            ae.fit(X, callback=keep)
        else:
            ae.fit(X).set_params(learning_rate=1e39).partial_fit(X)
    assert not np.isfinite(e.value.loss) and e.value.epoch == max(epochs, 1)
    assert len(ae.history_.get("loss", [])) == max(epochs - 1, 0)
    for name, values in ae.parameters().items():
        np.testing.assert_array_equal(values, kept[name])
    ae.save(tmp_path / "model.npz")
    Autoencoder.load(tmp_path / "model.npz", backend="numpy")


def test_a_step_allocates_nothing_after_the_first() -> None:
    """Activations of 2 MB each, four optimiser arrays: a new one would stand out."""
    X = np.random.default_rng(0).integers(0, 256, (1200, 300), dtype=np.uint8)
    peaks: list[int] = []

    def callback(p: Progress) -> None:
        if p.step > 2:  # the first full batch and what it sets up are behind
            peaks.append(tracemalloc.get_traced_memory()[1] - base[0])
        tracemalloc.reset_peak()
        base[0] = tracemalloc.get_traced_memory()[0]

    base = [0]
    tracemalloc.start()
    try:
        for activation in ("relu", "gelu"):
            Autoencoder(hidden=(512,), code=300, activation=activation, epochs=1, batch_size=200,
                        random_state=0, clip_norm=1.0, weight_decay=1e-3,
                        ).fit(X, callback=callback)  # fmt: skip
    finally:
        tracemalloc.stop()
    assert len(peaks) >= 6
    # NumPy's own casting buffers are 64 kB; the smallest array of the net has 240 kB
    assert max(peaks) < 150_000, peaks


def test_reports(capsys: pytest.CaptureFixture[str]) -> None:
    X = np.random.default_rng(0).random((10, 4))
    reports: list[Progress] = []
    ae = Autoencoder(hidden=(3,), code=1, epochs=2, batch_size=4, random_state=0, verbose=True)
    ae.fit(X, callback=reports.append)
    assert [(p.epoch, p.step, bool(p.metrics)) for p in reports] == [
        (1, 1, False), (1, 2, False), (1, 3, True), (2, 1, False), (2, 2, False), (2, 3, True),
    ]  # fmt: skip
    assert all(p.epochs == 2 and p.steps == 3 for p in reports)
    assert reports[-1].metrics["loss"] == ae.history_["loss"][-1] == ae.loss_
    ae.fit(X)
    assert "epoch 2/2  loss " in capsys.readouterr().out


def test_the_time_left_is_told_without_the_step_that_compiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, run = [0.0], Work.run

    def run_for_seconds(self: Work, *arguments: Any) -> None:
        now[0] += 1 if now[0] else 100
        run(self, *arguments)

    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(Work, "run", run_for_seconds)
    reports: list[Progress] = []
    options = {"hidden": (3,), "code": 1, "random_state": 0, "backend": "numpy"}
    ae = Autoencoder(epochs=2, batch_size=4, **options)
    ae.fit(np.random.default_rng(0).random((12, 4)), callback=reports.append)
    (first, *others) = [(p.samples_per_second, p.seconds_left) for p in reports]
    assert np.isnan(first).all()
    assert others == [(4, 4), (4, 3), (4, 2), (4, 1), (4, 0)]
    assert epoch_line(reports[0]) == "epoch 1/2  step 1/3"
    assert ae.history_["seconds"] == [102, 3]


def test_outside_the_main_thread() -> None:
    X = np.random.default_rng(0).random((10, 4))
    results: list[Autoencoder] = []
    make = lambda: Autoencoder(hidden=(3,), code=1, epochs=2, random_state=0).fit(X)  # noqa: E731
    thread = threading.Thread(target=lambda: results.append(make()))
    thread.start()
    thread.join()
    assert results[0].history_["loss"] == make().history_["loss"]


def test_a_memory_map_is_not_read_into_memory(tmp_path: Path) -> None:
    """64 MB on disk, sparse but for a few rows: training must not hold a copy of it."""
    X = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (16384, 1024))
    X[::64] = np.random.default_rng(0).random((256, 1024), dtype=np.float32)
    X.flush()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    options = {"hidden": (8,), "code": 2, "epochs": 1, "batch_size": 512, "random_state": 0,
               "validation_fraction": 0.1}  # fmt: skip
    tracemalloc.start()
    try:
        ae = Autoencoder(**options).fit(mapped)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6
    whole = Autoencoder(**options).fit(np.array(mapped))
    assert whole.history_["loss"] == ae.history_["loss"]
