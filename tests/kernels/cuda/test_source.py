"""The rooms of the CUDA C sources."""

from __future__ import annotations

import re

from tinyae.kernels.cuda.source import FOLDER, ROOMS, path_of

FILES = sorted(FOLDER.rglob("*.cu*"))


def test_every_file_is_found_by_its_name() -> None:
    assert len(FILES) > 20
    assert [path_of(path.name) for path in FILES] == FILES


def test_includes_run_one_way() -> None:
    """A file includes from its own room and from those that follow it."""
    for path in FILES:
        own = path.parent.relative_to(FOLDER).as_posix().strip(".")
        for name in re.findall(r'^#include "(.*)"', path.read_text(), re.MULTILINE):
            room = path_of(name).parent.relative_to(FOLDER).as_posix().strip(".")
            assert ROOMS.index(own) <= ROOMS.index(room), f"{path.name} includes {name}"
