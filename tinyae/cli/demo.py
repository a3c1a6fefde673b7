"""``tinyae demo NAME``: experiments that show what autoencoders are good for, and what not."""

from __future__ import annotations

from typing import Any

from .augment_demo import add_augment
from .ball_demo import add_ball


def add_commands(commands: Any) -> None:
    parser = commands.add_parser(
        "demo", help="experiments, each with a table, JSON and a picture",
        description="Experiments, each with a table, JSON and a picture.",
    )  # fmt: skip
    demos = parser.add_subparsers(title="demos", metavar="DEMO", required=True)
    add_ball(demos)
    add_augment(demos)
