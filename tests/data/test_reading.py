"""The options of reading: their values, and that load_dataset and the command line have all."""

from __future__ import annotations

import dataclasses
import inspect

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
        (dict(header=False, label="kind"), ["header=False", "'kind'"]),
        (dict(header=False, drop=[0, "id"]), ["header=False", "'id'"]),
    ],
)
def test_values_that_cannot_be_meant(options, words):
    with raises(*words):
        Reading(**options)


def test_values_in_other_words():
    assert Reading(separator="tab") == Reading(separator="\\t") == Reading(separator="\t")
    assert Reading(drop="id") == Reading(drop=["id"]) == Reading(drop=("id",))
    assert Reading(separator="space").separator == " "
