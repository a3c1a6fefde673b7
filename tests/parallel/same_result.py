"""Run by mpirun: trains on the first 1, 2, 3 and 5 ranks; prints by how much weights differ.

"global": every rank has all rows. "local": each has some, one of them two of 203.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from mpi4py import MPI

from tinyae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    TiedAutoencoder,
    VariationalAutoencoder,
)
from tinyae.parallel.talk import wait

rng = np.random.default_rng(0)
X = rng.random((203, 12))
HOLES = np.where(rng.random(X.shape) < 0.1, np.nan, X)
PIXELS = (255 * X).astype(np.uint8)
COMMON = {
    "hidden": (16, 12), "code": 3, "epochs": 2, "batch_size": 50, "random_state": 1, "warmup": 0.1,
}  # fmt: skip
CASES: list[tuple[type[Autoencoder], dict[str, Any], Any]] = [
    # the last minibatch has 3 samples: fewer than ranks
    (Autoencoder, {"clip_norm": 0.05, "weight_decay": 0.01}, X),
    (Autoencoder, {"code_noise": (0.3, 0.1), "batch_size": 41, "optimizer": "momentum"}, X),
    # Adam divides the rounding of a gradient of about 0 by eps, 1e-8
    (
        Autoencoder,
        {"missing": "allow", "scale": "standard", "batch_size": 7, "optimizer": "nesterov"},
        HOLES,
    ),
    (Autoencoder, {"validation_fraction": 0.3, "patience": 1, "epochs": 3}, PIXELS),
    (Autoencoder, {"shift": 1, "image_shape": (3, 4), "target_blur": 1.0}, PIXELS),
    (DenoisingAutoencoder, {"corruption": "gaussian", "validation_fraction": 0.3}, X),
    (DenoisingAutoencoder, {"corruption": "salt-pepper", "batch_size": 39}, X),
    (VariationalAutoencoder, {"kl_warmup": 0.5, "validation_fraction": 0.3, "binarize": True}, X),
    (ContractiveAutoencoder, {"activation": "tanh", "optimizer": "momentum"}, X),
    (SparseAutoencoder, {"sparsity": "l1", "hidden": (), "code": 20, "unit_norm": True}, X),
    (SparseAutoencoder, {"revive": 0, "hidden": (), "code": 20, "optimizer": "momentum"}, X),
    (TiedAutoencoder, {"optimizer": "momentum"}, X),
]


def differences(backend: str, dtype: str, sizes: list[int], how: str) -> list[dict[str, Any]]:
    found = []
    world = MPI.COMM_WORLD
    cases = CASES if how == "local" else [*CASES, (Autoencoder, {}, frame())]
    for number, (kind, options, data) in enumerate(cases):
        settings = {**COMMON, "backend": backend, "dtype": dtype, **options}
        alone = kind(**settings).fit(data) if world.rank == 0 else None
        for size in sizes:
            wait(world.Ibarrier())  # a blocking call would keep the cores from the first rank
            comm = world.Split(0 if world.rank < size else MPI.UNDEFINED, world.rank)
            if comm == MPI.COMM_NULL:
                continue
            runs = range(1 + (size == sizes[-1]))
            own = data if how == "global" else data[slice(*bounds(comm.rank, size))]
            ae, *again = (kind(**settings).fit(own, comm=comm, rows=how) for _ in runs)
            wait(comm.Ibarrier())
            every = comm.gather([flat(run).tobytes() for run in (ae, *again)])
            if alone is None or every is None:
                continue
            curves = [
                abs(a - b) / (abs(a) or 1)
                for name, curve in alone.history_.items()
                for a, b in zip(curve, ae.history_[name], strict=True)
                if name != "seconds"
            ]
            found.append({
                "case": f"{number} {kind.__name__} {backend} {dtype}, {size} ranks, {how}",
                "weights": float(abs(flat(ae) - flat(alone)).max()), "curve": float(max(curves)),
                "values": len({value for values in every for value in values}),
            })  # fmt: skip
    return found


def bounds(rank: int, size: int) -> tuple[int, int]:
    cuts = [*[0, 2, 90, 100, 160][:size], len(X)]
    return cuts[rank], cuts[rank + 1]


def flat(ae: Autoencoder) -> np.ndarray[Any, Any]:
    return np.concatenate([value.ravel() for value in ae.parameters().values()])


def frame() -> Any:
    import pandas as pd

    words = np.array(["red", "green", "blue"])[rng.integers(0, 3, 203)]
    return pd.DataFrame({"a": X[:, 0], "colour": words, "b": X[:, 1]})


if __name__ == "__main__":
    backend, dtype, sizes = sys.argv[1:]
    numbers = [int(size) for size in sizes.split(",")]
    result = [d for how in ("global", "local") for d in differences(backend, dtype, numbers, how)]
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(result))
