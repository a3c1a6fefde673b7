"""What each CUDA C kernel takes of a multiprocessor: registers, shared memory, spills.

NVRTC compiles every .cu of kernels/, in both dtypes and for seven architectures, without a GPU, and
the assembler's own report is held against the table in benchmarks/results/cuda-resources.txt.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from tinyae.kernels.cuda import source as cuda_source
from tinyae.kernels.cuda.source import REALS
from tinyae.kernels.cuda_ptx.nvrtc import CompileError, Nvrtc, compile_source, find_nvrtc

TABLE = Path(__file__).parents[1] / "results" / "cuda-resources.txt"
COMMAND = "python benchmarks/gpu/cuda_resources.py"

# Turing, Ampere (data centre, desktop), Ada, Hopper, Blackwell (data centre, desktop)
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

# What CuPy compiles with: NVRTC_OPTIONS, and its own -ftz=true. It also
# takes functions without __device__ for device functions, which the sources need not.
OPTIONS = (*cuda_source.NVRTC_OPTIONS, "-ftz=true")

HELP = """\
registers  per thread. A multiprocessor has 65,536: a block of 256 threads with 128 each takes half.
shared     bytes per block, of the 48 KB that any GPU gives without being asked.
stack      bytes of local memory per thread: arrays that are indexed at run time, variables whose
           address is taken, values kept across calls. It lies in global memory, so it is slow.
spill      bytes that the assembler moved to the stack for want of registers.

Neither is accepted, nor is a change to the table that nobody looked at. A value that is the same
on all architectures stands once. The figures depend on the version of NVRTC: the test extra pins
the version that the table was made with. Another one is used to compile and to look for local
memory, but not to compare.

examples:
  {0}            compile all, show what changed
  {0} dense.cu   one file, while you work on it
  {0} --write    accept the figures
