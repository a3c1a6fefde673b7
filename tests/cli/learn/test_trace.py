"""``tinyae trace``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.learn.mistakes import MISTAKES
from tinyae.learn.norms import PREPARED, STEPS

Output = pytest.CaptureFixture[str]
NET = ["trace", "--net", "4,3,2", "--activation", "tanh"]


def test_a_tiny_net(capsys: Output) -> None:
    assert main([*NET, "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "\033[" not in out
    for text in ("forward, layer 1 of 4: encoder.0, 4 -> 3, tanh", "z1 (3, 3) = x1 @ w1 + b1",
                 "dw4 (3, 4)  dL/dw4 = x4.T @ dz4  | finite differences, relative error",
                 "w1.step (4, 3) = learning_rate * m_hat / (sqrt(v_hat) + eps)"):  # fmt: skip
        assert text in out
    assert "layer 4 of 4: decoder.1, 3 -> 4, identity (its sigmoid is in the loss)\n" in out
    assert "43 arrays compared" in out.splitlines()[-1]
    assert main([*NET, "--loss", "mse"]) == 0
    assert "3 -> 4, sigmoid\n" in capsys.readouterr().out


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_asked_for_and_no_failure(mistake: str, capsys: Output) -> None:
    assert main([*NET, "--break", mistake]) == 0
    out = capsys.readouterr().out
    assert f"with a mistake put in: {mistake}" in out and "WRONG" in out
    assert out.splitlines()[-1].startswith("the first wrong number is in ")


def test_how_many_arrays_are_right_before_it(capsys: Output) -> None:
    for layer, said in (("1", "the 17 arrays before it are right, the last 8: "),
                        ("3", "the 7 arrays before it are right: dy4, dz4, ")):  # fmt: skip
        assert main([*NET, "--break", "sign", "--layer", layer]) == 0
        before = capsys.readouterr().out.splitlines()[-1].split("; ")[1]
        assert before.startswith(said) and before.count(",") <= 8
    assert main(["trace", "--net", "4,3,2", "--break", "derivative"]) == 2
    assert "must have a curved activation: try activation='tanh' (--activation tanh)" in (
        capsys.readouterr().err
    )


def test_a_wrong_gradient_that_nobody_asked_for_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    from tinyae.net.layers import Dense

    right = Dense.backward

    def wrong(self: Dense, *arguments: object) -> None:
        right(self, *arguments)  # type: ignore[arg-type]
        self.db *= 1.001

    monkeypatch.setattr(Dense, "backward", wrong)
    assert main(NET) == 1
    assert "the first wrong number is in db4" in capsys.readouterr().err


def test_json_and_npz(tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "step.npz"
    assert main([*NET, "--json", "--npz", str(out), "--loss", "mse", "--output", "identity"]) == 0
    told = json.loads(capsys.readouterr().out)
    with np.load(out) as arrays:
        assert {"w1", "dw1", "dz4", "w1.new", "expected.dw1"} <= set(arrays.files)
        for name, array in told["arrays"].items():
            np.testing.assert_array_equal(arrays[name], np.array(array))
        gradient = 2 * (arrays["y4"] - arrays["t"]) / 3
        np.testing.assert_allclose(arrays["dy4"], gradient, rtol=1e-14)
    assert told["first_wrong"] is None and told["max_relative_error"] <= told["tolerance"]
    assert main([*NET, "--npz", str(out)]) == 0  # a file of its own kind is replaced
    (tmp_path / "other.npz").write_bytes(b"mine")
    assert main([*NET, "--npz", str(tmp_path / "other.npz")]) == 2


def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", np.random.default_rng(0).normal(3, 2, (60, 12)).astype(np.float32))
    small = ["--hidden", "24", "--code", "3", "--epochs", "2", "--backend", "numpy"]
    assert main(["train", "--data", "data.npy", *small, "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["trace", "run", "--sample", "3,5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    weights = Autoencoder.load("run/model.npz").parameters()["encoder.0.weight"]
    np.testing.assert_array_equal(np.array(told["arrays"]["w1"]), weights.astype(np.float64))
    assert np.array(told["arrays"]["x1"]).shape == (2, 12)
    assert main(["trace", "run", "--element", "b2[1]"]) == 0
    assert capsys.readouterr().out.startswith("dL/db2[1] = sum over samples n\n")
    assert main(["trace", "run", "--sample", "54"]) == 2
    assert "--sample must be of 0 ... 53, got 54" in capsys.readouterr().err
    assert main(["trace", "run", "--loss", "mse"]) == 2
    assert "--loss is for --net" in capsys.readouterr().err


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main([*NET, "--break", "sign"]) == 0
    assert "\033[31m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert main([*NET, "--break", "sign"]) == 0
    assert "\033[" not in capsys.readouterr().out


def test_norms(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("tinyae.cli.learn.trace.PREPARED", PREPARED[:1])
    assert main(["trace", "--norms", "--json"]) == 0
    (net,) = json.loads(capsys.readouterr().out)["nets"]
    assert [step["step"] for step in net["steps"]] == list(STEPS)
    assert [layer["units"] for layer in net["steps"][0]["layers"]] == [*[32] * 7, 784]
    assert main(["trace", "--norms"]) == 0
    out = capsys.readouterr().out
    assert "dead at 100" in out and "it vanishes towards the first layer" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    (
        ("", "give one of RUN, --net"), ("run --net 4,2", "give one of RUN"),
        ("--net 4", "at least two numbers"), ("--net 4,0", "must be integers >= 1"),
        ("--net 4,3,2 --layer 2", "give --break NAME"),
        ("--net 4,3,2 --break sign --layer 9", "layer must be one of 1 ... 4, got 9"),
        ("--net 4,3,2 --break none", "invalid choice: 'none'"),
        ("--net 4,3,2 --element w2", "element must be like w2[1,0]"),
        ("--net 4,3,2 --sample 0 --break mean", "at least two samples"),
        ("--net 4,3,2 --sample -1", "--sample must be of 0 ..."),
        ("--net 4,3,2 --sample x", "invalid list of integers"),
        ("--net 4,3,2 --loss bce --output relu", "needs output='sigmoid'"),
        ("--family tied", "arguments: --family (tinyae trace --help"),
        ("none", "none is no run folder"), ("--net 4,3,2 --npz x.txt", "must end in .npz"),
    ),
)  # fmt: skip
def test_what_is_refused(
    arguments: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["trace", *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert complaint in err and out == "" and "Traceback" not in err
