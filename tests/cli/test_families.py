"""``--family``: its options, its run folder wherever a run is used, its picture and its measure."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import Autoencoder, DenoisingAutoencoder
from tinyae.cli import train
from tinyae.cli.main import main
from tinyae.cli.run.folder import RunFolder
from tinyae.codes.densities import fit_gaussian, fit_mixture
from tinyae.families import FAMILIES

Output = pytest.CaptureFixture[str]

TRAIN = ["train", "--data", "data.npz", "--hidden", "16", "--code", "4", "--epochs", "2"]
MASKING = ["--family", "denoising", "--corruption", "masking", "--level", "0.4"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).random((90, 4, 5))
    np.savez("data.npz", x=x, y=np.arange(90) % 3)


def test_a_run_of_a_family(capsys: Output) -> None:
    assert main([*TRAIN, *MASKING, "--out", "run"]) == 0
    model = RunFolder("run").read_config()["model"]
    assert (model["family"], model["corruption"], model["level"]) == ("denoising", "masking", 0.4)
    ae = RunFolder("run").load_model("numpy")
    assert isinstance(ae, DenoisingAutoencoder) and ae.level == 0.4
    assert type(Autoencoder.load("run/model.npz")) is DenoisingAutoencoder
    pytest.importorskip("matplotlib", reason="a picture")
    from matplotlib.image import imread

    height = imread("run/reconstructions.png").shape[0]
    assert main([*TRAIN, "--out", "plain"]) == 0
    more = imread("plain/reconstructions.png").shape[0]
    assert height / more == pytest.approx(1.5, abs=0.1)  # a row more
    capsys.readouterr()
    assert main(["evaluate", "run", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    dataset = RunFolder("run").load_data({})
    expected = RunFolder("run").load_model("auto").corrupted_error(dataset.test)  # type: ignore[attr-defined]
    assert numbers["corrupted_squared_error"] == pytest.approx(expected, rel=1e-12)
    assert main(["evaluate", "run"]) == 0
    said = "test: squared error per sample of rows with masking corruption at level 0.4: "
    assert f"{said}{expected:.6g}\n" in capsys.readouterr().out
    assert main(["evaluate", "plain", "--json"]) == 0
    assert "corrupted_squared_error" not in json.loads(capsys.readouterr().out)


def test_where_pca_is_better_the_familys_options_are_named(capsys: Output) -> None:
    worse = [*TRAIN, "--initializer", "random"]
    for family, said in (
        ("denoising", "; --family denoising may be the cause as well: --corruption, --level\n"),
        ("tied", "; --family tied may be the cause as well\n"),
        ("plain", "see --epochs, --learning-rate, --initializer and --scale\n"),
    ):
        assert main([*worse, "--family", family, "--out", family]) == 0
        assert said in capsys.readouterr().out


@pytest.mark.parametrize("options", [
    "sparse --sparsity top-k", "sparse --sparsity kl --code-activation sigmoid",
    "sparse --sparsity l1", "variational", "variational --scale standard",
    "variational --free-bits 0.1", "variational --samples 2", "variational --data gaps.npy",
    "variational --data words.csv",
])  # fmt: skip
def test_what_is_advised_is_accepted(
    options: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another value of each option that is named, and of none that is not."""
    monkeypatch.setattr(train, "can_draw", lambda: False)
    x = np.random.default_rng(0).random((60, 6))
    np.save("gaps.npy", np.where(x > 0.9, np.nan, x))
    lines = (",".join([*map(str, row), "ab"[i % 2]]) for i, row in enumerate(x.tolist()))
    Path("words.csv").write_text("\n".join(["a,b,c,d,e,f,kind", *lines]))
    argv = [*TRAIN, "--initializer", "random", "--learning-rate", "1e-9", "--family",
            *options.split()]  # fmt: skip
    assert main([*argv, "--out", "run"]) == 0
    (advice,) = re.findall(r"may be the cause as well: (.*)", capsys.readouterr().out)
    values = {
        "sparsity": ["l1"], "k": ["3"], "weight": ["0.2"], "rho": ["0.1"], "revive": ["0.5"],
        "unit_norm": [], "beta": ["0.5"], "kl_warmup": ["0.5"], "free_bits": ["0.2"],
        "samples": ["3"], "binarize": [],
    }  # fmt: skip
    for name in FAMILIES[options.split(maxsplit=1)[0]].own:
        option = "--" + name.replace("_", "-")
        done = main([*argv, option, *values[name], "--out", name])
        assert (done == 0) == (option in advice.split(", ")), option


