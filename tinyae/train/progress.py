"""What training, and other work that takes long, reports while it runs."""

from __future__ import annotations

import math
import shutil
import sys
import threading
import time
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
    samples_per_second: float  # NaN, as the next, until a step is timed; the first one compiles
    seconds_left: float
    metrics: dict[str, float] = field(default_factory=dict)


Callback = Callable[[Progress], object]


def epoch_line(p: Progress) -> str:
    """``epoch  3/20  loss 91.3042  val_loss 92.1  12,345 samples/s  1:05 left``"""
    width = len(str(p.epochs))
    shown = [] if p.metrics else [f"step {p.step:,}/{p.steps:,}"]
    shown += [f"{k} {v:.6g}" for k, v in p.metrics.items() if k not in ("seconds", "learning_rate")]
    return "  ".join([f"epoch {p.epoch:{width}}/{p.epochs}", *shown, *_pace(p)])


def _pace(p: Progress) -> list[str]:
    """Speed and time left, once they are known."""
    if math.isnan(p.samples_per_second):
        return []
    return [f"{p.samples_per_second:,.0f} samples/s", f"{clock(p.seconds_left)} left"]


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def print_epochs(p: Progress, file: IO[str] | None = None) -> None:
    """A callback: one line per epoch."""
    if p.metrics:
        with suppress(OSError):  # a reader that has gone ends no training
            print(epoch_line(p), file=file or sys.stdout, flush=True)


class Lines:
    """A callback: a line for each of so many epochs, and one where there was none for a while."""

    def __init__(self, file: IO[str], epochs: int = 1, seconds: float = 5.0) -> None:
        self._file, self._epochs, self._seconds = file, epochs, seconds
        self._last = time.perf_counter()

    def __call__(self, p: Progress) -> None:
        now = time.perf_counter()
        due = p.metrics and (p.epoch % self._epochs == 0 or p.epoch == p.epochs)
        if due or now - self._last >= self._seconds:
            self._last = now
            print(epoch_line(p), file=self._file, flush=True)


class Waiting:
    """While a ``with`` block lasts: what it does, for how long and, once it reports, how long yet.

    Calling it reports. Nothing is said in the first second. From then on a terminal shows a line,
    which is gone in the end; elsewhere a line is printed now, another when five times as long has
    passed, and so on. ``left`` is "at most" where fewer steps may do than are reported.
    """

    def __init__(
        self, what: str, left: str = "about", file: IO[str] | None = None, first: float = 1.0
    ) -> None:
        self._what, self._left, self._first = what, left, first
        self._file = sys.stderr if file is None else file
        self._share = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Waiting:
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def __call__(self, done: int, total: int) -> None:
        self._share = done / total if 0 < done <= total else 0.0  # a pipe has no size

    def line(self, seconds: float) -> str:
        """``reading samples.csv: 0:12, about 0:30 left``, after so many seconds."""
        left = seconds / self._share - seconds if self._share else None
        end = "" if left is None else f", {self._left} {clock(left)} left"
        return f"{self._what}: {clock(seconds)}{end}"

    def _tell(self) -> None:
        terminal, pause = self._file.isatty(), self._first
        wipe = ""
        while not self._over.wait(pause):
            seconds = time.perf_counter() - self._started
            if terminal:
                wipe = "\r\x1b[K"
                width = shutil.get_terminal_size().columns - 1
                print(wipe + self.line(seconds)[:width], end="", file=self._file, flush=True)
            else:
                print(f"tinyae: {self.line(seconds)}", file=self._file, flush=True)
            pause = self._first if terminal else 4 * seconds
        print(wipe, end="", file=self._file, flush=True)


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
                bar_format="{percentage:3.0f}% |{bar:30}| {desc}",
            )
        self._bar.set_description_str(
            ", ".join([f"epoch {p.epoch}/{p.epochs}", *_pace(p)]), refresh=False
        )
        self._bar.n = (p.epoch - 1) * p.steps + p.step
        self._bar.update(0)
        if p.metrics:
            self._bar.write(epoch_line(p), file=self._file)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
