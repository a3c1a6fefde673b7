"""A kernel that is wrong by one instruction does not pass: an error or a wrong result, in the lock
step of all warps or in another order of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.kernels.cuda_ptx.test_runner import product
from tinyae.kernels.cuda.dense import DenseKernels
from tinyae.kernels.cuda_ptx.parse import Instruction, Kernel, PtxError, register_names
from tinyae.kernels.cuda_ptx.runner import PtxRunner

Change = Callable[[Instruction], Instruction]

PRODUCTS = ("dense_forward", "dense_backward_input", "dense_backward_weights")


def found(file: str, matmul: str, change: Change, chosen: Callable[[Instruction], bool],
          which: int, splits: int = 1) -> bool:  # fmt: skip
    """Whether it is noticed that the ``which``-th of the chosen instructions is changed."""
    for order in (None, "reverse"):
        runner = PtxRunner(90, order)
        runner.limit = 40_000
        kernels = runner.ptx(file, "float32")
        for name in PRODUCTS[: 3 if splits == 1 else 2]:  # another kernel adds up the third's parts
            mutate(kernels[f"{name}_32x32"], change, chosen, which)
        dense = DenseKernels(runner, tile=(32, 32), matmul=matmul, short=1, splits=splits)
        try:
            if not product(dense, "float32", (40, 68, 36), 0) < (4 if matmul == "fp32" else 4096):
                return True
        except PtxError:
            return True
    return False


def mutate(
    kernel: Kernel, change: Change, chosen: Callable[[Instruction], bool], which: int
) -> None:
    """In a copy, for kernels are shared."""
    at = [k for k, i in enumerate(kernel.instructions) if chosen(i)]
    kernel.instructions[at[which]] = change(kernel.instructions[at[which]])


def one_more(i: Instruction) -> Instruction:
    return replace(i, operands=(str(int(i.operands[0]) + 1),))


def nothing(i: Instruction) -> Instruction:
    return replace(i, opcode="membar", modifiers=("cta",), operands=())


def exchanged(i: Instruction) -> Instruction:
    a = register_names(i.operands[1])
    swapped = "{" + ", ".join((a[1], a[0], *a[2:])) + "}"
    return replace(i, operands=(i.operands[0], swapped, *i.operands[2:]))


def inverted(i: Instruction) -> Instruction:
    return replace(i, negated=not i.negated)


def test_without_a_change_nothing_is_found() -> None:
    assert not found("dense.cu", "fp32", lambda i: i, lambda i: True, 0)
    assert not found("dense_tf32.cu", "tf32", lambda i: i, lambda i: True, 0)


def test_a_copy_that_is_not_waited_for_is_found() -> None:
    waits = lambda i: i.opcode == "cp" and i.has("wait_group")  # noqa: E731
    assert found("dense.cu", "fp32", one_more, waits, 0)


@pytest.mark.parametrize(("which", "splits"), [(0, 1), (1, 1), (-1, 2)])
def test_a_missing_barrier_is_found(which: int, splits: int) -> None:
    """In the loop, behind it, and before all of a block ask whether it is the last one."""
    barriers = lambda i: i.opcode == "bar" and not i.has("warp")  # noqa: E731
    assert found("dense.cu", "fp32", nothing, barriers, which, splits)


@pytest.mark.parametrize("which", (0, -1))
def test_two_exchanged_registers_of_a_fragment_are_found(which: int) -> None:
    assert found("dense_tf32.cu", "tf32", exchanged, lambda i: i.opcode == "mma", which)


@pytest.mark.parametrize("which", (0, -1))
def test_an_inverted_predicate_is_found(which: int) -> None:
    assert found("dense.cu", "fp32", inverted, lambda i: bool(i.guard), which)
