"""Pages of all kinds of runs, in a real browser: themes, too large nets, colours, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.learn.nets import SHAPE, balls, small
from tests.learn.page.browser import drawn, expect_shown, opened, shown
from tinyae import Autoencoder, VariationalAutoencoder, load_dataset
from tinyae.cli.main import main
from tinyae.learn import page as module
from tinyae.learn.page import page


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    return small(balls(60), hidden=(16,))


@pytest.fixture(scope="module")
def text(ae: Autoencoder) -> str:
    return page(ae, balls(60), image_shape=SHAPE)


def test_a_dark_theme(browser: Any, text: str, tmp_path: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with opened(browser, text, tmp_path, color_scheme=scheme) as tab:
            ground = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
            grounds.append(int(ground.split("(")[1].split(",")[0]))
    assert grounds[0] > 200 and grounds[1] < 60


def test_a_net_that_is_too_large_leaves_the_rest(
    browser: Any, ae: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_NET", 1000)
    text = page(ae, balls(60), image_shape=SHAPE)
    with opened(browser, text, tmp_path) as tab:
        said = tab.inner_text("#notice")
        assert "25,152 weights, and a page holds at most 1,000" in said
        assert tab.is_disabled("#run-net") and tab.inner_text("#facts").startswith("A new net")
        tab.click("#step")
        assert tab.evaluate("() => player.losses.length") == 1


def test_pictures_in_colour_and_many_labels(browser: Any, tmp_path: Path) -> None:
    X = np.random.default_rng(0).integers(0, 256, (30, 6 * 5 * 3), np.uint8)
    text = page(small(X, hidden=(9,)), X, labels=np.arange(30), image_shape=(6, 5, 3))
    with opened(browser, text, tmp_path) as tab:
        tab.fill("#picked", "7")
        tab.locator("#picked").press("Enter")
        drawn(tab)
        assert np.array_equal(np.rint(shown(tab, "sample", 3) * 255), X[7].reshape(-1, 3))
        assert [span.strip() for span in tab.locator("#legend span").all_inner_texts()] == [
            "0", "15", "29"
        ]  # fmt: skip
        tab.click("#step")
        tab.locator("#sample canvas").click()
        drawn(tab)
        assert tab.inner_text("#sample-text") == "what you drew"


def test_pictures_beyond_0_and_1(browser: Any, tmp_path: Path) -> None:
    X = balls(50) * 40 - 15
    text = page(small(X, scale="standard"), X, image_shape=SHAPE)
    with opened(browser, text, tmp_path) as tab:
        expect_shown(tab, "sample", balls(50)[0])
        assert tab.inner_text("#sample-error").endswith(", on the scale of the net")
        tab.click("#clear")
        expect_shown(tab, "sample", np.zeros(SHAPE))


def test_a_page_of_a_family_says_what_its_training_leaves_out(
    browser: Any, text: str, tmp_path: Path
) -> None:
    x = balls(60)
    vae = VariationalAutoencoder(hidden=(16,), code=2, epochs=1, random_state=0).fit(x)
    with opened(browser, page(vae, x, image_shape=SHAPE), tmp_path) as tab:
        assert "trained as a variational autoencoder, with codes that are drawn, and their" in (
            tab.inner_text("#training-notes")
        )
    with opened(browser, text, tmp_path) as tab:
        said = tab.inner_text("#training-notes")
        assert "cross-entropy, is not 0 at its best" in said and "trained as" not in said


def test_an_old_browser_is_told(browser: Any, text: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    context = browser.new_context()
    try:
        tab = context.new_page()
        tab.add_init_script("delete window.DecompressionStream")
        tab.goto(file.as_uri())
        tab.wait_for_function("() => $('facts').textContent.includes('browser of 2023 or later')")
    finally:
        context.close()


def test_a_table_has_numbers_and_no_pictures(browser: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{a + b:.3f},{1e3 * b:.3f}" for a, b in rng.normal(5, 1, (60, 2))]
    data = tmp_path / "<i>.csv"
    data.write_text("\n".join(["width,<b>,&lt;", *rows]), encoding="utf-8")
    train = f"train --code 1 --hidden 8 --epochs 2 --backend numpy --out {tmp_path / 'run'}"
    assert main([*train.split(), "--data", str(data)]) == 0
    assert main(["page", str(tmp_path / "run"), "--out", str(tmp_path / "made.html")]) == 0
    made = (tmp_path / "made.html").read_text(encoding="utf-8")
    with opened(browser, made, tmp_path) as tab:
        cells = tab.locator("#sample td").all_inner_texts()
        assert cells[::2] == ["width", "<b>", "&lt;"]
        x = load_dataset(data).train
        first = np.asarray(x)[0]
        np.testing.assert_allclose([float(cell) for cell in cells[1::2]], first, rtol=0.01)
        assert not tab.is_visible("#way-section") and not tab.is_visible("#clear")
        before = tab.locator("#decoded").inner_text()
        tab.locator("#sliders input").focus()
        tab.keyboard.press("Home")
        drawn(tab)
        assert tab.locator("#decoded").inner_text() != before
        tab.click("#step")
        tab.click("#check")
        assert "backpropagation is right" in tab.inner_text("#check-result")
