"""Who is measured: how they are chosen, why they are absent, and what they compute."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.cases import net_cases, nets
from benchmarks.cases.cases import GROUPS, Options, data_rng, select
from benchmarks.contestants import contestants, rival_blas
from benchmarks.contestants.contestants import CONTESTANTS, chosen, why_absent
from benchmarks.contestants.own import Own, replayed
from benchmarks.contestants.rival_blas import Blas


def names(*given: Any) -> list[str]:
    return [contestant.name for contestant in chosen(*given)]


def test_contestants_are_chosen_by_name_and_by_family() -> None:
    assert names(("numpy",), ("none",)) == ["numpy"]
    assert names(("numba",), ("blas", "jax")) == ["numba", "blas", "jax"]
    assert names(("cupy",), ("cublas",)) == ["cupy", "cublas"]  # not what multiplies otherwise
    assert names(("cupy-tf32",), ("cublas-tf32",)) == ["cupy-tf32", "cublas-tf32"]
    torch = names((), ("torch",))
    assert len(torch) == 5 and all(name.startswith("torch-") for name in torch)
    assert set(names(None, None)) == set(CONTESTANTS)
    for given in ((("torch-eager",), None), ((), ("numpy",)), (("fortran",), None)):
        with pytest.raises(ValueError, match=r"must be of .*, got '(torch-eager|numpy|fortran)'"):
            chosen(*given)


def test_what_runs_gpu_kernels_on_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda-host", "cuda-ptx"):
        with pytest.raises(ValueError, match=f"{name} executes GPU kernels on the CPU"):
            chosen(("numpy", name), None)
    loaders = contestants.columns._LOADERS | {"numba-cuda": lambda: None}
    monkeypatch.setattr(contestants.columns, "_LOADERS", loaders)
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    with pytest.raises(ValueError, match="simulate the GPU in Python.*unset it"):
        why_absent(CONTESTANTS["numba-cuda"])


def test_absent_contestants_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "jax", "cupy"):
        monkeypatch.setitem(sys.modules, package, None)
    assert why_absent(CONTESTANTS["torch-eager"]) == "torch not installed: pip install torch"
    assert why_absent(CONTESTANTS["jax"]) == "jax not installed: pip install jax"
    monkeypatch.setattr(contestants, "missing_gpu", lambda: "there is no NVIDIA driver")
    assert why_absent(CONTESTANTS["cublas"]) == "there is no NVIDIA driver"
    monkeypatch.setattr(contestants, "missing_gpu", lambda: "")
    assert "cupy not installed: pip install" in why_absent(CONTESTANTS["cupy"])
    others = {k: v for k, v in contestants.columns._LOADERS.items() if k != "numba-cuda"}
    monkeypatch.setattr(contestants.columns, "_LOADERS", others)
    assert "has no backend 'numba-cuda'" in why_absent(CONTESTANTS["numba-cuda"])
    assert why_absent(CONTESTANTS["numpy"]) == ""
    monkeypatch.setattr(contestants, "_installed", lambda package: True)
    assert why_absent(CONTESTANTS["torch-compile"]) == ""
    assert "longer than --quick" in why_absent(CONTESTANTS["torch-compile"], quick=True)


def test_rungs() -> None:
    """Each contestant's own; rivals have one, their product."""
    found = {name: contestants.rungs(CONTESTANTS[name]) for name in contestants.LADDERS}
    assert set(found["numba-cuda"]) < set(found["cupy"]) and len(found["cupy"]) == 7
    assert found["numba"] and "packed" in found["numba"]
    assert contestants.rungs(CONTESTANTS["blas"]) == ("blas",)
    (case,) = contestants.cases_of(CONTESTANTS["blas"], Options(only=("ladder",), sizes=(8,)),
                                   "ladder")  # fmt: skip
    assert case.op == "blas"


def test_products_alone() -> None:
    blas = Blas()
    for case in select(
        "kernel", Options(only=("dense",), sizes=(40,), nets=("small",), batches=(16,))
    ):
        calls, check = blas.prepared(case, data_rng())
        check()
        assert len(calls) == 1
    part, check = blas.part("dense_backward_input", "small", 8)
    check()
    part()
    assert "np.matmul" in blas.note and blas.threads() is not None


