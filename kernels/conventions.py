"""Names and numbers that every column shares."""

ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "silu", "gelu",
)  # fmt: skip

# Activations whose derivative cannot be had from their output: backward takes their input.
NEEDS_INPUT = ("silu", "gelu")

LEAKY_SLOPE = 0.01
GELU_SCALE = 0.7978845608028654  # sqrt(2 / pi)
GELU_CUBIC = 0.044715

LOSSES = ("mse", "bce", "l1", "huber")

HUBER_DELTA = 1.0

# How a dense layer multiplies: by float32's own multiplications, or on tensor cores, which know
# TF32 (11 of float32's 24 significant bits): three products that make up for it, or one that
# does not.
MATMULS = ("fp32", "3xtf32", "tf32")

# The layout of the optimisers' float64 array of numbers for one step.
HYPER = (
    "learning_rate", "weight_decay", "momentum", "beta1", "beta2", "eps",
    "correction1",  # 1 - beta1^t, t = 1 at the first update
    "correction2",  # 1 - beta2^t
)  # fmt: skip

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
