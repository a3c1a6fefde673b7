"""Runs a kernel of any .cu or .ptx file on the CPU, every memory access checked; no GPU is needed.

Each argument of the kernel is given in its order, by ARG:
  7:int32  0.5:float32     a number and its NumPy type
  zeros:float32:1000       an array of 1000 zeros; also ones, arange, random (in [0, 1), integers
                           below 100), and empty, which must be written before it is read
  data.npy                 the array in this file
The arrays are printed as they are afterwards. A wrong access is an error that names kernel, line of
PTX (--ptx keeps it), block and thread, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .counts import Counts
from .machine import GLOBAL_BASE, Machine
from .memory import GAP, WRITTEN, Space
from .nvrtc import CompileError, NvrtcMissing, compile_ptx
from .parse import PtxError, parse

FILLED: dict[str, Callable[..., Any]] = {
    "zeros": np.zeros, "ones": np.ones, "empty": np.zeros, "arange": np.arange,
    "random": lambda n, dtype: (
        np.random.default_rng(0).random((n,)) * (1 if np.dtype(dtype).kind == "f" else 100)
    ).astype(dtype),
}  # fmt: skip


def dimensions(text: str) -> tuple[int, int, int]:
    """``16,16`` -> 16, 16, 1"""
    sizes = [int(part) for part in text.split(",")]
    if not 1 <= len(sizes) <= 3 or min(sizes) < 1:
        raise ValueError(text)
    return (*sizes, 1, 1)[:3]  # type: ignore[return-value]


def argument(text: str) -> tuple[str, Any]:
    """The kind, "" for a number, and the value."""
    kind, _, rest = text.partition(":")
    try:
        if text.endswith(".npy"):
            return text, np.ascontiguousarray(np.load(text))
        if kind in FILLED:
            dtype, _, count = rest.partition(":")
            if int(count) < 1:
                raise ValueError("an array has at least one element")
            return kind, FILLED[kind](int(count), dtype=np.dtype(dtype))
        number = np.dtype(rest)
        return "", number.type(float(kind) if number.kind == "f" else int(kind, 0))
    except (MemoryError, OSError, OverflowError, TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            f"expected 7:int32, zeros:float32:1000 or data.npy, got {text!r} ({error})"
        ) from None


def order(text: str) -> str | int:
    return text if text in ("forward", "reverse") else int(text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tinyae.kernels.cuda_ptx", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE", help="CUDA C, or .ptx")
    parser.add_argument("kernel", metavar="KERNEL", help='its name; of CUDA C an extern "C" one')
    parser.add_argument("arguments", nargs="*", metavar="ARG", type=argument, help="see above")
    parser.add_argument("--grid", type=dimensions, default=(1, 1, 1), metavar="X[,Y[,Z]]")
    parser.add_argument("--block", type=dimensions, default=(32, 1, 1), metavar="X[,Y[,Z]]")
    parser.add_argument("--capability", type=int, default=90, metavar="N", help="90 is 9.0")
    parser.add_argument(
        "--nvrtc", action="append", default=[], metavar="OPTION", help="as in --nvrtc=-DN=4"
    )
    parser.add_argument("--ptx", type=Path, metavar="FILE", help="where to write the PTX")
    parser.add_argument(
        "--counts", action="store_true", help="print instructions, sectors, wavefronts"
    )
    parser.add_argument("--save", type=Path, metavar="DIR", help="arrays as argument-0.npy and on")
    parser.add_argument("--shared", type=int, default=0, metavar="BYTES", help="dynamic memory")
    parser.add_argument(
        "--order", type=order, metavar="forward|reverse|SEED",
        help="of the warps between two barriers (default: in lock step)",
    )  # fmt: skip
    given = parser.parse_args(argv)
    if given.save and not given.save.is_dir():
        parser.error(f"argument --save: there is no folder {given.save}")
    try:
        arrays, counts = run(given)
    except (OSError, UnicodeDecodeError, PtxError, NvrtcMissing, CompileError) as error:
        print(f"cuda_ptx: {str(error).rstrip()}", file=sys.stderr)
        return 1
    for place, array in arrays:
        print(f"argument {place}: {np.array2string(array, threshold=64)}")
        if given.save:
            np.save(given.save / f"argument-{place}.npy", array)
    if given.counts:
        print("executed by a warp:", dict(counts.instructions.most_common()))
        for what, numbers in counts.traffic.items():
            print(f"{what}: {', '.join(f'{n:,} {unit}' for unit, n in numbers.items())}")
    return 0


def run(given: argparse.Namespace) -> tuple[list[tuple[int, Any]], Counts]:
    """The arrays among the arguments after the launch, each with its place; what was counted."""
    text = given.file.read_text()
    if given.file.suffix != ".ptx":
        options = ("-std=c++17", f"-arch=compute_{given.capability}", f"-I{given.file.parent}")
        text = compile_ptx(text, given.file.name, (*options, *given.nvrtc))
    if given.ptx:
        given.ptx.write_text(text)
    kernels = parse(text)
    if given.kernel not in kernels:
        raise PtxError(f"{given.file} has no kernel {given.kernel!r}, but {', '.join(kernels)}")
    kernel = kernels[given.kernel]
    sizes = [value.nbytes for kind, value in given.arguments if kind]
    sizes += [v.size for v in kernel.variables.values()]
    memory = Space("global", 1, sum(sizes) + 3 * GAP * (len(sizes) + 1), GLOBAL_BASE)
    raw, arrays = [], []
    for place, (kind, value) in enumerate(given.arguments):
        if not kind:
            raw.append(value.tobytes())
            continue
        address = memory.allocate(value.nbytes, GAP)
        if kind != "empty":
            memory.fill(address, value.reshape(-1).view(np.uint8))
        raw.append(np.uint64(address).tobytes())
        arrays.append((place, address, value))
    counts = Counts()
    Machine(
        kernel, given.grid, given.block, memory, raw, given.order, given.shared, counts=counts
    ).run()
    results = []
    for place, address, value in arrays:
        data, state = memory.bytes_at(address, value.nbytes)
        missing = int((state != WRITTEN).sum())
        if missing:
            print(f"argument {place}: {missing} bytes were never written", file=sys.stderr)
        results.append((place, data.view(value.dtype).reshape(value.shape)))
    return results, counts


if __name__ == "__main__":
    sys.exit(main())
