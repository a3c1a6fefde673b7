"""A folder of CUDA sources of a test's own, in the place of the kernels'."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyae.kernels.cuda import source


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty; .cu files and what they include are looked for here."""
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    source.read_source.cache_clear()
    yield tmp_path
    source.read_source.cache_clear()