"""


@dataclass(frozen=True)
class Usage:
    """What one kernel takes, as ptxas reports it. Bytes, but for the registers."""

    registers: int
    shared: int
    stack: int
    spill: int  # stores and loads


Kernel = tuple[str, str, str]  # file, kernel, dtype
Table = dict[Kernel, dict[int, Usage]]  # for each architecture


def usage_of(log: str, kernel: str) -> Usage:
    """Reads what ``--ptxas-options=-v`` says of a kernel."""
    found = re.search(
        rf"Function properties for {kernel}\n.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
        rf"(\d+) bytes spill loads\n.*?Used (\d+) registers(?:.*? (\d+) bytes smem)?",
        log,
    )
    if found is None:
        raise CompileError(f"ptxas says nothing of {kernel}:\n{log}")
    stack, stores, loads, registers, shared = (int(text or 0) for text in found.groups())
    return Usage(registers, shared, stack, stores + loads)


def measure(nvrtc: Nvrtc, file: str, dtype: str, architecture: int) -> dict[str, Usage]:
    """Every kernel of a .cu file; raises CompileError."""
    source = cuda_source.defines(dtype) + cuda_source.read_source(file)
    options = (*OPTIONS, f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v")
    try:
        log = compile_source(nvrtc, source, file, options)
    except CompileError as error:
        raise CompileError(f"{file}, {dtype}, sm_{architecture}:\n{error}") from error
    return {kernel: usage_of(log, kernel) for kernel in cuda_source.kernel_names(source)}


def targets(file: str) -> list[tuple[str, int]]:
    """The dtypes and architectures that the file has kernels for."""
    if file in cuda_source.ON_TENSOR_CORES:
        return [("float32", arch) for arch in ARCHITECTURES if arch >= 80]
    return [(dtype, arch) for dtype in REALS for arch in ARCHITECTURES]


def measure_all(nvrtc: Nvrtc, files: Sequence[str]) -> Table:
    """Every kernel of the files; raises CompileError for the first that does not compile."""
    jobs = [(file, *target) for file in files for target in targets(file)]
    table: Table = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            results = pool.map(lambda job: measure(nvrtc, *job), jobs)
            for done, ((file, dtype, arch), usages) in enumerate(zip(jobs, results, strict=True)):
                for kernel, usage in usages.items():
                    table.setdefault((file, kernel, dtype), {})[arch] = usage
                if sys.stderr.isatty():
                    print(f"\r{done + 1}/{len(jobs)} compilations", end="", file=sys.stderr)
        finally:
            pool.shutdown(cancel_futures=True)
            if sys.stderr.isatty():
                print(file=sys.stderr)
    return table


def all_files() -> list[str]:
    return sorted(path.name for path in cuda_source.FOLDER.rglob("*.cu"))


def in_local_memory(table: Table) -> list[str]:
    """A line for each kernel with a stack or with spills."""
    lines = []
    for (file, kernel, dtype), usages in table.items():
        guilty = {arch: usage for arch, usage in usages.items() if usage.stack or usage.spill}
        if guilty:
            stack = max(usage.stack for usage in guilty.values())
            spill = max(usage.spill for usage in guilty.values())
            lines.append(f"{file}, {kernel}, {dtype}: {stack} bytes of stack, {spill} of spills "
                         f"on sm_{', '.join(map(str, guilty))}")  # fmt: skip
    return lines


def render(table: Table, version: str) -> str:
    """The committed text: one line per kernel and dtype, so that a change is a changed line."""
    architectures = " ".join(f"{arch:4}" for arch in ARCHITECTURES)
    lines = [
        "# What the CUDA C kernels take, as the assembler reports it; no GPU was involved.",
        f"# NVRTC {version} {' '.join(OPTIONS)}",
        f"# Rewritten by: {COMMAND} --write",
        "#",
        f"#{'':54}{'registers on sm_':{len(architectures)}}  bytes",
        f"#{' file':17} {'kernel':27} {'dtype':7} {architectures}  shared stack spill",
    ]
    for (file, kernel, dtype), usages in table.items():
        row = list(usages.values())
        registers = " ".join(
            f"{usages[arch].registers if arch in usages else '-':>4}" for arch in ARCHITECTURES
        )
        shared, stack, spill = (
            "/".join(map(str, column)) if len(set(column)) > 1 else str(column[0])
            for column in zip(*((u.shared, u.stack, u.spill) for u in row), strict=True)
        )
        lines.append(
            f"{file:18} {kernel:27} {dtype:7} {registers}  {shared:>6} {stack:>5} {spill:>5}"
        )
    return "\n".join(lines) + "\n"


def version_of(text: str) -> str:
    """The NVRTC that a table was made with."""
    found = re.search(r"^# NVRTC (\S+)", text, re.MULTILINE)
    return found[1] if found else "none"


def difference(old: str, new: str, files: Sequence[str]) -> str:
    """Changed lines of these files: "-" as it stands in the table, "+" as it is now; "" if none."""
    chosen = [[line for line in text.splitlines() if line.split(" ")[0] in files]
              for text in (old, new)]  # fmt: skip
    changes = difflib.unified_diff(*chosen, n=0, lineterm="")
    return "\n".join(line for line in changes if not line.startswith(("---", "+++", "@@")))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="cuda_resources.py", description=__doc__, epilog=HELP.format(COMMAND),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("files", nargs="*", metavar="FILE", help="names of .cu files (default all)")
    parser.add_argument("--write", action="store_true", help="rewrite the table; takes all files")
    given = parser.parse_args(argv)
    files = given.files or all_files()
    if unknown := set(files) - set(all_files()):
        parser.error(f"no such file in kernels/: {', '.join(sorted(unknown))}")
    if given.write and given.files:
        parser.error("--write takes all files: give no FILE")
    nvrtc = find_nvrtc()
    if nvrtc is None:
        parser.error('there is no NVRTC here: pip install ".[test]"')
    try:
        table = measure_all(nvrtc, files)
    except CompileError as error:
        print(f"does not compile: {error}", file=sys.stderr)
        return 1
    text = render(table, nvrtc.version)
    print(text, end="")
    if given.write:
        TABLE.write_text(text)
        print(f"\nwritten: {TABLE}")
    return report(table, text, nvrtc.version, files)


def report(table: Table, text: str, version: str, files: Sequence[str]) -> int:
    """Says what is wrong with a table; returns the exit code."""
    local = in_local_memory(table)
    if local:
        print("\nin local memory, which is slow:", *local, sep="\n  ")
    committed = TABLE.read_text() if TABLE.exists() else ""
    if version_of(committed) != version:
        print(f"\nnot compared: the table was made with NVRTC {version_of(committed)}, "
              f"this is {version}")  # fmt: skip
        return int(bool(local))
    changes = difference(committed, text, files)
    if changes:
        print(f"\nthe table differs; to accept: {COMMAND} --write\n{changes}")
    return int(bool(local or changes))


if __name__ == "__main__":
    sys.exit(main())
