"""The benchmarks as a pytest suite: which contestant meets which case, and what is written down.

    python -m pytest benchmarks/suites --benchmark-only --contestants numpy,numba --only dense

pytest-benchmark's own options work. ``--rows FILE`` writes what ``run_bench`` merges.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases.cases import DTYPE, SECONDS, Case, Options
from benchmarks.contestants.contestants import (
    RIVALS,
    Contestant,
    cases_of,
    chosen,
    load,
    why_absent,
)
from benchmarks.contestants.loaded import Loaded
from tinyae.cli.options import integers, names
from tinyae.cli.output import write_text

OPTIONS = pytest.StashKey[Options]()
LOADED = pytest.StashKey[dict[str, Loaded]]()
ABOUT = pytest.StashKey[dict[str, dict[str, Any]]]()
ROWS = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinyae")
    group.addoption("--contestants", type=names, help="names (default: all that can)")
    group.addoption("--only", type=names, default=(), help="operations or groups of them")
    group.addoption("--sizes", type=integers, default=(), help="of square products")
    group.addoption("--batches", type=integers, default=(), help="batch sizes")
    group.addoption("--nets", type=names, default=(), help="deep, small")
    group.addoption("--quick", action="store_true", help="few and small cases")
    group.addoption("--seconds", type=float, default=SECONDS, help="of timing for each case")
    group.addoption("--ceilings", type=_devices, default=("cpu", "gpu"), help="cpu, gpu, or none")
    group.addoption("--references", type=Path, help="folder that keeps float64 results of epochs")
    group.addoption("--rows", type=Path, help="JSON file for run_bench.py")


def _devices(text: str) -> tuple[str, ...]:
    devices = () if text == "none" else names(text)
    if not {*devices} <= {"cpu", "gpu"}:
        raise ValueError(text)
    return devices


def pytest_configure(config: pytest.Config) -> None:
    option = config.getoption
    try:
        config.stash[OPTIONS] = Options(
            option("only"), option("sizes"), option("batches"), option("nets"), option("quick"),
            option("seconds"),
        )  # fmt: skip
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[LOADED], config.stash[ABOUT], config.stash[ROWS] = {}, {}, []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """(contestant, case) for all that the suite has; one contestant after the other."""
    config = metafunc.config
    if "case" not in metafunc.fixturenames or metafunc.module.SUITE == "ceiling":
        return
    pairs = [
        (contestant, case)
        for contestant in _asked_for(config)
        if _load(config, contestant) is not None
        for case in cases_of(contestant, config.stash[OPTIONS], metafunc.module.SUITE)
    ]
    ids = [f"{contestant.name}-{case.id}" for contestant, case in pairs]
    metafunc.parametrize(("contestant", "case"), pairs, ids=ids)


def _asked_for(config: pytest.Config) -> list[Contestant]:
    asked = config.getoption("contestants")
    try:
        if asked is None:
            return chosen(None, None)
        rivals = [name for name in asked if name in RIVALS]
        return chosen([name for name in asked if name not in rivals], rivals)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def _load(config: pytest.Config, contestant: Contestant) -> Loaded | None:
    """Once; what keeps it from working is written down with what else is known of it."""
    name, loaded, about = contestant.name, config.stash[LOADED], config.stash[ABOUT]
    if name not in about:
        try:
            reason = why_absent(contestant)
            if not reason:
                loaded[name] = load(contestant)
        except Exception as error:  # every library has its own
            reason = str(getattr(error, "reason", "") or error).strip() or type(error).__name__
        about[name] = contestant.about(reason)
        if name in loaded:
            about[name] |= {"threads": loaded[name].threads(), "note": loaded[name].note}
    return loaded.get(name)


@pytest.fixture
def loaded(request: pytest.FixtureRequest, contestant: Contestant) -> Loaded:
    return request.config.stash[LOADED][contestant.name]


@pytest.fixture
def options(request: pytest.FixtureRequest) -> Options:
    return request.config.stash[OPTIONS]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    case = getattr(item, "callspec", None) and item.callspec.params.get("case")
    if call.when == "call" and isinstance(case, Case) and not report.skipped:
        _write_down(item, case, call)
    return report


def _write_down(item: Any, case: Case, call: pytest.CallInfo[None]) -> None:
    """A row of this run: its quartiles, or in one line why it has no time."""
    contestant, benchmark = item.callspec.params["contestant"], item.funcargs["benchmark"]
    row = {
        "suite": case.suite, "op": case.op, "case": case.case, "size": case.size, "net": case.net,
        "batch": case.batch, "contestant": contestant.name, "device": contestant.device,
        "dtype": DTYPE, "matmul": contestant.matmul, "flops": case.counts.flops,
        "bytes": case.counts.bytes, "run": None,
        "rms_error": benchmark.extra_info.get("rms_error"), "error": "",
    }  # fmt: skip
    benchmark.extra_info |= {name: row[name] for name in row if name not in ("run", "error")}
    if call.excinfo is not None:
        row["error"] = _one_line(call.excinfo.value)
    elif benchmark.stats is None:  # --benchmark-disable
        return
    else:
        stats = benchmark.stats.stats
        row["run"] = {
            "median": stats.median, "q1": stats.q1, "q3": stats.q3, "rounds": stats.rounds
        }  # fmt: skip
    rows = item.config.stash[ROWS]
    rows.append(row)
    first = benchmark.extra_info.get("first_call_seconds")
    if first is not None and row["run"] is not None:
        once = {"median": first, "q1": first, "q3": first, "rounds": 1}
        rows.append({**row, "suite": "compile", "flops": 0.0, "bytes": 0.0, "run": once})
    _write_rows(item.config, complete=False)


def _write_rows(config: pytest.Config, complete: bool) -> None:
    """After every row, so that one who is killed leaves behind what was measured."""
    path = config.getoption("rows")
    if path is not None:
        found = {"contestants": config.stash[ABOUT], "rows": config.stash[ROWS],
                 "complete": complete}  # fmt: skip
        write_text(path, json.dumps(found))


def _one_line(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, AssertionError):
        return f"wrong result: {first}"
    return f"{type(error).__name__}: {first}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A line for ``run_bench``, which shows how far it is."""
    if report.when == "call":
        print(f"\n@bench {report.nodeid}", flush=True)


def pytest_report_header(config: pytest.Config) -> str:
    return f"tinyae benchmarks, {config.stash[OPTIONS].seconds} s for each case"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for name, about in config.stash[ABOUT].items():
        if not about["available"]:
            terminalreporter.write_line(f"{name}: absent: {about['reason']}")
    for row in config.stash[ROWS]:
        if row["error"]:
            where = " ".join(filter(None, (row["contestant"], row["op"], row["net"], row["case"])))
            terminalreporter.write_line(f"{where}: no time: {row['error']}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    _write_rows(session.config, complete=exitstatus != pytest.ExitCode.INTERRUPTED)
