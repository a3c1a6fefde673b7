"""``tinyae recipes``: sets of options of ``tinyae train``, and what came of them where measured.

A recipe is a JSON file in ``tinyae/recipes/``: options of ``train`` in "data" and "model", and in
"measured" what they led to, which ``benchmarks/recipes.py`` writes.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from .. import arguments
from ..arguments import ARGUMENTS
from ..estimator import Autoencoder
from ..storage.untrusted import errors_of, read_json
from .options import command
from .output import table
from .run.data import DATA_DEFAULTS, check_data

FOLDER = Path(__file__).parents[1] / "recipes"
NAMES = sorted(file.stem for file in FOLDER.glob("*.json"))

NOTE = """
An option that is given beside --recipe takes the place of the recipe's. The squared error is that
of a test sample, of the worst of the seeds; seconds are their mean. Tables need no recipe: without
options 'tinyae train' chooses for them."""


class Recipe(NamedTuple):
    """Options of ``train`` by the names of their arguments, and what they have led to."""

    about: str
    data: dict[str, Any]
    model: dict[str, Any]
    # squared_error of a test sample and seconds, lists of one number a seed; cpu, cores, date,
    # versions. None where it was not run
    measured: dict[str, Any] | None


def read(name: str) -> Recipe:
    """Raises FileError for a broken file, and for options that ``train`` does not have."""
    file = FOLDER / f"{name}.json"
    content = read_json(file, "broken")
    with errors_of(file, "broken"):
        recipe = Recipe(*(content[key] for key in Recipe._fields))
        check_data({**DATA_DEFAULTS, **recipe.data})
        arguments.check(Autoencoder(**recipe.model).get_params())
        _reached(recipe.measured)
        as_command(recipe)
        return recipe


def add_commands(commands: Any) -> None:
    parser = command(
        commands,
        "recipes",
        _recipes,
        "sets of options of 'tinyae train', and what they led to where measured",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", choices=NAMES,
                        help="shows the options of this one")  # fmt: skip
    parser.json_option("print the recipes as one JSON object")


def _recipes(given: argparse.Namespace) -> None:
    recipes = {name: read(name) for name in ([given.name] if given.name else NAMES)}
    if given.json:
        print(json.dumps({name: recipe._asdict() for name, recipe in recipes.items()}))
        return
    print(table(
        ("recipe", "data", "code", "squared error", "seconds", "seeds", "on"),
        [(name, recipe.data["source"], recipe.model.get("code", ARGUMENTS["code"].default),
          *_reached(recipe.measured))
         for name, recipe in recipes.items()],
    ))  # fmt: skip
    for name, recipe in recipes.items():
        print(f"\n{name}: {recipe.about}")
        print(f"  {as_command(recipe) if given.name else f'tinyae train --recipe {name}'}")
    print(NOTE)


def _reached(measured: Mapping[str, Any] | None) -> tuple[Any, ...]:
    if measured is None:
        return "not measured", "-", "-", "-"
    errors, seconds = measured["squared_error"], measured["seconds"]
    machine = f"{measured['cores']} cores of {measured['cpu']}, {measured['date']}"
    return f"{max(errors):.2f}", f"{fmean(seconds):.0f}", len(errors), machine


def as_command(recipe: Recipe) -> str:
    """The recipe as a command without --recipe."""
    words = ["tinyae", "train", "--data", recipe.data["source"]]
    for name, value in recipe.model.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        words += ["--" + name.replace("_", "-"), text]
    return shlex.join(words)
