"""Every CUDA C kernel under ThreadSanitizer, AddressSanitizer and UBSan, executed on the CPU.

Each test judges a process of ``cuda_sanitize.py``, which says what is run; two run at a time.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kernels.conftest import need_compiler, python
from tests.kernels.cuda_host.cuda_sanitize import (
    REALS,
    SANITIZERS,
    environment,
    fix_addresses,
    runtime,
)
from tinyae.kernels.cuda.source import FOLDER, ON_TENSOR_CORES, kernel_names, path_of, read_source
from tinyae.kernels.cuda_host.host import find_compiler

need_compiler()
pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("cuda_sanitize.py")
SOURCES = sorted(FOLDER.rglob("*.cu*"))

# Made of words, the same in both dtypes: the launchers run these as float32 alone.
WITHOUT_REALS = ("random_bits", "random_permutation")

# File with barriers -> an operation that comes to all of them.
MEETS_BARRIERS = {
    "activation.cu": "top_k",
    "dense_product.cuh": "dense_forward",
    "grid_barrier.cuh": "whole_step",
    "last_block.cuh": "dense_forward",
    "matmul_ladder.cu": "matmul",
    "random.cu": "random_permutation",
    "reduce.cuh": "loss",
    "step.cu": "whole_step",
    "update.cu": "unit_rows",
}
BARRIER = "__syncthreads();"

# It comes before what other blocks do: here these run one after the other, whatever it does.
BETWEEN_BLOCKS = ("last_block.cuh", 0)

TILES_RACE = r"(dense(_product|_sums)\.cuh|cuda_host_copy\.h)"

# File with barriers -> where the race is found, if that may be another file: a tile that is copied
# behind a thread's back is written there, a sum is read where ``block_sum`` returns it.
FOUND_IN = {
    "dense_product.cuh": TILES_RACE,
    "step.cu": TILES_RACE,
    "grid_barrier.cuh": r"\w+\.(cuh?|h)",  # where one block reads what another writes
    "update.cu": r"(update\.cu|reduce\.cuh)",
}


class Case(NamedTuple):
    """A process: of all kernels as they are, or of ``op`` with one change to ``file``.

    ``old``, where it stands for the nth time, becomes ``new``; ``report`` matches what the
    sanitizer must say to that, with LINE for the changed line.
    """

    sanitizer: str
    op: str = ""
    file: str = ""
    old: str = ""
    new: str = ""
    report: str = ""
    nth: int = 0


RACE = r"'thread \d+,\d+,0 of block 0,0,0'.* ThreadSanitizer: data race \S+/"
RACE_OF_BLOCKS = r"'block 0,0,0'.* ThreadSanitizer: data race \S+/"
READ = r"READ of size 4 at .* AddressSanitizer: heap-buffer-overflow \S+/"
WRITE = r"WRITE of size 4 at .* AddressSanitizer: heap-buffer-overflow \S+/"
MISALIGNED = r"gather\.cuh:\d+:\d+: runtime error: .*misaligned address"
WRITE_SHARED = r"WRITE of size 4 at .* AddressSanitizer: global-buffer-overflow \S+/"

# block_sum by shuffles: the sum of each warp, their sum in the first warp, and that once through
# shared memory
SHUFFLES = """
    const int lane = t % 32, n_warps = REDUCE_THREADS / 32;
    for (int down = 16; down > 0; down /= 2) value += __shfl_down_sync(~0u, value, down);
    if (lane == 0) shared[t] = value;
    __syncthreads();
    if (t >= 32) return 0;
    value = lane < n_warps ? shared[32 * lane] : 0;
    for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(~0u, value, mask);
    shared[lane + 1] = value;
    __syncwarp();
    return __shfl_sync(~0u, shared[32 - lane], 5);
"""

# a lane reads what its neighbour has written, into padding, before both came to the tensor cores
SHOWN = """
    float *shown = (float *)tile_b + threadIdx.x / 8 * PITCH_B + BK + threadIdx.x % 8 / 2;
    if (threadIdx.x % 2 == 0) *shown = d[0];
    mma_tf32(d, big_a, big_b[j]);
    __syncwarp();
    if (threadIdx.x % 2) d[0] += 0 * *shown;
    __syncwarp();
