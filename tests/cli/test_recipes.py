"""``tinyae recipes`` and ``train --recipe``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from benchmarks import recipes as benchmark
from tinyae.cli import recipes
from tinyae.cli.main import build_parser, main
from tinyae.cli.options import data_given, model_given
from tinyae.cli.run.folder import RunFolder
from tinyae.cli.run.training import run_config

TINY: dict[str, Any] = {
    "about": "two epochs", "data": {"source": "digits"}, "measured": None,
    "model": {"hidden": [8], "code": 2, "epochs": 2, "learning_rate": 0.01, "backend": "numpy"},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With one recipe, tiny, in the place of the package's."""
    (tmp_path / "tiny.json").write_text(json.dumps(TINY), encoding="utf-8")
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    monkeypatch.setattr(recipes, "NAMES", ["tiny"])
    return tmp_path


@pytest.mark.parametrize("name", recipes.NAMES)
def test_a_recipe_is_the_command_that_it_shows(name: str) -> None:
    recipe = recipes.read(name)
    run_config(recipe.data, recipe.model)  # raises for options that cannot be meant
    given = build_parser().parse_args(shlex.split(recipes.as_command(recipe))[1:])
    assert model_given(given) == recipe.model and data_given(given) == recipe.data
    by_name = build_parser().parse_args(["train", "--recipe", name])
    assert model_given(by_name) == {} and by_name.recipe == name


def test_options_take_the_place_of_the_recipes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(["train", "--recipe", "tiny", "--epochs", "1", "--out", str(out)]) == 0
    saved = RunFolder(out).read_config()["model"]
    assert saved["epochs"] == 1 and saved["learning_rate"] == 0.01 and saved["hidden"] == [8]
    # the recipe's own epochs are more, with a schedule that was made for one
    assert main(["train", "--recipe", "tiny", "--out", str(out), "--resume"]) == 2


def test_what_was_measured_is_written_and_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The errors of three seeds, by the user's command; the rest of the file stays."""

    def run(name: str, *options: str) -> dict[str, Any]:
        capsys.readouterr()
        out = folder / f"run{len(list(folder.iterdir()))}"
        assert main(["train", "--recipe", name, "--json", "--out", str(out), *options]) == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    monkeypatch.setattr(benchmark, "run", run)
    monkeypatch.setattr(benchmark.sys, "argv", ["recipes.py", "--seeds", "3"])
    assert benchmark.main() == 0
    found = json.loads((folder / "tiny.json").read_text(encoding="utf-8"))
    measured = found.pop("measured")
    assert found == {key: value for key, value in TINY.items() if key != "measured"}
    assert len({*measured["squared_error"]}) == len(measured["seconds"]) == 3
    assert measured["epochs"] == 2 and measured["backend"] == "numpy"
    capsys.readouterr()
    assert main(["recipes"]) == 0
    said = capsys.readouterr().out
    assert f"{max(measured['squared_error']):.2f}" in said and measured["date"] in said
    assert main(["recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiny"]["measured"] == measured


DAMAGE: tuple[tuple[str, Any], ...] = (
    ("data", []), ("data", {"sauce": "ball"}), ("data", {"source": 3}), ("data", None),
    ("data", {}),
    ("model", 3), ("model", {"layers": 3}), ("model", {"epochs": "two"}), ("model", None),
    ("measured", {}), ("measured", 3), ("measured", {"squared_error": [], "seconds": []}),
)  # fmt: skip


@pytest.mark.parametrize(
    "text", ("{", "[]", "{}", *(json.dumps({**TINY, part: bad}) for part, bad in DAMAGE))
)
def test_a_damaged_recipe_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (folder / "tiny.json").write_text(text, encoding="utf-8")
    for arguments in (["recipes"], ["train", "--recipe", "tiny", "--out", str(folder / "run")]):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert f"{folder / 'tiny.json'}: " in said and said.count("\n") == 1
    assert not (folder / "run").exists()


def test_an_unknown_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--recipe", "none"]) == 2
    assert "'ball'" in capsys.readouterr().err
