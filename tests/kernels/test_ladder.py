"""matmul_ladder.cu: every rung on every shape, executed on the CPU and, if there is one, a GPU."""

from __future__ import annotations

import subprocess
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernels.conftest import need_compiler, python
from tests.reference import check_matmul
from tinyae.kernels.backend import Backend
from tinyae.kernels.columns import get_backend
from tinyae.kernels.cuda import source as cuda_source
from tinyae.kernels.cuda.ladder import MOST, MOST_BLOCKS_Y, RUNGS, LadderKernels
from tinyae.kernels.cuda.runner import Runner
from tinyae.kernels.cuda_host.host import HostRunner

need_compiler()

FILE = "matmul_ladder.cu"
TEXT = cuda_source.path_of(FILE).read_text()
SIZES = (0, 1, 2, 3, 4, 7, 8, 9, 12, 31, 32, 33, 37, 63, 64, 65, 97, 127, 128, 129, 132)

every_rung = pytest.mark.parametrize("rung", RUNGS)


def on_host(runner: HostRunner, rung: str, rng: np.random.Generator, *how: Any) -> None:
    matmul = partial(LadderKernels(runner).matmul, rung)
    check_matmul(get_backend("numpy"), matmul, rng, *how)


def some_shapes(rng: np.random.Generator) -> list[tuple[int, int, int]]:
    return [tuple(rng.choice(SIZES, 3).tolist()) for _ in range(60)]


def test_the_rungs_are_the_kernels_in_order() -> None:
    assert cuda_source.kernel_names(cuda_source.read_source(FILE)) == list(RUNGS) == sorted(RUNGS)


@every_rung
def test_over_shapes(host: HostRunner, rung: str, dtype: str) -> None:
    """200 products each, half of them of arrays that are aligned to 16 bytes."""
    rng = np.random.default_rng(RUNGS.index(rung))
    shapes = list(product((0, 1, 4, 7), repeat=3))
    shapes += [(s, s, s) for s in SIZES]
    shapes += [tuple(129 if i == axis else 1 for i in range(3)) for axis in range(3)]
    shapes += [tuple(rng.choice(SIZES, 3).tolist()) for _ in range(200 - len(shapes))]
    for i, shape in enumerate(shapes):
        offsets = rng.integers(0, 4, 3).tolist() if i % 2 else (0, 0, 0)
        on_host(host, rung, rng, dtype, shape, offsets)


@every_rung
def test_on_the_columns_own_arrays(cuda: Backend, runner: Runner, rung: str, dtype: str) -> None:
    """The same product wherever the column's arrays lie, aligned or not."""
    rng, matmul = np.random.default_rng(1), partial(LadderKernels(runner).matmul, rung)
    shapes = some_shapes(rng)[: 6 if cuda.name == "cuda-ptx" else None]
    for i, shape in enumerate(shapes):
        check_matmul(cuda, matmul, rng, dtype, shape, (i % 3,) * 3)


@pytest.mark.gpu
def test_the_rungs_in_python(dtype: str) -> None:
    """In Numba's simulator they have shapes of their own: cuda_python/simulated_ladder.py."""
    backend = get_backend("numba-cuda")
    from tinyae.kernels.cuda_python import ladder

    assert set(ladder.RUNGS) == set(RUNGS) - {"matmul_6_vectors"}
    rng = np.random.default_rng(2)
    for rung in ladder.RUNGS:
        for shape in some_shapes(rng):
            check_matmul(backend, partial(ladder.matmul, rung), rng, dtype, shape)


# Runs the rungs with vectors where no vector fits: in each array in turn, by its address and by
# its width. Compiled so that a misaligned access traps, as it does on a GPU.
MISALIGNED = """
import sys
from pathlib import Path
import numpy as np
from tests.kernels.test_ladder import RUNGS, HostRunner, cuda_source, on_host
cuda_source.FOLDER = Path(sys.argv[1])
flags = ("-fsanitize=alignment", "-fsanitize-undefined-trap-on-error")
host, rng = HostRunner(flags), np.random.default_rng(0)
for rung in RUNGS[5:]:
    for dtype in ("float32", "float64"):
        for offsets in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (3, 3, 3)):
            on_host(host, rung, rng, dtype, (16, 16, 16), offsets)
        for shape in ((5, 16, 16), (5, 15, 16), (5, 16, 17), (5, 17, 15)):
            on_host(host, rung, rng, dtype, shape)
"""


def misaligned(folder: Path, old: str = "", new: str = "") -> subprocess.CompletedProcess[str]:
    """Runs MISALIGNED on a copy of the source with ``old`` replaced by ``new``."""
    assert old in TEXT
    (folder / FILE).write_text(TEXT.replace(old, new))
    return python("-c", MISALIGNED, str(folder), TINYAE_CACHE=str(folder))


def test_vectors_are_aligned(tmp_path: Path) -> None:
    done = misaligned(tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("old", "new"), [
    ("(size_t)matrix % sizeof(Vector)", "(size_t)matrix % sizeof(REAL)"),
    ("width % W", "width % 1"),
    ("in_vectors(a, k)", "true"),
    ("in_vectors(b, n)", "true"),
    ("in_vectors(c, n)", "true"),
])  # fmt: skip
def test_each_condition_of_alignment_is_needed(tmp_path: Path, old: str, new: str) -> None:
    """A copy without it traps: the test above can fail."""
    done = misaligned(tmp_path, old, new)
    assert done.returncode < 0, f"no trap: {done.stderr}"


