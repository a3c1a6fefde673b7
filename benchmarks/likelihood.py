"""How likely MNIST's test digits are to a variational autoencoder, against the time it trained.

    python benchmarks/likelihood.py --data DIR --epochs 400 --save vae.npz
    python benchmarks/likelihood.py --data DIR --samples 5 --start vae.npz --epochs 25 --rate 1e-3

The net, the pixels drawn as 0 and 1 and the 5,000 draws for each of all test digits are those of
Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders" (ICLR 2016), but for silu in place
of tanh. One thread; seconds and CPU seconds are those of training alone. ``--start`` goes on from
a file's weights. Adds a run to benchmarks/results/likelihood.json, with its curve.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.machine import machine, versions
from tinyae import VariationalAutoencoder, load_dataset
from tinyae.cli.output import write_json
from tinyae.train.progress import Progress

RESULT = Path(__file__).parent / "results" / "likelihood.json"
NET = {"hidden": (200, 200), "code": 50, "binarize": True, "batch_size": 100,
       "warmup": 0.02, "random_state": 0, "backend": "numba", "threads": 1}  # fmt: skip
CURVE, CURVE_DRAWS = 10, 100  # every tenth test digit, and draws for each, while it trains
EVERY = 25  # epochs between points of the curve


def train(args: argparse.Namespace) -> dict[str, Any]:
    data = load_dataset(args.data)
    net = {**NET, "activation": args.activation}
    model = VariationalAutoencoder(**net, samples=args.samples, learning_rate=args.rate)
    model.set_params(epochs=0, warm_start=True).fit(data.train)  # the start alone
    if args.start:
        model.set_parameters(VariationalAutoencoder.load(args.start).parameters())
    test = model.binarized(data.test)
    curve: list[dict[str, float]] = []
    begun = [time.perf_counter(), time.process_time()]

    def look(progress: Progress) -> None:
        epoch = progress.epoch
        if not progress.metrics or not (epoch in (1, 5, 10, args.epochs) or epoch % EVERY == 0):
            return
        now = time.perf_counter(), time.process_time()
        nats = model.log_likelihood(test[::CURVE], samples=CURVE_DRAWS).mean()
        curve.append({
            "epoch": epoch, "seconds": now[0] - begun[0], "cpu_seconds": now[1] - begun[1],
            "log_likelihood": float(nats),
            **{k: v for k, v in progress.metrics.items() if k not in ("seconds", "squared_error")},
        })  # fmt: skip
        print(json.dumps(curve[-1]), flush=True)
        begun[0] += time.perf_counter() - now[0]  # looking is no part of training
        begun[1] += time.process_time() - now[1]

    model.set_params(epochs=args.epochs).fit(data.train, callback=look)
    if args.save:
        model.save(args.save)
    nats = model.log_likelihood(test, samples=args.draws)
    return {
        "activation": args.activation, "samples": args.samples, "epochs": args.epochs,
        "learning_rate": args.rate,
        "started_from": args.start and Path(args.start).name, "curve": curve,
        "digits": len(nats), "draws": args.draws, "log_likelihood": float(nats.mean()),
        "standard_error": float(nats.std() / len(nats) ** 0.5),
        "active_units": model.active_units(test),
        "machine": machine(), "versions": versions(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="mnist", help="MNIST's folder; mnist: downloaded")
    parser.add_argument("--activation", default="silu", help="of hidden layers (default: silu)")
    parser.add_argument("--samples", type=int, default=1, help="draws in the bound (default: 1)")
    parser.add_argument("--epochs", type=int, default=400, help="default: 400")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest rate (default: 3e-3)")
    parser.add_argument("--draws", type=int, default=5000, help="at the end (default: 5000)")
    parser.add_argument("--start", metavar="FILE", help="a saved net, whose weights to start from")
    parser.add_argument("--save", metavar="FILE", help="where to save the net")
    parser.add_argument("--out", type=Path, default=RESULT, metavar="FILE", help="the JSON")
    args = parser.parse_args()
    runs = json.loads(args.out.read_text()) if args.out.exists() else []
    run = train(args)
    print(f"{run['log_likelihood']:.2f} +- {run['standard_error']:.2f} nats")
    write_json(args.out, [*runs, run])


if __name__ == "__main__":
    main()
