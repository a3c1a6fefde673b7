"""``benchmarks/mnist_race.py``: who races with which settings, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import mnist_race
from benchmarks.gpu import mnist_race as shared
from tinyae.cli import recipes


def test_from_pca_all_take_the_recipes_settings() -> None:
    model = recipes.read("hinton").model
    assert mnist_race.settings("tinyae-pca") == mnist_race.settings("torch-pca")
    epochs, recipe = mnist_race.settings("torch-pca")
    made = shared._made(epochs=epochs, **recipe).get_params()
    assert {name: made[name] for name in model} == {**model, "hidden": made["hidden"]}
    assert list(made["hidden"]) == model["hidden"] and made["initializer"] == "pca"


def test_from_random_weights_the_learning_rate_is_the_names() -> None:
    rates = [mnist_race.settings(name)[1]["learning_rate"] for name in mnist_race.NAMES[2:]]
    assert rates == list(mnist_race.GRID)
    epochs, recipe = mnist_race.settings(mnist_race.NAMES[2])
    made = shared._made(epochs=epochs, **recipe).get_params()
    assert (made["optimizer"], made["weight_decay"], made["initializer"]) == ("adam", 0, "random")


def test_one_is_run_again_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    runs = iter(([5.0, 2.5], [5.0, 3.5], [4.0, 2.75]))

    def race(name: str, data: Any) -> dict[str, Any]:
        return shared._course(next(runs), [1.0, 2.0], 2, {}, mnist_race.TARGET)

    monkeypatch.setattr(mnist_race, "HERE", tmp_path)
    monkeypatch.setattr(mnist_race, "race", race)
    monkeypatch.setattr(mnist_race, "load_dataset", lambda source: None)
    for folder in ("results", "pictures"):
        (tmp_path / folder).mkdir()
    for names in (("tinyae-pca", "torch-pca"), ("tinyae-pca",)):
        monkeypatch.setattr(mnist_race.sys, "argv", ["mnist_race.py", *names])
        assert mnist_race.main() == 0
    kept = json.loads((tmp_path / "results" / "mnist-race.json").read_text("utf-8"))
    assert [run["squared_error"] for run in kept.values()] == [2.75, 3.5]
    assert [run["seconds_to_target"] for run in kept.values()] == [3.0, None]
    assert (tmp_path / "pictures" / "mnist-race.png").stat().st_size > 1000
