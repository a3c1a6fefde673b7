"""A real browser for the tests of pages: Chromium, driven by playwright's Python package."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def running() -> Iterator[Any]:
    """A browser; skips where playwright or Chromium is missing."""
    library = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    found = os.environ.get("TINYAE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium, or its path in TINYAE_CHROMIUM")
    with library.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, text: str, folder: Path, **options: Any) -> Iterator[Any]:
    """The page with this HTML text, once it is ready; fails where the browser complains."""
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    context = browser.new_context(**{"viewport": {"width": 1000, "height": 900}} | options)
    try:
        tab, complaints = context.new_page(), []
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda r: None if r.url == file.as_uri() else complaints.append(r.url))
        tab.set_default_timeout(10_000)
        tab.goto(file.as_uri())
        tab.wait_for_selector("body[data-ready=yes]")
        tab.complaints = complaints
        yield tab
        assert not complaints, complaints
    finally:
        context.close()


def drawn(tab: Any) -> None:
    """Waits until all that was changed is drawn."""
    tab.wait_for_function("() => stale.size === 0")


def shown(tab: Any, box: str, channels: int = 1) -> np.ndarray[Any, Any]:
    """The picture in a box, (pixels, channels) in [0, 1]."""
    found = tab.evaluate(
        "(box) => { const c = $(box).firstChild, { width, height } = c, "
        "pen = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true }); "
        "pen.drawImage(c, 0, 0); return [...pen.getImageData(0, 0, width, height).data]; }", box,
    )  # fmt: skip
    return np.array(found, np.float64).reshape(-1, 4)[:, :channels] / 255


def expect_shown(tab: Any, box: str, pixels: np.ndarray[Any, Any]) -> None:
    """To one of 255 steps of grey."""
    drawn(tab)
    assert np.abs(shown(tab, box)[:, 0] - np.ravel(pixels)).max() <= 1.01 / 255
