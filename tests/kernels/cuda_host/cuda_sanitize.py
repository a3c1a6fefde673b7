"""Runs every CUDA C kernel on the CPU, compiled for a sanitizer.

    python tests/kernels/cuda_host/cuda_sanitize.py WHAT

    thread       ThreadSanitizer: data races
    address      AddressSanitizer and UBSan: bounds, overflow, ...
    gpu          the same calls on a GPU, under NVIDIA's compute-sanitizer
    numba-cuda   and of the kernels in Python

Each operation is called with small awkward shapes in both dtypes and compared with the NumPy
column; at last the kernels that ran are printed, one a line. A sanitizer that finds something
prints it and ends the process. ``test_sanitizers.py`` runs this, with planted errors too.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[3]))

from tests.kernels import whole_step
from tests.kernels.calls import OPS, arguments
from tests.reference import operation
from tinyae.kernels.columns import cuda_c, get_backend
from tinyae.kernels.conventions import ACTIVATIONS, DATA, HYPER, LOSSES, MATMULS, MOMENTS
from tinyae.kernels.cuda import source as cuda_source
from tinyae.kernels.cuda.activation import ActivationKernels
from tinyae.kernels.cuda.dense import DenseKernels
from tinyae.kernels.cuda.fill import FillKernels
from tinyae.kernels.cuda.gather import GatherKernels
from tinyae.kernels.cuda.ladder import RUNGS, LadderKernels
from tinyae.kernels.cuda.loss import LossKernels
from tinyae.kernels.cuda.plan import TILES
from tinyae.kernels.cuda.random import RandomKernels
from tinyae.kernels.cuda.step import StepKernels
from tinyae.kernels.cuda.update import UpdateKernels
from tinyae.kernels.cuda_host.host import HostRunner, find_compiler
from tinyae.kernels.grids import MAX_BLOCKS

REALS = ("float32", "float64")


class Sanitizer(NamedTuple):
    library: str
    flags: tuple[str, ...]
    passes: tuple[tuple[dict[str, str], tuple[str, ...]], ...]  # environment variables, dtypes


# -O0: no access is optimised away before AddressSanitizer sees it.
SANITIZERS = {
    "thread": Sanitizer(
        "libtsan.so",
        ("-O1", "-g1", "-fsanitize=thread"),
        (({}, REALS), ({"CUDA_HOST_RACING_BLOCKS": "1"}, REALS[:1])),
    ),
    "address": Sanitizer(
        "libasan.so",
        ("-O0", "-g1", "-fsanitize=address,undefined,float-cast-overflow",
         "-fsanitize-sections=cuda_shared", "-fno-sanitize-recover=all"),
        (({}, REALS),),
    ),
}  # fmt: skip
OPTIONS = {
    "TSAN_OPTIONS": "halt_on_error=1",
    "ASAN_OPTIONS": "detect_leaks=0:redzone=512",  # the leaks would be Python's
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "OPENBLAS_NUM_THREADS": "1",
}

# The contract's operations on arrays, what a recorded step begins and ends with, a step that is one
# launch, and the ladder's.
STEPS = ("begin_step", "end_step", "whole_step")
OPERATIONS = (*(op for op in OPS if op != "write"), *STEPS, "matmul")

# The launchers of elementwise.cuh's passes: with a block or two, a thread has several elements.
ELEMENTWISE = (
    ActivationKernels, FillKernels, GatherKernels, LossKernels, RandomKernels, UpdateKernels,
)  # fmt: skip

# batch, n_in, n_out: a single element; without samples, inputs or outputs; several blocks of
# each kernel, the last of them not full, and several steps along each sum; rows in vectors of four
VARIED, VECTORS = (35, 41, 33), (35, 44, 3)
SHAPES = ((1, 1, 1), (0, 3, 2), (3, 0, 2), (2, 3, 0), VARIED, (129, 9, 131), VECTORS)

ADDR_NO_RANDOMIZE = 0x0040000  # linux/personality.h


def runtime(sanitizer: str) -> str | None:
    """Where g++ keeps the sanitizer's library; None if it has none, or the compiler is another."""
    compiler = find_compiler()
    if "Free Software Foundation" not in _output(compiler, "--version"):
        return None
    path = Path(_output(compiler, f"-print-file-name={SANITIZERS[sanitizer].library}").strip())
    if not path.is_absolute():
        return None
    content = path.read_bytes()
    if content.startswith(b"\x7fELF"):
        return str(path)
    named = re.search(rb"/\S+\.so[.\d]*", content)  # by a linker script, as on Fedora
    return named[0].decode() if named else None


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def environment(sanitizer: str) -> dict[str, str]:
    """What a process needs so that the sanitizer's library is loaded before all others."""
    library = runtime(sanitizer)
    if library is None:
        sys.exit(f"{find_compiler()} is no g++ or lacks {SANITIZERS[sanitizer].library}")
    return {**OPTIONS, "LD_PRELOAD": library}


