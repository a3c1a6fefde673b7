"""What JavaScript computes in a page is what NumPy computes: codes, losses, gradients, a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.nets import nets
from tests.learn.nets import SHAPE, balls, small, step
from tests.learn.page.browser import opened
from tinyae import Autoencoder, load_dataset
from tinyae.learn.page import page

COMPUTE = """() => {
    const n = data.n_samples, x = samples(Array.from({ length: n }, (_, i) => i));
    const net = run_network(), codes = net.encode(x), reconstructions = net.decode(codes);
    const loss = objective_gradient(net, x, n), gradients = net.gradients.slice();
    new Adam(net).apply(0.01);
    return { codes: [...codes], reconstructions: [...reconstructions], loss: [loss],
             gradients: [...gradients], parameters: [...net.values] };
}"""


def expect_equal(browser: Any, folder: Path, ae: Autoencoder, X: Any, **how: Any) -> None:
    """To 1e-5 of the largest number of each kind; Adam's first step is the learning rate times
    the gradient's sign, so of gradients that are rounding only it is not compared."""
    x = np.asarray(X)
    with opened(browser, page(ae, X, **how), folder) as tab:
        found = tab.evaluate(COMPUTE)
    expected = step(ae, x)
    sure = np.abs(expected.gradients) > 1e-4 * np.abs(expected.gradients).max()
    for name, numbers in expected._asdict().items():
        ours, theirs = np.ravel(numbers), np.array(found[name], np.float64)
        assert ours.shape == theirs.shape, name
        if name == "parameters":
            ours, theirs = ours[sure], theirs[sure]
        gap = np.abs(ours - theirs).max(initial=0)
        assert gap <= 1e-5 * max(np.abs(ours).max(initial=0), 1e-3), name


@pytest.mark.parametrize(
    "i", [pytest.param(i, marks=pytest.mark.slow if i % 3 else ()) for i in range(18)]
)
def test_every_activation_loss_and_scale(browser: Any, tmp_path: Path, i: int) -> None:
    *_, (ae, X) = nets(i + 1, ("float64",))
    expect_equal(browser, tmp_path, ae, X)


def test_pictures(browser: Any, tmp_path: Path) -> None:
    X = balls(40)
    expect_equal(browser, tmp_path, small(X, hidden=(32, 8)), X, image_shape=SHAPE)


@pytest.mark.parametrize("loss", ["l1", "huber"])
def test_losses_of_pictures(browser: Any, tmp_path: Path, loss: str) -> None:
    X = balls(20)
    ae = small(X, loss=loss, output="sigmoid", initializer="random", epochs=0)
    expect_equal(browser, tmp_path, ae, X, image_shape=SHAPE)


def test_a_table_with_categories(browser: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.choice(["oak", "fir", "elm"], 40)
    lines = [f"{a:.4f},{b:.4f},{kind}" for (a, b), kind in zip(rng.normal(size=(40, 2)), kinds)]
    lines[3] = f",{lines[3].split(',', 1)[1]}"  # a missing number
    (tmp_path / "t.csv").write_text("\n".join(["a,b,tree", *lines]), encoding="utf-8")
    rows = load_dataset(tmp_path / "t.csv", test_fraction=0.0).train
    expect_equal(browser, tmp_path, small(rows, dtype="float64"), rows)
