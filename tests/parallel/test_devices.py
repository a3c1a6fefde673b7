"""Ranks with a GPU each, by a double of NCCL: on cuda-host, and of CuPy's bindings."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.parallel.launching import needs_mpi
from tests.parallel.test_team import program
from tinyae.kernels.columns import available_backends
from tinyae.parallel.devices import HEED, LateInterrupt, Nccl, take_gpu

SHARED = """
from tinyae.parallel import devices
from tinyae.parallel.talk import wait

class ByMpi:  # where arrays of the device lie on the host
    def __init__(self, comm):
        self.comm, self.sums = comm, []
        made_of.append(self)
    def all_reduce(self, array, out):
        self.sums.append((array.size, array.dtype.name))
        every = np.empty((self.comm.size, array.size), array.dtype)
        wait(self.comm.Iallgather(array.ravel(), every))
        out.ravel()[:] = every.sum(axis=0)
    def close(self):
        self.sums.append("closed")

made_of = []
devices.DEVICES["cuda-host"] = ByMpi
"""


@needs_mpi
@pytest.mark.skipif("cuda-host" not in available_backends(), reason="no C++ compiler")
def test_a_recorded_step_holds_the_sum() -> None:
    """The net is that of one process; two sums a step, of the gradient in its type and of totals.
    The last minibatch has one sample, and one rank none."""
    text = (
        SHARED
        + """
options = dict(backend="cuda-host", epochs=3, batch_size=19, validation_fraction=0.14)
alone = made(**options).fit(X) if comm.rank == 0 else None  # of 77 rows, 5 steps
wait(comm.Ibarrier())
ae = made(**options).fit(X, comm=comm)
size = ae._network.parameters.size
expected = [(size, "float64"), (2, "float64")] * (3 * 5) + ["closed"]
assert made_of[0].sums == expected, made_of[0].sums
mine = np.concatenate([w.ravel() for w in ae.parameters().values()])
every = comm.gather(mine.tobytes())
if alone is not None:
    assert len(set(every)) == 1
    one = np.concatenate([w.ravel() for w in alone.parameters().values()])
    print(abs(one - mine).max())
    curves = alone.history_, ae.history_
    print(max(abs(a - b) for n in ("loss", "val_loss") for a, b in zip(*(c[n] for c in curves))))
"""
    )
    done = program(2, text)
    assert done.returncode == 0, done.stderr
    assert all(float(found) < 1e-12 for found in done.stdout.split())
    assert len(done.stdout.split()) == 2


@needs_mpi
def test_what_devices_do_not_share_is_refused() -> None:
    text = (
        SHARED
        + """
from tinyae import DenoisingAutoencoder
devices.DEVICES["numpy"] = ByMpi
kinds = {"code_noise": 0.1}, {"rows": "local"}
for given in kinds:
    how = {"rows": given.pop("rows", "global")}
    try:
        made(**given).fit(X, comm=comm, **how)
    except ValueError as error:
        say(error)
"""
    )
    done = program(2, text)
    assert done.stdout.count("a step's random numbers are for ranks of MPI on CPUs") == 2, done
    assert done.stdout.count("rows of which each rank has its own are for ranks of MPI on") == 2


class Comm:
    """Of one rank, which is told what the others say."""

    def __init__(self, rank: int, said: Any = None) -> None:
        self.rank, self.size, self.said = rank, 2, said

    def bcast(self, value: Any) -> Any:
        return self.said if value is None else value

    def allgather(self, value: Any) -> list[Any]:
        return [self.said, value] if self.rank else [value, self.said]


def double(monkeypatch: pytest.MonkeyPatch, **runtime: Any) -> list[Any]:
    """What is called of CuPy."""
    calls: list[Any] = []

    class NcclCommunicator:
        def __init__(self, *arguments: Any) -> None:
            calls.append(("communicator", *arguments))

        def allReduce(self, *arguments: Any) -> None:
            calls.append(("all_reduce", *arguments))

        def destroy(self) -> None:
            calls.append(("destroy",))

    nccl = SimpleNamespace(
        NCCL_SUM=0, NCCL_FLOAT32=7, NCCL_FLOAT64=8, get_unique_id=lambda: ("id",),
        NcclCommunicator=NcclCommunicator,
    )  # fmt: skip
    streams = iter([SimpleNamespace(ptr=p, synchronize=lambda: None) for p in (111, 222, 333)])
    cuda = SimpleNamespace(
        nccl=nccl, runtime=SimpleNamespace(**runtime), get_current_stream=lambda: next(streams)
    )
    for name, module in (("cupy", SimpleNamespace(cuda=cuda)), ("cupy.cuda", cuda)):
        monkeypatch.setitem(sys.modules, name, module)
    return calls


@pytest.mark.parametrize("rank", (0, 1))
def test_counts_types_and_streams(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    """Of a capture the current stream is another: it is asked for at each sum."""
    calls = double(monkeypatch)
    nccl = Nccl(Comm(rank, ("id",)))
    for dtype, size, place in (("float32", 10, 1000), ("float64", 2, 2000)):
        array, out = (
            SimpleNamespace(data=SimpleNamespace(ptr=p), size=size, dtype=np.dtype(dtype))
            for p in (place, place + 500)
        )
        nccl.all_reduce(array, out)
    nccl.close()
    assert calls == [
        ("communicator", 2, ("id",), rank),
        ("all_reduce", 1000, 1500, 10, 7, 0, 111),
        ("all_reduce", 2000, 2500, 2, 8, 0, 222),
        ("destroy",),
    ]


@pytest.mark.parametrize(
    ("count", "bus", "other", "chosen"),
    [(4, "3", "2", 1), (1, "5", "4", 0), (1, "4", "4", None)],
)
def test_a_gpu_for_each_rank(
    monkeypatch: pytest.MonkeyPatch, count: int, bus: str, other: str, chosen: int | None
) -> None:
    """Where a launcher shows all to each, or each its own; two ranks on one are refused."""
    current: list[int] = []
    double(
        monkeypatch, getDeviceCount=lambda: count, setDevice=current.append,
        getDevice=lambda: current[-1], deviceGetPCIBusId=lambda device: bus,
    )  # fmt: skip
    if chosen is None:
        with pytest.raises(RuntimeError, match="2 ranks have 1: start one per GPU"):
            take_gpu(Comm(1, True), Comm(1, other))
        return
    take_gpu(Comm(1, True), Comm(1, other))
    assert current == [chosen]


class Request:
    def Test(self) -> bool:
        return True


def test_a_signal_counts_on_all_ranks_after_the_same_step() -> None:
    class Asked(Comm):
        def Iallgather(self, told: Any, heard: Any) -> Request:
            heard[:] = told[0], False
            return Request()

    interrupt = LateInterrupt(Asked(0))
    interrupt._handle(2, None)
    assert [interrupt.requested for _ in range(HEED + 1)] == [False] * (HEED - 1) + [True] * 2
