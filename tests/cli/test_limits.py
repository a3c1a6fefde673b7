"""Every command on data as small and as plain as they come, and what is left of a net on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.data.datasets import load_dataset

Output = pytest.CaptureFixture[str]

RANDOM = np.random.default_rng(0).random((20, 4))
DATA: dict[str, Any] = {
    "two rows": RANDOM[:2], "three rows": RANDOM[:3], "one column": RANDOM[:, :1],
    "constant": np.full((20, 4), 0.5), "zeros": np.zeros((20, 4)),
    "two different rows": np.repeat(RANDOM[:2], 10, axis=0),
}  # fmt: skip
COMMANDS = [
    "evaluate RUN", "evaluate RUN --json", "info RUN", "encode RUN --out z.npy",
    "decode RUN --codes z.npy --out x.npy", "reconstruct RUN --out r.csv",
    "sample RUN --npy s.npy", "sample RUN --density gaussian --npy s.npy",
    "sample RUN --density kernel --npy s.npy", "manifold RUN --npy s.npy",
    "traverse RUN --sample 0 --npy s.npy", "interpolate RUN --from 0 --to 0 --npy s.npy",
    "augment RUN --out n.npz", "augment RUN --method noise --out n.npz",
    "demo augment --data data.npz --run RUN --new 2 --seeds 1 --out demo",
]  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_no_default_is_more_than_the_data_have(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # no pictures: they are slow
    x = DATA[name]
    np.savez("data.npz", x_train=x, y_train=np.arange(len(x)) % (1 + (len(x) > 3)), x_test=x[:2],
             y_test=np.zeros(2, int))  # fmt: skip
    for code in ("2", "32"):
        argv = ["train", "--data", "data.npz", "--hidden", "8", "--epochs", "2"]
        assert main([*argv, "--code", code, "--backend", "numpy", "--out", code]) == 0
        assert ("no shorter than a sample" in capsys.readouterr().err) == (int(code) >= x.shape[1])
        for command in COMMANDS:
            if command.startswith("manifold") and code != "2":
                continue
            assert main(command.replace("RUN", code).split()) == 0, command
            assert "nan" not in capsys.readouterr().out
    argv = ["sweep", "--data", "data.npz", "--epochs", "1", "--hidden", "8", "--backend", "numpy"]
    assert main([*argv, "--out", "a"]) == main([*argv, "--output", "identity", "--out", "b"]) == 0
    assert main(["sample", "2", "--components", "21"]) == 2
    assert "components must be at most" in capsys.readouterr().err


def test_evaluate_and_info_count_units_that_are_always_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", RANDOM)
    argv = ["train", "--data", "data.npy", "--hidden", "8", "--code", "3", "--epochs", "1"]
    assert main([*argv, "--code-activation", "relu", "--out", "run"]) == 0
    model, file = Autoencoder.load("run/model.npz"), "run/model.npz"
    assert model.zero_units_ == model.zero_units(load_dataset("data.npy").train)  # train stored it
    parameters = {k: v + k.endswith("bias") for k, v in model.parameters().items()}
    parameters["encoder.0.bias"][:5] = parameters["encoder.1.bias"][0] = -100
    model.set_parameters(parameters).zero_units_ = {"decoder.0": 4}
    model.save(file)
    capsys.readouterr()
    said = "units that are 0 for all training samples: "
    for argv in (["evaluate", "run"], ["evaluate", "run", "--json"]):
        assert main(argv) == 0
        text = "".join(capsys.readouterr())
        assert f"\n{said}5 of the 8 of encoder.0, 1 of the 3 of encoder.1\n" in text
    assert main(["info", "run"]) == 0
    assert f"\n{said}4 of the 8 of decoder.0\n" in capsys.readouterr().out
    assert main(["info", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["zero_units"] == {"decoder.0": 4}