def test_a_sparse_code_is_wide(capsys: Output) -> None:
    """And as many units stay as the plain net's code has, unless something is given."""
    few = ["train", "--family", "sparse", "--epochs", "1", "--out"]
    for n, code, k in ((3, 12, 2), (21, 84, 5), (64, 256, 32), (300, 1024, 32)):
        np.save("x.npy", np.random.default_rng(0).random((30, n)))
        assert main([*few, str(n), "--data", "x.npy"]) == 0
        model = RunFolder(str(n)).read_config()["model"]
        assert (model["code"], model["k"]) == (code, k)
        assert f"code {code}: 4 units for each of {n} features" in capsys.readouterr().err
    for given, code, k in (
        (["--k", "3"], 80, 3), (["--code", "30"], 30, None), (["--k", "70"], 80, 70),
        (["--sparsity", "l1"], 5, None),
    ):  # fmt: skip
        assert main([*few, "run", *given, "--data", "data.npz"]) == 0
        model = RunFolder("run").read_config()["model"]
        assert (model["code"], model["k"]) == (code, k)
        shutil.rmtree("run")
    capsys.readouterr()
    assert main([*few, "run", "--k", "81", "--data", "data.npz"]) == 2
    assert "k must be at most code=80, got 81" in capsys.readouterr().err
    assert not Path("run").exists()


def test_data_that_a_family_refuses_leave_no_folder(capsys: Output) -> None:
    x = np.random.default_rng(0).random((60, 5))
    x[3, 2] = np.nan
    np.save("gaps.npy", x)
    small = ["--hidden", "8", "--code", "2", "--backend", "numpy"]
    train = ["train", "--data", "gaps.npy", "--family", "variational", "--samples", "3", *small]
    for options in ([], ["--epochs", "2"]):  # found in cross-validation, and by training itself
        assert main([*train, *options]) == 2
        assert "fill the gaps first, with 'tinyae impute'" in capsys.readouterr().err
        assert list(Path("runs").iterdir()) == []