@pytest.mark.parametrize(
    ("backend", "matmul"), [("numpy", "fp32"), ("numba", "fp32"), ("cuda-host", "tf32")]
)
def test_steps_and_their_parts(backend: str, matmul: str) -> None:
    """What is timed trains as the float64 chain rule says, as a whole and in its parts.

    With TF32 the gradient is further off than float32's, and no wrong layer passes."""
    own = Own(backend, matmul)
    step = own.step("small", 8)
    step.run()
    loss, moments = step.results()
    net_cases.check_step("small", 8, loss, moments, matmul)
    for op in GROUPS["dense"] if matmul == "tf32" else net_cases.PARTS:
        part, check = own.part(op, "small", 8)
        check()
        part()
    if matmul == "tf32":
        with pytest.raises(AssertionError):
            net_cases.check_step("small", 8, loss, moments)
        moments[1] = (1.2 * np.asarray(moments[1][0]), moments[1][1])
        with pytest.raises(AssertionError, match="dw of layer 1"):
            net_cases.check_step("small", 8, loss, moments, "tf32")


def test_a_recorded_step_is_the_step() -> None:
    """Where a backend replays its training steps, so is what is timed: the first run, then two
    from the record, against NumPy's three with the same numbers."""
    host, device = Own("numpy"), Own("cuda-host")
    assert device.backend.recorder is not None
    run = device.step("small", 4)
    work = host._work("small", 4, host.backend)
    numbers = work.optimizer.next_numbers(nets.LEARNING_RATE)
    for _ in range(3):
        run.run()
        work.step(4, numbers, work.totals)
        loss, moments = run.results()
        right, expected = host._results(work, 4)
        assert loss == pytest.approx(right, rel=1e-5)
        for ours, theirs in zip(moments, expected, strict=True):
            np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-5)
    log: list[str] = []
    again = replayed(lambda work: lambda: log.append("replayed"), lambda: log.append("run"))
    for _ in range(3):
        again()
    assert log == ["run", "replayed", "replayed"]


# ---- cuBLAS, with CuPy replaced by NumPy


class FakeLinalg:
    """CuPy's switch of TF32, which is the whole process's; TF32 rounds factors to 11 bits."""

    COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = 1, 7
    mode = 7  # as with CUPY_TF32=1

    def set_compute_type(self, dtype: Any, mode: int) -> None:
        assert dtype == np.float32
        self.mode = mode

    def matmul(self, a: Any, b: Any, out: Any) -> None:
        if self.mode == self.COMPUTE_TYPE_TF32:
            parts = (np.frexp(factor) for factor in (a, b))
            a, b = (np.ldexp(np.round(f * 2**11), e - 11).astype(np.float32) for f, e in parts)
        np.matmul(a, b, out=out)


@pytest.mark.parametrize("capability", ("75", "80"))
def test_cublas_multiplies_in_the_mode_of_its_name(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    linalg = FakeLinalg()
    cuda = SimpleNamespace(
        Device=lambda: SimpleNamespace(compute_capability=capability),
        Stream=lambda non_blocking: SimpleNamespace(use=lambda: None),
    )
    cupy = SimpleNamespace(cuda=cuda, matmul=linalg.matmul, array=np.array, asnumpy=np.array)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy._core", SimpleNamespace(_routines_linalg=linalg))
    if capability == "75":
        with pytest.raises(RuntimeError, match="TF32 needs compute capability 8.0"):
            rival_blas.load("cublas-tf32")
    (case,) = select("kernel", Options(only=("dense_forward",), sizes=(64,)))
    loaded = [rival_blas.load("cublas")]
    loaded += [rival_blas.load("cublas-tf32")] if capability == "80" else []
    errors = []
    for each in loaded:
        assert ("TF32 off" in each.note) == (each.matmul == "fp32")
        _, check = each.prepared(case, data_rng(), sets=1)
        errors.append(check())
    assert errors[0] < 1e-7 and all(error > 1e-5 for error in errors[1:])
