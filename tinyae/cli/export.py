"""``tinyae export``: a trained net as a file that needs no tinyae."""

from __future__ import annotations

import argparse
from typing import Any

from ..estimator import Autoencoder
from ..export.chain import PARTS, QUANTIZED, rounded
from ..export.write import SUFFIXES, export
from ..train.progress import Waiting
from .options import UsageError, command
from .run import together
from .run.folder import RunFolder

EPILOG = """\
examples:
  tinyae export runs/ball --out net.py                  a module: net.encode(x), net.decode(z), ...
  tinyae export runs/ball --out net.h --part encoder    a header: net_encode(x, z, scratch)
  tinyae export runs/ball --out net.h --quantize int8   a quarter of the memory
  tinyae export runs/ball --out net.onnx                inputs and outputs x, code, reconstruction
"""


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "export", _export, "write a trained net as a file that needs no tinyae",
        epilog=EPILOG,
    )  # fmt: skip
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.file_option("--out", ".py: needs NumPy alone; .h: C99 without anything else; .onnx; "
                       ".safetensors: for PyTorch", *SUFFIXES.values(), required=True)  # fmt: skip
    parser.add_argument("--to", choices=SUFFIXES, help="the format (default: as --out ends)")
    parser.option("--part", "all", "what the file can do", choices=PARTS)
    parser.add_argument("--quantize", choices=QUANTIZED, help="weights in fewer bits; prints what "
                        "that does to the squared error of the test samples")  # fmt: skip
    parser.option("--prefix", "net", "of the names in C", metavar="NAME")
    parser.file_option("--weights", "for the arrays of a .py, beside it (default: in the file "
                       "itself, above 1 MiB beside it)", ".npz")  # fmt: skip


def _export(given: argparse.Namespace) -> None:
    run = RunFolder(given.run)
    ae = run.load_model("numpy")
    files = export(
        ae, given.out, to=given.to, part=given.part, quantize=given.quantize, prefix=given.prefix,
        weights=given.weights, names=run.columns() or (),
    )  # fmt: skip
    for file in files:
        print(f"{file}: {file.stat().st_size:,} bytes")
    if given.quantize:
        _print_cost(run, ae, given.quantize)


def _print_cost(run: RunFolder, ae: Autoencoder, how: str) -> None:
    """Of fewer bits, on the run's test samples."""
    try:
        test = run.load_data({}).test
    except (OSError, ValueError, UsageError) as error:
        local = together.is_local(run.read_config()["data"])
        where = "lie on the ranks" if local else "are gone"
        print(f"squared error not measured: the training data {where}: {error}")
        return
    with Waiting("measuring squared errors"):
        before, after = (-net.score(test) for net in (ae, rounded(ae, how)))
    print(f"squared error of a test sample {after:.6g}, {before:.6g} without --quantize {how}")
