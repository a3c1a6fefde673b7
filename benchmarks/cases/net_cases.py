"""Whole training steps and their parts, epochs, and copies to a device and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from benchmarks.cases import counts, nets
from benchmarks.cases.cases import Arguments, Case, Options, batches
from benchmarks.cases.cases import nets as chosen_nets
from benchmarks.cases.counts import Counts
from tests import reference

STEP_BATCHES = (32, 128, 512, 2048, 8192)

# The operations of a step, in their order: with cross-entropy on logits there are no others.
PARTS = ("dense_forward", "loss", "dense_backward_weights", "dense_backward_input", "adam")


def steps(options: Options) -> list[Case]:
    """Each net and batch: the step as a whole, then each operation of it, summed over layers."""
    cases = []
    for net in chosen_nets(options):
        for batch in batches(options, STEP_BATCHES):
            work = {"step": counts.step(nets.layers(net), batch)}
            if net == "deep" or not options.quick:
                work |= {f"step/{op}": part_counts(op, net, batch) for op in PARTS}
            cases += [
                Case("step", op, f"B={batch}", of_op, net=net, batch=batch)
                for op, of_op in work.items()
            ]
    return cases


def part_counts(op: str, net: str, batch: int) -> Counts:
    layers = nets.layers(net)
    if op == "loss":
        return counts.elementwise(batch * nets.N_FEATURES, "bce")
    if op == "adam":
        return counts.elementwise(counts.parameters(layers), "adam")
    of_layer: Callable[[int, int, int], Counts] = getattr(counts, op)
    total = Counts(0, 0)
    for n_in, n_out in layers[1:] if op == "dense_backward_input" else layers:
        total += of_layer(batch, n_in, n_out)
    return total


def epochs(options: Options) -> list[Case]:
    """``epoch``: uint8 pixels, cross-entropy. ``epoch_mse``: float32 and squared error, with ReLU
    on the code too, which is all that scikit-learn's MLPRegressor does."""
    cases = []
    for net in chosen_nets(options):
        for op, usual, item in (("epoch", nets.BATCHES, 1), ("epoch_mse", (128, 512), 4)):
            if op == "epoch_mse" and net == "deep" and options.quick:
                continue
            for batch in batches(options, usual):
                samples = len(nets.pixels(batch, options.quick))
                work = counts.epoch(nets.layers(net), batch, samples, item)
                label = f"{samples} samples, B={batch}"
                cases.append(Case("epoch", op, label, work, net=net, batch=batch))
    return cases


def transfers(options: Options) -> list[Case]:
    """Copies between host and device memory: apart, for no other figure includes them."""
    sizes = (1, 64) if options.quick else (1, 16, 256)
    return [
        Case("transfer", op, f"{size} MiB", Counts(0, size * 2**20), size=size)
        for op in ("to_device", "to_host")
        for size in sizes
    ]


# ---- what the first step must give


@lru_cache(maxsize=1)  # a step and its parts come one after the other
def first_step(net: str, batch: int) -> tuple[float, list[tuple[Arguments, Arguments]]]:
    """(mean loss, (dw, db) of each layer) in float64, by the chain rule and nothing else."""
    x = nets.batch_of(batch).astype(np.float64)
    names, layers = nets.activations(net), nets.weights(net)
    zs, ys = [], [x]
    for (w, b), name in zip(layers, names, strict=True):
        zs.append(ys[-1] @ w.astype(np.float64) + b)
        ys.append(reference.activation(name, zs[-1]))
    value, slope = reference.loss("bce", ys[-1], x)
    dz, gradients = slope / batch, []
    for i in reversed(range(len(layers))):
        gradients.append((ys[i].T @ dz, dz.sum(axis=0)))
        if i:
            dy = dz @ layers[i][0].T.astype(np.float64)
            dz = dy * reference.derivative(names[i - 1], zs[i - 1])
    return float(value.sum() / batch), gradients[::-1]


# Through nine layers errors of a few eps sqrt(1000) add up, and a ReLU whose input is zero to
# rounding may fall on the other side: 1e-3 of a gradient's norm is ten times what was seen, and a
# thousandth of what one wrong layer makes.
GRADIENT, LOSS = 1e-3, 1e-5
# The same ten times for factors of 11 bits, in float64 otherwise: 1.4e-2 and 9e-6 were seen, mostly
# of ReLUs that fell on the other side.
GRADIENT_TF32, LOSS_TF32 = 0.1, 1e-4


def check_step(
    net: str, batch: int, loss: float, moments: list[tuple[object, object]], matmul: str = "fp32"
) -> None:
    """After one Adam update from zero, m is (1 - beta1) times the gradient."""
    gradient, of_loss = (GRADIENT_TF32, LOSS_TF32) if matmul == "tf32" else (GRADIENT, LOSS)
    expected, gradients = first_step(net, batch)
    error = abs(loss / expected - 1)
    if not error <= of_loss:
        raise AssertionError(f"loss of the first step: {loss:.7g} instead of {expected:.7g}")
    for i, (ours, right) in enumerate(zip(moments, gradients, strict=True)):
        for what, m, g in zip(("dw", "db"), ours, right, strict=True):
            g = (1 - nets.BETAS[0]) * np.asarray(g)
            off = float(np.linalg.norm(np.asarray(m, np.float64) - g) / np.linalg.norm(g))
            if not off <= gradient:
                raise AssertionError(f"{what} of layer {i}: off by {off:.2g} of its norm")


# Adam's first steps have the size of the learning rate whatever the gradient's: where that is zero
# to rounding, float32 and float64 may step apart. Rivals shuffle by generators of their own.
SAME_ORDER, OTHER_ORDER = 1e-2, 2e-2


def check_epoch(losses: tuple[float, float], right: float | None, tolerance: float) -> None:
    """The mean losses of two epochs: the second is less, the first is the float64 reference's."""
    first, second = losses
    if not second < first:
        raise AssertionError(f"it does not learn: mean loss {first:.7g}, then {second:.7g}")
    if right is not None and not abs(first / right - 1) <= tolerance:
        raise AssertionError(f"mean loss of an epoch: {first:.7g} instead of {right:.7g}")
