"""One browser for all pages of a test file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.learn.page.browser import running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running() as browser:
        yield browser