def fix_addresses() -> None:
    """For what this thread starts: ThreadSanitizer before gcc 14 dies of addresses that are
    scattered widely. Where a container forbids this, vm.mmap_rnd_bits must be at most 28."""
    ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)


def fenced(array: np.ndarray) -> np.ndarray:
    """A copy in memory that malloc made for it alone, just as large as it is; never freed.

    NumPy would give an empty array room for an element, and reuse memory unknown to malloc.
    """
    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    memory = (ctypes.c_char * array.nbytes).from_address(malloc(array.nbytes))
    copy = np.ndarray(array.shape, array.dtype, memory)
    copy[...] = array
    return copy


class Runner(HostRunner):
    """Notes what it launches; its scratch memory is fenced, and poisoned."""

    def __init__(self, flags: tuple[str, ...]) -> None:
        super().__init__(flags)
        self.launched: set[tuple[str, str, str]] = set()

    def launch(self, file: str, kernel: str, dtype: str, *how: Any) -> None:
        self.launched.add((file, kernel, dtype))
        super().launch(file, kernel, dtype, *how)

    def scratch(self, shape: tuple[int, ...], dtype: str, slot: int = 0) -> np.ndarray:
        return fenced(np.full(shape, np.nan, dtype))


def implementations(
    runner: Any, op: str, dtype: str, to_device: Callable[[np.ndarray], Any] = fenced
) -> list[Callable[..., None]]:
    """The operation on the runner: every tile of the dense layer, every rung of the ladder."""
    if op == "matmul":  # from the last: making 1024 threads for the first takes a second
        return [partial(LadderKernels(runner).matmul, rung) for rung in reversed(RUNGS)]
    if op == "whole_step":  # at first by one block: of several no race in shared memory is seen
        steps = [
            StepKernels(runner, DenseKernels(runner, splits=splits), to_device, most)
            for splits, most in ((1, 1), (2, 1), (2, 3))
        ]
        return [partial(whole_step.one_launch, kernels) for kernels in steps]
    for launcher in ELEMENTWISE:
        if hasattr(launcher, "update" if op in MOMENTS else op):
            return [operation(launcher(runner, most), op) for most in (1, 2, MAX_BLOCKS)]
    if not op.startswith("dense"):
        return [getattr(cuda_c(runner), op)]
    tensor_cores = dtype == "float32" and getattr(runner, "compute_capability", 80) >= 80
    return [
        getattr(DenseKernels(runner, tile, splits, matmul, short=0), op)
        for matmul in (MATMULS if tensor_cores else ("fp32",))
        for tile, splits in product(TILES, (1, 3))
    ]


def reference(op: str) -> Callable[..., None]:
    if op == "matmul":
        return lambda a, b, c: np.matmul(a, b, out=c)
    if op in STEPS:
        return {"begin_step": begin_step, "end_step": end_step,
                "whole_step": whole_step.by_operations}[op]  # fmt: skip
    return operation(get_backend("numpy"), op)


