"""Commands under mpirun or srun: the first process runs them, the others train with it.

All that is printed and written is the first one's business. Where it trains into a run folder it
tells the others to open their data and to call ``fit`` as it does. Commands of which each process
does a part (``alike``) are run by all of them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...data.datasets import Dataset
from ...kernels.cpu import cores
from ...parallel import launch
from ..options import UsageError
from . import together
from .data import open_data
from .training import autoencoder


def quiet() -> bool:
    """Whether another process does the talking."""
    return launch.started()[1] > 0


def run(command: Callable[[argparse.Namespace], None], given: argparse.Namespace) -> None:
    """``command``, by all processes that were started.

    Raises UsageError for one that is the work of one process, and RuntimeError where processes
    cannot talk to each other.
    """
    size, rank, local = launch.started()
    if size == 1:
        command(given)
        return
    if getattr(given, "alike", False):
        launch.world()
        number, origin = cores.threads()
        if not origin.endswith("_NUM_THREADS"):
            os.environ[cores.VARIABLE] = str(max(1, number // local))
        command(given)
        return
    if not getattr(given, "together", False):
        raise UsageError(
            f"{size} processes were started by mpirun or srun, and this command is the work of "
            "one: start it without. train, sweep, evaluate, outliers, encode, reconstruct, impute "
            "and doctor can be started by mpirun"
        )
    launch.world()
    if rank == 0:
        try:
            command(given)
        finally:
            launch.tell(None)
        return
    others = Follower()
    while (job := launch.heard()) is not None:
        name, *arguments = job
        with suppress(Exception, KeyboardInterrupt):  # the first one has it too, and says so
            getattr(others, name)(*arguments)


class Follower:
    """What the others do while the first process trains into a folder, by the name of the job."""

    data: Mapping[str, Any]
    dataset: Dataset

    def open(self, data: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        self.data, self.dataset = data, launch.ready(lambda: _opened(data, expected))

    def plan(self, model: Mapping[str, Any]) -> None:
        ae = launch.ready(lambda: autoencoder(model, self.dataset))
        ae.plan(self.dataset.train, **self._how())

    def train(self, model: Mapping[str, Any], checkpoint: Path, resume: bool) -> None:
        ae = launch.ready(lambda: autoencoder(model, self.dataset))
        ae.fit(self.dataset.train, checkpoint=checkpoint, resume=resume, **self._how())

    def _how(self) -> dict[str, Any]:
        local = together.is_local(self.data)
        return {"comm": launch.world(), "rows": "local" if local else "global"}


def _opened(data: Mapping[str, Any], expected: Mapping[str, Any]) -> Dataset:
    """Its data set; raises UsageError where it is not like that of the first process."""
    dataset = open_data(data)
    together.expect_alike(dataset, expected, together.is_local(data))
    return dataset
