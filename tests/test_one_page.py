"""The page for learners tells the truth about the package, and fits on a page."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import numpy as np
import pytest

from tinyae import Autoencoder, one_page

NAMES = ("encoder.0", "encoder.1", "decoder.0", "decoder.1")
Net = dict[str, np.ndarray]


@pytest.fixture
def net() -> Net:
    return one_page.start(np.random.default_rng(3))


def autoencoder(net: Net, **options: object) -> Autoencoder:
    """The same net, trained by the package."""
    ae = Autoencoder(
        hidden=(one_page.HIDDEN,), code=one_page.CODE, activation="tanh", output="sigmoid",
        loss="bce", dtype="float64", backend="numpy", scale=None, epochs=0, **options,
    ).fit(one_page.film(40))  # fmt: skip
    parameters = {}
    for i, name in enumerate(NAMES, start=1):
        parameters |= {f"{name}.weight": net[f"w{i}"], f"{name}.bias": net[f"b{i}"]}
    return ae.set_parameters(parameters)


def test_the_gradients_are_the_packages(net: Net) -> None:
    """One update by gradient descent at the rate 1 subtracts the gradient."""
    x = one_page.film(40)
    h1, code = one_page.encode(net, x)
    gradient = one_page.backward(net, x, h1, code, *one_page.decode(net, code))
    ae = autoencoder(net, optimizer="sgd", learning_rate=1.0)
    np.testing.assert_allclose(ae.encode(x), code, rtol=1e-12)
    after = ae.partial_fit(x).parameters()
    for i, name in enumerate(NAMES, start=1):
        for kind, ours in (("weight", f"w{i}"), ("bias", f"b{i}")):
            moved = net[ours] - after[f"{name}.{kind}"]
            np.testing.assert_allclose(moved, gradient[ours], rtol=1e-12, atol=1e-14)


def test_the_losses_are_the_packages(net: Net) -> None:
    """Over four epochs of the page's minibatches, weights at the end included."""
    x, epochs = one_page.film(60), 4
    ae = autoencoder(net, optimizer="adam", learning_rate=one_page.LEARNING_RATE)
    losses = one_page.train(net, x, np.random.default_rng(5), epochs)
    rng, expected = np.random.default_rng(5), []
    for _ in range(epochs):
        batches = rng.permutation(len(x)).reshape(-1, one_page.BATCH)
        expected.append(np.mean([ae.partial_fit(x[batch]).loss_ for batch in batches]))
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(ae.parameters()["encoder.0.weight"], net["w1"], rtol=1e-9)


@pytest.mark.parametrize("name", ("w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4"))
def test_the_check_finds_a_wrong_gradient(
    net: Net, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    x, right = one_page.film(40), one_page.backward
    assert one_page.check(net, x) < 1e-6
    monkeypatch.setattr(
        one_page, "backward", lambda *a: {k: g * (1 + (k == name)) for k, g in right(*a).items()}
    )
    assert one_page.check(net, x) > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_one_ball_and_no_ghosts(seed: int) -> None:
    """Its area is that of a ball, and it is as dark as one; the blend's pixels are half as dark."""
    rng = np.random.default_rng(seed)
    x, net = one_page.film(200), one_page.start(rng)
    one_page.train(net, x, rng)
    first, last = x[[20]], x[[179]]
    middle = (one_page.encode(net, first)[1] + one_page.encode(net, last)[1]) / 2
    ball = one_page.pixels(one_page.decode(net, middle)[1])
    assert ball.max() > 0.95 and ball.sum() == pytest.approx(first.sum(), rel=0.1)
    column = ball.reshape(one_page.SIDE, one_page.SIDE).sum(axis=0).argmax()
    assert 4 <= column <= 11  # between the two, and apart from both
    assert ((first + last) / 2).max() <= 0.5


def test_it_runs_with_numpy_alone_and_ends_with_two_ghosts_and_one_ball() -> None:
    code = ("import sys, runpy; sys.modules.update(dict.fromkeys(['numba', 'matplotlib']));"
            "runpy.run_module('tinyae.one_page', run_name='__main__')")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    said, _, between = done.stdout.partition("the frame between them")
    assert "loss of epochs 1, 10, 100, 500: " in said and "@" in said
    assert any("@@" in line and "==" in line for line in between.splitlines())


def test_it_fits_on_a_page() -> None:
    """At most 80 lines of code: docstrings, comments and empty lines apart."""
    source = Path(one_page.__file__).read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.string.strip() and token.type != tokenize.COMMENT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.FunctionDef)) and ast.get_docstring(node):
            text = node.body[0]
            lines -= set(range(text.lineno, (text.end_lineno or 0) + 1))
    assert 60 < len(lines) <= 80
    assert "import numpy as np" in source and source.count("import ") == 1
