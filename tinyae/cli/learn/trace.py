"""``tinyae trace``: every number of one training step."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import numpy as np

from ...arguments import ARGUMENTS
from ...estimator import Autoencoder
from ...kernels.reference.random import random_uniform
from ...learn.mistakes import MISTAKES
from ...learn.norms import PREPARED, Moment, prepared_norms
from ...learn.record import TOLERANCE
from ...learn.show import as_json, as_text, verdict
from ...learn.tracing import trace
from ...net import streams
from ...storage.files import write_npz
from ...train.progress import Waiting
from ..options import UsageError, command, integers, model_given
from ..output import table
from ..run.folder import RunFolder
from ..run.opening import expect_apart

OF_THE_NET = (
    "activation", "code_activation", "output", "loss", "initializer", "optimizer", "learning_rate",
    "momentum", "betas", "eps", "weight_decay", "clip_norm", "random_state",
)  # fmt: skip
SAMPLES = 3  # of the tiny data, and the first ones of a run

EPILOG = f"""\
Layers count from 1: w2 is the weight of the second one, dw2 the gradient of the loss with respect
to it, x2 what it is given, z2 = x2 @ w2 + b2 and y2 = act(z2). Beside each gradient stands its
finite difference; a row is marked where they differ by more than {TOLERANCE:g} of the largest.

mistakes for --break:
{chr(10).join(f"  {name:16} {mistake.about}" for name, mistake in MISTAKES.items())}

examples:
  tinyae trace --net 4,3,2 --activation tanh        a tiny net on tiny data
  tinyae trace --net 4,3,2 --element 'w2[1,0]'      one gradient as a sum of products
  tinyae trace --net 4,3,2 --break sign --layer 2   where does the first wrong number stand?
  tinyae trace runs/ball --sample 3                 a step of a trained net on one sample
  tinyae trace --norms                              vanishing, exploding gradients, dead units