def calls(op: str, dtype: str) -> Iterator[dict[str, Any]]:
    """Valid arguments of every shape; in one of them every activation, loss and type of data."""
    if op == "whole_step":
        for shape in ((0, 1, 1), (1, 35, 35), (2, 35, 3)):
            yield whole_step.arguments(dtype, *shape)
        return
    for shape in SHAPES:
        if op in STEPS:
            call = epoch(dtype, *shape)[op]
        elif op == "matmul":
            call = matrices(dtype, *shape)
        else:
            call = arguments(op, dtype, *shape)
        if op == "random_permutation":
            call["n"] += 3  # even the permutation of a single number has a place to start
        yield call
        if op == "gather" and shape in (VARIED, VECTORS):
            yield from ({**call, "data": call["data"].astype(kind)} for kind in DATA)
        if shape == VARIED:
            if op.startswith("activation"):
                yield from ({**call, "activation": name} for name in ACTIVATIONS)
            if op == "loss":
                yield from ({**call, "name": name} for name in LOSSES)
            if op == "top_k":
                yield from ({**call, "k": k} for k in (0, 1, 40, 41))
            if op == "activity_penalty":
                yield {**call, "name": "l1"}
            if op == "sample_normal":
                yield {**call, "state": None}
            if op == "dense_forward":
                yield {**call, "activation": "relu", "pre": None}
            if op == "dense_backward_weights":
                yield {**call, "add": True}


