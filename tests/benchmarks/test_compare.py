"""The comparison of two runs: what changed beyond the noise."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from benchmarks.reports.compare import render
from tests.benchmarks.made_results import failed, scaled


def test_an_identical_rerun_shows_no_change(results: dict[str, Any]) -> None:
    text = render(results, copy.deepcopy(results))
    timed = sum(each["median"] is not None for each in results["rows"])
    assert f"{timed} of {timed} rows timed in both runs agree within the noise" in text
    assert "Slower beyond the noise: 0\n" in text and "Faster beyond the noise: 0\n" in text
    for word in ("WARNING", "Vanished", "New:", " times  ", "so noisy"):
        assert word not in text
    assert "do not overlap" in text  # what noise is, is said


@pytest.mark.parametrize(
    ("factor", "title", "line"),
    [
        (2, "Slower", "2.00 times  numba, kernel adam, 2841784: 5.00 ms -> 10.0 ms"),
        (0.5, "Faster", "2.00 times  numba, kernel adam, 2841784: 5.00 ms -> 2.50 ms"),
        # medians within 1 %, quartiles 2 % apart: intervals of about 6 % in all
        (1.08, "Slower", "1.08 times  numba, kernel adam, 2841784: 5.00 ms -> 5.40 ms"),
        (1.05, None, None),
    ],
)
def test_what_changed_beyond_the_noise(
    factor: float, title: str | None, line: str | None, results: dict[str, Any]
) -> None:
    """One row, and no other."""
    text = render(results, scaled(results, factor, "adam", "numba"))
    assert [found.strip() for found in text.splitlines() if " times " in found] == [line] * bool(
        line
    )
    if title:
        assert line in text.partition(f"{title} beyond the noise: 1\n")[2].partition("\n\n")[0]


def test_changes_are_sorted(results: dict[str, Any]) -> None:
    new = scaled(scaled(results, 2, "adam", "numba"), 4, "adam", "numpy")
    assert re.findall(r"([\d.]+) times", render(results, new)) == ["4.00", "2.00"]


def test_rows_too_noisy_to_tell_are_counted(results: dict[str, Any]) -> None:
    for each in results["rows"][:3]:
        each["runs"][0]["q3"] *= 3
    text = render(results, scaled(results, 2, "dense_forward", "numpy"))
    assert "!!! 3 of these" in text
    assert "dense_forward, 512x512x512" in text and "dense_forward, 256x256x256" not in text


def test_what_vanished_is_new_or_failed_is_named(results: dict[str, Any]) -> None:
    new = copy.deepcopy(results)
    gone = next(each for each in new["rows"] if each["op"] == "random_bits")
    gone["op"] = "random_uniform"
    at = next(i for i, each in enumerate(new["rows"]) if each["op"] == "adam")
    new["rows"][at] = failed(new["rows"][at], "w is off by 1")
    text = render(results, new)
    assert "Vanished: 1\n  numba, kernel random_bits, 1000000" in text
    assert "New: 1\n  numba, kernel random_uniform, 1000000" in text
    assert "Had a time and has none now: 1\n  numpy, kernel adam, 2841784: w is off by 1" in text
    assert "Had no time and has one now: 1\n  numpy, kernel adam" in render(new, results)


def test_runs_that_were_not_made_alike_are_warned_of(results: dict[str, Any]) -> None:
    new = copy.deepcopy(results)
    new["machine"].update(cpu="Other CPU", clock_mhz=1.0)
    new["versions"]["numpy"] = "2.5.0"
    new["contestants"]["numba"]["threads"] = 1
    new["quick"] = True
    text = render(results, new)
    assert "!!! WARNING" in text
    for line in (
        "machine cpu: Test CPU -> Other CPU", "version of numpy: 2.4.6 -> 2.5.0",
        "threads of numba: 2 -> 1", "the old run is full, the new one quick",
    ):  # fmt: skip
        assert f"!!!   {line}\n" in text
    assert "clock_mhz" not in text  # differs between any two runs
