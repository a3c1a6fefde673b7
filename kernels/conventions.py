"""Names and numbers that every column shares."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

LEAKY_SLOPE = 0.01


class ActivationFacts(NamedTuple):
    """What the rest of tinyae has to know of an activation; its formula stands in the columns."""

    low: float = -inf  # the least and the largest output
    high: float = inf
    initializer: str = "glorot"  # that "auto" takes for a layer with this activation
    needs_input: bool = False  # the derivative cannot be had from the output
    kinked: bool = False  # at 0, in the function or in its derivative
    straight: bool = False  # the second derivative is 0 everywhere but at a kink
    odd: float = 0.0  # c where a(x) - a(-x) = c x for all x


ACTIVATION_FACTS = {
    "identity": ActivationFacts(straight=True),
    "relu": ActivationFacts(low=0.0, initializer="he", kinked=True, straight=True, odd=1.0),
    "leaky_relu": ActivationFacts(
        initializer="he", kinked=True, straight=True, odd=1 + LEAKY_SLOPE
    ),
    "elu": ActivationFacts(low=-1.0, initializer="he", kinked=True),
    "sigmoid": ActivationFacts(low=0.0, high=1.0),
    "tanh": ActivationFacts(low=-1.0, high=1.0),
    "softplus": ActivationFacts(low=0.0, initializer="he", odd=1.0),
    "silu": ActivationFacts(-0.27846454276107374, initializer="he", needs_input=True, odd=1.0),
    "gelu": ActivationFacts(-0.17004075057125403, initializer="he", needs_input=True, odd=1.0),
}
ACTIVATIONS = tuple(ACTIVATION_FACTS)
NEEDS_INPUT = tuple(name for name, facts in ACTIVATION_FACTS.items() if facts.needs_input)

GELU_SCALE = 0.7978845608028654  # sqrt(2 / pi)
GELU_CUBIC = 0.044715

LOSSES = ("mse", "bce", "l1", "huber")

HUBER_DELTA = 1.0

# Penalties on the activities of a code; means of "kl" keep this distance from 0 and 1, where the
# divergence is infinite.
PENALTIES = ("l1", "kl")
RATE_MARGIN = 1e-6

# How a dense layer multiplies: by float32's own multiplications, or on tensor cores, which know
# TF32 (11 of float32's 24 significant bits): three products that make up for it, or one that
# does not.
MATMULS = ("fp32", "3xtf32", "tf32")
# What may be asked for: "auto" is the fastest of those here that err no more than "fp32", and
# "6xbf16" six products of bfloat16 on a processor with AMX (``cpu.product.amx``).
AS_FP32 = ("auto", "fp32", "6xbf16")
MATMUL_CHOICES = (*AS_FP32, *MATMULS[1:])

# The optimisers, and the moments that each keeps: arrays like that of the parameters, 0 at first.
MOMENTS: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("v",),
    "nesterov": ("v",),
    "adam": ("m", "v"),
    "adamw": ("m", "v"),
}
OPTIMIZERS = tuple(MOMENTS)


class Hyper(NamedTuple):
    """The optimisers' numbers for one step; a float64 array in this order takes them to kernels."""

    learning_rate: float
    weight_decay: float
    momentum: float
    beta1: float
    beta2: float
    eps: float
    correction1: float  # 1 - beta1^t, t = 1 at the first update
    correction2: float  # 1 - beta2^t


HYPER = Hyper._fields

# What data may be made of: gather turns them into the net's dtype.
DATA = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
    "float32", "float64",
)  # fmt: skip

# Philox4x32-10 (Salmon et al. 2011)
PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)  # the key's increments: golden ratio, sqrt(3) - 1
PHILOX_ROUNDS = 10

# Shuffling: a Feistel network whose round keys are the words of blocks 0, 1, ... with this
# in counter word 1, where no stream of ordinary words ever comes.
FEISTEL_ROUNDS = 12
FEISTEL_STREAM = 0xFE157E1


def feistel_bits(n: int) -> int:
    """Bits of one half of the smallest network (of 3 bits at least) that holds 0 .. n - 1."""
    return max(3, (max(n - 1, 0).bit_length() + 1) // 2)
