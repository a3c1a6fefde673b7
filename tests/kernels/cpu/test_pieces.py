"""Compiled pieces: which are compiled, how they are found, and their arguments in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba")

from numba.core.errors import NumbaError

from tests.kernels.conftest import python
from tinyae.kernels.cpu import pieces
from tinyae.kernels.cpu.pieces import Job, Kernel, run, variants
from tinyae.kernels.cpu.threads import launch


class Numbers(NamedTuple):
    x: np.ndarray
    whole: int
    real: float
    flag: bool
    out: np.ndarray


@Kernel
def _numbers(at: Any, i: int, t: int, threads: int) -> None:
    job = at[0]
    job.out[i, t] = job.x[1, 2] + job.whole + job.real + job.flag + 100 * threads


@Kernel
def _copied(at: Any, _: int, t: int, threads: int) -> None:
    x, out = at[0]
    for i in range(t, x.shape[0], threads):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j]


@pytest.mark.parametrize("threads", (1, 2))
def test_a_job_of_named_arguments_and_turns(threads: int) -> None:
    x, out = np.arange(6.0).reshape(2, 3), np.zeros((3, 2))
    job = Job(Numbers(x, -7, 0.25, True, out))
    turns = np.array([(_numbers.address(job), i) for i in range(3)])
    run(turns, job.address, threads)
    assert (out[:, :threads] == 5 - 7 + 0.25 + 1 + 100 * threads).all()
    assert (out[:, threads:] == 0).all()
    job.change((x + 10, 2**40))
    run(turns, job.address, threads)
    assert (out[:, :threads] == 15 + 2**40 + 0.25 + 1 + 100 * threads).all()


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x.T,
        lambda x: x[::-2, ::3],
        lambda x: x[:0],
        lambda x: np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1)[:4].reshape(2, 2),
    ],
    ids=["whole", "transposed", "steps", "empty", "unaligned and read-only"],
)
@pytest.mark.parametrize("dtype", ("uint8", "int64", "float32", "float64"))
def test_arrays_of_any_layout(view: Callable[[np.ndarray], np.ndarray], dtype: str) -> None:
    if dtype == "uint8":
        x = view(np.arange(120, dtype=dtype).reshape(10, 12))
    else:
        x = view((np.arange(120) - 60).astype(dtype).reshape(10, 12))
    out = np.full(x.shape, 7, dtype)
    launch(_copied, x, out, threads=2)
    np.testing.assert_array_equal(out, x)


@Kernel
def _filled(at: Any, _: int, t: int, threads: int) -> None:
    value, out = at[0]
    out[t] = value


def test_what_is_kept_of_a_launch_is_that_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays are known by their place, where others may lie later: what is kept must not depend on
    anything else of them; nor may numbers that are equal be taken for each other."""
    out = np.empty(2)
    for _ in range(2):
        for value in (0.0, -0.0, 1, 1.0, True, 2**60, float(2**60)):
            launch(_filled, value, out, threads=2)
            assert (out == value).all() and (np.signbit(out) == np.signbit(value)).all()
    launch(_filled, 1, out[:1], threads=1)  # the same place, but another shape, and other strides
    launch(_filled, 2, out[::2], threads=1)
    launch(_filled, 3, out[1:], threads=1)
    assert out.tolist() == [2, 3]
    memory = np.zeros(4)
    for dtype in ("float64", "int64", "float32", "int64"):
        launch(_filled, 5, memory.view(dtype)[:2], threads=2)
        assert (memory.view(dtype)[:2] == 5).all(), dtype
    monkeypatch.setattr(pieces, "KEPT", 3)
    for value in range(9):
        launch(_filled, value, out, threads=2)
        assert (out == value).all() and 1 <= len(_filled._alone) <= 3


def test_what_compiled_code_cannot_read_is_refused() -> None:
    with pytest.raises(NumbaError, match=">f8"):
        launch(_copied, np.empty((1, 1), ">f8"), np.empty((1, 1)), threads=1)


def test_variants_are_told_apart() -> None:
    def make(number: int) -> Callable[..., None]:
        def add(x: np.ndarray) -> None:
            x[0] += number

        return add

    _, link = variants(make)
    x = np.zeros(1)
    one, two = link(1, x), link(2, x)
    assert one == link(1, x) != two and link(1, np.zeros(1, np.float32)) not in (one, two)


COMPILED = """
import sys
from numba.core import event
names = []
class Seen(event.Listener):
    def on_start(self, started):
        names.append(started.data["dispatcher"].py_func.__qualname__)
    def on_end(self, ended):
        pass
event.register("numba:compile", Seen())
import numpy as np
from tinyae import Autoencoder
x = np.random.default_rng(0).random((40, 6))
Autoencoder(hidden=(), code=2, epochs=1, batch_size=16, backend="numba", **eval(sys.argv[1])).fit(x)
print(*names)
"""


def compiled(options: str, cache: Path) -> list[str]:
    done = python("-c", COMPILED, options, TINYAE_CACHE=str(cache), NUMBA_CACHE_DIR="")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_only_what_a_training_calls_is_compiled_and_once(tmp_path: Path) -> None:
    names = compiled("dict(optimizer='sgd', loss='mse', output='identity')", tmp_path)
    for once in ("_product", "_forward_part", "_weights_part", "by_samples", "update", "run"):
        assert names.count(once) == 1, (once, names)
    assert not {"norm", "update_clipped", "output"} & {*names}
    assert names.count("forward") == names.count("backward") == 1  # an activation's, no phase's
    assert names.count("_loss_of.<locals>.loss_part") == 1
    assert names.count("_update_of.<locals>.update_part") == 1
    # the same again comes from the disk, another activation is all that is new
    assert not compiled("dict(optimizer='sgd', loss='mse', output='identity')", tmp_path)
    more = compiled("dict(optimizer='sgd', loss='mse', output='tanh')", tmp_path)
    assert {n for n in more if n.startswith("_")} <= {
        "_forward_of.<locals>.forward", "_backward_of.<locals>.backward",
        "_by_type.<locals>.choose.<locals>.implementation",
    }  # fmt: skip
