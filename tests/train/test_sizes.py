"""What "auto" comes to for sizes, and cross-validation of the number of epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.data.pca import fit_pca
from tinyae.data.rows import as_rows
from tinyae.data.scaling import fit_scaling, scaled
from tinyae.kernels import columns
from tinyae.train import sizes
from tinyae.train.sizes import FOLDS, choose_sizes, cross_validate, is_quick

AUTO = {**Autoencoder(code=5).get_params()}
GIVEN = {"hidden": (3,), "batch_size": 10, "epochs": 4, "validation_fraction": 0.0}


@pytest.mark.parametrize(
    ("shape", "judged", "expected"),
    [
        ((100, 10), False, {"hidden": (128, 64), "batch_size": 32, "epochs": 300}),
        ((100, 10), True, {"hidden": (128, 64), "batch_size": 32, "epochs": 300, "patience": 75}),
        ((9, 10), False, {"hidden": (128, 64), "batch_size": 32, "epochs": 20}),
        ((20000, 20), False, {"hidden": (128, 64), "batch_size": 256, "epochs": 76, "patience": 19,
                              "validation_fraction": 0.1}),
        ((60000, 784), False, {"hidden": (512, 256), "batch_size": 256, "epochs": 20}),
    ],
)  # fmt: skip
def test_sizes_follow_from_the_data(
    shape: tuple[int, int], judged: bool, expected: dict[str, Any]
) -> None:
    plan = choose_sizes(AUTO, shape, judged)
    assert plan.params == expected and len(plan.reasons) >= 2
    assert choose_sizes({**AUTO, **GIVEN}, shape, judged).params == {}


@pytest.mark.parametrize("n", [1, 2, 5, 9, 10])
def test_a_few_samples_are_enough(n: int) -> None:
    X = np.random.default_rng(0).normal(size=(n, 4))
    assert np.isfinite(Autoencoder(code=2, random_state=0).fit(X).reconstruct(X)).all()


def test_verbose_says_what_was_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    ae = Autoencoder(code=2, random_state=0, epochs=1, verbose=True).fit(np.eye(4) * 5)
    said = capsys.readouterr().out.splitlines()
    assert said[:-1] == list(ae.plan_.reasons) and said[-1].startswith("epoch 1/1")


def test_little_work_is_done_before_numba_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba", reason="without Numba there is no choice")
    others = {name: load for name, load in columns._LOADERS.items() if name != "cupy"}
    monkeypatch.setattr(columns, "_LOADERS", others)  # cupy is the fastest where there is a GPU
    X = np.random.default_rng(0).random((40, 6), np.float32)
    few = {"hidden": (4,), "code": 2, "epochs": 2, "random_state": 0}
    ae = Autoencoder(**few).fit(X)
    assert ae.backend_ == "numpy" and ae.backend == "auto"
    assert any("backend numpy" in reason for reason in ae.plan_.reasons)
    ae.save(tmp_path / "m.npz")
    same = Autoencoder.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(same.reconstruct(X), ae.reconstruct(X))
    assert same.backend_ == "numpy" and same.get_params()["backend"] == "auto"
    assert Autoencoder.load(tmp_path / "m.npz", backend="numba").backend_ == "numba"
    with pytest.raises(ValueError, match="this is 'numba'"):
        Autoencoder.load(tmp_path / "m.npz", matmul="3xtf32")
    assert Autoencoder.load(tmp_path / "m.npz", matmul="fp32").backend_ == "numpy"
    monkeypatch.setitem(columns._loaded, "numba 6xbf16", columns.get_backend("numba"))
    for asked in ({"backend": "numba"}, {"threads": 1}, {"matmul": "6xbf16"}):
        assert Autoencoder(**few, **asked).fit(X).backend_ == "numba"


@pytest.mark.parametrize(
    ("changed", "n", "trainings", "quick"),
    [({}, 1000, 1, True),  # 0.6 s of steps
     ({}, 1000, 6, False),
     ({"batch_size": 8}, 1000, 1, True),  # 0.75 s of steps
     ({"batch_size": 1}, 1000, 1, False),
     ({"hidden": (200, 100)}, 1000, 1, True),  # and 0.5 s of products
     ({"hidden": (200, 100)}, 10_000, 1, False)],
)  # fmt: skip
def test_what_little_work_is(changed: dict[str, Any], n: int, trainings: int, quick: bool) -> None:
    params = {**AUTO, "hidden": (20,), "batch_size": 10, "epochs": 20, **changed}
    assert is_quick(params, (n, 200), trainings) == quick


def test_widths_hold_the_code_twice() -> None:
    assert choose_sizes({**AUTO, "code": 100}, (50, 200), True).params["hidden"] == (200, 200)


def scripted(curves: list[list[float]], n: int = 23) -> tuple[int, list[Any]]:
    """The number of epochs for these losses of the folds, and the positions that each was given."""
    seen: list[Any] = []

    def curve(train: Any, held_out: Any) -> list[tuple[float, float]]:
        seen.append((train, held_out))
        return [(loss, 10 * loss) for loss in curves[len(seen) - 1]]

    found = cross_validate(n, 4, 0, curve, lambda done, total: None)
    padded = [[*c, *c[-1:] * 4][found.epochs] for c in curves]
    assert found.squared_error == pytest.approx(10 * np.mean(padded))
    return found.epochs, seen


def test_every_sample_is_held_out_once() -> None:
    _, seen = scripted([[1.0, 1.0, 1.0, 1.0, 1.0]] * FOLDS)
    assert sorted(np.concatenate([held_out for _, held_out in seen])) == list(range(23))
    for train, held_out in seen:
        assert sorted([*train, *held_out]) == list(range(23))


@pytest.mark.parametrize(
    ("curves", "epochs"),
    [
        ([[5.0, 4.0, 3.0, 2.0, 1.0]] * 5, 4),  # all agree: the least
        ([[1.0, 2.0, 3.0, 4.0, 5.0]] * 5, 0),
        ([[5.0, 4.0, 3.0]] * 5, 2),  # patience had ended them: no better later
        # the mean is least at 3, by less than its standard error against 1
        ([[5.0, 2.0, 2.0, 1.0, 9.0], [5.0, 2.0, 2.0, 2.9, 9.0], [5.0, 2.0, 2.0, 1.0, 9.0],
          [5.0, 2.0, 2.0, 2.9, 9.0], [5.0, 2.0, 2.0, 2.0, 9.0]], 1),
    ],
)  # fmt: skip
def test_one_standard_error(curves: list[list[float]], epochs: int) -> None:
    assert scripted(curves)[0] == epochs


def curved(n: int, seed: int) -> Any:
    """Six columns in two units that follow from two numbers, not linearly."""
    a, b = np.random.default_rng(seed).normal(size=(2, n))
    columns = [a, b, a * b, np.sin(2 * a), a**2, b**2]
    return np.stack(columns, axis=1) * [1, 100, 1, 1e-2, 1, 1e4] + 7


@pytest.mark.slow
def test_of_two_outputs_that_fit_the_one_with_less_held_out_error_is_taken() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="the digits are scikit-learn's")
    rng = np.random.default_rng(0)
    linear = rng.random((60, 2)) @ rng.random((2, 5)) / 2
    digits = datasets.load_digits().data[:150] / 16
    for X, code, expected in (
        (linear, 2, ("identity", "mse")), (digits, 8, ("sigmoid", "bce"))
    ):  # fmt: skip
        told: list[tuple[int, int]] = []
        ae = Autoencoder(hidden=(32,), code=code, random_state=0)
        plan = ae.plan(X, report=lambda *done, told=told: told.append(done))
        assert (plan.params["output"], plan.params["loss"]) == expected
        assert told == [(i, 2 * FOLDS) for i in range(1, 2 * FOLDS + 1)]
        assert ae.fit(X).output_ == expected[0] and ae.output == "auto"
    assert "output" not in Autoencoder(code=2, output="sigmoid").plan(linear).params


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_table_is_never_worse_than_pca(seed: int) -> None:
    """Of new samples; and far better where there is something to learn."""
    noise = np.random.default_rng(seed).normal(size=(200, 6)) * [1, 100, 1, 1e-2, 1, 1e4]
    for train, new, most in (
        (curved(400, seed), curved(1000, seed + 9), 0.6), (noise[:80], noise[80:], 1.02)
    ):  # fmt: skip
        ae = Autoencoder(code=2, random_state=seed).fit(train)
        how = fit_scaling(as_rows(train), "standard")
        pca = fit_pca(scaled(as_rows(train), how), 2).squared_error(scaled(as_rows(new), how))
        assert -ae.score(new) <= most * pca


@pytest.mark.parametrize("held_out", [False, True])
def test_an_interrupted_run_goes_on_with_what_was_chosen(
    held_out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an output, or a held-out part and patience, were chosen."""
    monkeypatch.setattr(sizes, "SMALL", 0 if held_out else sizes.SMALL)
    monkeypatch.setattr(sizes, "MOST_EPOCHS", 60)
    X = np.random.default_rng(0).random((60, 2)) @ np.random.default_rng(1).random((2, 5)) / 2
    X = np.sin(3 * X)
    ae = Autoencoder(hidden=(8,), code=1, random_state=0)
    whole = Autoencoder(**ae.get_params()).fit(X)
    assert whole.plan_.params["validation_fraction" if held_out else "output"]

    def stop(progress: Any) -> None:
        if progress.epoch == 2 and progress.metrics:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ae.fit(X, checkpoint=tmp_path / "c.npz", callback=stop)
    parts = Autoencoder(hidden=(8,), code=1).fit(X, checkpoint=tmp_path / "c.npz", resume=True)
    assert parts.n_iter_ == whole.n_iter_ and parts.output_ == whole.output_
    np.testing.assert_array_equal(parts.encode(X), whole.encode(X))


def test_the_same_seed_chooses_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MOST_EPOCHS", 60)
    X = curved(60, 0)
    a, b, c = (Autoencoder(code=2, random_state=seed).fit(X) for seed in (0, 0, 1))
    assert a.plan_ == b.plan_
    np.testing.assert_array_equal(a.encode(X), b.encode(X))
    assert not np.array_equal(a.encode(X), c.encode(X))


def test_a_resumed_run_has_the_sizes_that_it_began_with(tmp_path: Path) -> None:
    file, X = tmp_path / "c.npz", curved(60, 0)
    begun = Autoencoder(code=2, random_state=0, epochs=3).fit(X, checkpoint=file)
    resumed = Autoencoder(code=2).fit(X, checkpoint=file, resume=True)
    assert resumed.n_iter_ == 3 and resumed.plan_.params == {}
    np.testing.assert_array_equal(resumed.encode(X), begun.encode(X))
