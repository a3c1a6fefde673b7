"""A folder of CUDA sources of a test's own, in the place of the kernels'; and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyae.kernels.cuda import source
from tinyae.kernels.cuda_host.host import CompilerMissing, HostRunner, find_compiler

ROOT = Path(__file__).parents[2]


def python(
    *words: str, cwd: Path = ROOT, timeout: float | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, with these words and environment variables."""
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env={**os.environ, **environment},
        capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def need_compiler() -> None:
    """Skips a module, or a test, where there is no C++ compiler."""
    try:
        find_compiler()
    except CompilerMissing as error:
        pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostRunner]:
    """A runner with a cache of its own."""
    need_compiler()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield HostRunner()


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty; .cu files and what they include are looked for here."""
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    source.read_source.cache_clear()
    yield tmp_path
    source.read_source.cache_clear()
