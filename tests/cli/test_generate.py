"""``tinyae manifold``, ``sample``, ``traverse`` and ``interpolate`` as a user meets them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plot.pictures import read
from tinyae import Autoencoder
from tinyae.cli.main import main
from tinyae.codes.densities import fit_gaussian, fit_kernel, fit_mixture
from tinyae.codes.generate import blend, code_grid, code_range, traversal, within_reach
from tinyae.data.datasets import Dataset, load_dataset

pytest.importorskip("matplotlib", reason="the pictures need matplotlib")

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and three runs: "run" with a code of two bounded units and "deep" with
    one of three, on 54 small pictures (6 more are the test part); "flat" on no pictures."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    np.save(folder / "data.npy", rng.random((60, 4, 3), dtype=np.float32))
    np.save(folder / "flat.npy", rng.random((40, 9)))
    fixed = ["--hidden", "12", "--epochs", "2", "--learning-rate", "0.05", "--batch-size", "8"]
    for name, data, *options in (
        ("run", "data.npy", "--code", "2", "--code-activation", "tanh"),
        ("deep", "data.npy", "--code", "3"),
        ("flat", "flat.npy", "--code", "2"),
    ):
        argv = ["train", "--out", str(folder / name), "--data", str(folder / data)]
        assert main([*argv, *fixed, *options]) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> Path:
    """The first of the three runs, all of them copied into the current folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return Path("run")


def load(run: Path) -> tuple[Autoencoder, Dataset]:
    return Autoencoder.load(run / "model.npz"), load_dataset("data.npy")


def pixels(path: str | Path) -> np.ndarray:
    return read(Path(path))


def grey(samples: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Samples as pictures of bytes: black and white are the training data's extremes."""
    data = np.asarray(dataset.train)
    unit = (samples - data.min()) / (data.max() - data.min())
    return (unit.clip(0, 1) * 255 + 0.5).astype(np.uint8).reshape(-1, 4, 3)


def test_manifold(run: Path, capsys: Output) -> None:
    assert main(["manifold", "run", "--grid", "5", "--npy", "m.npy"]) == 0
    ae, dataset = load(run)
    expected = ae.decode(code_grid(ae.encode(dataset.train), 5))
    np.testing.assert_array_equal(np.load("m.npy"), expected)
    drawn = pixels("run/manifold.png")
    assert drawn.shape == (5 * 64, 5 * 48)  # one seamless picture, 16 pixels for each
    tiles = drawn.reshape(5, 64, 5, 48).swapaxes(1, 2).reshape(25, 64, 48)
    np.testing.assert_array_equal(tiles[:, 8::16, 8::16], grey(expected, dataset))
    out = capsys.readouterr().out
    assert "m.npy: 25 samples of 12 numbers, float32" in out
    assert "run/manifold.png: 5 x 5 samples; code unit 1 from" in out.replace("\\", "/")


def test_manifold_with_other_options(run: Path) -> None:
    argv = ["manifold", "run", "--grid", "3", "--spacing", "even", "--npy", "m.npy"]
    assert main([*argv, "--out", "map.png", "--gap", "5"]) == 0
    ae, dataset = load(run)
    expected = ae.decode(code_grid(ae.encode(dataset.train), 3, "even"))
    np.testing.assert_array_equal(np.load("m.npy"), expected)
    assert pixels("map.png").shape == (3 * 64 + 4 * 5, 3 * 48 + 4 * 5)
    assert not Path("run/manifold.png").exists()


def test_manifold_over_the_codes_of_other_data(run: Path) -> None:
    np.save("dark.npy", np.zeros((20, 4, 3), np.float32) + np.linspace(0, 0.1, 20)[:, None, None])
    assert main(["manifold", "run", "--grid", "3", "--data", "dark.npy", "--npy", "m.npy"]) == 0
    ae, dark = load(run)[0], load_dataset("dark.npy")
    expected = ae.decode(code_grid(ae.encode(dark.train), 3))
    np.testing.assert_array_equal(np.load("m.npy"), expected)


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        ([], fit_mixture),
        (["--density", "mixture", "--components", "3"], lambda z: fit_mixture(z, 3)),
        (["--density", "mixture", "--seed", "5"], lambda z: fit_mixture(z, seed=5)),
        (["--density", "gaussian"], fit_gaussian),
        (["--density", "kernel"], fit_kernel),
        (["--density", "kernel", "--bandwidth", "2.5"], lambda z: fit_kernel(z, 2.5)),
    ],
)
def test_sample(run: Path, capsys: Output, options: list[str], fit: Any) -> None:
    assert main(["sample", "run", "-n", "7", "--npy", "s.npy", *options]) == 0
    ae, dataset = load(run)
    density = fit(ae.encode(dataset.train))
    codes = within_reach(density.sample(7, 5 if "--seed" in options else 0), "tanh")
    np.testing.assert_array_equal(np.load("s.npy"), ae.decode(codes))
    drawn = pixels("run/samples.png")
    assert drawn.shape == (3 * 68 + 4, 3 * 52 + 4)  # 3 x 3, two of them left empty
    np.testing.assert_array_equal(drawn[12:68:16, 12:52:16], grey(ae.decode(codes), dataset)[0])
    assert (drawn[140:, 56:] == 255).all()
    judged = density.log_density(ae.encode(dataset.test)).mean()
    assert f"fitted to 54 training codes; mean log density of 6 test codes {judged:.4g}" in (
        capsys.readouterr().out
    )


