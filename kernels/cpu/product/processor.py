"""Whether this process may multiply on AMX (``amx``), and whether that comes out right."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
from typing import Any

import numpy as np
from numba.core.registry import cpu_target

from ..pieces import Kernel
from ..threads import available, launch
from . import amx
from .matmul import product, room_size

VARIABLE = "TINYAE_AMX"
FEATURES = "amx-tile", "amx-bf16"
# Linux's names for what a process asks for: <asm/prctl.h>, and the number of the call
ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18

SIZES = 69, 500, 99  # of the test's product: edges, and two pieces of the depth
# Roundings that a product of SIZES may pass through: 16 sums and one more in an instruction, six
# instructions for each of eight steps of the depth, the sum of two pieces, and what is left out.
ROUNDINGS = 16 + 1 + 6 * 8 + 1 + 4


def absent(target: str | None = None) -> str:
    """What AMX needs and is not here, "" where all is. ``target``: Numba's list of features."""
    if os.environ.get(VARIABLE) == "0":
        return f"{VARIABLE}=0 turns AMX off"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"AMX is used on Linux on x86-64, and this is {sys.platform} on {platform.machine()}"
    if target is None:  # not the processor's: LLVM ends the process where it may not use them
        target = cpu_target.target_context.codegen().magic_tuple()[2]
    if missing := [name for name in FEATURES if f"+{name}" not in target.split(",")]:
        return f"the processor, or Numba's target, lacks {' and '.join(missing)}"
    # once, for all threads; refused before Linux 5.16, and while a thread's stack for signals is
    # too small for the tiles
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA):
        return f"Linux refuses the tiles' registers ({os.strerror(ctypes.get_errno())})"
    return ""


@functools.cache
def lacking() -> str:
    """Why products are not made on AMX, "" where they are: asked, and tested, once a process."""
    return absent() or wrong(amx.link())


@Kernel
def _multiply(at: Any, _: int, t: int, threads: int) -> None:
    a, a_row, a_column, b, b_row, b_column, c, m, n, depth, by, room = at[0]
    product(
        by, a, 0, a_row, a_column, b, 0, b_row, b_column, c[t], 0, n, m, n, depth, False, room[t]
    )


def wrong(by: int) -> str:
    """How the product at this address differs from float64's, "" where it does not: both factors
    as they lie and transposed, on every thread."""
    (m, depth, n), threads = SIZES, available()
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s, np.float32) for s in ((m, depth), (depth, n)))
    exact, size = np.float64(a) @ b, np.abs(a).astype(np.float64) @ np.abs(b)
    room = np.empty((threads, room_size(4, by)), np.float32)
    for left in (a, a.T.copy().T):
        for right in (b, b.T.copy().T):
            c = np.full((threads, m * n), np.nan, np.float32)
            factors: list[Any] = []
            for x in (left, right):
                flat = (x if x.flags.c_contiguous else x.T).reshape(-1)
                factors += flat, *(s // x.itemsize for s in x.strides)
            launch(_multiply, *factors, c, m, n, depth, by, room, threads=threads)
            errors = np.abs(c.reshape(threads, m, n) - exact) / size * 2**24
            if not errors.max() <= ROUNDINGS:  # nor where it is NaN
                return (
                    f"a product on AMX is off by {errors.max():.3g} roundings, and may be by "
                    f"{ROUNDINGS}: please report it"
                )
    return ""
