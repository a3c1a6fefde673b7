"""Bytes of each file that a trained net can be exported to, and its squared error of test samples.

    python benchmarks/export_files.py RUN        # of tinyae train --recipe hinton --out RUN

The error is that of the file's own weights: of the NumPy module as it is imported, 500 samples at
once, and where ONNX Runtime is installed of the ONNX file too. Writes results/export-files.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import machine, versions
from tinyae import Autoencoder
from tinyae.cli.output import write_text
from tinyae.cli.run.folder import RunFolder
from tinyae.data.rows import as_rows
from tinyae.export.chain import QUANTIZED
from tinyae.export.write import SUFFIXES

Array = NDArray[Any]

RESULTS = Path(__file__).parent / "results" / "export-files.json"
AT_ONCE = 500
LACKING = {("c", "float16"), ("safetensors", "int8")}


def of_module(path: Path) -> Callable[[Array], Array]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[Array], Array] = module.reconstruct
    return found


def of_onnx(path: Path) -> Callable[[Array], Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: np.asarray(session.run(["reconstruction"], {"x": x})[0])


READERS = {"numpy": of_module}
if importlib.util.find_spec("onnxruntime"):
    READERS["onnx"] = of_onnx


def squared_error(reconstruct: Callable[[Array], Array], x: Array) -> float:
    """The mean over samples x (n, n_features), in their units."""
    parts = (x[i : i + AT_ONCE] for i in range(0, len(x), AT_ONCE))
    return sum(float(np.square(reconstruct(a) - a, dtype="f8").sum()) for a in parts) / len(x)


def measured(ae: Autoencoder, x: Array, folder: Path) -> list[dict[str, Any]]:
    """A row for each format and each kind of weights that it has."""
    rows = []
    for to, suffix in SUFFIXES.items():
        for quantize in (None, *QUANTIZED):
            if (to, quantize) in LACKING:
                continue
            files = ae.export(folder / f"net{suffix}", quantize=quantize)
            error = squared_error(READERS[to](files[-1]), x) if to in READERS else None
            rows.append({"to": to, "weights": quantize or ae.dtype, "squared_error": error,
                         "bytes": sum(file.stat().st_size for file in files)})  # fmt: skip
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", help="a run folder whose data are there")
    run = RunFolder(parser.parse_args().run)
    ae, test = run.load_model("numpy"), run.load_data({}).test
    x = np.asarray(as_rows(test, schema=ae.schema_), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(ae, x, Path(folder))
    for row in rows:
        error = row["squared_error"]
        print(f"{row['to']}, {row['weights']}: {row['bytes']:,} bytes"
              + ("" if error is None else f", squared error {error:.4f}"))  # fmt: skip
    config = run.read_config()
    content = {"machine": machine(), "versions": versions(), "date": time.strftime("%F"),
               "data": Path(config["data"]["source"]).name, "samples": len(x),
               "widths": [ae.n_features_in_, *ae.hidden, ae.code], "files": rows}  # fmt: skip
    write_text(RESULTS, json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