"""

INTACT = {sanitizer: Case(sanitizer) for sanitizer in SANITIZERS}

WITHOUT_BARRIER = {
    f"{path.name}, barrier {nth + 1}": Case(
        "thread", MEETS_BARRIERS[path.name], path.name, BARRIER, "",
        RACE + FOUND_IN.get(path.name, re.escape(path.name)) + r":\d+", nth,
    )
    for path in SOURCES
    for nth in range(path.read_text().count(BARRIER))
    if (path.name, nth) != BETWEEN_BLOCKS
}  # fmt: skip

CHANGED = {
    "no barrier of a warp": Case(
        "thread", "loss", "reduce.cuh",
        "    shared[t] = value;", SHUFFLES.replace("__syncwarp();", ""),
        RACE + r"reduce\.cuh:\d+",
    ),
    "blocks write the same values into the same elements": Case(
        "thread", "activation_forward", "elementwise.cuh",
        "(long long)gridDim.x * blockDim.x", "blockDim.x",
        RACE_OF_BLOCKS + r"activation\.cu:\d+",
    ),
    "tensor cores are taken for a barrier": Case(
        "thread", "dense_backward_input", "dense_mma.cuh",
        "mma_tf32(d, big_a, big_b[j]);", SHOWN.replace("__syncwarp();", "", 1),
        RACE + r"dense_mma\.cuh:\d+",
    ),
    "an element after the last is read": Case(
        "address", "activation_forward", "activation.cu",
        "x[i]", "x[i + 1]",
        READ + r"activation\.cu:LINE",
    ),
    "nobody waits at a barrier of the grid": Case(
        "thread", "whole_step", "grid_barrier.cuh",
        "while (load_acquire(arrived) < goal)", "if (0)",
        RACE + FOUND_IN["grid_barrier.cuh"],
    ),
    "parts are added up before all are there": Case(
        "thread", "dense_forward", "last_block.cuh",
        "drawn == blocks - 1", "drawn == 0",
        r"AssertionError: \s*Not equal to tolerance|" + RACE_OF_BLOCKS,
    ),
    "a copy is not waited for": Case(
        "address", "dense_forward", "dense_product.cuh",
        "wait_for_copies<BUFFERS - 2>();", "wait_for_copies<BUFFERS - 1>();",
        r"AssertionError: \s*Not equal to tolerance",
    ),
    "a copy begins while others still read": Case(
        "thread", "dense_forward", "dense_product.cuh",
        "            close_copies();\n            a.advance(), b.advance();\n            // on",
        "            int i = at < LAST ? at + BYTES : 0;  // the full one\n"
        "            if (terms > AHEAD) copy<false, false>(to_a + i, to_b + i, terms - AHEAD);\n"
        "            close_copies();\n            a.advance(), b.advance();\n            // on",
        RACE + FOUND_IN["dense_product.cuh"] + r":\d+",
    ),
    "lanes trade places without a barrier": Case(
        "thread", "dense_backward_input", "dense_product.cuh",
        "            __syncwarp();\n            long long at", "            long long at",
        RACE + r"dense_product\.cuh:\d+",
    ),
    "an element after the last is written": Case(
        "address", "dense_backward_weights", "dense_product.cuh",
        "down < m - row && column < n ?", "down < m - row ?",
        WRITE + r"dense_product\.cuh:\d+",
    ),
    "an element after the last is copied": Case(
        "address", "dense_forward", "dense_product.cuh",
        "row<N>() + r < (ALONG_K ? there", "row<N>() + r <= (ALONG_K ? there",
        r"READ of size \d+ at .* in void wait_for_copies.* AddressSanitizer: heap-buffer-overflow ",
    ),
    "shared memory is too short": Case(
        "address", "dense_forward", "dense_product.cuh",
        # by more than the padding
        "SHARED = BUFFERS * SIZE", "SHARED = BUFFERS * SIZE - 8",
        WRITE_SHARED + r"\S+:\d+",
    ),
    "words are multiplied as signed numbers": Case(
        "address", "random_bits", "philox.cuh",
        "= PHILOX_MULTIPLIER0 * c0", "= (int)PHILOX_MULTIPLIER0 * (int)c0",
        r"philox\.cuh:LINE:\d+: runtime error: signed integer overflow",
    ),
    "elements after the last are visited": Case(
        "address", "sgd", "elementwise.cuh",
        "if (u == 0 || i + u * stride < n) ", "",
        WRITE + r"update\.cuh:\d+",
    ),
    "elements after the last are read": Case(
        "address", "sgd", "elementwise.cuh",
        "i + u * stride < n ? i + u * stride : i", "i + u * stride",
        READ + r"update\.cuh:\d+",
    ),
    "data begin where no vector does": Case(
        "address", "gather", "gather.cuh",
        "(size_t)data % alignof(Vector<T, 4>) == 0", "data",
        MISALIGNED,
    ),
    "out begins where no vector does": Case(
        "address", "gather", "gather.cuh",
        "(size_t)out % alignof(Vector<REAL, 4>) == 0", "out",
        MISALIGNED,
    ),
    "a vector is read where none begins": Case(
        "address", "matmul", "matmul_ladder.cu",
        "width % W == 0", "width >= W",
        r"matmul_ladder\.cu:\d+:\d+: runtime error: .*misaligned address",
    ),
}  # fmt: skip

RIGHT_AS_WELL = {
    "shuffles": Case("thread", "loss", "reduce.cuh", "    shared[t] = value;", SHUFFLES),
    "a barrier besides tensor cores": Case(
        "thread", "dense_backward_input", "dense_mma.cuh", "mma_tf32(d, big_a, big_b[j]);", SHOWN
    ),
}

Done = subprocess.CompletedProcess[str]
Processes = dict[Case, "Future[Done]"]


def changed(case: Case) -> tuple[str, int]:
    """The text of the changed file, and the number of the line that is changed."""
    text = path_of(case.file).read_text()
    parts = text.split(case.old)
    assert len(parts) > case.nth + 1, f"{case.file} does not contain {case.old!r}"
    before, after = (case.old.join(part) for part in (parts[: case.nth + 1], parts[case.nth + 1 :]))
    return before + case.new + after, before.count("\n") + 1


def run(case: Case, folder: Path) -> Done:
    words = [str(SCRIPT), case.sanitizer]
    if case.op:
        for path in SOURCES:
            (folder / path.name).write_text(path.read_text())
        (folder / case.file).write_text(changed(case)[0])
        words += ["--op", case.op, "--sources", str(folder)]
    variables = environment(case.sanitizer)
    cache = str(folder.parent / "cache")
    return python(*words, timeout=600, **variables, TINYAE_CACHE=cache)


@pytest.fixture(scope="module")
def processes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processes]:
    """Those of the selected tests, in their order."""
    tests = [item for item in request.session.items if item.path == Path(__file__)]
    cases = [test.callspec.params["case"] for test in tests if isinstance(test, pytest.Function)]
    with ThreadPoolExecutor(2, initializer=fix_addresses) as pool:
        yield {
            case: pool.submit(run, case, tmp_path_factory.mktemp("kernels"))
            for case in cases
            if runtime(case.sanitizer)
        }
        pool.shutdown(cancel_futures=True)


def outcome(case: Case, processes: Processes) -> Done:
    if case not in processes:
        library = SANITIZERS[case.sanitizer].library
        pytest.skip(f"{find_compiler()} is no g++ or lacks {library}: apt-get install g++")
    return processes[case].result()


@pytest.mark.parametrize("case", INTACT.values(), ids=INTACT)
def test_every_kernel_is_clean(case: Case, processes: Processes) -> None:
    """A kernel of a .cu file that the sanitizer has not seen fails here."""
    done = outcome(case, processes)
    assert done.returncode == 0, done.stderr
    assert {tuple(line.split()) for line in done.stdout.splitlines()} == {
        (path.name, kernel, dtype)
        for path in FOLDER.rglob("*.cu")
        for kernel in kernel_names(read_source(path.name))
        for dtype in REALS
        if dtype == "float32" or not (kernel in WITHOUT_REALS or path.name in ON_TENSOR_CORES)
    }


@pytest.mark.parametrize("case", WITHOUT_BARRIER.values(), ids=WITHOUT_BARRIER)
def test_every_barrier_is_needed(case: Case, processes: Processes) -> None:
    """Each removed in turn: ThreadSanitizer names two threads of a block and a line of the file."""
    done = outcome(case, processes)
    assert done.returncode != 0
    assert re.search(case.report, done.stderr, re.DOTALL), done.stderr


@pytest.mark.parametrize("case", CHANGED.values(), ids=CHANGED)
def test_an_error_is_found(case: Case, processes: Processes) -> None:
    done = outcome(case, processes)
    assert done.returncode != 0
    report = case.report.replace("LINE", str(changed(case)[1]))
    assert re.search(report, done.stderr, re.DOTALL), done.stderr


@pytest.mark.parametrize("case", RIGHT_AS_WELL.values(), ids=RIGHT_AS_WELL)
def test_what_is_right_is_not_reported(case: Case, processes: Processes) -> None:
    """What cuda_host.h offers and no kernel uses yet: the barriers that shuffles are count."""
    done = outcome(case, processes)
    assert done.returncode == 0, done.stderr
