"""Numba compiles every kernel of the numba-cuda column, as it is launched, without a GPU.

The launchers run with a ``launch`` that writes down the kernel and the types of its arguments. Each
becomes PTX for four compute capabilities, which NVIDIA's linker assembles and reports on.
"""

from __future__ import annotations

import ast
import importlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.kernels.calls import OPS, arguments
from tests.reference import operation
from tinyae.kernels import cuda_python
from tinyae.kernels.conventions import MOMENTS
from tinyae.kernels.cuda.plan import TILES

try:
    import numba_cuda as _  # noqa: F401  it takes the place of numba.cuda
    from cuda.bindings import nvjitlink
except ImportError as error:
    pytest.skip(f'{error}: pip install "tinyae[numba-cuda13]"', allow_module_level=True)

FILES = [path for path in sorted(Path(cuda_python.__file__).parent.glob("*.py"))
         if path.stem not in ("__init__", "target")]  # fmt: skip
MODULES = {path.stem: importlib.import_module(f"tinyae.kernels.cuda_python.{path.stem}")
           for path in FILES}  # fmt: skip

REALS = ("float32", "float64")
OTHERS = ((7, 5), (8, 0), (12, 0))  # Turing, Ampere, Blackwell
HOPPER = (9, 0)

# What a float32 kernel does in float64: it reads numbers that are the same for all elements, tests
# whether the loss is finite, and sums losses and squares.
READ, TEST, SUM = {"ld", "cvt"}, {"abs", "setp"}, {"add", "mov", "st"}
IN_FLOAT64 = {
    **dict.fromkeys(
        ("gather_kernel", "uniform_kernel", "normal_kernel", "add_normal_kernel"), READ
    ),
    **dict.fromkeys(("sgd_kernel", "momentum_kernel", "nesterov_kernel"), READ | TEST),
    "adam_kernel": READ | TEST | {"div", "sub", "mov"},  # lr / correction1, 1 - beta
    "adamw_kernel": READ | TEST | {"div", "sub", "mov", "mul"},  # and lr decay
    "loss_elements": READ | SUM | {"rcp"},  # 1 / batch
    "loss_totals": READ | SUM,
    "softmax_groups": READ | SUM | {"rcp", "selp"},  # 1 / batch; NaN where there is no group
    "added_total": READ | SUM,
    "inner_products": READ | SUM | {"mul"},  # weight times the sum
    "normal_divergences": READ | SUM | {"div", "mul"},  # weight / batch; times the sum
    "penalties": READ | SUM | {"div", "mul"},  # weight / batch, a column's mean; times the sum
    "norm_parts": READ | SUM | {"fma"},
    "norm_total": READ | SUM | {"sqrt"},
    "unit_rows_kernel": READ | TEST | SUM | {"fma", "rcp", "sqrt"},
    "clip_to_norm": READ | TEST | {"div"},  # max_norm / norm
}

# Instructions per multiply-add, at most, in the loop along k of the products: fetching, storing and
# the reads of shared memory included, but no tests for negative indices
PER_MULTIPLY_ADD = {
    **{f"dense_{what}_{tile}": most for what in ("forward", "backward_input", "backward_weights")
       for tile, most in (("32x32", 5), ("32x64", 4), ("64x64", 3), ("128x128", 2))},
    "matmul_4_registers_1d": 3, "matmul_5_registers_2d": 2, "matmul_7_double_buffer": 2,
}  # fmt: skip

WITH_BARRIERS = {
    *(f"dense_{what}_{rows}x{columns}" for rows, columns in TILES
      for what in ("forward", "backward_input", "backward_weights")),
    "loss_elements", "loss_totals", "softmax_groups", "normal_divergences", "inner_products",
    "added_total", "norm_parts", "norm_total", "unit_rows_kernel", "top_k_kernel", "penalties",
    "permutation_kernel",
    "matmul_3_shared", "matmul_4_registers_1d", "matmul_5_registers_2d", "matmul_7_double_buffer",
}  # fmt: skip


@dataclass(frozen=True)
class Launch:
    """A kernel as it is launched."""

    module: str
    kernel: Any
    types: tuple[Any, ...]
    dtype: str  # that it computes in
    threads: int

    @property
    def name(self) -> str:
        return str(self.kernel.__name__)

    def __str__(self) -> str:
        types = ", ".join(map(str, self.types)).replace(", C)", ")")
        return f"{self.module}: {self.name}({types})"


def call_all(dtype: str) -> None:
    """Every launcher in every way that changes its kernels or their types."""
    get = SimpleNamespace(**MODULES)
    owners = (get.activation, get.fill, get.gather, get.loss, get.random, get.update)
    for op in (op for op in OPS if op != "write"):
        given = arguments(op, dtype, 5, 5, 5)  # sums of 5: in two parts
        if op.startswith("dense"):
            for tile in TILES:
                getattr(get.dense.DenseKernels(tile, splits=2), op)(**given)
            continue
        owner = next(o for o in owners if hasattr(o, "update" if op in MOMENTS else op))
        for data in ("uint8", "float32", "float64") if op == "gather" else ("",):
            if data:
                given["data"] = given["data"].astype(data)
            operation(owner, op)(**given)
        if op == "sample_normal":
            owner.sample_normal(**{**given, "state": None})
    for rung in get.ladder.RUNGS:
        get.ladder.matmul(rung, *np.ones((3, 5, 5), dtype))


