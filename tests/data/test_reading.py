"""The options of reading: their values, and that load_dataset and the command line have all."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest

from tests.data.raising import raises
from tinyae.cli.options import READING
from tinyae.data.datasets import load_dataset
from tinyae.data.reading import PICTURES, TABLES, Reading


def test_every_option_has_one_name_everywhere():
    options = {option.name: option.default for option in dataclasses.fields(Reading)}
    signature = inspect.signature(load_dataset).parameters
    assert list(options) == list(READING) and set(options) == TABLES | PICTURES
    for name, default in options.items():
        assert signature[name].default == default
        assert f"``{name}``" in load_dataset.__doc__


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(
            (dict(separator=s), ["separator", repr(s)])
            for s in ("", "ab", "1", "x", '"', ".", "\n")
        ),
        *((dict(decimal=d), ["decimal", repr(d)]) for d in ("", ";", "..", "0")),
        *((dict(encoding=e), ["encoding", repr(e)]) for e in ("", "utf-99", "rot13", "a\0b")),
        (dict(separator=3), ["separator", "3"]),
        (dict(size=4), ["size must be", "4"]),
        (dict(size=(4, 4, 4)), ["size must be", "(4, 4, 4)"]),
        (dict(size=(4, 0)), ["size", "0"]),
        (dict(header=False, label="kind"), ["header=False", "'kind'"]),
        (dict(header=False, drop=[0, "id"]), ["header=False", "'id'"]),
    ],
)
def test_values_that_cannot_be_meant(options, words):
    with raises(*words):
        Reading(**options)


@pytest.mark.parametrize(
    "options",
    [dict(header="yes"), dict(index=2.5), dict(skip_bad="no"), dict(size=(4.5, 4)),
     dict(label=1.5), dict(drop=[None]), dict(drop=[True])],
)  # fmt: skip
def test_values_of_other_types(options):
    with pytest.raises(TypeError, match=f"^{next(iter(options))} must be"):
        Reading(**options)


def test_numpys_scalars_and_arrays_are_indices():
    plain = Reading(label=1, drop=[0, 2], size=(4, 5))
    assert plain == Reading(label=np.int64(1), drop=np.array([0, 2]), size=np.array([4, 5]))
    assert Reading(drop=np.uint8(3)).drop == (3,)
    for wrong in ("x", 1.0, -0.1, float("nan"), None):
        with pytest.raises((TypeError, ValueError), match="^test_fraction must "):
            load_dataset("ball", test_fraction=wrong)


def test_values_in_other_words():
    assert Reading(separator="tab") == Reading(separator="\\t") == Reading(separator="\t")
    assert Reading(drop="id") == Reading(drop=["id"]) == Reading(drop=("id",))
    assert Reading(separator="space").separator == " "
