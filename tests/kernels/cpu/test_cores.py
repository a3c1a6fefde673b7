"""How many threads: what a process's control groups and variables say, on systems made up here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinyae.kernels.cpu import cores

MANY = 64
V1, V2 = "4:cpu,cpuacct:{}\n3:memory:/elsewhere\n0::/\n", "0::{}\n"


@pytest.fixture(autouse=True)
def _many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(MANY), raising=False)


def made_up(folder: Path, version: int, own: str, root: str, quotas: dict[str, str]) -> Path:
    """/proc/self of a process in the group ``own``; quotas: group below the mount -> quota."""
    proc, mount = folder / "proc", folder / "with space"
    proc.mkdir()
    (proc / "cgroup").write_text((V1 if version == 1 else V2).format(own))
    where = str(mount).replace(" ", r"\040")
    kind = "cgroup cgroup rw,cpu,cpuacct" if version == 1 else "cgroup2 cgroup2 rw"
    (proc / "mountinfo").write_text(
        f"20 1 0:9 / /proc rw - proc proc rw\n31 1 0:8 {root} {where} rw shared:9 - {kind}\n"
        f"32 1 0:7 / {folder}/none rw - cgroup cgroup rw,memory\n"
    )
    for group, quota in quotas.items():
        (mount / group).mkdir(parents=True, exist_ok=True)
        if version == 2:
            (mount / group / "cpu.max").write_text(f"{quota}\n")
        else:
            for name, number in zip(("quota", "period"), quota.split(), strict=True):
                (mount / group / f"cpu.cfs_{name}_us").write_text(f"{number}\n")
    return proc


@pytest.mark.parametrize(("version", "none"), [(1, "-1 100000"), (2, "max 100000")])
@pytest.mark.parametrize(
    ("own", "root", "group"),
    [
        ("/a/b", "/", "a/b"),  # on the host
        ("/a/b", "/", "a"),  # the quota is its parent's
        ("/", "/", "."),  # in a container with groups of its own
        ("/docker/1", "/docker/1", "."),  # in one that sees the host's names
        ("/docker/1/a", "/docker/1", "a"),
        ("/../x", "/docker/1", "."),  # moved out of what is mounted here
    ],
)
@pytest.mark.parametrize(
    ("quota", "threads"),
    [("150000 100000", 2), ("200000 100000", 2), ("10000 100000", 1), ("", MANY), ("0 0", MANY),
     ("9900000 100000", MANY), ("broken text", MANY)],
)  # fmt: skip
def test_quotas(
    tmp_path: Path, version: int, none: str, own: str, root: str, group: str, quota: str,
    threads: int,
) -> None:  # fmt: skip
    """The least of the process's own control group and all around it, rounded up."""
    quotas = dict.fromkeys((".", own.strip("/") or "."), none) if root == "/" else {}
    proc = made_up(tmp_path, version, own, root, quotas | {group: quota or none})
    number, origin = cores.threads({}, proc)
    assert number == threads
    assert ("quota" in origin) == (threads < MANY)


def test_without_control_groups(tmp_path: Path) -> None:
    assert cores.threads({}, tmp_path)[0] == MANY
    (tmp_path / "cgroup").write_text("\nnonsense\n0::\n")
    (tmp_path / "mountinfo").write_text("\n - cgroup2\n1 2 - cgroup2 cgroup2 rw\n")
    assert cores.threads({}, tmp_path)[0] == MANY


@pytest.mark.parametrize(
    ("variables", "threads", "origin"),
    [
        ({}, 5, "the CPU quota of its control group"),
        ({"OMP_NUM_THREADS": "3"}, 3, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": " 3,2"}, 3, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "9"}, 5, "the CPU quota of its control group"),
        ({"OMP_NUM_THREADS": "9", "NUMBA_NUM_THREADS": "2"}, 2, "NUMBA_NUM_THREADS"),
        ({"TINYAE_NUM_THREADS": "8", "OMP_NUM_THREADS": "1"}, 8, "TINYAE_NUM_THREADS"),
        ({"TINYAE_NUM_THREADS": "8", "NUMBA_NUM_THREADS": "4"}, 4, "NUMBA_NUM_THREADS"),
        ({"TINYAE_NUM_THREADS": "99"}, MANY, "the CPUs that this process may run on"),
        *[({"OMP_NUM_THREADS": bad, "NUMBA_NUM_THREADS": bad}, 5, "the CPU quota of its control "
           "group") for bad in ("", "0", "-1", "abc", "1.5", ",")],
    ],
)  # fmt: skip
def test_variables(tmp_path: Path, variables: dict[str, str], threads: int, origin: str) -> None:
    proc = made_up(tmp_path, 2, "/", "/", {".": "450000 100000"})
    assert cores.threads(variables, proc) == (threads, origin)


@pytest.mark.parametrize("wrong", ["0", "-1", "abc", "1.5"])
def test_a_wrong_number_of_ours_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match=f"TINYAE_NUM_THREADS must be .*>= 1, got '{wrong}'"):
        cores.threads({"TINYAE_NUM_THREADS": wrong})
