"""The command line as a user meets it: run folders, resuming, outputs, exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinyae.cli.train
from tinyae import Autoencoder
from tinyae.arguments import TABLE
from tinyae.cli.main import build_parser, main
from tinyae.data.datasets import load_dataset
from tinyae.kernels import columns
from tinyae.kernels.backend import Backend

Output = pytest.CaptureFixture[str]

SMALL = ["--hidden", "24", "--code", "3", "--epochs", "3"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(here: Path) -> Path:
    """60 samples of 12 features."""
    path = here / "data.npy"
    np.save(path, np.random.default_rng(0).random((60, 12), dtype=np.float32))
    return path


@pytest.fixture
def run(data: Path, capsys: Output) -> Path:
    assert main(["train", "--data", "data.npy", *SMALL, "--out", "run"]) == 0
    capsys.readouterr()
    return Path("run")


def test_train_without_arguments_learns_the_ball(here: Path, capsys: Output) -> None:
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib")
    assert main(["train", "--epochs", "3"]) == 0
    out, err = capsys.readouterr()
    assert "epoch 3/3" in err and "samples/s" in err and "left" in err
    assert "autoencoder" in out and "PCA 32" in out
    names = {path.name for path in Path("runs/ball").iterdir()}
    assert names == {
        "model.npz", "checkpoint.npz", "config.json", "history.csv", "loss.png",
        "reconstructions.png", "code.png",
    }  # fmt: skip
    assert main(["train", "--epochs", "1", "--hidden", "8", "--code", "2"]) == 0
    assert Path("runs/ball-2/model.npz").exists()  # a second run takes a folder of its own


def test_history_and_json(data: Path, capsys: Output) -> None:
    argv = ["train", "--data", "data.npy", *SMALL, "--out", "run", "--json", "--seed", "7"]
    assert main([*argv, "--validation-fraction", "0.2"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["epochs"] == 3 and summary["code"] == 3 and summary["run"] == "run"
    with open("run/history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    model = Autoencoder.load("run/model.npz")
    assert float(rows[-1]["val_loss"]) == model.history_["val_loss"][-1]
    assert json.loads(Path("run/config.json").read_text())["model"]["random_state"] == 7
    test = load_dataset("data.npy").test
    assert summary["test"]["squared_error"] == pytest.approx(-model.score(test), rel=1e-12)


def test_evaluate(run: Path, capsys: Output) -> None:
    assert main(["evaluate", "run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    errors = ["squared_error", "pca_squared_error"]
    assert list(result) == [*errors, *(f"raw_{name}" for name in errors), "code", "samples"]
    assert [result[f"raw_{name}"] for name in errors] == [result[name] for name in errors]
    dataset = load_dataset("data.npy")
    train, test = np.asarray(dataset.train, np.float64), np.asarray(dataset.test, np.float64)
    mean = train.mean(axis=0)
    v = np.linalg.svd(train - mean, full_matrices=False)[2][:3]
    pca = (((test - mean) - (test - mean) @ v.T @ v) ** 2).sum(axis=1).mean()
    x = Autoencoder.load("run/model.npz").reconstruct(test)
    assert result["pca_squared_error"] == pytest.approx(pca, rel=1e-9)
    assert result["squared_error"] == pytest.approx(((test - x) ** 2).sum(1).mean(), rel=1e-5)
    assert (result["code"], result["samples"]) == (3, 6)
    assert main(["evaluate", "run"]) == 0
    assert "PCA 3" in capsys.readouterr().out


def test_encode_decode_reconstruct(run: Path, capsys: Output) -> None:
    assert main(["encode", "run", "--part", "test", "--out", "z.npy"]) == 0
    assert main(["decode", "run", "--codes", "z.npy", "--out", "x.npy"]) == 0
    assert main(["reconstruct", "run", "--out", "r.csv"]) == 0
    z, x, r = np.load("z.npy"), np.load("x.npy"), np.loadtxt("r.csv", delimiter=",")
    model, test = Autoencoder.load("run/model.npz"), load_dataset("data.npy").test
    np.testing.assert_array_equal(z, model.encode(test))
    np.testing.assert_array_equal(x, model.decode(z))
    np.testing.assert_array_equal(r.astype(np.float32), model.reconstruct(test))
    assert main(["encode", "run", "--out", "all.csv"]) == 0
    assert np.loadtxt("all.csv", delimiter=",").shape == (60, 3)
    assert "60 codes of 3 numbers" in capsys.readouterr().out


def test_reconstruct_draws_a_picture(run: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    assert main(["reconstruct", "run", "--out", "r.png"]) == 0
    assert Path("r.png").read_bytes().startswith(b"\x89PNG")


def test_info(run: Path, capsys: Output) -> None:
    assert main(["info", "run"]) == 0
    out = capsys.readouterr().out
    assert "encoder.0" in out and "sigmoid" in out and "trained for 3 epochs" in out
    assert main(["info", "run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["shapes"]["encoder.0.weight"] == [12, 24] and result["epochs"] == 3


def test_gradcheck_and_doctor(capsys: Output) -> None:
    assert main(["gradcheck", "--activation", "tanh", "--loss", "mse", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["max_relative_error"] <= 1e-7 and len(result["checks"]) == 3
    assert main(["doctor"]) == 0
    assert re.search(r"^  numpy +works$", capsys.readouterr().out, re.MULTILINE)
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backends"]["numpy"] == ""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "--data", "nowhere.npy"], "nowhere.npy"),
        (["train", "--code", "0"], "code must be an integer >= 1, got 0"),
        (["train", "--code", "many"], "--code"),
        (["train", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["train", "--hidden", "3,x"], "--hidden"),
        (["train", "--backend", "torch"], "backend must be 'auto' or one of"),
        (["train", "--loss", "bce", "--output", "tanh"], "needs output='sigmoid'"),
        (["train", "--patience", "2"], "give --validation-fraction"),
        (["train", "--resume"], "--resume needs a run folder"),
        (["train", "--resume", "nowhere"], "no run folder"),
        (["evaluate", "nowhere"], "no run folder"),
        (["encode", "nowhere", "--out", "z.txt"], "--out: must end in .npy or .csv"),
        (["encode", "nowhere", "--out", "z-{rank}.npy"], "--out: {rank} is for --data: all ranks'"),
        (["encode", "nowhere", "--out", "no/z.npy"], "there is no folder no"),
        (["evaluate", "nowhere", "--size", "3x3"], "--size needs --data"),
        (["train", "--separator", "ab"], "separator must be"),
        (["train", "--decimal", ";"], "decimal must be"),
        (["evaluate", "nowhere", "--data", "a.csv", "--encoding", "utf-99"], "encoding must be"),
        (["train", "--no-header", "--drop", "a"], "header=False"),
        (["info"], "RUN"),
        (["fly"], "fly"),
        ([], "COMMAND"),
    ],
)
def test_wrong_arguments_exit_with_2(
    here: Path, capsys: Output, argv: list[str], message: str
) -> None:
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert not any(here.iterdir())  # nothing was made


@pytest.mark.parametrize("argv", [["evaluate"], ["info"], ["train", "--resume"]])
def test_a_file_in_the_place_of_a_run_folder_is_called_one(
    run: Path, capsys: Output, argv: list[str]
) -> None:
    assert main([*argv, "run/model.npz"]) == 2
    err = capsys.readouterr().err
    assert err == "tinyae: run/model.npz is no run folder: it is a file\n"


def commands_with(option: str) -> list[list[str]]:
    """Each command that takes it, with something for what else it must be given."""
    rest = {
        "decode": "--codes z.npy --out x.npy", "traverse": "--sample 0",
        "interpolate": "--from 0 --to 1", "encode": "--out z.npy", "reconstruct": "--out x.npy",
        "augment": "--out x.npz", "sweep": "--codes 2",
    }  # fmt: skip

    def walk(parser: Any, words: list[str]) -> Iterator[list[str]]:
        for action in parser._actions:
            if action.dest == "==SUPPRESS==" and isinstance(action.choices, dict):
                for name, child in action.choices.items():
                    yield from walk(child, [*words, name])
        if option in parser._option_string_actions:
            run = ["run"] if any(a.dest == "run" and a.required for a in parser._actions) else []
            yield [*words, *run, *rest.get(words[-1], "").split()]

    return list(walk(build_parser(), []))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--backend torch", "backend must be 'auto' or one of"),
        ("--threads 2 --backend numpy", "--threads 2 is for --backend numba"),
    ],
)
def test_a_wrong_backend_or_threads_end_every_command_with_2_before_it_starts(
    run: Path, capsys: Output, wrong: str, message: str
) -> None:
    before = sorted(run.parent.rglob("*"))
    commands = commands_with(wrong.split(maxsplit=1)[0])
    assert ["train"] in commands
    for argv in commands:
        assert main([*argv, *wrong.split()]) == 2, argv
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1, argv
    assert sorted(run.parent.rglob("*")) == before


def test_threads_of_a_run_that_has_none_are_wrong_when_it_is_resumed(
    data: Path, capsys: Output
) -> None:
    argv = ["train", "--data", "data.npy", *SMALL, "--backend", "numpy", "--out", "run"]
    assert main(argv) == 0
    assert main(["train", "--resume", "run", "--threads", "2"]) == 2
    assert "--threads 2 is for --backend numba" in capsys.readouterr().err


def test_a_run_for_which_no_epochs_were_chosen_goes_on(data: Path, capsys: Output) -> None:
    np.save("noise.npy", np.random.default_rng(0).normal(size=(60, 5)))
    argv = ["train", "--data", "noise.npy", "--code", "2", "--out", "noise"]
    assert main(argv) == 0 and "\n0 epochs in " in capsys.readouterr().out
    assert main(["train", "--resume", "noise"]) == 0
    assert "nothing was left to train" in capsys.readouterr().err
    assert main(["train", "--resume", "noise", "--epochs", "2"]) == 0
    assert "\n2 epochs in " in capsys.readouterr().out


def test_failing_work_exits_with_1(run: Path, capsys: Output) -> None:
    """What was given and is refused, however late, exits with 2."""
    wild = ["train", "--data", "data.npy", "--optimizer", "sgd", "--learning-rate", "1e30"]
    assert main([*wild, "--loss", "mse", "--output", "identity", "--out", "wild"]) == 1
    assert "What usually helps: a smaller learning_rate" in capsys.readouterr().err
    Path("run/model.npz").write_bytes(Path("run/model.npz").read_bytes()[:500])
    assert main(["evaluate", "run"]) == 2
    assert "broken or truncated" in capsys.readouterr().err
    np.save("wide.npy", np.zeros((20, 13)))
    assert main(["train", "--data", "wide.npy", *SMALL, "--out", "wide"]) == 0
    assert main(["evaluate", "wide", "--data", "data.npy"]) == 2
    assert "data.npy has 12 features, and wide was trained on 13" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"data"', '"date"', "KeyError 'data'"),
        ('"test_fraction": 0.1', '"test_fraction": 2', "test_fraction must be a number"),
        ('"label": null', '"label": [1]', "label must not be"),
        ('"size": null', '"size": [3]', "not enough values"),
        ('"size": null', '"size": [3, 0]', "size must be an integer >= 1"),
        ('"source": "', '"sauce": "', "KeyError 'source'"),
        ('"size": null', '"sise": null', "data has no option 'sise'"),
        ('"code": 3', '"code": "3"', "code must be an integer"),
        ('"code": 3', '"cod": 3', "unexpected keyword argument"),
        ("{", "[" * 100_000, "maximum recursion depth"),
        ('"code": 3', '"code": ' + "3" * 5000, "integer string conversion"),
    ],
)
def test_a_broken_config_is_an_error_of_one_line(
    run: Path, capsys: Output, old: str, new: str, message: str
) -> None:
    text = (run / "config.json").read_text()
    assert old in text
    (run / "config.json").write_text(text.replace(old, new, 1))
    for argv in (["info", "run"], ["evaluate", "run"], ["train", "--resume", "run"]):
        assert main(argv) == 2
        assert re.fullmatch(f"tinyae: run/config.json: .*{message}.*\n", capsys.readouterr().err)


def test_a_backend_that_cannot_run_here_makes_no_run(
    here: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loader() -> Backend:
        raise columns.BackendUnavailable("abacus", "no beads: buy some")

    monkeypatch.setitem(columns._LOADERS, "abacus", loader)
    assert main(["train", "--backend", "abacus"]) == 1
    assert "backend 'abacus' cannot run here: no beads: buy some" in capsys.readouterr().err
    assert not any(here.iterdir())


def test_the_whole_loop_on_every_backend(backend: Backend, data: Path, capsys: Output) -> None:
    argv = ["train", "--data", "data.npy", *SMALL, "--out", "b", "--backend", backend.name]
    assert main([*argv, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["backend"] == backend.name
    assert main(["evaluate", "b", "--json", "--backend", "numpy"]) == 0
    evaluated = json.loads(capsys.readouterr().out)["squared_error"]
    assert evaluated == pytest.approx(summary["test"]["squared_error"], rel=1e-4)


def test_the_time_of_all_counts_pca_and_pictures(
    data: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def taking(seconds: float, do: Any) -> Any:
        def timed(*arguments: Any) -> Any:
            now[0] += seconds
            return do(*arguments)

        return timed

    train = tinyae.cli.train
    monkeypatch.setattr(train, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    for name, seconds in (("open_data", 1), ("train_run", 10), ("_pca", 100), ("_draw", 1000)):
        monkeypatch.setattr(train, name, taking(seconds, getattr(train, name)))
    assert main(["train", "--data", "data.npy", *SMALL, "--epochs", "1", "--out", "one"]) == 0
    said = r"1 epoch in [\d.]+ s, 10.0 s with choosing settings and saving, 1111.0 s with reading, "
    assert re.search(said + "PCA and pictures too, ", capsys.readouterr().out)


def test_a_run_is_never_overwritten(run: Path, capsys: Output) -> None:
    before = Path("run/model.npz").read_bytes()
    assert main(["train", "--data", "data.npy", *SMALL, "--out", "run"]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["train", "--resume", "run", "--epochs", "9"]) == 2
    assert "run was started with epochs=3, not 9: another --out keeps it" in capsys.readouterr().err
    assert main(["train", "--resume", "run"]) == 0  # nothing is left to train
    after = np.load("run/model.npz")
    assert Path("run/model.npz").read_bytes() == before or all(
        np.array_equal(after[n], Autoencoder.load("run/model.npz").parameters()[n])
        for n in after.files
        if n != "meta"
    )


def test_resuming_takes_an_argument_that_only_fits_others_of_the_run(
    data: Path, capsys: Output
) -> None:
    options = ["--schedule-options", "every=0.5,factor=0.1"]
    argv = ["train", "--data", "data.npy", *SMALL, "--out", "run", "--schedule", "step", *options]
    assert main(argv) == 0
    assert main(["train", "--resume", "run", *options]) == 0
    capsys.readouterr()
    other = ["--schedule-options", "every=0.2,factor=0.1"]
    assert main(["train", "--resume", "run", *other]) == 2
    assert "run was started with schedule_options=" in capsys.readouterr().err


def test_a_finished_run_is_trained_longer_to_the_bytes_of_one_that_was_longer_at_once(
    data: Path, capsys: Output
) -> None:
    constant = ["--schedule", "constant", "--warmup", "0"]
    train = ["train", "--data", "data.npy", "--hidden", "24", "--code", "3", *constant]
    assert main([*train, "--epochs", "7", "--out", "whole"]) == 0
    assert main([*train, "--epochs", "3", "--out", "parts"]) == 0
    assert main(["train", "--resume", "parts", "--epochs", "2"]) == 2
    for given in (["--epochs", "5"], [], ["--epochs", "7"]):
        capsys.readouterr()
        assert main(["train", "--resume", "parts", *given]) == 0
        said = capsys.readouterr().err
        assert ("parts: trained already, nothing was left to train\n" in said) == (given == [])
    whole, parts = (np.load(f"{name}/model.npz") for name in ("whole", "parts"))
    for name in set(whole.files) - {"meta"}:
        assert whole[name].tobytes() == parts[name].tobytes(), name
    assert len(Path("parts/history.csv").read_text().splitlines()) == 1 + 7
    assert json.loads(Path("parts/config.json").read_text())["model"]["epochs"] == 7


def test_another_number_of_threads_is_said_in_one_line(run: Path, capsys: Output) -> None:
    pytest.importorskip("numba", reason="it counts the threads of the numba backend")
    argv = ["train", "--data", "data.npy", *SMALL, "--backend", "numba", "--threads", "1"]
    assert main([*argv, "--out", "one"]) == 0
    capsys.readouterr()
    file = Path("one/checkpoint.npz")
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays["meta"] = np.char.replace(arrays["meta"], '"threads": 1,', '"threads": 64,')
    np.savez(file, **arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["train", "--resume", "one"]) == 0
        assert main(["train", "--resume", "one", "--threads", "1"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "threads" in line]
    assert len(lines) == 2 and re.fullmatch(
        "tinyae: .*threads=64 and is resumed with threads=1: the result's bytes .*", lines[0]
    )


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_interrupt_and_resume_end_with_the_same_weights(data: Path, number: int) -> None:
    train = [sys.executable, "-m", "tinyae", "train", "--data", "data.npy", "--hidden", "16"]
    train += ["--code", "2", "--epochs", "40", "--batch-size", "4"]
    plain = {**os.environ, "PYTHONUNBUFFERED": "1"}
    subprocess.run([*train, "--out", "whole"], check=True, capture_output=True, env=plain)
    process = subprocess.Popen(
        [*train, "--out", "parts"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env=plain,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch  3/40"):
            process.send_signal(number)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert "'tinyae train --resume parts' goes on from here" in rest
    assert not Path("parts/model.npz").exists()
    assert main(["train", "--out", "parts", "--resume"]) == 0
    whole, parts = np.load("whole/model.npz"), np.load("parts/model.npz")
    for name in set(whole.files) - {"meta"}:
        assert np.array_equal(whole[name], parts[name]), name


def test_resume_starts_what_was_killed_before_its_first_checkpoint(
    data: Path, capsys: Output
) -> None:
    argv = ["train", "--data", "data.npy", *SMALL, "--out", "new", "--resume"]
    assert main(argv) == 0
    assert "nothing to resume in new: starting from the beginning" in capsys.readouterr().err
    assert Path("new/model.npz").exists()


def test_train_takes_every_argument_by_its_name(data: Path) -> None:
    given = {
        "hidden": "24", "code": "3", "decoder_hidden": "5,6", "activation": "tanh",
        "code_activation": "tanh", "output": "sigmoid", "loss": "bce", "initializer": "lecun",
        "scale": "none", "missing": "error",
        "optimizer": "adamw", "learning_rate": "0.02", "momentum": "0.5", "betas": "0.8,0.9",
        "eps": "1e-7", "weight_decay": "0.1", "clip_norm": "3.0", "schedule": "step",
        "schedule_options": "every=0.5,factor=0.2", "warmup": "0.2", "batch_size": "7",
        "epochs": "1", "code_noise": "0.1,0.2", "target_blur": "0.5", "shift": "1",
        "image_shape": "3,4",
        "validation_fraction": "0.3", "patience": "2", "backend": "numpy", "matmul": "fp32",
        "dtype": "float64", "random_state": "5",
    }  # fmt: skip
    named = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    assert main(["train", "--data", "data.npy", "--out", "run", *named, "--no-shuffle"]) == 0
    model = json.loads(Path("run/config.json").read_text())["model"]
    assert {*given, "shuffle", "threads"} == {a.name for a in TABLE if a.on_command_line}
    assert set(model) == {"family", *(a.name for a in TABLE)} and model["shuffle"] is False
    for name, text in given.items():
        kind = next(a.kind for a in TABLE if a.name == name)
        assert model[name] == kind.read(text), name


def test_python_m_and_help() -> None:
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tinyae", *argv], capture_output=True, text=True, check=False
        )

    shown = run("--help")
    assert shown.returncode == 0 and "exit codes: 0 done" in shown.stdout
    assert "--learning-rate" in run("train", "--help").stdout
    assert run("--version").stdout.startswith("tinyae ")


def test_ctrl_c_while_the_command_loads(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    from tinyae import __main__ as start

    def stopped(name: str, *rest: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("builtins.__import__", stopped)
        code = start.main()
    assert code == 1 and capsys.readouterr().err == "tinyae: interrupted\n"
