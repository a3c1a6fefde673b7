"""Who draws which random numbers: every use has its own stream of the one seed.

A Philox state is [key 0, key 1, stream, step]; see ``kernels/reference/random.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WEIGHTS = 1  # step = layer
SHUFFLE = 2  # step = epoch
SPLIT = 3  # training and validation rows; step = 0
SPARSE = 4  # which inputs a sparsely initialised unit sees; step = layer << 16 | round
CHECK = 5  # directions and data of the gradient check
NOISE = 6  # on the code; step = update
AUGMENT_BASE = 7  # which samples new ones are made from; step = class
AUGMENT = 8  # what is done to them; step = class
FEW_LABELS = 9  # which samples keep their label; step = class
FOLDS = 10  # of cross-validation; step = 0
SUBSAMPLE = 11  # the rows of an outlier detector's member; step = member
RESERVOIR = 12  # which rows of a stream are kept; step = batch
SHIFT = 13  # of training pictures; step = epoch
CORRUPTION = 14  # of a denoising autoencoder's input; step = update
CORRUPT = 15  # of samples that are not trained on; step = chunk of them
LATENT = 16  # of a variational autoencoder's codes; step = update
PRIOR = 17  # codes of which it makes new samples; step = 0
LIKELIHOOD = 18  # its codes, to estimate a likelihood; step = number of the draw
PROBES = 19  # random rows of which a contractive autoencoder estimates its penalty; step = update
BINARY = 20  # black and white of grey levels; step = update
BINARIZE = 21  # the same of samples that are not trained on; step = chunk of them
SKETCH = 0x9CA  # the random basis of an approximate PCA
DRAW = 0xDE1  # codes drawn from a density; step = 0 for places, 1 for noise
START = 0xDE2  # first centres of a mixture


def state(seed: int, stream: int, step: int = 0) -> NDArray[np.uint32]:
    """The Philox state of a stream; seed in [0, 2^64)."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32, stream, step], np.uint32)
