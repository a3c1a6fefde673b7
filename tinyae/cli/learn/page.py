"""``tinyae page``: a trained net as an HTML file to play with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ...learn.page import LARGEST_NET, page
from ...storage.files import expect_replaceable, write_atomically
from ...storage.kinds import EXPORT
from ...train.progress import Waiting
from ..options import command
from ..run.opening import opened

EPILOG = """\
The file needs no network and no tinyae: open it in a browser. In it: the code as a map, digits to
draw, the way between two samples, and training, step by step, of this net or a new one.

examples:
  tinyae page runs/ball                        runs/ball/page.html
  tinyae train --data mnist --hidden 128,32 --code 2 --out runs/plane
  tinyae page runs/plane --out plane.html      two code units: the map shows all that it knows
"""


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "page", _page, "write a web page to play with a trained net", epilog=EPILOG
    )
    parser.run_options()
    parser.file_option("--out", "default: page.html in the run folder", ".html", ".htm")


def _page(given: argparse.Namespace) -> None:
    run, ae, dataset = opened(given)
    path: Path = given.out or run.path / "page.html"
    expect_replaceable(path, EXPORT)
    with Waiting(f"writing {path}"):
        text = page(
            ae, dataset.train, dataset.test if len(dataset.test) else None,
            labels=dataset.train_labels, label_names=dataset.label_names,
            image_shape=dataset.image_shape, columns=run.columns() or (), title=str(run.path),
        ).encode(errors="replace")  # fmt: skip
        write_atomically(path, lambda file: file.write(text))
    print(f"{path}: {len(text):,} bytes; open it in a browser")
    n = sum(spec.n_in * spec.n_out for spec in ae._network.architecture.dense)
    if n > LARGEST_NET:
        print(f"the net has {n:,} weights, and a page holds at most {LARGEST_NET:,}: the page has "
              "a new small net in its place", file=sys.stderr)  # fmt: skip
