"""What a reader does with a page, in a real browser: pointer, touch, keyboard, buttons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.learn.nets import SHAPE, balls, small, step
from tests.learn.page.browser import drawn, expect_shown, opened
from tinyae import Autoencoder
from tinyae.export.chain import rounded
from tinyae.learn.page import page

LABELS = np.arange(300) % 3
BAD = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror=hacked=1>",
    "&amp; \u2028",
]


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    return small(balls(300), hidden=(16,))


@pytest.fixture(scope="module")
def text(ae: Autoencoder) -> str:
    return page(
        ae, balls(300), balls(20, seed=1), labels=LABELS, label_names=BAD, image_shape=SHAPE,
        title="<b>ball & co</b>",
    )  # fmt: skip


@pytest.fixture
def tab(browser: Any, text: str, tmp_path: Path) -> Iterator[Any]:
    with opened(browser, text, tmp_path) as tab:
        yield tab


def code(tab: Any) -> np.ndarray[Any, Any]:
    return np.array(tab.evaluate("() => [...page.code]"))


def test_the_picture_follows_the_pointer(tab: Any, ae: Autoencoder) -> None:
    ae = rounded(ae, "float16")
    box, spans = tab.locator("#map").bounding_box(), tab.evaluate("() => page.spans")
    for across, up in ((0.25, 0.5), (0.8, 0.3)):
        tab.mouse.move(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"])
        expected = [low + t * (high - low) for t, (low, high) in zip((across, up), spans)]
        np.testing.assert_allclose(code(tab), expected, atol=0.01 * np.ptp(spans))
        expect_shown(tab, "decoded", ae.decode(code(tab)[None]))
    position = tab.evaluate("() => nearest()")
    tab.mouse.click(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"])
    np.testing.assert_allclose(code(tab), ae.encode(balls(300))[position], rtol=1e-4)
    assert tab.input_value("#picked") == str(position)


def test_touch(browser: Any, text: str, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    with opened(browser, text, tmp_path, **phone) as tab:
        before, box = code(tab), tab.locator("#map").bounding_box()
        tab.touchscreen.tap(box["x"] + 20, box["y"] + 20)
        assert np.abs(code(tab) - before).max() > 0 and tab.input_value("#picked") != "0"
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_the_map_by_keyboard(tab: Any, ae: Autoencoder) -> None:
    tab.focus("#map")
    before, spans = code(tab), np.array(tab.evaluate("() => page.spans"))
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowDown")
    np.testing.assert_allclose(code(tab) - before, np.ptp(spans, axis=1) * (0.02, -0.02), rtol=1e-6)
    tab.keyboard.press("Enter")
    position = int(tab.input_value("#picked"))
    expected = rounded(ae, "float16").encode(balls(300))[position]
    np.testing.assert_allclose(code(tab), expected, rtol=1e-4)
    tab.locator("#sliders input").nth(1).focus()
    tab.keyboard.press("Home")
    drawn(tab)
    np.testing.assert_allclose(code(tab)[1], spans[1, 0], atol=1e-6)


def test_a_drawing_has_a_code_and_an_error(tab: Any, ae: Autoencoder) -> None:
    tab.locator("#sample canvas").scroll_into_view_if_needed()
    box = tab.locator("#sample canvas").bounding_box()
    tab.mouse.move(box["x"] + 60, box["y"] + 60)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 120, box["y"] + 60)
    tab.mouse.up()
    drawn(tab)
    x, ae = np.array(tab.evaluate("() => [...page.x]"))[None], rounded(ae, "float16")
    assert 5 < (x > 0).sum() < 200 and tab.inner_text("#sample-text") == "what you drew"
    np.testing.assert_allclose(code(tab), ae.encode(x)[0], rtol=1e-4)
    expect_shown(tab, "reconstruction", ae.reconstruct(x))
    error = float(tab.inner_text("#sample-error"))
    np.testing.assert_allclose(error, -ae.score(x), rtol=0.01)  # three digits
    tab.click("#clear")
    assert tab.evaluate("() => norm(page.x)") == 0
    tab.focus("#sample canvas")
    for key in ("ArrowLeft", "ArrowUp", " "):
        tab.keyboard.press(key)
    assert np.argmax(tab.evaluate("() => [...page.x]")) == 13 * SHAPE[1] + 13
    tab.keyboard.press("Delete")
    assert tab.evaluate("() => norm(page.x)") == 0


def test_the_way_between_two_samples(tab: Any, ae: Autoencoder) -> None:
    X, ae = balls(300), rounded(ae, "float16")
    tab.fill("#way-from", "4")
    tab.fill("#way-to", "7")
    tab.locator("#way-to").press("Enter")
    expect_shown(tab, "blend", (X[4] + X[7]) / 2)
    expect_shown(tab, "middle", ae.decode(ae.encode(X[[4, 7]]).mean(axis=0, keepdims=True)))
    tab.focus("#way-t")
    tab.keyboard.press("End")
    expect_shown(tab, "middle", ae.reconstruct(X[[7]]))


def test_a_step_is_adams(tab: Any, ae: Autoencoder) -> None:
    tab.select_option("#learning-rate", "0.01")
    tab.click("#step")
    batch = tab.evaluate("() => new Random(2).permutation(300).slice(0, 32)")
    expected = step(ae, balls(300)[batch])
    found = np.array(tab.evaluate("() => [...page.net.values]"))
    sure = np.abs(expected.gradients) > 1e-4 * np.abs(expected.gradients).max()
    np.testing.assert_allclose(found[sure], expected.parameters[sure], rtol=1e-5, atol=1e-6)
    assert "step 1; loss" in tab.inner_text("#progress")


def test_play_trains_and_pause_stops(tab: Any) -> None:
    before = tab.evaluate("() => held_out_error()")
    tab.click("#play")
    assert tab.inner_text("#play") == "pause"
    tab.wait_for_function("() => player.epoch >= 10")
    tab.click("#play")
    steps = tab.evaluate("() => player.losses.length")
    assert tab.evaluate("() => held_out_error()") < 0.9 * before
    tab.wait_for_timeout(100)
    assert tab.evaluate("() => player.losses.length") == steps
    tab.click("#run-net")
    np.testing.assert_allclose(tab.evaluate("() => held_out_error()"), before)


def test_the_check_finds_wrong_gradients(tab: Any) -> None:
    worst = "() => Math.max(...gradient_check(page.net, samples([0, 1]), 2, new Random(3))" \
            ".map((row) => row.error))"  # fmt: skip
    tab.click("#check")
    assert "backpropagation is right" in tab.inner_text("#check-result")
    assert tab.evaluate(worst) < 1e-6
    tab.evaluate("() => { ACTIVATIONS.relu.slope = (y) => (y > 0 ? 1.01 : 0); }")
    tab.click("#check")
    assert "these gradients are wrong" in tab.inner_text("#check-result")
    assert tab.locator("td.bad").count() > 0


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_a_new_net(tab: Any, activation: str) -> None:
    tab.select_option("#hidden", "16")
    tab.fill("#n-code", "1")
    tab.select_option("#activation", activation)
    tab.select_option("#code-activation", "tanh")
    tab.click("#new-net")
    drawn(tab)
    facts = tab.inner_text("#facts")
    last = "identity (its sigmoid is in the loss)"
    assert facts.startswith(
        f"A new net: 784-16-1-16-784, {activation}, tanh, {activation}, {last}; loss bce;"
    )
    box = tab.locator("#map").bounding_box()  # a line instead of a plane
    assert box["height"] < 0.5 * box["width"] and not tab.is_visible("#axis-1")
    tab.locator("#noise").focus()
    tab.keyboard.press("End")
    tab.click("#step")
    assert np.isfinite(tab.evaluate("() => player.losses[0]"))
    tab.click("#check")
    assert "backpropagation is right" in tab.inner_text("#check-result")


def test_a_loss_that_is_not_finite_changes_nothing(tab: Any) -> None:
    tab.evaluate("() => { page.net.layers[3].b[0] = Infinity; }")
    before = tab.evaluate("() => page.net.values[0]")
    tab.click("#play")
    tab.wait_for_function("() => $('progress').textContent.includes('no longer a finite number')")
    assert tab.inner_text("#play") == "play"
    assert tab.evaluate("() => page.net.values[0]") == before


def test_a_units_sum_stands_there_with_its_numbers(tab: Any) -> None:
    tab.locator(".units").first.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#unit").startswith("encoder.0, unit 1: z = x")
    tab.locator(".units").nth(3).hover(position={"x": 480, "y": 5})
    assert "decoder.1, unit 39" in tab.inner_text("#unit")
    z, dz = tab.evaluate("() => { const r = page.net.records(1)[0]; return [r.z[1], r.dz[1]]; }")
    assert np.isfinite([z, dz]).all() and tab.locator("#flow b").count() == 4


def test_labels_and_titles_are_text(tab: Any) -> None:
    assert tab.inner_text("h1") == "<b>ball & co</b>"
    assert [span.strip() for span in tab.locator("#legend span").all_inner_texts()] == [
        *BAD[:2], "&amp;"
    ]  # fmt: skip
    assert tab.evaluate("() => window.hacked") is None


def test_the_browser_runs_nothing_else(tab: Any) -> None:
    tab.evaluate("""() => {
        document.body.append(Object.assign(document.createElement('script'),
                                           { textContent: 'hacked = 1' }));
        document.body.insertAdjacentHTML('beforeend', '<p style="color: red" id="red">red</p>');
    }""")
    assert tab.evaluate("() => fetch('https://example.org').then(() => 1, () => 0)") == 0
    assert tab.evaluate("() => window.hacked") is None
    red = tab.evaluate("() => getComputedStyle(document.getElementById('red')).color")
    assert red != "rgb(255, 0, 0)"
    assert len(tab.complaints) >= 3 and all("Content Security" in c for c in tab.complaints[:3])
    tab.complaints.clear()


def test_every_picture_has_words(tab: Any) -> None:
    drawn(tab)
    assert tab.evaluate(
        "() => [...document.querySelectorAll('canvas')].filter((c) => !c.getAttribute('role') || "
        "!c.getAttribute('aria-label')).length"
    ) == 0  # fmt: skip
    assert tab.evaluate(
        "() => [...document.querySelectorAll('input, select')].filter((i) => !i.labels.length && "
        "!i.getAttribute('aria-label')).length"
    ) == 0  # fmt: skip
