"""The tables of benchmarks/README.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reports import readme, visit
from tests.benchmarks.made_results import scaled, with_tf32

PAGE = "above\n" + "".join(
    f"<!-- table: {table} run.json -->\nold\n<!-- end -->\nbetween\n" for table in readme.TABLES
)


@pytest.fixture
def folder(results: dict[str, Any], tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "README.md").write_text(PAGE)
    put(tmp_path, results)
    return tmp_path


def put(folder: Path, results: dict[str, Any]) -> None:
    (folder / "results" / "run.json").write_text(json.dumps(results))


def test_the_page_is_written_once_and_then_fresh(
    results: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = folder / "README.md"
    assert readme.main([], folder) == 1
    assert "is stale" in capsys.readouterr().err and page.read_text() == PAGE
    assert readme.main(["--write"], folder) == 0
    text = page.read_text()
    assert readme.main([], folder) == 0
    assert text.startswith("above\n<!-- table: conditions run.json -->\n\n- date: 2026-11-25")
    assert text.count("\n<!-- end -->\nbetween\n") == 4 and "\nold\n" not in text
    assert len(list((folder / "pictures").iterdir())) == 6
    lines = text.splitlines()
    for line in (
        "- without a time: numba: huber, 512x784: dx is off by 1.2e-1, at most 3e-5 is allowed",
        "- absent: jax: jax is not installed",
        # 4096 samples at 1e-4 and 1e-5 s; PyTorch's faster mode takes twice as long
        "| | B = 32 | B = 128 |",
        "| deep net: numba, ms | 410 | 410 |",
        "| small net: numba, ms | 41.0 | 41.0 |",
        "| PyTorch / numba | 2.00 | 2.00 |",
        "| scikit-learn / numba | 7.00 | 7.00 |",
        "Geometric mean of PyTorch / numba: 2.00.",
        "| operation | case | unit | numba | numpy | blas | torch-eager |",
        "| `dense_forward` | 512x512x512 | GFLOP/s | 80.0 (80 %) | 40.0 (40 %) | 64.0 (64 %) "
        "| 50.0 (50 %) |",
        "| `adam` | 2841784 | GB/s | 16.0 (80 %) | 4.00 (20 %) | - | 8.00 (40 %) |",
        "| µs | numpy | torch-eager |",
        "| encode, small net, 1 rows | 20.0 | 50.0 |",
        "| encode, small net, 16 rows | 150 | - |",
        "Test CPU, 2 cores; 2026-11-25; tinyae 1.0; numpy 2.4.6; torch 2.13.0.",
    ):
        assert line in lines
    put(folder, scaled(results, 2, "epoch", "numba"))
    assert readme.main([], folder) == 1


def test_results_of_a_gpu(results: dict[str, Any], folder: Path) -> None:
    put(folder, with_tf32(results))
    text = readme.render(PAGE, folder / "results")
    assert "| PyTorch / cupy | 2.00 | 2.00 |" in text
    assert "| operation | case | unit | cupy |" in text and "| cupy-tf32 | cublas-tf32 |" in text
    assert "Test GPU" in text


def test_what_cannot_be_a_table_is_refused(results: dict[str, Any], folder: Path) -> None:
    with pytest.raises(ValueError, match="must be of conditions, .*, got 'speed'"):
        readme.render(PAGE.replace("epochs", "speed"), folder / "results")
    put(folder, results | {"interrupted": "by Ctrl-C"})
    with pytest.raises(ValueError, match=r"run\.json must be of a whole run, got one interrupted"):
        readme.render(PAGE, folder / "results")


def test_the_page_of_the_project_is_fresh() -> None:
    """Its tables are those of the results, to the letter; what it links to is there."""
    assert readme.main([]) == 0
    text = (readme.FOLDER / "README.md").read_text(encoding="utf-8")
    assert {mark[2] for mark in readme.MARKED.finditer(text)} == {
        *readme.TABLES,
        *visit.TABLES,
    }
    for link in re.findall(r"\]\((?!http)(.+?)\)", text):
        assert (readme.FOLDER / link).exists(), link