def test_samples_decode_no_code_that_the_activation_cannot_give(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = Autoencoder.decode
    monkeypatch.setattr(Autoencoder, "decode", lambda ae, z: decoded.append(z) or decode(ae, z))
    assert main(["sample", "run", "-n", "500", "--density", "kernel", "--bandwidth", "9"]) == 0
    assert (np.abs(decoded[0]).max(axis=0) == 1).all()


def test_traverse(run: Path, capsys: Output) -> None:
    argv = ["traverse", "deep", "--sample", "4", "--steps", "5", "--npy", "t.npy"]
    for part in ("test", "train"):
        assert main([*argv, "--part", part]) == 0
        ae, dataset = load(Path("deep"))
        rows = {"test": dataset.test, "train": dataset.train}[part]
        code = ae.encode(rows)[4]
        codes, own = traversal(code, *code_range(ae.encode(dataset.train)), 5)
        samples = np.load("t.npy")
        # a matrix of one row may be multiplied in another order
        np.testing.assert_allclose(samples, ae.decode(codes.reshape(15, 3)), rtol=1e-5)
        rebuilt = ae.reconstruct(rows)[4]
        np.testing.assert_allclose(
            samples.reshape(3, 5, 12)[[0, 1, 2], own], [rebuilt] * 3, rtol=1e-5
        )
        drawn = pixels("deep/traversal.png")
        tiles = drawn[:, -(5 * 52 + 4) :]
        assert drawn.shape[0] == 3 * 68 + 4 and drawn.shape[1] > 5 * 52 + 40
        framed = (tiles == (0xD9, 0x82, 0x2B)).all(axis=2)
        assert framed.sum() == 3 * (68 * 52 - 64 * 48)
        for unit in range(3):
            at = [tiles[12 + 68 * unit : 68 + 68 * unit : 16, 12 + 52 * i :: 16][:4, :3, 0]
                  for i in range(5)]  # fmt: skip
            np.testing.assert_array_equal(at, grey(samples, dataset)[5 * unit : 5 * unit + 5])
            assert framed[2 + 68 * unit, 30 + 52 * own[unit]]
    assert "train sample 4 (framed), each of its 3 units" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "option", "bound"), [
    ("manifold run --grid 100000", "--grid", 20), ("sample run -n 99999999", "-n", 416),
    ("traverse deep --sample 0 --steps 500", "--steps", 138),
    ("interpolate run --from 0 --to 1 --steps 500", "--steps", 208),
])  # fmt: skip
def test_more_than_the_memory_holds(
    run: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, command: str, option: str,
    bound: int,
) -> None:  # fmt: skip
    """In 320,000 bytes: 64 for each of the 12 numbers of 416 samples."""
    monkeypatch.setattr("tinyae.cli.generate.available_memory", lambda: 320_000)
    assert main(command.split()) == 2
    assert f"{option} must be at most {bound} here, got " in capsys.readouterr().err
    words = command.split()
    assert main([*words[: words.index(option)], option, str(bound)]) == 0


