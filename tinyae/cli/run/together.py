"""Commands under mpirun or srun: what the first process has the others do, and what they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...data.datasets import Dataset
from ...data.rows import Array, Rows
from ...estimator import Autoencoder
from ...families import PLAIN, made
from ...parallel import launch, local_rows, talk
from ...parallel.shares import share
from ...parallel.talk import agreed
from ...passes import BATCH
from ...train.checkpoint import fingerprint
from ..options import RANK, UsageError

T = TypeVar("T")


def is_local(data: Mapping[str, Any]) -> bool:
    """Whether each process reads a source of its own."""
    return RANK in data["source"] and not Path(data["source"]).exists()


def own_source(source: str) -> str:
    """What this process reads."""
    size, rank, _ = launch.started()
    if not is_local({"source": source}):
        return source
    if size == 1:
        raise UsageError(
            f"{source} names a file for each process of mpirun or srun, and this one was started "
            "alone: 'mpirun -n N tinyae evaluate RUN' reads all N files (train, outliers, encode, "
            "reconstruct and impute too), or name one file with --data"
        )
    if Path(more := source.replace(RANK, str(size))).exists():
        raise UsageError(
            f"--data {source} is read by {size} processes, and there is also {more}: start one "
            "process for each file"
        )
    return source.replace(RANK, str(rank))


def expect_shared(ae: Autoencoder, backend: str, data: Mapping[str, Any]) -> None:
    """Raises ValueError for training that several processes, if there are some, cannot share."""
    if launch.started()[0] == 1:
        return
    from ...parallel.work import expect_shared  # who trains alone needs none of it

    small = {"hidden": (), "decoder_hidden": None, "initializer": "random", "threads": None}
    sketch = made({**ae.get_params(), "family": ae.family or PLAIN, **small, "backend": "numpy"})
    sketch.initialize(1)
    terms = sketch._terms(sketch._params(), sketch._network, 0, 1)
    expect_shared(backend, terms, ae.code_noise not in (0, (0, 0)), is_local(data))


def opened_by_all(data: Mapping[str, Any], open_data: Callable[[Any], Any]) -> Any:
    """The data set, of which all processes now have theirs; a download is the first one's."""
    dataset = open_data(data)
    if launch.world() is not None:
        launch.tell(("open", data, facts(dataset)))
    return dataset


def facts(dataset: Dataset) -> dict[str, Any]:
    """What is the same in all processes where they read the same data; but for the samples where
    each reads its own."""
    return {
        "samples": fingerprint(dataset.train),
        **local_rows.facts(dataset.train, dataset.columns),
    }


def expect_alike(dataset: Dataset, expected: Mapping[str, Any], local: bool) -> None:
    """Raises UsageError where ``expected``, the facts of the first process, are not this one's."""
    own, rank = facts(dataset), launch.started()[1]
    if not local and own != expected:
        raise UsageError(
            f"all ranks must read the same data: {own} on rank {rank}, {expected} on rank 0"
        )
    try:
        if local:
            local_rows.expect_alike({**own, "samples": expected["samples"]}, expected, rank)
    except ValueError as error:
        raise UsageError(str(error)) from error


def joined(data: Mapping[str, Any], job: str, *arguments: Any) -> dict[str, Any]:
    """Has the others call ``fit`` or ``plan`` ("train", "plan"); with which arguments of theirs
    this process is to do so as well."""
    return {"comm": launch.tell((job, *arguments)), "rows": "local" if is_local(data) else "global"}


def first() -> bool:
    """Whether this process is the one that writes and prints."""
    return launch.started()[1] == 0


def by_all(do: Callable[[], T]) -> T:
    """``do()`` in every process; raises in all what it raises in one."""
    comm = launch.world()
    return do() if comm is None else agreed(comm, do)


def once(do: Callable[[], T]) -> T:
    """What ``do`` returns or raises in the first process, in all."""
    comm = launch.world()
    return do() if comm is None else talk.once(comm, do)


def of_all(rows: Rows, do: Callable[[Rows], T], local: bool) -> T:
    """``do`` of the rows of all processes, in all: once where each has the same ones."""
    comm = launch.world()
    if comm is None or not local:
        return once(lambda: do(rows))
    joined = local_rows.local_rows(comm, rows)
    return agreed(comm, lambda: do(joined))


def mean(rows: Rows, do: Callable[[Rows], Array], local: bool) -> Array:
    """``do(rows)`` (n_features,), means over samples, from those of each process's rows (see
    ``divided``): added up in the order of processes. The others get zeros."""
    if launch.world() is None:
        return do(rows)
    sums = divided(rows, lambda own: do(own)[None] * len(own), local)
    n = count(rows, local)
    return np.asarray(sums.sum(axis=0) / n) if first() else np.zeros(rows.shape[1])


def zero_units(ae: Autoencoder, rows: Rows, local: bool) -> dict[str, int]:
    """``ae.zero_units(rows)``, see ``divided``. The others get none."""
    if launch.world() is None:
        return ae.zero_units(rows)
    widths = {spec.name: spec.n_out for spec in ae._network.architecture.dense[:-1]}

    def part(own: Rows) -> Array:
        found = ae._zero_units(own)
        return np.concatenate([found.get(k, np.zeros(n, bool)) for k, n in widths.items()])[None]

    found = divided(rows, part, local)
    if not first():
        return {}
    names = np.array([name for name, width in widths.items() for _ in range(width)])
    return dict(Counter(names[found.all(axis=0)].tolist()))


def count(rows: Rows, local: bool) -> int:
    """How many rows all processes have."""
    return int(divided(rows, lambda own: np.array([len(own)]), local).sum())


def divided(rows: Rows, do: Callable[[Rows], Array], local: bool, grain: int = BATCH) -> Array:
    """``do(rows)``, an array with a row for each, of which each process makes a part: where its
    rows are not those of the others (``local``) of its own, in the order of the processes.

    ``grain``: so many at a time ``do`` computes, so that the bits are those of one process. All
    call it; the first one gets the whole, the others their part.
    """
    comm = launch.world()
    if comm is None:
        return do(rows)
    begin, end = (0, len(rows)) if local else share(len(rows), comm.rank, comm.size, grain)
    own = agreed(comm, lambda: do(rows.select(np.arange(begin, end))) if begin < end else None)
    every = comm.gather(own)
    if every is None:
        return np.empty(0) if own is None else own
    return np.concatenate([part for part in every if part is not None])
