"""What a run folder keeps of its data, and that every command reads them as the training did."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tinyae import Autoencoder
from tinyae.cli import train, use
from tinyae.cli.main import build_parser, main
from tinyae.data.datasets import load_dataset
from tinyae.data.pca import fit_pca

Output = pytest.CaptureFixture[str]

OLD = ("source", "test_fraction", "label", "size")
NAMES = ["a", "b", "c", "d"]
SMALL = ["--hidden", "6", "--code", "2", "--epochs", "1", "--backend", "numpy"]
USES = {  # every command that reads data with a run, and what it demands
    "evaluate": [],
    "encode": ["--out", "z.npy"],
    "reconstruct": ["--out", "r.npy"],
    "impute": ["--out", "i.npy"],
    "augment": ["--out", "new.npz", "--label", "kind"],
    "manifold": [],
    "sample": [],
    "page": [],
    "traverse": ["--sample", "0"],
    "interpolate": ["--from", "0", "--to", "1"],
}


def write(path: str, names: list[str] | None, n: int = 40, **columns: str) -> str:
    """n lines of numbers (the column ``name`` depends on its name alone) and a word."""
    rng = {name: np.random.default_rng(ord(name[0])) for name in names or NAMES}
    lines = [] if names is None else [",".join([*names, "kind"])]
    for i in range(n):
        cells = [f"{random.random():.4f}" for random in rng.values()]
        lines.append(",".join([*cells, "cat" if i % 2 else "dog"]))
    Path(path).write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> Path:
    monkeypatch.chdir(tmp_path)
    for module in (train, use):  # pictures are not what is tested here
        monkeypatch.setattr(module, "can_draw", lambda: False)
    data = write("data.csv", NAMES)
    assert main(["train", "--data", data, "--label", "kind", *SMALL, "--out", "run"]) == 0
    capsys.readouterr()
    return Path("run")


def commands_of_runs() -> set[str]:
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {n for n, p in commands.choices.items() if p.get_default("run_has_data")}


@pytest.mark.parametrize("command", USES)
def test_columns_must_be_those_of_the_training(run: Path, capsys: Output, command: str) -> None:
    assert set(USES) == commands_of_runs()
    more = USES[command]
    if "--label" not in more:
        more = [*more, "--label", "kind"]
    for names, words in [
        (["a", "b", "c", "e"], "missing 'd', unknown 'e'"),
        (["a", "c", "b", "d"], "'c' stands in the place of 'b'"),
        (["a", "b", "c"], "missing 'd', unknown none"),
        ([*NAMES, "id"], "missing none, unknown 'id'"),
    ]:
        other = write("other.csv", names)
        assert main([command, "run", "--data", other, *more]) == 2
        err = capsys.readouterr().err
        assert words in err and "other.csv" in err and "run" in err and err.count("\n") == 1
    dropped = ["--drop", "id"]
    assert main([command, "run", "--data", write("more.csv", [*NAMES, "id"]), *dropped, *more]) == 0


def test_columns_without_names_are_not_compared(run: Path, capsys: Output) -> None:
    assert main(["evaluate", "run", "--data", write("bare.csv", None), "--label", "-1"]) == 0
    config = json.loads((run / "config.json").read_text())
    assert config.pop("columns") == NAMES
    (run / "config.json").write_text(json.dumps(config))  # as an older tinyae wrote it
    other = write("other.csv", ["a", "b", "c", "e"])
    assert main(["evaluate", "run", "--data", other, "--label", "kind"]) == 0


def test_a_file_whose_columns_changed_is_not_resumed(run: Path, capsys: Output) -> None:
    write("data.csv", NAMES[::-1])
    for argv in (["evaluate", "run"], ["train", "--resume", "run"]):
        assert main(argv) == 2
        assert "'d' stands in the place of 'a'" in capsys.readouterr().err


def test_options_of_reading_are_kept_and_used_again(run: Path, capsys: Output) -> None:
    rng = np.random.default_rng(0)
    table = np.round(rng.random((30, 3)), 3)
    lines = ["n\u00e4me;x;y;z;kind"] + [
        ";".join([f"row{i}", *(str(x).replace(".", ",") for x in row), "cat"])
        for i, row in enumerate(table)
    ]
    Path("t.txt").write_bytes("\n".join(lines).encode("latin-1"))
    given = {"label": "kind", "drop": [1], "header": True, "index": True, "separator": ";",
             "decimal": ",", "encoding": "latin-1", "size": None, "skip_bad": None}  # fmt: skip
    argv = ["--data", "t.txt", "--label", "kind", "--drop", "1", "--header", "--index",
            "--separator", ";", "--decimal", ",", "--encoding", "latin-1"]  # fmt: skip
    assert main(["train", *argv, *SMALL, "--out", "t"]) == 0
    kept = json.loads(Path("t/config.json").read_text())
    assert {name: kept["data"][name] for name in given} == given and kept["columns"] == ["y", "z"]
    assert main(["encode", "t", "--out", "own.npy"]) == 0
    assert main(["encode", "t", "--out", "same.npy", *argv]) == 0
    np.testing.assert_array_equal(np.load("own.npy"), np.load("same.npy"))
    assert main(["train", "--resume", "t", *argv]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "t", *argv, "--drop", "2"]) == 2
    assert "t was started with drop=[1], not [1, 2]" in capsys.readouterr().err


def test_folders_of_before_these_options_are_read_as_then(run: Path, capsys: Output) -> None:
    lines = Path("data.csv").read_text().splitlines()
    numbered = [",".join([str(i - 1) if i else "", line]) for i, line in enumerate(lines)]
    Path("n.csv").write_text("\n".join(numbered))
    argv = ["train", "--data", "n.csv", "--label", "kind", *SMALL]
    assert main([*argv, "--no-index", "--out", "old"]) == 0
    config = json.loads(Path("old/config.json").read_text())
    config["data"] = {name: config["data"][name] for name in OLD}
    del config["columns"]
    Path("old/config.json").write_text(json.dumps(config))
    assert main(["evaluate", "old"]) == 0  # with the numbers of the lines as a feature
    assert main(["train", "--resume", "old"]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "old", "--drop", "a"]) == 2
    assert "old was started with drop=None, not ['a']" in capsys.readouterr().err


def test_data_that_cannot_be_learnt_make_no_run(run: Path, capsys: Output) -> None:
    text = Path("data.csv").read_text().splitlines()
    for at in range(1, len(text)):  # in the training part or among the samples held out
        cells = text[at].split(",")
        lines = [*text[:at], ",".join([*cells[:2], "inf", *cells[3:]]), *text[at + 1 :]]
        Path("hole.csv").write_text("\n".join(lines))
        argv = ["--data", "hole.csv", "--label", "kind", "--epochs", "100000", "--out", "new"]
        assert main(["train", *argv]) == 2
        assert (
            f"line {at + 1}: expected a finite number in column 2 ('c'" in capsys.readouterr().err
        )
    assert not Path("new").exists()


def test_codes_are_decoded_from_a_table_of_any_kind(run: Path) -> None:
    codes = ["0\t.5", "1\t.6", "2\t.7"]  # a code that counts is still a code
    Path("z.tsv").write_text("\n".join(codes))
    assert main(["decode", "run", "--codes", "z.tsv", "--out", "x.npy"]) == 0
    expected = Autoencoder.load("run/model.npz").decode([[0, 0.5], [1, 0.6], [2, 0.7]])
    np.testing.assert_array_equal(np.load("x.npy"), expected)


@pytest.mark.parametrize("n", [1, 25])
def test_all_samples_come_in_the_order_of_their_table(run: Path, n: int) -> None:
    new = write("new.csv", NAMES, n)
    table = np.loadtxt(new, delimiter=",", skiprows=1, usecols=range(4), ndmin=2)
    ae = Autoencoder.load(run / "model.npz")
    for command, expected in (("encode", ae.encode(table)), ("reconstruct", ae.reconstruct(table))):
        files = ["--data", new, "--label", "kind", "--part", "all", "--out", "out.npy"]
        assert main([command, str(run), *files, "--force"]) == 0
        np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-5, atol=1e-6)


def test_a_training_that_left_nothing_may_be_started_anew(run: Path, capsys: Output) -> None:
    command = ["train", "--data", "data.csv", "--label", "kind", *SMALL, "--out", "new"]
    assert (
        main([*command, "--learning-rate", "1e38", "--optimizer", "sgd", "--batch-size", "4"]) == 1
    )
    assert sorted(p.name for p in Path("new").iterdir()) == ["config.json"]
    assert main(command) == 0
    assert main(command) == 2 and "new holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("rate", ["1e25", "1e30"])
def test_a_training_whose_last_step_overflows_is_kept(
    run: Path, capsys: Output, optimizer: str, rate: str
) -> None:
    """Its last loss was finite; only what uses the weights can fail."""
    argv = ["train", "--data", "data.csv", "--label", "kind", *SMALL, "--out", "new"]
    assert main([*argv, "--optimizer", optimizer, "--learning-rate", rate, "--warmup", "0",
                 "--batch-size", "256", "--schedule", "constant", "--scale", "none",
                 "--initializer", "he"]) == 2  # fmt: skip
    said = capsys.readouterr().err.splitlines()
    assert "overflows float32 in the net" in said[-1]
    ae = Autoencoder.load("new/model.npz")
    assert ae.zero_units_ is None and ae.n_iter_ == 1
    assert len(Path("new/history.csv").read_text().splitlines()) == 2
    assert main(["info", "new"]) == 0


def test_an_interruption_before_training_leaves_nothing(
    run: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Autoencoder, "plan", stopped)
    assert main(["train", "--data", "data.csv", "--label", "kind", "--out", "new"]) == 1
    said = capsys.readouterr().err
    assert "interrupted; nothing was trained, and the same command starts again\n" in said
    assert not Path("new").exists()
    assert main(["train", "--resume", "run"]) == 1
    said = capsys.readouterr().err
    assert "interrupted; 'tinyae train --resume run' goes on from here\n" in said
    assert Path("run/model.npz").exists()


def test_a_run_goes_on_with_the_backend_that_it_began_with(run: Path) -> None:
    """Where "auto" would take another one by now."""
    longer = ["--schedule", "constant", "--warmup", "0"]
    assert main(["train", "--data", "data.csv", "--label", "kind", *SMALL, *longer,
                 "--out", "new"]) == 0  # fmt: skip
    config = json.loads(Path("new/config.json").read_text())
    config["model"]["backend"] = "auto"
    Path("new/config.json").write_text(json.dumps(config))
    assert main(["train", "--resume", "new", "--epochs", "2"]) == 0
    assert main(["train", "--resume", "new", "--epochs", "3", "--backend", "numpy"]) == 0
    ae = Autoencoder.load("new/model.npz", backend="numpy")
    assert ae.n_iter_ == 3


@pytest.mark.parametrize("arguments", ["--batchsize 3", "--code x", "--test-fraction 1.5"])
def test_a_wrong_argument_is_one_line(arguments: str, capsys: Output) -> None:
    assert main(["train", *arguments.split()]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--help" in said


def test_where_pca_is_better_it_is_said(run: Path, capsys: Output) -> None:
    assert main(["evaluate", str(run)]) == 0
    assert "PCA is better here" in capsys.readouterr().out
    assert main(["train", "--data", "data.csv", "--label", "kind", *SMALL, "--epochs", "3",
                 "--output", "identity", "--initializer", "pca", "--learning-rate", "1e-9",
                 "--out", "pca"]) == 0  # fmt: skip
    said = capsys.readouterr().out
    train, test = (
        line.split()[2:] for line in said.splitlines() if "  4  " in line or "36" in line
    )
    assert float(train[0]) == pytest.approx(float(train[1]), rel=1e-4)
    assert float(test[0]) == pytest.approx(float(test[1]), rel=1e-4)


def test_codes_are_not_replaced_by_what_they_stand_for(run: Path, capsys: Output) -> None:
    np.save("z.npy", np.zeros((3, 2), np.float32))
    assert main(["decode", "run", "--codes", "z.npy", "--out", "z.npy"]) == 2
    assert "is the file that is read" in capsys.readouterr().err
    assert np.load("z.npy").shape == (3, 2)


@pytest.mark.parametrize("command", ["encode run --out same.npy", "reconstruct run --out same.npy"])
def test_what_is_read_is_not_replaced(command: str, run: Path, capsys: Output) -> None:
    np.save("same.npy", np.random.default_rng(0).random((20, 4)))
    before = Path("same.npy").read_bytes()
    Path("link.npy").symlink_to("same.npy")
    for data in ("same.npy", "link.npy"):
        assert main([*command.split(), "--data", data]) == 2
        assert "is the file that is read" in capsys.readouterr().err
    assert Path("same.npy").read_bytes() == before
    assert main([*command.split(), "--data", "same.npy", "--force"]) == 0


@pytest.mark.parametrize(
    "command",
    ["encode run --data other.npy --out data.csv", "decode run --codes z.npy --out data.csv",
     "reconstruct run --data other.npy --out data.csv",
     "augment labelled --data part.npz --out train.npz", "sample run --npy train.npy",
     "reconstruct pictures --data other.npy --out folder/0.png"],
)  # fmt: skip
def test_what_a_run_was_trained_on_is_not_replaced(command: str, run: Path, capsys: Output) -> None:
    """Whatever other data the command reads."""
    rng = np.random.default_rng(0)
    np.save("other.npy", rng.random((20, 4)))
    np.save("z.npy", rng.random((5, 2)))
    for name in ("train", "part"):
        np.savez(f"{name}.npz", x=rng.random((40, 4)), y=np.arange(40) % 2)
    assert main(["train", "--data", "train.npz", *SMALL, "--out", "labelled"]) == 0
    if "train.npy" in command:
        np.save("train.npy", rng.random((20, 4)))
        assert main(["train", "--data", "train.npy", *SMALL, "--out", "run"]) == 2
        assert main(["train", "--data", "train.npy", *SMALL, "--out", "npy"]) == 0
        command = command.replace(" run ", " npy ")
    if "folder" in command:
        image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
        Path("folder").mkdir()
        for i in range(12):
            image.fromarray(rng.integers(0, 255, (2, 2), np.uint8)).save(f"folder/{i}.png")
        assert main(["train", "--data", "folder", *SMALL, "--out", "pictures"]) == 0
    files = [*Path().glob("*.*"), *Path().glob("folder/*")]
    before = {path: path.read_bytes() for path in files if path.is_file()}
    assert main(command.split()) == 2
    assert "among the data" in (said := capsys.readouterr().err) or "was trained on" in said
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", ["history.csv", "model.npz"])
def test_what_could_not_be_written_is_found_before_training(
    name: str, run: Path, capsys: Output
) -> None:
    """In a folder that a first training left without results, but with its config.json."""
    Path("new").mkdir()
    Path("new/config.json").write_bytes(Path("run/config.json").read_bytes())
    Path("new", name).write_text("my,precious,table\n1,2,3\n")
    for how in ((), ("--resume",)):
        assert main(["train", "--data", "data.csv", "--label", "kind", *SMALL, "--out", "new",
                     *how]) in (1, 2)  # fmt: skip
        said = capsys.readouterr().err
        assert (name in said or "holds a run" in said) and "loss" not in said
        assert Path("new", name).read_text() == "my,precious,table\n1,2,3\n"


@pytest.mark.parametrize("there", ["a file", "a link that leads nowhere"])
def test_without_a_folder_for_runs(there: str, run: Path, capsys: Output) -> None:
    if there == "a file":
        Path("runs").write_text("mine")
    else:
        Path("runs").symlink_to("nowhere")
    assert main(["train", "--data", "data.csv", "--label", "kind", *SMALL]) == 1
    assert "runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["train --data data.csv --label kind", "sweep --data data.csv --label kind --codes 2",
     "demo ball --samples 64 --pairs 4 --epochs 1"],
)  # fmt: skip
def test_a_foreign_mark_does_not_make_a_folder_ours(
    command: str, run: Path, capsys: Output
) -> None:
    for there in ("config.json", "sweep.json", "code-2/config.json", "plain-2.npz"):
        path = Path("foreign") / there
        path.parent.mkdir(parents=True)
        path.write_text('{"architectures": ["Bert"]}')
        assert main([*command.split(), "--out", "foreign"]) == 2
        assert "that tinyae wrote, so it stays as it is" in capsys.readouterr().err
        assert [p for p in Path("foreign").rglob("*") if p.is_file()] == [path]
        shutil.rmtree("foreign")


def test_a_picture_that_nobody_named_is_not_replaced(run: Path, capsys: Output) -> None:
    Path("new.png").write_bytes(b"\x89PNG\r\n\x1a\n a photo")
    command = ["augment", "run", "--out", "new.npz"]
    assert main(command) == 2 and "stays as it is" in capsys.readouterr().err
    assert Path("new.png").read_bytes().endswith(b"a photo") and not Path("new.npz").exists()
    assert main([*command, "--force"]) == 0


def test_paths_with_lines_are_told_in_one(run: Path, capsys: Output) -> None:
    for command in (["info", "no\nrun"], ["train", "--data", "no\ndata.csv"],
                    ["encode", "run", "--data", "a\nb.csv", "--out", "z.npy"]):  # fmt: skip
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and said.strip().isprintable()


@pytest.mark.parametrize("n", [1, 25])
def test_new_data_are_judged_whole_beside_pca_of_the_training_data(
    run: Path, n: int, capsys: Output
) -> None:
    new = write("new.csv", NAMES, n)
    dataset = load_dataset("data.csv", label="kind")
    table = np.loadtxt(new, delimiter=",", skiprows=1, usecols=range(4), ndmin=2)
    ae, pca = Autoencoder.load(run / "model.npz"), fit_pca(dataset.train, 2)
    command = ["evaluate", "run", "--data", new, "--label", "kind", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == n
    assert found["squared_error"] == pytest.approx(-ae.score(table), rel=1e-5)
    assert found["pca_squared_error"] == pytest.approx(pca.squared_error(table), rel=1e-9)
    Path("data.csv").unlink()
    assert main(command) == 0
    told = capsys.readouterr()
    assert (
        json.loads(told.out)["pca_squared_error"] is None and "training data are gone" in told.err
    )
    assert main(command[:-1]) == 0 and "new" in capsys.readouterr().out
