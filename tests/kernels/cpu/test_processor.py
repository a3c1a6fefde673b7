"""Whether AMX may be used: what is asked, what is said, and the test of its product."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("numba")

from tests.kernels.cpu.amx_emulation import emulated_product
from tinyae import Autoencoder
from tinyae.cli.machine import doctor
from tinyae.cli.main import main
from tinyae.kernels import columns
from tinyae.kernels.columns import BackendUnavailable, get_backend
from tinyae.kernels.cpu.product import amx, processor
from tinyae.kernels.cpu.product.matmul import link
from tinyae.model_file import FORMAT, VERSION
from tinyae.storage.untrusted import open_npz

get_backend("numba")
ALL = "+amx-tile,+amx-bf16"


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(columns, "_loaded", {**columns._loaded})
    columns._loaded.pop("numba auto", None)
    monkeypatch.delenv(processor.VARIABLE, raising=False)
    processor.lacking.cache_clear()
    yield
    processor.lacking.cache_clear()


class Refusing:
    def syscall(self, *asked: int) -> int:
        assert asked == (158, 0x1023, 18)
        return -1


def test_what_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")
    assert "lacks amx-tile and amx-bf16" in processor.absent("+avx512f,-amx-tile")
    assert "lacks amx-bf16" in processor.absent("+amx-tile,+amx-bf16x")
    with monkeypatch.context() as patch:
        patch.setattr(processor.ctypes, "CDLL", lambda *_, **__: Refusing())
        assert "Linux refuses the tiles' registers" in processor.absent(ALL)
    with monkeypatch.context() as patch:
        patch.setattr(processor.platform, "machine", lambda: "aarch64")
        assert "linux on aarch64" in processor.absent(ALL)
    monkeypatch.setenv("TINYAE_AMX", "0")
    assert processor.absent(ALL) == "TINYAE_AMX=0 turns AMX off"


def test_a_product_is_tested_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of float32 is right too; one of another depth's factor is not, and NaN never is."""
    assert processor.wrong(link(np.float32)) == ""
    monkeypatch.setattr(processor, "available", lambda: 1)
    assert processor.wrong(emulated_product()) == ""
    monkeypatch.setattr(processor, "ROUNDINGS", 0.1)
    assert re.search("off by .* roundings, and may be by 0.1", processor.wrong(emulated_product()))
    monkeypatch.setattr(processor, "launch", lambda *arguments, threads: None)  # c stays NaN
    assert "off by nan" in processor.wrong(0)


def test_auto_takes_it_and_fp32_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "absent", lambda: "")
    monkeypatch.setattr(processor, "available", lambda: 1)
    monkeypatch.setattr(amx, "link", emulated_product)
    assert get_backend("numba", "auto").matmul == get_backend("numba", "6xbf16").matmul == "6xbf16"
    assert get_backend("numba", "fp32").matmul == get_backend("numba").matmul == "fp32"
    assert get_backend("numpy", "auto") is get_backend("numpy")
    assert doctor._products() == "matmul='auto' is 6xbf16 with backend numba: on AMX"


def test_without_it_auto_is_fp32_and_6xbf16_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processor, "absent", lambda: "the processor lacks amx-bf16")
    assert get_backend("numba", "auto") is get_backend("numba")
    assert "matmul='auto' is fp32 with backend numba: the proc" in doctor._products()
    with pytest.raises(BackendUnavailable, match="'6xbf16' needs .*the proc.*: use .*auto"):
        get_backend("numba", "6xbf16")
    with pytest.raises(ValueError, match="'6xbf16' is for processors with AMX.*this is 'numpy'"):
        get_backend("numpy", "6xbf16")
    with pytest.raises(ValueError, match="matmul='6xbf16' multiplies float32 and got dtype="):
        Autoencoder(matmul="6xbf16", dtype="float64").fit(np.eye(9))
    argv = ["train", "--data", "digits", "--out", f"{tmp_path}/r", "--backend", "numba"]
    assert main([*argv, "--matmul", "6xbf16"]) in (1, 2)
    assert "the processor lacks amx-bf16: use matmul='auto'" in capsys.readouterr().err


def test_a_run_that_was_told_6xbf16_goes_on_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run keeps what it was told; what is resumed may be told something else."""
    monkeypatch.setattr(processor, "available", lambda: 1)
    monkeypatch.setattr(amx, "link", emulated_product)
    monkeypatch.setattr(processor, "absent", lambda: "")
    X = np.random.default_rng(0).random((64, 9), np.float32)
    np.save(f"{tmp_path}/x.npy", X)
    run = f"{tmp_path}/r"
    small = ["--hidden", "5", "--code", "2", "--batch-size", "32", "--initializer", "auto",
             "--warmup", "0", "--schedule", "constant", "--backend", "numba"]  # fmt: skip
    argv = ["train", "--data", f"{tmp_path}/x.npy", "--out", run, *small]
    assert main([*argv, "--epochs", "2", "--matmul", "6xbf16"]) == 0
    assert "products 6xbf16" in capsys.readouterr().out
    assert main([*argv[:3], "--out", f"{tmp_path}/auto", *small, "--epochs", "1"]) == 0
    with open_npz(f"{tmp_path}/auto/model.npz", FORMAT, VERSION) as (meta, _):
        assert meta["params"]["matmul"] == "6xbf16"  # what "auto" came to
    processor.lacking.cache_clear()
    for name in ("auto", "6xbf16"):
        columns._loaded.pop(f"numba {name}")
    monkeypatch.setattr(processor, "absent", lambda: "the processor lacks amx-bf16")
    assert Autoencoder.load(f"{run}/model.npz").matmul_ == "fp32"
    assert main(["train", "--resume", run, "--epochs", "3"]) != 0
    assert "use matmul='auto'" in capsys.readouterr().err
    assert main(["train", "--resume", run, "--epochs", "3", "--matmul", "auto"]) == 0
    assert "3 epochs" in capsys.readouterr().out
