"""Memory: it goes to the backend and back, and operations allocate none."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.kernels.calls import OPS, RANDOM, arguments, on_device
from tests.reference import operation, poisoned
from tinyae.kernels.backend import Backend
from tinyae.kernels.conventions import ACTIVATIONS, LOSSES


@pytest.mark.parametrize("kind", ("float32", "float64", "uint8", "uint32", "int64", "bool"))
@pytest.mark.parametrize("shape", ((), (0,), (3,), (2, 0), (4, 5), (2, 3, 4)))
def test_memory_goes_there_and_back(backend: Backend, kind: str, shape: tuple[int, ...]) -> None:
    host = (np.arange(np.prod(shape, dtype=int)) % 3).astype(kind).reshape(shape)
    there = backend.to_device(host)
    assert there.shape == shape
    assert there.dtype == host.dtype
    assert there.flags["C_CONTIGUOUS"]
    back = backend.to_host(there)
    assert type(back) is np.ndarray
    assert back.dtype == host.dtype
    np.testing.assert_array_equal(back, host)

    empty = backend.empty(shape, kind)
    assert empty.shape == shape
    assert empty.dtype == host.dtype
    assert empty.flags["C_CONTIGUOUS"]
    backend.write(host, empty)
    backend.synchronize()
    np.testing.assert_array_equal(backend.to_host(empty), host)


def test_copies_are_independent(backend: Backend) -> None:
    host = np.arange(6.0).reshape(2, 3)
    there = backend.to_device(host)
    host[:] = -1
    back = backend.to_host(there)
    assert back[1, 2] == 5
    back[:] = -2
    again = backend.to_host(there)
    assert again[1, 2] == 5
    backend.write(host, there)
    host[:] = -3
    assert (backend.to_host(there) == -1).all()
    assert again[1, 2] == 5


def test_any_host_layout_is_accepted(backend: Backend) -> None:
    host = np.arange(24.0).reshape(4, 6)
    there = backend.empty((6, 4), "float64")
    for view in (host.T, host[::-1].T, np.repeat(host, 2, axis=0)[::2].T):
        np.testing.assert_array_equal(backend.to_host(backend.to_device(view)), view)
        backend.write(view, there)
        np.testing.assert_array_equal(backend.to_host(there), view)


# ---- nothing is allocated


def peak_of_second_call(function: Callable[[], None]) -> int:
    """Bytes of host memory beyond what was held before; the first call makes scratch memory."""
    function()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_allocations_are_seen() -> None:
    assert peak_of_second_call(lambda: np.zeros(10**6).fill(1)) >= 8 * 10**6


def big_call(backend: Backend, op: str, dtype: str, fixed: dict[str, Any]) -> int:
    """An op's peak on arrays of 512 x 640 or 640 x 640: 1.3 MB at least."""
    arrays = arguments(op, dtype, batch=512, n_in=640, n_out=640)
    moved = on_device(backend, op, {**arrays, **fixed})
    return peak_of_second_call(lambda: operation(backend, op)(**moved))


VARIANTS = [
    *(
        (op, {"activation": name})
        for op in ("dense_forward", "dense_backward_input",
                   "activation_forward", "activation_backward", "activation_curvature")
        for name in ACTIVATIONS
    ),
    *(("loss", {"name": name}) for name in LOSSES),
    *((op, {}) for op in OPS if "dense" not in op and "activation" not in op and op != "loss"
      and op not in RANDOM),
    *(("dense_backward_weights", {"add": add}) for add in (False, True)),
]  # fmt: skip


@pytest.mark.parametrize(("op", "fixed"), VARIANTS, ids=lambda x: "-".join(map(str, x.values()))
                         if isinstance(x, dict) else x)  # fmt: skip
def test_a_step_allocates_nothing(
    backend: Backend, op: str, fixed: dict[str, Any], dtype: str
) -> None:
    """150 kB covers NumPy's casting buffers (8192 elements, 64 kB, twice in NumPy 2.0: in sums of
    float32 in float64 and in gathers of uint8) and Python's own small objects; one temporary
    array is over 1 MB."""
    assert big_call(backend, op, dtype, fixed) < 150_000


@pytest.mark.parametrize("op", RANDOM)
def test_random_numbers_take_bounded_memory(backend: Backend, op: str, dtype: str) -> None:
    """A chunk's temporaries, however many numbers: a dozen arrays of 128 kB and a few larger ones.

    A permutation's window is one minibatch; its temporaries are a few times its size.
    """
    n = 1_000_000 if op != "random_permutation" else 2048
    kind = {"random_bits": "uint32", "random_permutation": "int64"}.get(op, dtype)
    fixed: dict[str, Any] = (
        {} if op in ("add_normal", "sample_normal") else {"out": poisoned((n,), kind)}
    )
    if op == "random_permutation":
        fixed |= {"n": 70_000}
    assert big_call(backend, op, dtype, fixed) < (4_000_000 if n > 2048 else 200_000)
