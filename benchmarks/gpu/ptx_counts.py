"""What main kernels ask of a GPU, counted where backend cuda-ptx executes them; none is needed.

For each kernel: the instructions that its warps execute, how well reads and writes of global memory
fill 32-byte sectors, conflicts of shared memory's banks, and how many threads a multiprocessor of
an H200 holds by registers and shared memory (benchmarks/results/cuda-resources.txt).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.gpu import cuda_resources as resources
from tinyae.kernels.backend import Backend
from tinyae.kernels.columns import cuda_c
from tinyae.kernels.conventions import HYPER
from tinyae.kernels.cuda.dense import DenseKernels
from tinyae.kernels.cuda.plan import TILES
from tinyae.kernels.cuda.source import ON_TENSOR_CORES
from tinyae.kernels.cuda_ptx.counts import Counts
from tinyae.kernels.cuda_ptx.nvrtc import compiler
from tinyae.kernels.cuda_ptx.runner import PtxRunner

RESULTS = Path(__file__).parents[1] / "results" / "ptx-counts.json"
COMMAND = "python benchmarks/gpu/ptx_counts.py"
CAPABILITY = 90
TERMS = (64, 128)  # of a product's sums: what 128 take more than 64 is what 64 terms take

HELP = """\
fma      share of fma.f32 in all executed instructions: of a product in its loop, else of all
reads    bytes that a warp asks for, in percent of the 32-byte sectors that move for them
writes   likewise
loads    wavefronts of shared memory for each request of a warp, of a product in its loop
stores   likewise, without the loop's asynchronous copies
limit    percent of the fma's peak rate that the loop's loads leave, at most
blocks   on a multiprocessor at once, by registers, shared memory and threads
threads  of these, in percent of the 2,048 that a multiprocessor can hold

A product is one tile with sums of 128 terms; that of the weights makes db as well, which on larger
matrices one row of tiles does. The instructions are PTX's, the assembler's are others. Wavefronts
of a product's loads are those that Nsight Compute counts on an H200; of stores they are a model.

examples:
  {0}            count, show the table and what differs from the results
  {0} --write    accept the counts
"""

# of an H200's multiprocessor
REGISTERS, SHARED, MOST_THREADS, MOST_BLOCKS = 65_536, 228 * 1024, 2048, 32
RESERVED = 1024  # bytes of shared memory for each block
THREADS = 256

Row = dict[str, Any]


def counted(call: Callable[[PtxRunner], None]) -> dict[str, Counts]:
    """By kernel, of what ``call`` launches."""
    runner = PtxRunner(CAPABILITY)
    runner.counts = {}
    call(runner)
    return runner.counts


def product(kernel: str, tile: tuple[int, int], terms: int, matmul: str, runner: PtxRunner) -> None:
    """One tile of a product with sums of so many terms."""
    rng, (m, n) = np.random.default_rng(0), tile
    dense = DenseKernels(runner, tile, splits=1, matmul=matmul)
    a = rng.random((terms, m) if kernel == "dense_backward_weights" else (m, terms), np.float32)
    b = rng.random((n, terms) if kernel == "dense_backward_input" else (terms, n), np.float32)
    c, more = np.empty((m, n), np.float32), rng.random((m, n), np.float32)
    if kernel == "dense_forward":
        dense.dense_forward(a, b, more[0], "relu", c, None)
    elif kernel == "dense_backward_input":
        dense.dense_backward_input(a, b, "relu", more, c)
    else:
        dense.dense_backward_weights(a, b, c, more[0])


def operations(column: Backend) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every other kernel of a training step, on 32 rows of 784."""
    rng, shape = np.random.default_rng(0), (32, 784)
    x, y, z, out = (rng.random(shape, np.float32) for _ in range(4))
    flat, hyper, totals = (x.reshape(-1), y.reshape(-1)), np.full(len(HYPER), 0.5), np.zeros(2)
    moments = (z.reshape(-1), out.reshape(-1))
    state = np.arange(1, 5, dtype=np.uint32)
    pixels = rng.integers(0, 256, (256, 784)).astype(np.uint8)
    order, places = rng.permutation(256)[:32], np.empty(32, np.int64)
    yield "gather", partial(column.gather, pixels, order, 1 / 255, out)
    yield "activation_forward", partial(column.activation_forward, x, "gelu", out)
    yield "activation_backward", partial(column.activation_backward, x, "gelu", y, out)
    yield "loss", partial(column.loss, "mse", x, y, out, totals)
    yield "clip_by_norm", partial(column.clip_by_norm, x.reshape(-1), 0.1, np.zeros(1))
    yield "adam", partial(column.update, "adam", *flat, moments, hyper, 1000, totals)
    yield "add_normal", partial(column.add_normal, state, np.full(1, 0.5), x, out)
    yield "random_permutation", partial(column.random_permutation, state, 256, 0, places)