def test_more_lines_than_can_be_drawn(
    run: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyae.cli.generate.available_memory", lambda: 1 << 60)
    for command, said in (
        ("manifold flat --grid 1093", "--grid must be at most 1,092 here, got 1,093"),
        ("sample flat -n 1192465", "-n must be at most 1,192,464 here, got 1,192,465"),
        ("traverse flat --sample 0 --steps 1093", "--steps must be at most 1,092 here, got 1,093"),
    ):
        assert main(command.split()) == 2
        assert said in capsys.readouterr().err


def test_interpolate(run: Path, capsys: Output) -> None:
    argv = ["interpolate", "run", "--from", "5", "--to", "0", "--steps", "4", "--npy", "i.npy"]
    assert main(argv) == 0
    ae, dataset = load(run)
    test = np.asarray(dataset.test)
    frames = np.load("i.npy").reshape(2, 4, 12)
    np.testing.assert_array_equal(frames[0, [0, -1]], test[[5, 0]])  # the very samples
    np.testing.assert_allclose(frames[0], blend(test[5], test[0], 4), rtol=1e-6)
    codes = ae.encode(test[[5, 0]])
    np.testing.assert_allclose(frames[1], ae.decode(blend(codes[0], codes[1], 4)), rtol=1e-5)
    np.testing.assert_allclose(frames[1, [0, -1]], ae.reconstruct(test[[5, 0]]), rtol=1e-5)
    drawn = pixels("run/interpolation.png")
    tiles = drawn[:, -(4 * 52 + 4) :]
    assert drawn.shape[0] == 2 * 68 + 4
    last = tiles[80:136:16, -(4 + 48 - 8) :: 16][:, :3]  # of the path, the end
    np.testing.assert_array_equal(last, grey(frames[1, -1], dataset)[0])
    assert "test samples 5 to 0 in 4 steps" in capsys.readouterr().out
    assert main([*argv, "--part", "train"]) == 0
    train_rows = np.asarray(dataset.train)
    np.testing.assert_array_equal(np.load("i.npy")[[0, 3]], train_rows[[5, 0]])


def test_data_that_are_no_pictures_are_drawn_as_lines(run: Path) -> None:
    for argv in (
        ["manifold", "flat", "--grid", "4"],
        ["sample", "flat", "-n", "5"],
        ["traverse", "flat", "--sample", "0"],
        ["interpolate", "flat", "--from", "0", "--to", "3"],
    ):
        assert main(argv) == 0
    for name in ("manifold", "samples", "traversal", "interpolation"):
        drawn = pixels(f"flat/{name}.png")
        assert drawn.ndim == 3 and (np.ptp(drawn.astype(int), axis=2) > 60).any()


COMMANDS: dict[str, list[str]] = {
    "manifold": [],
    "sample": [],
    "traverse": ["--sample", "0"],
    "interpolate": ["--from", "0", "--to", "1"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "x.gif"], "--out: must end in .png or .npy or .csv, got x.gif"),
        (["--npy", "x.txt"], "--npy: must end in .npy or .csv, got x.txt"),
        (["--out", "no/x.png"], "--out: there is no folder no"),
        (["--npy", "no/x.npy"], "--npy: there is no folder no"),
        (["--data", "nowhere.npy"], "nowhere.npy"),
        (["--test-fraction", "0.5"], "--test-fraction needs --data"),
    ],
)
def test_wrong_options_of_all(
    run: Path, capsys: Output, command: str, options: list[str], message: str
) -> None:
    before = sorted(Path.cwd().rglob("*"))
    assert main([command, "run", *COMMANDS[command], *options]) == 2
    assert message in capsys.readouterr().err
    assert main([command, "nowhere", *COMMANDS[command]]) == 2
    assert "nowhere is no run folder" in capsys.readouterr().err
    assert sorted(Path.cwd().rglob("*")) == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["manifold", "run", "--grid", "0"], "--grid: must be an integer >= 1, got 0"),
        (["manifold", "run", "--gap", "-1"], "--gap: must be an integer >= 0, got -1"),
        (["manifold", "run", "--spacing", "odd"], "--spacing"),
        (["sample", "run", "-n", "0"], "-n: must be an integer >= 1, got 0"),
        (["sample", "run", "--density", "cubic"], "--density"),
        (["sample", "run", "--components", "0"], "--components: must be an integer >= 1, got 0"),
        (["sample", "run", "--seed", "-1"], "--seed: invalid integer in [0, 2^64) value: '-1'"),
        (["sample", "run", "--density", "kernel", "--components", "3"],
         "--components is for --density mixture, got kernel"),
        (["sample", "run", "--bandwidth", "2"], "--bandwidth is for --density kernel, got mixture"),
        (["sample", "run", "--density", "kernel", "--bandwidth", "wide"], "bandwidth"),
        (["traverse", "run"], "--sample"),
        (["traverse", "run", "--sample", "6"],
         "--sample must lie in 0 .. 5 (6 test samples), got 6"),
        (["traverse", "run", "--sample", "-1"], "--sample must lie in 0 .. 5"),
        (["traverse", "run", "--sample", "54", "--part", "train"],
         "--sample must lie in 0 .. 53 (54 train samples), got 54"),
        (["traverse", "run", "--sample", "0", "--steps", "0"],
         "--steps: must be an integer >= 1, got 0"),
        (["interpolate", "run", "--from", "0"], "--to"),
        (["interpolate", "run", "--from", "9", "--to", "0"], "--from must lie in 0 .. 5"),
        (["interpolate", "run", "--from", "0", "--to", "99"], "--to must lie in 0 .. 5"),
        (["interpolate", "run", "--from", "0", "--to", "1", "--steps", "1"],
         "--steps: must be an integer >= 2, got 1"),
    ],
)  # fmt: skip
def test_wrong_arguments_exit_with_2(
    run: Path, capsys: Output, argv: list[str], message: str
) -> None:
    before = sorted(Path.cwd().rglob("*"))
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert sorted(Path.cwd().rglob("*")) == before