def test_what_is_said_of_a_familys_run(capsys: Output) -> None:
    assert main([*TRAIN, "--out", "plain"]) == 0
    plain = capsys.readouterr().out
    assert main([*TRAIN, "--family", "variational", "--beta", "2", "--out", "run"]) == 0
    said = "Losses and errors of epochs are of training, with codes that are drawn, and their"
    trained = capsys.readouterr().out
    assert said in trained and said[:30] not in plain
    (seconds,) = re.findall(r"2 epochs in ([\d.]+) s, ", trained)
    assert main(["info", "run"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith(("encoder", "sample"))]
    assert rows[1:] == [["encoder.1", "16", "8", "identity", "136"], ["sample", "8", "4", "-", "0"]]
    assert "family variational: beta 2.0, kl_warmup 0.0" in out
    assert "; in training codes that are drawn" in out
    assert f"trained for 2 epochs in {seconds} s" in out
    assert main(["info", "plain"]) == 0
    out = capsys.readouterr().out
    assert "in training" not in out and "code_noise" not in out


def test_it_is_used_as_any_run() -> None:
    assert main([*TRAIN, *MASKING, "--out", "run"]) == 0
    for command in ("info run", "encode run --out z.npy --part test", "reconstruct run --out x.npy",
                    "export run --out net.py", "page run --out page.html"):  # fmt: skip
        assert main(command.split()) == 0, command
    ae = RunFolder("run").load_model("auto")
    rows = RunFolder("run").load_data({})
    np.testing.assert_allclose(np.load("z.npy"), ae.encode(rows.test), rtol=1e-6)
    scope: dict[str, Any] = {}
    exec(Path("net.py").read_text(), scope)
    x = np.asarray(rows.test)
    np.testing.assert_allclose(scope["encode"](x), ae.encode(x), rtol=1e-4, atol=1e-5)


def test_samples_of_a_variational_run_are_of_its_prior(capsys: Output) -> None:
    """Of a density that is fitted to codes only where one is asked for."""
    assert main([*TRAIN, "--family", "variational", "--out", "run"]) == 0
    ae, codes = RunFolder("run").load_model("auto"), RunFolder("run").load_data({}).train
    for options, expected in (
        ([], ae.sample(7, 3)),  # type: ignore[attr-defined]
        (["--density", "gaussian"], ae.decode(fit_gaussian(ae.encode(codes)).sample(7, 3))),
        (["--components", "2"], ae.decode(fit_mixture(ae.encode(codes), 2, 3).sample(7, 3))),
    ):
        argv = ["sample", "run", "-n", "7", "--seed", "3", "--npy", "s.npy"]
        assert main([*argv, *options]) == 0
        np.testing.assert_array_equal(np.load("s.npy"), expected)
        said = "7 samples of codes from the prior of the variational autoencoder"
        assert (said in capsys.readouterr().out) == (not options)
    z = np.concatenate([ae._prior(20_000, seed) for seed in (0, 1)])
    assert np.abs(z.mean(axis=0)).max() < 5 / 200 and np.abs(z.var(axis=0) - 1).max() < 5 / 141


def test_a_run_goes_on_as_what_it_was(capsys: Output) -> None:
    longer = ["--schedule", "constant", "--warmup", "0"]
    assert main([*TRAIN, *MASKING, *longer, "--out", "run"]) == 0
    assert main(["train", "--resume", "run", "--epochs", "4"]) == 0
    ae = RunFolder("run").load_model("auto")
    assert isinstance(ae, DenoisingAutoencoder) and ae.n_iter_ == 4
    whole = [*TRAIN[:-1], "4", *MASKING, *longer, "--out", "whole"]
    assert main(whole) == 0
    for name, value in RunFolder("whole").load_model("auto").parameters().items():
        assert value.tobytes() == ae.parameters()[name].tobytes()
    capsys.readouterr()
    for options, said in (
        (["--level", "0.2"], "run was started with level=0.4, not 0.2"),
        (["--family", "plain"], "run was started with family='denoising', not 'plain'"),
        (["--family", "variational"], "run was started with family='denoising', not 'variational'"),
    ):
        assert main(["train", "--resume", "run", *options]) == 2
        assert said in capsys.readouterr().err
    assert main([*TRAIN, "--out", "plain"]) == 0
    assert main(["train", "--resume", "plain", "--family", "denoising"]) == 2
    assert "plain was started with family='plain', not 'denoising'" in capsys.readouterr().err


def test_a_configuration_without_a_family_is_a_plain_one() -> None:
    assert main([*TRAIN, "--out", "run"]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert config["model"].pop("family") == "plain"
    Path("run/config.json").write_text(json.dumps(config))
    assert RunFolder("run").read_config()["model"]["family"] == "plain"
    assert main(["train", "--resume", "run"]) == 0


@pytest.mark.parametrize(("options", "said"), [
    (["--level", "0.4"], "and this is 'plain': --family denoising takes it"),
    (["--family", "plain", "--corruption", "masking"], "corruption is for the family 'denoising'"),
    ([*MASKING[:-1], "1.5"], "level of 'masking' is a fraction of the features"),
    (["--family", "denoising", "--corruption", "rain"], "invalid choice: 'rain'"),
    (["--family", "sparse-ish"], "invalid choice: 'sparse-ish'"),
])  # fmt: skip
def test_options_that_cannot_be_meant(capsys: Output, options: list[str], said: str) -> None:
    for command in (TRAIN, ["sweep", *TRAIN[1:5]]):
        assert main([*command, *options]) == 2
        assert said in capsys.readouterr().err
    assert not Path("runs").exists()


def test_help_lists_the_options_of_each_family(capsys: Output) -> None:
    for command in ("train", "sweep"):
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        for name, kind in FAMILIES.items():
            after = text.split(f"only with --family {name}:")[1]
            assert all(f"--{option.replace('_', '-')}" in after for option in kind.own)


def test_a_sweep_of_a_family(capsys: Output) -> None:
    sweep = ["sweep", "--data", "data.npz", "--hidden", "8", "--epochs", "1", "--codes", "2",
             "--out", "out"]  # fmt: skip
    assert main([*sweep, *MASKING]) == 0
    assert isinstance(RunFolder("out/code-2").load_model("auto"), DenoisingAutoencoder)
    assert main(sweep) == 2
    assert "started with family='denoising', not 'plain'" in capsys.readouterr().err
    assert main([*sweep[:-3], "4", *sweep[-2:]]) == 2  # of another size beside it
    assert "holds a sweep of other family" in capsys.readouterr().err
