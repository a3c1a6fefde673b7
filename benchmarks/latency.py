"""What a few samples cost: a trained net's ``reconstruct`` beside the same chain in other hands.

    python benchmarks/latency.py [NAME ...]

"by hand" is the chain as one would write it with NumPy; "export" the module and the C header that
``tinyae export`` writes. ONNX Runtime and PyTorch take all processors, C one. Each contestant has a
process of its own, its result is compared with ``by hand`` before it is timed, and all of them take
turns: the figures are medians of the turns, each the least of many calls. ONNX Runtime, PyTorch and
a C compiler are left out where they are missing. Writes results/latency.json, where the nets that
are not measured now keep their times if they are of the same machine and versions.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import machine, versions
from tinyae import Autoencoder
from tinyae.cli.output import write_text
from tinyae.export.chain import rounded

Array = np.ndarray[Any, Any]
Call = Callable[[Array], Array]

RESULTS = Path(__file__).parent / "results" / "latency.json"
NETS = {"small": ((128,), 32), "deep": ((1000, 500, 250), 30)}  # 784 features, relu
ROWS = (1, 16, 2000)
TURNS, SECONDS = 3, 0.3  # of each number of rows
TOLERANCE = 1e-5  # two float32 sums in another order, of outputs in [0, 1]
FLAGS = ("-std=c99", "-O3", "-march=native")
C_PROGRAM = """
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "net.h"

int main(int argc, char **argv) { /* rows, seconds, file of samples, file for results */
    long n = atol(argv[1]), i;
    double seconds = atof(argv[2]), best = 1e9, total = 0;
    size_t size = (size_t)n * NET_FEATURES;
    float *x = malloc(size * sizeof(float)), *y = malloc(size * sizeof(float));
    float *scratch = malloc(NET_SCRATCH);
    FILE *file = fopen(argv[3], "rb");
    if (argc != 5 || fread(x, sizeof(float), size, file) != size) return 1;
    fclose(file);
    while (total < seconds) {
        struct timespec a, b;
        double took;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (i = 0; i < n; i++)
            net_reconstruct(x + i * NET_FEATURES, y + i * NET_FEATURES, scratch);
        clock_gettime(CLOCK_MONOTONIC, &b);
        took = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        if (took < best) best = took;
        total += took;
    }
    file = fopen(argv[4], "wb");
    fwrite(y, sizeof(float), size, file);
    fclose(file);
    printf("%.9g", best);
    return 0;
}
"""


def by_hand(folder: Path) -> Call:
    """Any net here: relu between, sigmoid at the end."""
    with np.load(folder / "weights.npz") as arrays:
        layers = [(arrays[f"w{i}"], arrays[f"b{i}"]) for i in range(len(arrays.files) // 2)]
    code = len(layers) // 2 - 1  # whose layer is linear

    def call(x: Array) -> Array:
        for i, (w, b) in enumerate(layers):
            x = x @ w + b
            if i not in (code, len(layers) - 1):
                x = np.maximum(x, 0)
        return 1 / (1 + np.exp(-x))

    return call


def own(backend: str) -> Callable[[Path], Call]:
    return lambda folder: Autoencoder.load(folder / "model.npz", backend=backend).reconstruct


def numpy_export(folder: Path) -> Call:
    spec = importlib.util.spec_from_file_location("net", folder / "net.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    call: Call = module.reconstruct
    return call


def onnxruntime(folder: Path, threads: int = 0) -> Call:
    """0 threads: as many as it takes."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(folder / "net.onnx", options, ["CPUExecutionProvider"])
    return lambda x: session.run(["reconstruction"], {"x": x})[0]