def products() -> Iterator[Row]:
    """Each tile of the three products of a layer, and the largest on tensor cores."""
    chosen = [("fp32", tile) for tile in TILES] + [("3xtf32", TILES[0])]
    for matmul, tile in chosen:
        for kernel in ("dense_forward", "dense_backward_input", "dense_backward_weights"):
            ((name, short),), ((_, whole),) = (
                counted(partial(product, kernel, tile, terms, matmul)).items() for terms in TERMS
            )
            loop = {
                "instructions": dict(whole.instructions - short.instructions),
                "traffic": {
                    what: dict(counts - short.traffic[what])
                    for what, counts in whole.traffic.items()
                    if counts - short.traffic[what]
                },
            }
            yield {**row(name, whole, f"{matmul} x{TERMS[1]}", matmul), "loop": loop}


def others() -> Iterator[Row]:
    runner = PtxRunner(CAPABILITY)
    for op, call in operations(cuda_c(runner)):
        runner.counts = {}
        call()
        for kernel, counts in runner.counts.items():
            yield row(kernel, counts, f"{op} 32x784")


def row(kernel: str, counts: Counts, problem: str, matmul: str = "fp32") -> Row:
    return {
        "kernel": kernel, "problem": problem, **residency(kernel, matmul),
        "instructions": dict(counts.instructions),
        "traffic": {what: dict(n) for what, n in counts.traffic.items() if "param" not in what},
    }  # fmt: skip


def residency(kernel: str, matmul: str = "fp32") -> Row:
    """Registers, shared memory, and the blocks of 256 threads that a multiprocessor holds."""
    column = resources.ARCHITECTURES.index(CAPABILITY)
    for line in resources.TABLE.read_text().splitlines():
        file, name, dtype, *numbers = line.lstrip("# ").split() or [""] * 3
        on_tensor_cores = f"dense_{matmul}.cu" if matmul != "fp32" else ""
        if (name, dtype) != (kernel, "float32") or on_tensor_cores != (
            file if file in ON_TENSOR_CORES else ""
        ):
            continue
        registers, shared = int(numbers[column]), int(numbers[-3].split("/")[0])
        by_registers = REGISTERS // (-(-registers // 8) * 8 * THREADS)
        by_shared = SHARED // (shared + RESERVED)
        blocks = min(by_registers, by_shared, MOST_THREADS // THREADS, MOST_BLOCKS)
        return {"registers": registers, "shared": shared, "blocks": blocks}
    raise KeyError(f"{resources.TABLE.name} has no kernel {kernel}: {resources.COMMAND} --write")


def measure() -> dict[str, Any]:
    return {
        "nvrtc": compiler().version, "capability": CAPABILITY, "rows": [*products(), *others()],
    }  # fmt: skip


def render(results: dict[str, Any]) -> str:
    lines = [
        f"{'kernel':30} {'problem':27} {'fma':>4} {'reads':>6} {'writes':>6} {'loads':>6} "
        f"{'stores':>6} {'limit':>6} {'regs':>5} {'blocks':>6} {'threads':>7}"
    ]
    for r in results["rows"]:
        loop, t = r.get("loop", r), r["traffic"]
        n = loop["instructions"]
        fma = n.get("fma.f32", 0)
        loads = loop["traffic"].get("shared read", {}).get("wavefronts", 0)
        limit = f"{min(100, 25 * fma / loads):.0f}" if "loop" in r and fma else ""
        lines.append(
            f"{r['kernel']:30} {r['problem']:27} {100 * fma / sum(n.values()):4.0f} "
            f"{filled(t, 'global read'):>6} {filled(t, 'global write'):>6} "
            f"{each(loop['traffic'], 'shared read'):>6} {each(t, 'shared write'):>6} {limit:>6} "
            f"{r['registers']:5} {r['blocks']:6} {100 * r['blocks'] * THREADS / MOST_THREADS:7.0f}"
        )
    return "\n".join(lines) + "\n"


def filled(traffic: Row, what: str) -> str:
    counts = traffic.get(what)
    return f"{100 * counts['bytes'] / 32 / counts['sectors']:.0f}" if counts else ""


def each(traffic: Row, what: str) -> str:
    counts = traffic.get(what)
    return f"{counts['wavefronts'] / counts['requests']:.2f}" if counts else ""


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """A line for each count that differs, with its kernel."""
    before, after = (dict(_flat(r)) for results in (old, new) for r in [results["rows"]])
    return [
        f"{key}: {before.get(key, 'none')} -> {after.get(key, 'none')}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for part in value:
            yield from _flat(part, f"{part['kernel']} {part['problem']}")
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(part, f"{key} {name}".strip())
    else:
        yield key, value


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ptx_counts.py", description=__doc__, epilog=HELP.format(COMMAND),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help="rewrite the results")
    given = parser.parse_args(argv)
    results = measure()
    print(render(results), end="")
    committed = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"nvrtc": "", "rows": []}
    if given.write:
        lines = ",\n".join(json.dumps(r) for r in results["rows"])
        head = json.dumps({**results, "rows": []})
        RESULTS.write_text(head.replace('"rows": []', f'"rows": [\n{lines}\n]') + "\n")
        print(f"\nwritten: {RESULTS}")
        return 0
    if committed["nvrtc"] != results["nvrtc"]:
        print(f"\nnot compared: the results are of NVRTC {committed['nvrtc']}")
        return 0
    changes = differences(committed, results)
    if changes:
        print(f"\nthe counts differ; to accept: {COMMAND} --write", *changes, sep="\n")
    return int(bool(changes))


if __name__ == "__main__":
    sys.exit(main())