def launches(dtype: str) -> list[Launch]:
    """What ``call_all`` launches, in order."""
    found: dict[tuple[Any, ...], Launch] = {}

    def write_down(module: str) -> Callable[..., None]:
        def launch(kernel: Any, grid: Any, block: Any, *args: Any) -> None:
            types = tuple(map(kernel.typeof_pyval, args))  # as a launch does
            found[kernel, types] = Launch(module, kernel, types, dtype, math.prod(block))

        return launch

    with pytest.MonkeyPatch.context() as patch:
        for name, module in MODULES.items():
            for what, instead in {
                "launch": write_down(name),
                "scratch": lambda shape, dtype, slot=0: np.empty(shape, dtype),
                "CudaArray": np.ndarray,
            }.items():
                if hasattr(module, what):
                    patch.setattr(module, what, instead)
        call_all(dtype)
    return list(found.values())


LAUNCHES = [launch for dtype in REALS for launch in launches(dtype)]


@dataclass(frozen=True)
class Code:
    """A kernel compiled for one architecture, and what the assembler says of it."""

    ptx: str
    target: str
    registers: int
    stack: int
    spills: int
    shared: int

    def instructions(self, what: str) -> list[str]:
        """Those that match, e.g. "add.f64"; a predicate before them left out."""
        return re.findall(rf"^\s+(?:@!?%p\d+\s+)?({what})\b", self.ptx, re.MULTILINE)


def compiled(launch: Launch, cc: tuple[int, int]) -> Code:
    """As at a launch, but for the link-time optimisation, which finds nothing more to do."""
    from numba import cuda
    from numba.cuda import dispatcher

    with pytest.MonkeyPatch.context() as patch:  # device functions ask for it
        device = SimpleNamespace(compute_capability=cc)
        patch.setattr(dispatcher, "get_current_device", lambda: device)
        bounds = launch.kernel.targetoptions["launch_bounds"]
        ptx, _ = cuda.compile_ptx(launch.kernel.py_func, launch.types, cc=cc, launch_bounds=bounds)
    target = "sm_{}{}".format(*cc)
    log = assembled(ptx, target)
    stack, stores, loads = map(int, re.search(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log
    ).groups())  # fmt: skip
    registers, shared = map(
        int, re.search(r"used (\d+) registers.* (\d+) bytes smem", log).groups()
    )
    return Code(ptx, target, registers, stack, stores + loads, shared)


def assembled(ptx: str, target: str) -> str:
    """The log of NVIDIA's assembler; raises what it finds wrong."""
    options, code = [f"-arch={target}", "-verbose"], ptx.encode()
    linker = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, code, len(code), "kernel")
        nvjitlink.complete(linker)
        log = bytearray(nvjitlink.get_info_log_size(linker))
        nvjitlink.get_info_log(linker, log)
    finally:
        nvjitlink.destroy(linker)
    return log.decode()


def test_every_kernel_is_launched_above() -> None:
    """A new kernel fails here until ``call_all`` comes to it."""
    launched = {launch.kernel.py_func.__name__ for launch in LAUNCHES}
    decorated = {
        function.name
        for path in FILES
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        and any(ast.unparse(d).partition("(")[0] in ("kernel", "bounded")
                for d in function.decorator_list)
    }  # fmt: skip
    assert decorated == launched


# A sample without the marker: the products of one tile, in float32
SAMPLED = [
    pytest.param(launch, marks=() if launch.name.endswith("_64x64") and launch.dtype == "float32"
                 else pytest.mark.slow)
    for launch in LAUNCHES
]  # fmt: skip


@pytest.mark.parametrize("launch", SAMPLED, ids=str)
def test_for_hopper(launch: Launch) -> None:
    code = compiled(launch, HOPPER)
    assert f".target {code.target}" in code.ptx
    assert code.ptx.count(".entry") == 1
    assert code.ptx.count(f".maxntid {launch.threads}") == 1
    assert not code.instructions(r"call[.\w]*"), "a function that is not part of the kernel"
    assert ".local" not in code.ptx and code.stack == 0, "what should be registers is memory"
    assert code.spills == 0
    assert code.shared <= 48 * 1024
    assert bool(code.instructions(r"bar\.sync|barrier\.sync")) == (launch.name in WITH_BARRIERS)
    if launch.name in PER_MULTIPLY_ADD:
        _, step, *_ = code.ptx.split("bar.sync")
        lines = re.findall(r"^\t.*;$", step, re.MULTILINE)
        fused = sum("fma.rn" in line for line in lines)
        assert len(lines) <= PER_MULTIPLY_ADD[launch.name] * fused
    if launch.name == "norm_parts":
        assert not code.instructions(r"mul\.f32"), "squares of float32 overflow"
    if launch.dtype == "float32":
        used = {name for name, _ in map(split, code.instructions(r"\w+(?:\.\w+)*\.f64"))}
        allowed = IN_FLOAT64.get(launch.name, set())
        assert used <= allowed, f"float64 in a float32 kernel: {sorted(used - allowed)}"


def split(instruction: str) -> tuple[str, str]:
    name, _, rest = instruction.partition(".")
    return name, rest


@pytest.mark.slow
@pytest.mark.parametrize("cc", OTHERS, ids=str)
@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_for_others(launch: Launch, cc: tuple[int, int]) -> None:
    code = compiled(launch, cc)
    assert f".target {code.target}" in code.ptx
    assert ".local" not in code.ptx and code.stack == 0 and code.spills == 0
