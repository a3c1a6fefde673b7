"""A training step of PyTorch's DistributedDataParallel (gloo) on the nets of ``scaling``.

Run by ``scaling.py --torch PYTHON``, a process for each rank. Rank 0 prints the median seconds of
each case.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("rank", "size", "threads"):
        parser.add_argument(name, type=int)
    parser.add_argument("seconds", type=float, help="for each case")
    parser.add_argument("file", help="by which the ranks meet")
    given = parser.parse_args()
    rank, size = given.rank, given.size
    import torch
    from torch import distributed

    from benchmarks.scaling import CASES

    torch.set_num_threads(given.threads)
    if size > 1:
        meet = f"file://{given.file}"
        distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=size)
    found = [step(net, batch // size, size, given.seconds) for net, batch in CASES]
    if rank == 0:
        print(json.dumps(found))
    if size > 1:
        distributed.destroy_process_group()


def step(net: str, rows: int, size: int, seconds: float) -> float:
    import torch
    from torch import distributed, nn

    from benchmarks.scaling import N_FEATURES, NETS

    hidden, code = NETS[net]
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise((N_FEATURES, *hidden, code, *hidden[::-1], N_FEATURES)):
        layers += [nn.Linear(n_in, n_out)] + [nn.ReLU()] * (n_out not in (code, N_FEATURES))
    plain = nn.Sequential(*layers)
    model = nn.parallel.DistributedDataParallel(plain) if size > 1 else plain
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3, fused=True)
    x = torch.rand(rows, N_FEATURES)
    took: list[float] = []
    began, going = time.perf_counter(), torch.ones(1)
    while len(took) < 5 or going.item() > 0:
        started = time.perf_counter()
        optimizer.zero_grad()
        output = model(x)
        nn.functional.binary_cross_entropy_with_logits(output, x).backward()
        optimizer.step()
        took.append(time.perf_counter() - started)
        going[0] = float(time.perf_counter() - began < seconds)
        if size > 1:
            distributed.broadcast(going, 0)
    took = sorted(took[2:])
    return took[len(took) // 2]


if __name__ == "__main__":
    main()