def matrices(dtype: str, m: int, k: int, n: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    shapes = {"a": (m, k), "b": (k, n), "c": (m, n)}
    return {name: rng.random(shape).astype(dtype) for name, shape in shapes.items()}


def epoch(dtype: str, step: int, batch_size: int, n: int) -> dict[str, dict[str, Any]]:
    """Arguments of the two that keep an epoch's place, at one of its steps."""
    rng, rows = np.random.default_rng(1), step * batch_size + n
    cursor, numbers = np.array([step]), rng.random((step + 1, len(HYPER) + 2))
    numbers[:, -1] = 2**31 + np.arange(step + 1)
    data, out, w, grad = (rng.random(shape).astype(dtype) for shape in ((rows, 5), (n, 5), n, n))
    begin = {
        "cursor": cursor, "order": rng.permutation(rows), "batch_size": batch_size,
        "numbers": numbers, "hyper": np.zeros(len(HYPER)), "std": np.zeros(1),
        "state": np.arange(4, dtype=np.uint32), "data": data, "first": int(n > 1), "scale": 0.5,
        "out": out[int(n > 1) :],
    }  # fmt: skip
    end = {
        "cursor": cursor, "history": np.zeros((step + 1, 2)), "name": "sgd", "w": w, "grad": grad,
        "moments": (), "hyper": numbers[0, :-2].copy(), "n_decayed": n // 2,
        "guard": np.array([2.0, 3.0]),
    }  # fmt: skip
    return {"begin_step": begin, "end_step": end}


def begin_step(
    cursor: Any, order: Any, batch_size: int, numbers: Any, hyper: Any, std: Any, state: Any,
    data: Any, first: int, scale: float, out: Any,
) -> None:  # fmt: skip
    *hyper[:], std[0], state[3] = numbers[cursor[0]]
    indices = order[cursor[0] * batch_size + first :][: len(out)]
    get_backend("numpy").gather(data, indices, scale, out)


def end_step(cursor: Any, history: Any, name: str, w: Any, grad: Any, moments: Any, hyper: Any,
             n_decayed: int, guard: Any) -> None:  # fmt: skip
    get_backend("numpy").update(name, w, grad, moments, hyper, n_decayed, guard)
    history[cursor[0]] = guard
    cursor[0] += 1


def implementations_in_python(op: str) -> list[Callable[..., None]]:
    """The same of the numba-cuda column."""
    from tinyae.kernels.cuda_python import dense as dense_numba_cuda
    from tinyae.kernels.cuda_python import ladder

    if op == "matmul":
        return [partial(ladder.matmul, rung) for rung in ladder.RUNGS]
    if op.startswith("dense"):
        choices = [dense_numba_cuda.DenseKernels(tile, n) for tile in TILES for n in (1, 3)]
        return [getattr(choice, op) for choice in choices]
    return [operation(get_backend("numba-cuda"), op)]


def run(
    kernels: list[Callable[..., None]], op: str, dtype: str,
    move: Callable[[np.ndarray], Any] = fenced, back: Callable[[Any], np.ndarray] = np.asarray,
) -> None:  # fmt: skip
    """Makes the calls; the results must be NumPy's up to rounding.

    gather's vectors lie where one may begin, and once more where none may.
    """
    elsewhere = ("", "data", "out") if op == "gather" else ("",)
    for kernel, call, unaligned in product(kernels, calls(op, dtype), elsewhere):
        close = {"float32": 1e-4, "float64": 1e-10}[dtype]
        if getattr(getattr(kernel, "__self__", None), "matmul", "") == "tf32":
            close = 2e-3  # twice what TF32 may make of sums of positive products
        arrays = [name for name, value in call.items() if isinstance(value, np.ndarray)]
        result = {**call, **{name: move(call[name]) for name in arrays}}
        if unaligned:
            result[unaligned] = an_element_later(call[unaligned], move)
        expected = {**call, **{name: call[name].copy() for name in arrays}}
        kernel(**result)
        reference(op)(**expected)
        for name in arrays:
            np.testing.assert_allclose(back(result[name]), expected[name], close, close)


def an_element_later(array: np.ndarray, move: Callable[[np.ndarray], Any]) -> Any:
    """Moved to memory that begins an element before it."""
    flat = array.reshape(-1)
    return move(np.append(np.zeros(1, array.dtype), flat))[1:].reshape(array.shape)


def run_on_gpu(ops: Sequence[str]) -> None:
    """For NVIDIA's compute-sanitizer: each array has an allocation of its own, no pool's part."""
    import cupy

    from tinyae.kernels.cuda.device import DeviceRunner

    cupy.cuda.set_allocator(None)
    runner = DeviceRunner()
    for op, dtype in product(ops, REALS):
        run(implementations(runner, op, dtype, cupy.asarray), op, dtype, cupy.asarray, cupy.asnumpy)


def run_in_python(ops: Sequence[str]) -> None:
    """Numba allocates each array by itself, too."""
    backend = get_backend("numba-cuda")
    for op, dtype in product((op for op in ops if op not in STEPS), REALS):
        run(implementations_in_python(op), op, dtype, backend.to_device, backend.to_host)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sanitizer", choices=(*SANITIZERS, "gpu", "numba-cuda"))
    parser.add_argument("--op", choices=OPERATIONS, help="only this one")
    parser.add_argument("--sources", type=Path, help="folder of other .cu files to run")
    options = parser.parse_args()
    ops = [options.op] if options.op else OPERATIONS
    if options.sanitizer == "gpu":
        run_on_gpu(ops)
        return
    if options.sanitizer == "numba-cuda":
        run_in_python(ops)
        return
    variables = environment(options.sanitizer)
    if os.environ.pop("LD_PRELOAD", "") != variables["LD_PRELOAD"]:  # the compiler needs none
        fix_addresses()
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **variables})
    if options.sources:
        cuda_source.FOLDER = options.sources
    sanitizer = SANITIZERS[options.sanitizer]
    runner = Runner(sanitizer.flags)
    for more_variables, dtypes in sanitizer.passes:
        os.environ.update(more_variables)
        for op, dtype in product(ops, dtypes):
            run(implementations(runner, op, dtype), op, dtype)
    for line in sorted(runner.launched):
        print(*line)


if __name__ == "__main__":
    main()