def torch(folder: Path) -> Call:
    import torch as library

    with np.load(folder / "weights.npz") as arrays:
        modules: list[Any] = []
        for i in range(n := len(arrays.files) // 2):
            linear = library.nn.Linear(*arrays[f"w{i}"].shape)
            linear.weight.data = library.from_numpy(arrays[f"w{i}"].T.copy())
            linear.bias.data = library.from_numpy(arrays[f"b{i}"])
            modules += [linear, *([library.nn.ReLU()] if i not in (n // 2 - 1, n - 1) else [])]
    net = library.nn.Sequential(*modules, library.nn.Sigmoid())

    def call(x: Array) -> Array:
        with library.inference_mode():
            result: Array = net(library.from_numpy(x)).numpy()
        return result

    return call


CONTESTANTS: dict[str, Callable[[Path], Call]] = {
    "by hand": by_hand, "tinyae, numpy": own("numpy"), "tinyae, numba": own("numba"),
    "export, NumPy": numpy_export, "onnxruntime": onnxruntime,
    "onnxruntime, 1 thread": partial(onnxruntime, threads=1), "torch": torch,
}  # fmt: skip
IN_C = {"export, C": None, "export, C int8": "int8"}  # how the weights are quantized
NEEDS = {"onnxruntime": "onnxruntime", "onnxruntime, 1 thread": "onnxruntime", "torch": "torch",
         "tinyae, numba": "numba"}  # fmt: skip


def make(net: str, folder: Path) -> None:
    """All files of a net, and the samples."""
    hidden, code = NETS[net]
    X = np.random.default_rng(0).random((max(ROWS), 784), np.float32)
    ae = Autoencoder(hidden=hidden, code=code, activation="relu", output="sigmoid", loss="bce",
                     epochs=0, initializer="random", random_state=0, backend="numpy")  # fmt: skip
    ae.fit(X).save(folder / "model.npz")
    np.save(folder / "x.npy", X)
    X.tofile(folder / "x.raw")
    values = list(ae.parameters().values())
    arrays = {f"{kind}{i // 2}": a for i, a in enumerate(values) for kind in ("wb"[i % 2],)}
    np.savez(folder / "weights.npz", **arrays)  # type: ignore[arg-type]
    for name in ("net.py", "net.h", *(["net.onnx"] if _there("onnx") else [])):
        ae.export(folder / name)
    (folder / "main.c").write_text(C_PROGRAM)
    for quantize in IN_C.values() if (compiler := shutil.which("cc")) else ():
        ae.export(folder / "net.h", quantize=quantize)
        command = [compiler, *FLAGS, "-o", _program(quantize), "main.c", "-lm"]
        subprocess.run(command, cwd=folder, check=True)
    ae.set_parameters(rounded(ae, "int8").parameters()).save(folder / "int8.npz")


def time_here(name: str, folder: Path) -> list[float]:
    """Seconds of a call, for each number of rows, in this process."""
    call, expected, found = CONTESTANTS[name](folder), by_hand(folder), []
    for n in ROWS:
        x = np.load(folder / "x.npy")[:n].copy()
        _expect_near(name, call(x), expected(x))
        best, stop = np.inf, time.perf_counter() + SECONDS
        while (started := time.perf_counter()) < stop:
            call(x)
            best = min(best, time.perf_counter() - started)
        found.append(best)
    return found


def _program(quantize: str | None) -> str:
    return f"main-{quantize}"


def time_in_c(name: str, folder: Path) -> list[float]:
    found, model = [], "model.npz" if IN_C[name] is None else "int8.npz"
    reference = Autoencoder.load(folder / model, backend="numpy")
    for n in ROWS:
        program = f"./{_program(IN_C[name])}"
        command = [program, str(n), str(SECONDS), "x.raw", "y.raw"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        result = np.fromfile(folder / "y.raw", np.float32).reshape(n, -1)
        _expect_near(name, result, reference.reconstruct(np.load(folder / "x.npy")[:n]))
        found.append(float(done.stdout))
    return found


def _expect_near(name: str, result: Array, expected: Array) -> None:
    error = float(np.abs(result - expected).max())
    if not error <= TOLERANCE:
        raise ValueError(f"{name} is off by {error:g}")


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NETS, []],
                        help=", ".join(NETS))  # fmt: skip
    parser.add_argument("--here", nargs=2, metavar=("CONTESTANT", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(time_here(given.here[0], Path(given.here[1]))))
        return 0
    names = [name for name in CONTESTANTS if _there(NEEDS.get(name, "numpy"))]
    names += IN_C if shutil.which("cc") else ()
    for net in given.names or NETS:
        with tempfile.TemporaryDirectory() as place:
            folder, turns = Path(place), dict[str, list[list[float]]]()
            make(net, folder)
            for _ in range(TURNS):
                for name in names:
                    turns.setdefault(name, []).append(_apart(name, folder))
        rows = []
        for name, times in turns.items():
            medians = [statistics.median(column) for column in zip(*times, strict=True)]
            rows.append({"net": net, "contestant": name, "rows": ROWS, "seconds": medians})
            print(net, name, *(f"{1e6 * seconds:.1f}" for seconds in medians), "us", flush=True)
        keep(net, rows)
    return 0


def keep(net: str, rows: list[dict[str, Any]]) -> None:
    """Writes a net's times, beside those of other nets from the same machine and versions."""
    content = {"machine": machine(), "versions": versions(), "date": time.strftime("%F"),
               "flags": " ".join(FLAGS), "times": rows}  # fmt: skip
    if RESULTS.exists():
        older = json.loads(RESULTS.read_text(encoding="utf-8"))
        now = older["machine"] | {"clock_mhz": content["machine"]["clock_mhz"]}
        if (now, older["versions"], older["flags"]) == (
            content["machine"], content["versions"], content["flags"]
        ):  # fmt: skip
            others = [row for row in older["times"] if row["net"] != net]
            content["times"] = sorted(others + rows, key=lambda row: [*NETS].index(row["net"]))
    write_text(RESULTS, json.dumps(content, indent=1) + "\n")


def _apart(name: str, folder: Path) -> list[float]:
    if name in IN_C:
        return time_in_c(name, folder)
    command = [sys.executable, __file__, "--here", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-500:]}")
    found: list[float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