BARRIER = "__syncthreads();"


def without_barrier(text: str, i: int) -> str:
    """The source with the i-th barrier of each kernel removed."""
    kernels = [part.split(BARRIER) for part in text.split('extern "C"')]
    for pieces in kernels:
        if len(pieces) > 1:
            assert len(pieces) == 3
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
    return 'extern "C"'.join(BARRIER.join(pieces) for pieces in kernels)


@pytest.mark.parametrize("i", [0, 1])
def test_each_barrier_is_needed(i: int, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rungs 3 to 7 without one of their barriers multiply what is not there yet, or no more."""
    (sources / FILE).write_text(without_barrier(TEXT, i))
    rng = np.random.default_rng(i)
    monkeypatch.setenv("TINYAE_CACHE", str(sources))
    broken = HostRunner()
    for rung in RUNGS[2:]:
        with pytest.raises(AssertionError):
            on_host(broken, rung, rng, "float32", (32, 100, 32))


class Recorder:
    """A runner that only writes down what it is asked to launch."""

    name = "recorder"
    array_type = np.ndarray

    def __init__(self) -> None:
        self.launches: list[tuple[Any, ...]] = []

    def launch(self, *arguments: Any) -> None:
        self.launches.append(arguments)

    def scratch(self, shape: tuple[int, ...], dtype: str, slot: int = 0) -> Any:
        raise AssertionError("the ladder needs no scratch memory")


@every_rung
def test_the_grid_covers_c_and_nothing_more(rung: str) -> None:
    recorder = Recorder()
    for m, k, n in ((0, 3, 4), (4, 3, 0), (0, 0, 0), (300, 0, 500)):
        a, b, c = (np.zeros(s, np.float32) for s in ((m, k), (k, n), (m, n)))
        LadderKernels(recorder).matmul(rung, a, b, c)
    [(file, kernel, dtype, grid, block, args)] = recorder.launches
    assert (file, kernel, dtype, args[3:]) == (FILE, rung, "float32", (300, 500, 0))
    tile = {3: 32, 2: 32, 1: 32, 4: 64}.get(int(rung.split("_")[1]), 128)
    assert grid == (-(-300 // tile), -(-500 // tile), 1)
    assert all(size.dtype == np.int32 for size in args[3:]) and np.prod(block) <= 1024


def zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"rung": "matmul_8"}, ValueError, "rung must be one of matmul_1_naive, .*, got 'matmul_8'"),
    ({"a": [[0.0]]}, TypeError, "a must be a numpy.ndarray, got builtins.list"),
    ({"a": zeros(3, 4, dtype=int)}, TypeError, "a must have dtype float32 or float64, got int64"),
    ({"b": zeros(4, 5, dtype=float)}, TypeError, "b must have dtype float32, got float64"),
    ({"c": zeros(3, 5, dtype=float)}, TypeError, "c must have dtype float32, got float64"),
    ({"a": zeros(4)}, ValueError, r"a must have 2 dimensions, got shape \(4,\)"),
    ({"b": zeros(4, 5, 1)}, ValueError, r"b must have 2 dimensions, got shape \(4, 5, 1\)"),
    ({"b": zeros(3, 5)}, ValueError, r"b must have shape \(4, 5\), got \(3, 5\)"),
    ({"c": zeros(5, 3)}, ValueError, r"c must have shape \(3, 5\), got \(5, 3\)"),
    ({"c": zeros(3)}, ValueError, r"c must have shape \(3, 5\), got \(3,\)"),
    ({"a": zeros(4, 3).T}, ValueError, "a must be C-contiguous, got strides"),
    ({"b": zeros(8, 5)[::2]}, ValueError, "b must be C-contiguous, got strides"),
    ({"c": zeros(3, 6)[:, 1:]}, ValueError, "c must be C-contiguous, got strides"),
])  # fmt: skip
def test_wrong_arguments_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    recorder = Recorder()
    right = {"rung": RUNGS[0], "a": zeros(3, 4), "b": zeros(4, 5), "c": zeros(3, 5)}
    with pytest.raises(error, match=message):
        LadderKernels(recorder).matmul(**(right | arguments))
    assert recorder.launches == []


@every_rung
def test_sizes_beyond_an_index_are_refused(rung: str) -> None:
    """Empty arrays of great length: they cost nothing and are refused all the same."""
    kernels = LadderKernels(Recorder())
    with pytest.raises(ValueError, match=f"at most {MOST} rows of a, got {MOST + 1}"):
        kernels.matmul(rung, zeros(MOST + 1, 0), zeros(0, 0), zeros(MOST + 1, 0))
    with pytest.raises(ValueError, match=f"at most {MOST} columns of a, got {MOST + 1}"):
        kernels.matmul(rung, zeros(0, MOST + 1), zeros(MOST + 1, 0), zeros(0, 0))
    n = 128 * MOST_BLOCKS_Y + 1
    with pytest.raises(ValueError, match=f"at most [0-9]+ columns of b, got {n}"):
        kernels.matmul(rung, zeros(0, 0), zeros(0, n), zeros(0, n))
