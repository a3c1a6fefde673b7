"""What training reports while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any


@dataclass(frozen=True)
class Progress:
    """One report: after every step, and with ``metrics`` after every epoch.

    ``metrics`` holds the last entries of ``history_``; it is empty within an epoch.
    """

    epoch: int  # 1 .. epochs, the one under way or just ended
    epochs: int
    step: int  # 1 .. steps
    steps: int
    samples_per_second: float
    seconds_left: float
    metrics: dict[str, float] = field(default_factory=dict)


Callback = Callable[[Progress], object]


def epoch_line(p: Progress) -> str:
    """``epoch  3/20  loss 91.3042  val_loss 92.1  12,345 samples/s  1:05 left``"""
    width = len(str(p.epochs))
    shown = [f"{k} {v:.6g}" for k, v in p.metrics.items() if k not in ("seconds", "learning_rate")]
    return "  ".join(
        [f"epoch {p.epoch:{width}}/{p.epochs}", *shown, speed(p), f"{clock(p.seconds_left)} left"]
    )


def speed(p: Progress) -> str:
    return f"{p.samples_per_second:,.0f} samples/s"


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def print_epochs(p: Progress, file: IO[str] | None = None) -> None:
    """A callback: one line per epoch."""
    if p.metrics:
        with suppress(OSError):  # a reader that has gone ends no training
            print(epoch_line(p), file=file or sys.stdout, flush=True)


BAR_FORMAT = "{percentage:3.0f}% |{bar:30}| {desc}"  # of tqdm


class Bar:
    """A callback: a tqdm bar of all steps, with a line per epoch above it (extra: progress)."""

    def __init__(self, file: IO[str]) -> None:
        from tqdm import tqdm

        self._tqdm = tqdm
        self._file = file
        self._bar: Any = None

    def __call__(self, p: Progress) -> None:
        if self._bar is None:
            self._bar = self._tqdm(
                total=p.epochs * p.steps,
                initial=(p.epoch - 1) * p.steps + p.step - 1,
                unit="step",
                file=self._file,
                leave=False,
                bar_format=BAR_FORMAT,
            )
        self._bar.set_description_str(
            f"epoch {p.epoch}/{p.epochs}, {speed(p)}, {clock(p.seconds_left)} left", refresh=False
        )
        self._bar.n = (p.epoch - 1) * p.steps + p.step
        self._bar.update(0)
        if p.metrics:
            self._bar.write(epoch_line(p), file=self._file)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
