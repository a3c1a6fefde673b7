"""The share of FFMA in the loop of each product, in the code that a GPU runs (SASS).

NVRTC compiles and assembles dense.cu, nvdisasm makes it readable; no GPU is needed. Of the ways
through a product's loop, the shortest that copies a step's tiles is counted: the one of tiles that
lie inside their matrices, whose copies ask nothing of single elements.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.gpu.cuda_resources import OPTIONS
from tinyae.kernels.cuda import source as cuda_source
from tinyae.kernels.cuda_ptx.nvrtc import compile_bytes, compiler

RESULTS = Path(__file__).parents[1] / "results" / "sass-share.json"
COMMAND = "python benchmarks/gpu/sass_share.py"
WHEEL = "nvidia-cuda-nvdisasm"
CAPABILITY = 90
THREADS, TERMS = 256, 16  # of a block; of its sums, in a step of the loop

HELP = f"""\
FFMA     fused multiply-adds of a warp in one step of the loop
all      instructions of that step, those that a predicate switches off among them
%        the share

examples:
  {COMMAND}                  show, and compare with the results
  {COMMAND} --write          accept them
  {COMMAND} --kernels DIR    .cu and .cuh files of another commit
"""

Row = dict[str, Any]

_INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?(U?P\w+) )?\s*([A-Z]\w*)([\w.]*)(.*);")
_LABEL = re.compile(r"(\.L\w+):")
_CONDITION = re.compile(r"\s*!?U?P\d")  # BRA P1, `(.L_x_2)


class DisassemblerMissing(RuntimeError):
    """There is no nvdisasm here."""


class Instruction(NamedTuple):
    opcode: str  # LDGSTS
    suffix: str  # .E.BYPASS.128
    operands: str
    conditional: bool

    @property
    def copied(self) -> int:
        """Bytes that it begins to copy to shared memory."""
        if self.opcode != "LDGSTS":
            return 0
        return 16 if ".128" in self.suffix else 8 if ".64" in self.suffix else 4


def disassembler() -> str:
    """The path of nvdisasm, of its wheel or else of a CUDA toolkit."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [str(file.locate()) for file in files if Path(file).stem == "nvdisasm"]
    path = found[0] if found else shutil.which("nvdisasm")
    if path is None:
        raise DisassemblerMissing(f"it needs NVIDIA's nvdisasm: pip install {WHEEL}")
    return path


def listing() -> str:
    """dense.cu as an assembler's text, in float32."""
    source = cuda_source.defines("float32") + cuda_source.read_source("dense.cu")
    options = (*OPTIONS, f"--gpu-architecture=sm_{CAPABILITY}")
    code = compile_bytes(compiler(), source, "dense.cu", options, "CUBIN")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dense.cubin"
        file.write_bytes(code)
        return subprocess.check_output([disassembler(), "-c", str(file)], text=True)


def kernels(text: str) -> Iterator[tuple[str, list[Instruction], dict[str, int]]]:
    """(name, instructions, label -> the instruction behind it) of each kernel."""
    for section in re.split(r"^\.text\.", text, flags=re.MULTILINE)[1:]:
        name, _, body = section.partition(":\n")
        code: list[Instruction] = []
        labels = {}
        for line in body.splitlines():
            if label := _LABEL.match(line):
                labels[label[1]] = len(code)
            elif found := _INSTRUCTION.match(line):
                predicate, opcode, suffix, operands = found.groups()
                branches_if = opcode == "BRA" and _CONDITION.match(operands)
                conditional = predicate is not None or bool(branches_if)
                code.append(Instruction(opcode, suffix, operands, conditional))
        yield name, code, labels


def successors(code: Sequence[Instruction], labels: dict[str, int]) -> list[list[int]]:
    """What may be executed after each instruction."""
    found = []
    for i, one in enumerate(code):
        jumps = one.opcode in ("BRA", "BRX")
        ends = (jumps or one.opcode == "EXIT") and not one.conditional
        to = [labels[name] for name in re.findall(r"\.L\w+", one.operands)] if jumps else []
        found.append(to if ends or i + 1 == len(code) else [*to, i + 1])
    return found


def step(code: Sequence[Instruction], labels: dict[str, int], least: float) -> list[int]:
    """The shortest way through the loop with most FFMA that copies at least so many bytes."""
    after = successors(code, labels)
    jumps = ((head, i) for i, there in enumerate(after) for head in there if head <= i)
    head, _ = max(jumps, key=lambda jump: (_ffma(code[jump[0] : jump[1] + 1]), jump[0] - jump[1]))
    # breadth first: (instruction, bytes copied before it) -> whence
    whence: dict[tuple[int, int], tuple[int, int] | None] = {(head, 0): None}
    todo = deque(whence)
    while todo:
        here = i, copied = todo.popleft()
        copied += code[i].copied
        if head in after[i] and copied >= least:
            return list(reversed([i for i, _ in _back(whence, here)]))
        for there in ((k, copied) for k in after[i] if k != head):
            if there not in whence:
                whence[there] = here
                todo.append(there)
    raise ValueError(f"no way through the loop copies {least} bytes a thread")


def _ffma(code: Sequence[Instruction]) -> int:
    return sum(one.opcode == "FFMA" for one in code)


def _back(whence: dict[Any, Any], here: Any) -> Iterator[Any]:
    while here is not None:
        yield here
        here = whence[here]


def measure() -> dict[str, Any]:
    rows = []
    for name, code, labels in kernels(listing()):
        if name.startswith("dense_"):
            tile = sum(map(int, name.rpartition("_")[2].split("x")))
            way = step(code, labels, least=tile * TERMS * 4 / THREADS)
            counts = Counter(code[i].opcode for i in way)
            rows.append({"kernel": name, "instructions": dict(sorted(counts.items()))})
    return {"nvrtc": compiler().version, "capability": CAPABILITY, "rows": rows[::-1]}


def share(row: Row) -> float:
    """Percent."""
    n = row["instructions"]
    return 100 * float(n["FFMA"]) / sum(n.values())


def render(results: dict[str, Any]) -> str:
    lines = [f"{'kernel':30} {'FFMA':>5} {'all':>5} {'%':>5}"]
    for row in results["rows"]:
        n = row["instructions"]
        lines.append(f"{row['kernel']:30} {n['FFMA']:5} {sum(n.values()):5} {share(row):5.1f}")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="sass_share.py", description=__doc__, epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help="rewrite the results")
    parser.add_argument("--kernels", type=Path, metavar="DIR", default=cuda_source.FOLDER)
    given = parser.parse_args(argv)
    cuda_source.FOLDER = given.kernels.resolve()
    results = measure()
    print(render(results), end="")
    if given.write:
        lines = ",\n".join(json.dumps(row) for row in results["rows"])
        head = json.dumps({**results, "rows": []})
        RESULTS.write_text(head.replace('"rows": []', f'"rows": [\n{lines}\n]') + "\n")
        print(f"\nwritten: {RESULTS}")
        return 0
    committed = json.loads(RESULTS.read_text())
    if committed["nvrtc"] != results["nvrtc"]:
        print(f"\nnot compared: the results are of NVRTC {committed['nvrtc']}")
        return 0
    if results != committed:
        print(f"\nthe results are others:\n{render(committed)}to accept: {COMMAND} --write")
    return int(results != committed)


if __name__ == "__main__":
    sys.exit(main())