"""


def add_commands(commands: Any) -> None:
    parser = command(
        commands, "trace", _trace, "every number of one training step, beside finite differences",
        epilog=EPILOG,
    )  # fmt: skip
    parser.add_argument("run", metavar="RUN", nargs="?", help="a run folder")
    parser.add_argument("--net", type=integers, metavar="N,N,...", help="in place of RUN, a new "
                        "net: features, hidden layers, code; mirrored back")  # fmt: skip
    parser.add_argument("--norms", action="store_true", help="in place of RUN, the norms of "
                        "prepared nets in the course of training")  # fmt: skip
    parser.add_argument("--sample", type=_samples, metavar="N,N,...", help="which of the samples, "
                        "from 0, make the minibatch, of a RUN its training samples "
                        f"(default the first {SAMPLES})")  # fmt: skip
    parser.count("--step", 1, "trace the N-th update on this minibatch")
    parser.add_argument("--element", metavar="NAME", help="one weight or bias, such as w2[1,0]: "
                        "its gradient with the numbers put in")  # fmt: skip
    parser.add_argument("--break", dest="mistake", choices=tuple(MISTAKES), metavar="NAME",
                        help="put in a mistake: " + ", ".join(MISTAKES))  # fmt: skip
    parser.add_argument("--layer", type=int, metavar="N", help="where --break puts it (default the "
                        "first layer of the decoder)")  # fmt: skip
    parser.json_option("print one JSON object with all arrays")
    parser.file_option("--npz", "all arrays by name", ".npz")
    parser.model_options([name for name in ARGUMENTS if name not in OF_THE_NET])


def _samples(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


_samples.__name__ = "list of integers"


def _trace(given: argparse.Namespace) -> None:
    """Raises ArithmeticError where a number is wrong and no mistake was put in."""
    ways = [given.run is not None, given.net is not None, given.norms]
    if sum(ways) != 1:
        raise UsageError(
            "give one of RUN, --net N,N,... (a tiny net on tiny data) and --norms: "
            "'tinyae trace --net 4,3,2' is a beginning"
        )
    if given.norms:
        _norms(given)
        return
    if given.layer is not None and given.mistake is None:
        raise UsageError("--layer says where --break puts its mistake: give --break NAME")
    model, samples = _of_run(given) if given.net is None else _of_net(given)
    try:
        with Waiting("taking finite differences"):
            found = trace(model, samples, step=given.step, mistake=given.mistake,
                          layer=given.layer)  # fmt: skip
        told = found.element(given.element) if given.element else ""
    except ValueError as error:
        raise UsageError(str(error)) from error
    if given.npz is not None:
        compared = {f"expected.{q.name}": q.expected for q in found.quantities
                    if q.expected is not None}  # fmt: skip
        write_npz(given.npz, "tinyae-trace", 1, {"title": found.title, "mistake": found.mistake},
                  {**found.arrays, **compared})  # fmt: skip
    if given.json:
        print(json.dumps(as_json(found)))
    else:
        print(told or as_text(found, _coloured()))
    if given.npz is not None and not given.json:
        print(f"{given.npz}: {len(found.arrays)} arrays and what was expected of them")
    if found.first_wrong is not None and given.mistake is None:
        raise ArithmeticError(verdict(found))


def _coloured() -> bool:
    """On a terminal that can, unless NO_COLOR says no (no-color.org)."""
    dumb = os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and not dumb


def _of_net(given: argparse.Namespace) -> tuple[Autoencoder, np.ndarray[Any, Any]]:
    """A new net, and samples in [0.05, 0.95) from the same seed."""
    if len(given.net) < 2:
        raise UsageError(f"--net must be features, hidden layers and code, such as 4,3,2, got "
                         f"{given.net[0]}: a net has at least two numbers")  # fmt: skip
    n_features, *hidden, code = given.net
    params = {"initializer": "random", "random_state": 0, **model_given(given)}
    try:
        model = Autoencoder(hidden=tuple(hidden), code=code, dtype="float64", backend="numpy",
                            scale=None, **params)  # fmt: skip
        seed = int(params["random_state"])
        chosen = given.sample or tuple(range(SAMPLES))
        rows = _chosen(chosen, 1 << 16)
        X = np.empty((max(chosen) + 1, n_features))
        random_uniform(streams.state(seed, streams.CHECK), 0.05, 0.95, X)
        return model, X[rows]
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def _of_run(given: argparse.Namespace) -> tuple[Autoencoder, np.ndarray[Any, Any]]:
    """The trained net, and some of its training samples."""
    if options := model_given(given):
        name = next(iter(options)).replace("_", "-")
        raise UsageError(f"--{name} is for --net: a run has its own")
    run = RunFolder(given.run)
    expect_apart(given, run, None)
    model = run.load_model("numpy")
    train = run.load_data({}, False, model.schema_).train
    rows = _chosen(given.sample or tuple(range(min(SAMPLES, len(train)))), len(train))
    return model, np.asarray(train.select(rows), np.float64)


def _chosen(samples: tuple[int, ...], n: int) -> np.ndarray[Any, Any]:
    if not all(0 <= sample < n for sample in samples):
        raise UsageError(f"--sample must be of 0 ... {n - 1}, got {','.join(map(str, samples))}")
    return np.array(samples, np.int64)


def _norms(given: argparse.Namespace) -> None:
    results: list[tuple[str, str, list[Moment]]] = []
    with Waiting("training the prepared nets") as report:
        for done, net in enumerate(PREPARED, start=1):
            results.append((net.name, net.about, prepared_norms(net)))
            report(done, len(PREPARED))
    if given.json:
        nets = [
            {"net": name, "steps": [{"step": m.step, "loss": m.loss,
                                     "layers": [layer._asdict() for layer in m.layers]}
                                    for m in moments]}
            for name, _, moments in results
        ]  # fmt: skip
        print(json.dumps({"nets": nets}))
        return
    for name, about, moments in results:
        print(f"{name}: {about}\n")
        losses = ", ".join(f"{m.loss:.4g} at step {m.step}" for m in moments)
        steps = [m.step for m in moments]
        header = ("layer", "units", "y at 1", *(f"|dw| at {s}" for s in steps),
                  *(f"dead at {s}" for s in steps))  # fmt: skip
        rows = []
        for layers in zip(*(m.layers for m in moments), strict=True):
            first = layers[0]
            norms = [f"{layer.dw:.2e}" for layer in layers]
            rows.append((first.layer, first.units, f"{first.output:.2e}", *norms,
                         *(layer.zero_units for layer in layers)))  # fmt: skip
        print(table(header, rows))
        print(f"loss {losses}\n")
    print("y: root mean square of the outputs; |dw|: norm of the weights' gradient;\n"
          "dead: units that are 0 for every sample")  # fmt: skip