def test_manifold_needs_a_code_of_two(run: Path, capsys: Output) -> None:
    assert main(["manifold", "deep"]) == 2
    message = "manifold is a map of a code of 2 units, but deep has 3: see 'tinyae traverse'"
    assert message in capsys.readouterr().err
    assert not Path("deep/manifold.png").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_data_of_another_width(run: Path, capsys: Output, command: str) -> None:
    np.save("wide.npy", np.zeros((20, 5, 3)))
    assert main([command, "run", "--data", "wide.npy", *COMMANDS[command]]) == 2
    assert "wide.npy has 15 features, and run was trained on 12" in capsys.readouterr().err


def test_values_that_the_density_refuses(run: Path, capsys: Output) -> None:
    assert main(["sample", "run", "--components", "55"]) == 2
    assert "components must be at most 54, the number of different codes" in capsys.readouterr().err
    assert main(["sample", "run", "--density", "kernel", "--bandwidth", "0"]) == 2
    assert "bandwidth must be 'scott', 'silverman' or a positive number" in capsys.readouterr().err


def test_without_matplotlib(run: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    argv = ["interpolate", "run", "--from", "0", "--to", "1"]
    assert main([*argv, "--npy", "i.npy"]) == 0  # the array alone is of use
    out, err = capsys.readouterr()
    assert np.load("i.npy").shape == (18, 12)
    assert 'no picture without matplotlib: pip install "tinyae[plot]"' in err
    assert "interpolation.png" not in out
    assert main(argv) == 1
    assert 'drawing needs matplotlib: pip install "tinyae[plot]"' in capsys.readouterr().err
    assert not list(run.glob("interpolation*"))
