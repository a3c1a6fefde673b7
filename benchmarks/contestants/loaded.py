"""What every contestant offers once it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import gpu_timing, timing
from benchmarks.cases import nets
from benchmarks.cases.cases import Arguments, Case
from benchmarks.cases.random_cases import check_distribution
from benchmarks.timing import Call

# Raises AssertionError for a wrong result; gives the error of a product (see ``dense_cases``).
Check = Callable[[], float | None]


@dataclass
class StepRun:
    """A training step: ``run`` does one, on data in the contestant's memory."""

    run: Call
    # after the first: (mean loss, first moments (of w, of b) of each layer)
    results: Callable[[], tuple[float, list[tuple[Any, Any]]]]


class Loaded:
    """A contestant on the CPU, on NumPy arrays; what differs is overridden."""

    device = "cpu"
    note = ""
    bare = False  # products alone: no bias, no activation, no db
    exact = True  # draws the random numbers that tinyae defines, not some of its own
    matmul = "fp32"  # of conventions.MATMULS: how far a product may be off
    cuda: Any = None  # cupy.cuda where events time it

    def to_device(self, host: Any) -> Any:
        return host.copy()

    def to_host(self, array: Any) -> Any:
        return array.copy()

    def synchronize(self) -> None: ...

    def threads(self) -> int | None:
        """CPU threads, where they are what does the work."""
        return None

    def op(self, name: str) -> Callable[..., Any]:
        raise NotImplementedError

    def step(self, net: str, batch: int) -> StepRun:
        raise NotImplementedError

    def part(self, op: str, net: str, batch: int) -> tuple[Call, Call]:
        """(one operation of a step, all its layers; its check)"""
        raise NotImplementedError

    def epoch(self, op: str, net: str, batch: int, quick: bool) -> Callable[[], float]:
        """An epoch of training, which gives its mean loss."""
        raise NotImplementedError

    def weights(self, net: str) -> list[tuple[Any, Any]]:
        """(w, b) of each layer that ``chain`` computes with."""
        return nets.weights(net)

    def chain(self, op: str, net: str, x: Any) -> Callable[[], Any]:
        """``encode`` or ``reconstruct`` of the net for these float32 samples (n, n_features), with
        a sigmoid after the last layer; its result lies on the host."""
        raise NotImplementedError

    def capture(self) -> Callable[[Call], Call] | None:
        """Records what a call launches, to be replayed; None where that cannot be."""
        return None

    # ---- timing

    def measure(
        self, benchmark: Any, calls: list[Call], seconds: float, capture: bool = False
    ) -> None:
        """Times calls, which take turns."""
        if self.cuda is None:
            timing.measure(benchmark, timing.in_turn(calls), seconds)
        else:
            # the fixture takes its clock from a marker, before it is known where the case runs
            benchmark._timer = timer = gpu_timing.EventTimer(self.cuda)
            recorder = self.capture() if capture else None
            gpu_timing.measure(benchmark, calls, timer, seconds, recorder)

    def sets(self, bytes_per_call: float) -> int:
        """How many sets of arrays take turns: on a GPU so many that the cache holds none."""
        if self.cuda is None:
            return 1
        properties = self.cuda.runtime.getDeviceProperties(self.cuda.runtime.getDevice())
        return gpu_timing.buffers(bytes_per_call, int(properties["l2CacheSize"]))

    # ---- one operation

    def prepared(
        self, case: Case, rng: np.random.Generator, sets: int | None = None
    ) -> tuple[list[Call], Check]:
        """(calls on sets of arrays that take turns, the check of the first call)."""
        assert case.make is not None and case.check is not None
        given = bare(case.op, case.make(rng)) if self.bare else case.make(rng)
        op = self.op(case.op)
        moved = [self._moved(given) for _ in range(sets or self.sets(case.counts.bytes))]
        calls = [lambda m=m: op(**m) for m in moved]

        def check() -> float | None:
            calls[0]()
            outputs = [o for o in case.outputs if not (self.bare and o == "db")]
            for name, value in given.items():
                if isinstance(value, np.ndarray) and name not in case.outputs:
                    after = np.asarray(self.to_host(moved[0][name]))
                    if after.tobytes() != value.tobytes():
                        raise AssertionError(f"it has changed its input {name}")
            right = case.check if self.exact or "random" not in case.op else check_distribution
            assert right is not None
            how = {"matmul": self.matmul} if case.multiplies else {}
            return right(given, {name: self.to_host(moved[0][name]) for name in outputs}, **how)

        return calls, check

    def _moved(self, given: Arguments) -> Arguments:
        return {
            name: self.to_device(value) if isinstance(value, np.ndarray) else value
            for name, value in given.items()
        }


def bare(op: str, given: Arguments) -> Arguments:
    """The same problem as a product alone: bias zero, no activation."""
    if op == "dense_forward":
        return {**given, "b": np.zeros_like(given["b"]), "activation": "identity"}
    if op == "dense_backward_input":
        return {**given, "activation": "identity"}
    return given
