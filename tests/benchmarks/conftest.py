"""Results made by hand, anew for each test."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks import made_results


@pytest.fixture
def results() -> dict[str, Any]:
    return made_results.made()
