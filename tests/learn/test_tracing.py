"""The trace tells what a step computes, and where its first wrong number stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.data.rows import as_rows
from tinyae.kernels.conventions import ACTIVATIONS, LOSSES, OPTIMIZERS
from tinyae.learn import trace
from tinyae.learn.differences import WHOLE
from tinyae.learn.formulas import ACTIVATIONS as FORMULAS
from tinyae.learn.formulas import LOSSES as LOSS_FORMULAS
from tinyae.learn.formulas import UPDATES, compute
from tinyae.learn.record import TOLERANCE
from tinyae.net.layers import Dense
from tinyae.train.optimizers import Optimizer

X = np.random.default_rng(0).uniform(0.05, 0.95, (3, 4))


def net(**options: Any) -> Autoencoder:
    given = {"hidden": (3,), "code": 2, "activation": "tanh", "initializer": "random",
             "dtype": "float64", "backend": "numpy", "random_state": 0} | options  # fmt: skip
    return Autoencoder(**given)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_finite_difference_of_every_activation_and_loss(activation: str, loss: str) -> None:
    found = trace(net(activation=activation, code_activation=activation, loss=loss), X)
    assert found.first_wrong is None and 0 < found.max_error <= TOLERANCE
    layers = "1234"
    names = {f"d{what}{i}" for what in "yzwbx" for i in layers} - {"dx1"}
    compared = {q.name: q.expected for q in found.quantities if q.expected is not None}
    assert names <= compared.keys()
    assert not any(np.isnan(compared[name]).any() for name in names)  # each element


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_step_is_the_one_that_trains(optimizer: str) -> None:
    """Two updates by partial_fit end with the weights that the trace of step 2 calls new."""
    model = net(optimizer=optimizer, weight_decay=0.1, clip_norm=0.3, learning_rate=0.05,
                loss="mse", output="identity")  # fmt: skip
    model.initialize(4)
    found = trace(model, X, step=2)
    assert found.first_wrong is None
    for _ in range(2):
        model.partial_fit(X)
    assert float(found["loss"]) == pytest.approx(model.loss_, rel=1e-12)
    for i, name in enumerate(("encoder.0", "encoder.1", "decoder.0", "decoder.1"), start=1):
        for letter, kind in (("w", "weight"), ("b", "bias")):
            np.testing.assert_allclose(
                found[f"{letter}{i}.new"], model.parameters()[f"{name}.{kind}"], rtol=1e-12,
                atol=1e-15,
            )  # fmt: skip


MISTAKES = (
    ("transpose", 2, "dx2"), ("transpose", 3, "dx3"), ("transpose", 4, "dx4"),
    ("mean", None, "dy4"), ("derivative", 1, "dz1"), ("derivative", 3, "dz3"),
    ("sign", 1, "dw1"), ("sign", 4, "dw4"), ("bias-axis", 1, "db1"), ("bias-axis", 3, "db3"),
    ("bias-correction", None, "w1.new"),
)  # fmt: skip


@pytest.mark.parametrize("activation", ("tanh", "sigmoid", "silu"))
@pytest.mark.parametrize(("mistake", "layer", "first"), MISTAKES)
def test_a_mistake_is_found_at_its_layer(
    mistake: str, layer: int | None, first: str, activation: str
) -> None:
    found = trace(net(activation=activation), X, mistake=mistake, layer=layer)
    assert found.first_wrong is not None and found.first_wrong.name == first
    place = next(i for i, q in enumerate(found.quantities) if q.wrong)
    assert all(q.error <= 1e-9 for q in found.quantities[:place])
    assert f"the first wrong number is in {first} " in str(found)


@pytest.mark.parametrize(
    ("mistake", "options", "rows"),
    (
        ("transpose", {"layer": 1}, X), ("transpose", {"code": 1, "layer": 3}, X),
        ("mean", {}, X[:1]), ("derivative", {"layer": 2}, X),
        ("derivative", {"activation": "relu"}, X), ("bias-axis", {}, X[:1]),
        ("bias-correction", {"optimizer": "momentum"}, X),
    ),
)  # fmt: skip
def test_a_mistake_that_changes_nothing_is_refused(
    mistake: str, options: dict[str, Any], rows: np.ndarray
) -> None:
    options = dict(options)
    layer = options.pop("layer", None)
    with pytest.raises(ValueError, match=f"the mistake '{mistake}' in layer . changes no number"):
        trace(net(**options), rows, mistake=mistake, layer=layer)


def test_an_optimiser_that_is_wrong_by_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Optimizer.apply

    def wrong(self: Optimizer, *arguments: Any, **named: Any) -> None:
        right(self, *arguments, **named)
        self.moments["v"][:] *= 1.001

    monkeypatch.setattr(Optimizer, "apply", wrong)
    found = trace(net(), X).first_wrong
    assert found is not None and found.name == "w1.v"


def test_what_the_tables_do_not_know_is_traced_without_a_formula(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for table, name in ((FORMULAS, "tanh"), (LOSS_FORMULAS, "bce"), (UPDATES, "adam")):
        monkeypatch.delitem(table, name)
    found = trace(net(), X)
    assert found.first_wrong is None and found.max_error > 0
    assert "y1 (3, 3)  tanh(z)\n" in str(found) and found["w1.new"].shape == (4, 3)
    assert ", of the loss\n" in found.element("w1[0,0]")
    assert "whose formula is not in the table" in found.element("w1[0,0]")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_formulas_are_what_kernels_compute(activation: str) -> None:
    found = trace(net(activation=activation, code_activation=activation, output=activation,
                      loss="mse"), X)  # fmt: skip
    for i in range(1, 5):
        values = {"z": found[f"z{i}"], "y": found[f"y{i}"]}
        formula = FORMULAS[activation]
        np.testing.assert_allclose(compute(formula.value, values), found[f"y{i}"], rtol=1e-12,
                                   atol=1e-15)  # fmt: skip
        np.testing.assert_allclose(compute(formula.slope, values) * np.ones_like(values["y"]),
                                   found[f"slope{i}"], rtol=1e-11, atol=1e-15)  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_formulas_of_losses(loss: str) -> None:
    far = X * 4 if loss == "huber" else X  # on both sides of its delta
    found = trace(net(loss=loss, scale=None), far)
    values = {"y": found["y4"], "t": found["t"], "n": 3}
    total = compute(LOSS_FORMULAS[loss].value, values).sum() / 3
    assert total == pytest.approx(float(found["loss"]), rel=1e-12)
    np.testing.assert_allclose(compute(LOSS_FORMULAS[loss].slope, values), found["dy4"], rtol=1e-12)


def test_of_large_arrays_some_elements_and_a_direction_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.random.default_rng(1).uniform(0, 1, (4, 60))
    model = net(hidden=(30,), code=5)
    found = trace(model, rows)
    dw1 = next(q for q in found.quantities if q.name == "dw1")
    assert dw1.expected is not None and dw1.array.size > WHOLE
    checked = int((~np.isnan(dw1.expected)).sum())
    assert 16 < checked <= 32 and 0 < dw1.along <= TOLERANCE and not dw1.wrong
    assert f"of {checked} of 1,800 elements" in str(found) and "norm " in str(found)
    right = Dense.backward
    unchecked = tuple(np.argwhere(np.isnan(dw1.expected))[0])

    def wrong(self: Dense, *arguments: Any) -> None:
        right(self, *arguments)
        if self.name == "encoder.0":
            self.dw[unchecked] += 0.1

    monkeypatch.setattr(Dense, "backward", wrong)
    first = trace(model, rows).first_wrong
    assert first is not None and first.name == "dw1" and first.along > TOLERANCE


def test_the_model_is_left_alone_and_units_on_a_kink_have_no_difference() -> None:
    model = net(activation="relu", loss="mse", output="identity").initialize(4)
    before = model.parameters()
    found = trace(model, np.zeros((2, 4)), step=3, mistake=None)
    assert found.first_wrong is None
    assert any(np.isnan(q.expected).any() for q in found.quantities if q.expected is not None)
    after = model.parameters()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_missing_values_and_a_scale() -> None:
    rows = np.random.default_rng(2).normal(5, 3, (40, 4))
    rows[::3, 1] = np.nan
    model = net(missing="allow", epochs=2, scale="standard").fit(rows)
    found = trace(model, rows[:4])
    assert found.first_wrong is None
    assert np.isnan(found["t"]).any() and not np.isnan(found["x1"]).any()
    assert not found["dy4"][np.isnan(found["t"])].any()


def test_categories() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": np.arange(12.0), "b": ["x", "y", "z"] * 4})
    model = net(epochs=2).fit(table)
    found = trace(model, np.asarray(as_rows(table, schema=model.schema_))[:4])
    assert found.first_wrong is None and found["y4"].shape == (4, 4)
    np.testing.assert_allclose(found["dy4"][:, 1:].sum(axis=1), 0, atol=1e-15)  # softmax - one-hot


def test_the_element_is_a_sum_of_products() -> None:
    found = trace(net(), X, step=2)
    text = found.element("w2[1,0]")
    products = found["x2"][:, 1] * found["dz2"][:, 0]
    assert "= x2[0,1] * dz2[0,0] + x2[1,1] * dz2[1,0] + x2[2,1] * dz2[2,0]" in text
    assert f"= {products.sum():.6g}\n" in text and f"the step has {products.sum():.6g}" in text
    for line in ("dz3[", "dy3[", "dz4[", "of the loss bce", "update 2 by adam"):
        assert line in text  # the path up to the loss, and the update
    assert f"= {found['w2.new'][1, 0]:.6g}" in text
    wrong = trace(net(), X, mistake="mean").element("b4[1]")
    assert "of the loss bce; the step has " in wrong and "relative error 6.7e-01, wrong" in wrong
    assert "= dz3[0,2] + dz3[1,2] + dz3[2,2]" in found.element("b3[2]")


@pytest.mark.parametrize(
    ("element", "complaint"),
    (
        ("w5[0,0]", "element must be like"), ("w0[0,0]", "element must be like"),
        ("z1[0,0]", "element must be like"), ("w1", "element must be like"),
        ("w1[0]", "w1 has shape \\(4, 3\\)"), ("w1[4,0]", "w1 has shape"), ("b1[3]", "b1 has"),
    ),
)  # fmt: skip
def test_elements_that_are_not_there(element: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        trace(net(), X).element(element)


@pytest.mark.parametrize(
    ("X", "options", "complaint"),
    (
        (X[:, :3], {}, "X must have shape \\(samples, 4\\), got \\(3, 3\\)"),
        (X * np.nan, {}, "X must be finite"),
        (X, {"mistake": "none"}, "mistake must be one of 'transpose'"),
        (X, {"layer": 5}, "layer must be one of 1 ... 4, got 5"),
        (X * 1e200, {}, "the loss of this step is inf"),
        (X, {"step": 0}, "step must be an integer >= 1"),
    ),
)  # fmt: skip
def test_what_is_refused(X: np.ndarray, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        trace(net(scale=None, output="identity", loss="mse").initialize(4), X, **options)


def test_a_gradient_that_is_nan_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Dense.backward

    def wrong(self: Dense, *arguments: Any) -> None:
        right(self, *arguments)
        self.db[0] = np.nan

    monkeypatch.setattr(Dense, "backward", wrong)
    found = trace(net(), X)
    assert found.first_wrong is not None and found.first_wrong.name == "db4"
    assert "db4[0] is nan" in str(found)


def test_in_a_notebook_what_is_wrong_stands_on_red() -> None:
    right, wrong = trace(net(), X), trace(net(), X, mistake="sign")
    assert "background:#fdd" not in right._repr_html_()
    html = wrong._repr_html_()
    assert html.count("background:#fdd") > 0 and "dw = -(x.T @ dz)" in html
    assert "<table>" in html and "where(y &gt; 0" in trace(net(activation="relu"), X)._repr_html_()
