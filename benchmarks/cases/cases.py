"""What is measured: the cases of each suite, and which of them are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases.counts import Counts
from benchmarks.cases.nets import BATCHES, NETS

DTYPE = "float32"  # of every figure

Arguments = dict[str, Any]  # of an operation, by name; arrays lie in host memory

GROUPS = {
    "dense": ("dense_forward", "dense_backward_input", "dense_backward_weights"),
    "activation": ("activation_forward", "activation_backward"),
    "loss": ("loss",),
    "update": ("sgd", "momentum", "nesterov", "adam", "adamw", "clip_by_norm"),
    "random": ("random_bits", "random_uniform", "random_normal", "add_normal",
               "random_bernoulli", "random_permutation"),
    "gather": ("gather",),
    "ladder": ("ladder",),
    "step": ("step",),
    "epoch": ("epoch",),
    "transfer": ("transfer",),
    "latency": ("encode", "reconstruct"),
}  # fmt: skip
SECONDS, QUICK_SECONDS = 0.4, 0.05
SUITES = ("kernel", "ladder", "step", "epoch", "transfer", "latency")


@dataclass(frozen=True)
class Options:
    """What is asked for; what is empty stands for the usual."""

    only: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    nets: tuple[str, ...] = ()
    quick: bool = False
    seconds: float = SECONDS  # of timing, for each case in each pass

    def __post_init__(self) -> None:
        known = {*GROUPS, *(op for ops in GROUPS.values() for op in ops)}
        for name in self.only:
            if name not in known:
                raise ValueError(f"--only must be of {', '.join(sorted(known))}, got {name!r}")
        for name in self.nets:
            if name not in NETS:
                raise ValueError(f"--nets must be of {', '.join(NETS)}, got {name!r}")
        for what, numbers in (("sizes", self.sizes), ("batches", self.batches)):
            if any(n < 1 for n in numbers):
                raise ValueError(f"--{what} must be integers >= 1, got {min(numbers)}")
        if not self.seconds > 0:
            raise ValueError(f"--seconds must be > 0, got {self.seconds}")

    def wants(self, op: str) -> bool:
        """Is this operation, or a group that it belongs to, asked for?"""
        groups = [group for group, ops in GROUPS.items() if op in ops]
        return not self.only or op in self.only or any(group in self.only for group in groups)

    def spares(self, op: str) -> bool:
        """--quick leaves it out, unless it is named."""
        return self.quick and op not in self.only

    @property
    def squares_alone(self) -> bool:
        """Sizes were given, and nothing that asks for the nets' own shapes."""
        return bool(self.sizes) and not (self.batches or self.nets)


@dataclass(frozen=True)
class Case:
    """One operation on one problem."""

    suite: str
    op: str
    case: str
    counts: Counts
    size: int | None = None
    net: str | None = None
    batch: int | None = None
    most: str = "cpu"  # "gpu": too large for patience on a CPU
    # of an operation of the contract
    make: Callable[[np.random.Generator], Arguments] | None = None
    outputs: tuple[str, ...] = ()
    check: Callable[..., float | None] | None = None  # (given, results)
    # ... which of a product takes one of conventions.MATMULS too, and returns its error
    multiplies: bool = False

    @property
    def id(self) -> str:
        return "-".join(part.replace(" ", "_") for part in (self.op, self.net, self.case) if part)


def select(suite: str, options: Options) -> list[Case]:
    """The cases of a suite that are asked for."""
    from benchmarks.cases import dense_cases, kernel_cases, latency_cases, net_cases

    makers: dict[str, Callable[[Options], list[Case]]] = {
        "kernel": kernel_cases.kernels,
        "ladder": dense_cases.ladder,
        "step": net_cases.steps,
        "epoch": net_cases.epochs,
        "transfer": net_cases.transfers,
        "latency": latency_cases.chains,
    }
    if suite in GROUPS and not any(map(options.wants, (suite, *GROUPS[suite]))):
        return []
    return makers[suite](options)


def batches(options: Options, usual: tuple[int, ...] = BATCHES) -> tuple[int, ...]:
    return options.batches or ((128,) if options.quick else usual)


def nets(options: Options) -> tuple[str, ...]:
    return options.nets or tuple(NETS)


def quick_nets(options: Options) -> tuple[str, ...]:
    """The nets of which --quick takes one."""
    return nets(options) if options.nets or not options.quick else ("deep",)


def data_rng() -> np.random.Generator:
    """What every case's data are drawn from."""
    return np.random.default_rng(4)
