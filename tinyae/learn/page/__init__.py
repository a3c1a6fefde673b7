"""A trained net as one HTML file to play with: the same net, and training, in plain JavaScript.

The file needs no network: ``page.html`` with ``page.css`` and the scripts put into it, and beside
them as JSON the weights (float16), some samples with their labels, and what the net reads and says.
What is in the file may be anything, since data are foreign: text is escaped, and the page's
Content-Security-Policy lets the browser run and apply nothing but these scripts and this style.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._version import __version__
from ...data.missing import HINT
from ...data.rows import Rows, as_rows, value_range
from ...estimator import Autoencoder
from ...export.chain import Chain, chain_of, narrowed, quantized
from ...kernels.reference.random import random_permutation

SCRIPTS = ("net.js", "training.js", "page.js", "views.js", "layers.js", "player.js")
LARGEST_NET = 1_500_000  # weights: 3 MB as float16
LARGEST_SAMPLE = 64 * 64 * 3
SAMPLE_BYTES = 450_000  # of all samples, compressed
MOST_SAMPLES, MOST_HELD_OUT = 5000, 200


def page(
    ae: Autoencoder, X: ArrayLike | Rows, held_out: ArrayLike | Rows | None = None, *,
    labels: ArrayLike | None = None, label_names: Sequence[str] | None = None,
    image_shape: tuple[int, ...] | None = None, columns: Sequence[str] = (),
    title: str = "An autoencoder",
) -> str:  # fmt: skip
    """The HTML text of a page about the trained ``ae``.

    X (n, n_features): samples like those it was trained on; as many as fit are put in, chosen at
    random but always the same. ``held_out`` (n, n_features): some by which training in the page is
    judged. labels (n,): integers, of which label_names[i] is a name. image_shape (height, width) or
    (height, width, 3) where samples are pictures; else they are shown as numbers under ``columns``.

    A net of more than 1,500,000 weights is left out, which the page says. Raises NotFittedError
    without weights, ValueError for samples of more than 12,288 numbers, for samples that do not fit
    the net or the image_shape, labels that do not fit the samples or their names, weights
    beyond float16, and a net that selects units.
    """
    chain = chain_of(ae)
    if any(layer.k is not None for layer in chain.layers("all")):
        raise ValueError(
            "a page's net has dense layers alone, and this one keeps the k greatest units of its "
            "code: train with --sparsity l1 or kl, or another family"
        )
    rows = _checked(ae, X, "X", chain)
    judged = None if held_out is None else _checked(ae, held_out, "held_out", chain)
    if image_shape is not None and not (
        len(image_shape) in (2, 3) and tuple(image_shape[2:]) in ((), (3,))
        and math.prod(image_shape) == chain.n_features
    ):  # fmt: skip
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, 3) of {chain.n_features} "
            f"numbers, got {tuple(image_shape)}"
        )
    if chain.n_features > LARGEST_SAMPLE:
        raise ValueError(
            f"a page shows samples of at most {LARGEST_SAMPLE:,} numbers, and these have "
            f"{chain.n_features:,}: train on smaller pictures (--size), or on fewer columns"
        )
    known = None if labels is None else np.asarray(labels)
    if known is not None and known.shape != (len(rows),):
        raise ValueError(f"labels must have shape ({len(rows)},), got {known.shape}")
    samples, chosen = _samples(ae, rows, judged, image_shape)
    classes, names = _classes(None if known is None else known[chosen], label_names)
    content = {
        "title": title,
        "version": __version__,
        "image_shape": image_shape,
        "columns": list(columns) or list(chain.names),
        "labels": classes,
        "label_names": names,
        **samples,
        **_net(ae, chain),
    }
    return _filled(title, json.dumps(content, allow_nan=False))


def _net(ae: Autoencoder, chain: Chain) -> dict[str, Any]:
    """The layers, and their weights unless they are too many."""
    layers = chain.layers("all")
    n_weights = sum(layer.weight.size for layer in layers)
    fits = n_weights <= LARGEST_NET
    chain = quantized(chain, "float16") if fits else chain
    packed = {}
    if fits:
        layers = chain.layers("all")
        packed["weights"] = _packed(np.concatenate([layer.weight.ravel() for layer in layers]))
        biases = np.concatenate([layer.bias for layer in layers])
        packed["biases"] = _packed(narrowed("biases", biases, np.float32, "page"))
    scaling = chain.scaling
    return {
        "layers": [
            {"name": layer.name, "n_in": len(layer.weight), "n_out": layer.bias.size,
             "activation": layer.activation} for layer in layers
        ],
        "code": len(chain.encoder),
        "family": ae.family,
        "in_training": ae.in_training,
        "loss": ae.loss_name_,
        "groups": chain.groups,
        "fill": None if chain.fill is None else _packed(chain.fill, np.float64),
        "scaling": scaling and {k: _packed(v, np.float64) for k, v in scaling._asdict().items()},
        "n_weights": n_weights,
        "largest_net": LARGEST_NET,
        **packed,
    }  # fmt: skip


def _samples(
    ae: Autoencoder, rows: Rows, judged: Rows | None,
    image_shape: tuple[int, ...] | None,
) -> tuple[dict[str, Any], NDArray[np.int64]]:  # fmt: skip
    """As many as fit, as the net reads them, and their positions in ``rows``.

    Pictures in [0, 1] that it reads as they are are held in 256 steps of grey.
    """
    few = np.empty((0, rows.shape[1]))
    if judged is not None:
        few = _read(ae, judged, _some(len(judged), MOST_HELD_OUT))
    count = min(len(rows), MOST_SAMPLES)
    while True:
        chosen = _some(len(rows), count)
        x = np.concatenate([_read(ae, rows, chosen), few])
        grey = (
            image_shape is not None and ae.scaling_ is None and bool(x.min() >= 0 and x.max() <= 1)
        )
        packed = _packed(np.rint(x * 255), np.uint8) if grey else _packed(x, np.float32)
        size = len(packed) * 3 // 4
        if size <= SAMPLE_BYTES or count <= 20:
            break
        count = max(20, int(count * 0.95 * SAMPLE_BYTES / size))
    low, high = (0.0, 1.0) if grey or ae.data_range_ is None else ae.data_range_
    return {
        "samples": packed, "grey": grey, "n_samples": count, "n_held_out": len(few),
        "n_all": len(rows), "low": low, "high": high,
    }, chosen  # fmt: skip


def _checked(ae: Autoencoder, X: ArrayLike | Rows, name: str, chain: Chain) -> Rows:
    """X as samples that the net can read."""
    rows = as_rows(X, name, schema=ae.schema_)
    if rows.shape[1] != chain.n_features:
        raise ValueError(
            f"{name} must have {chain.n_features} features, as the net, got {rows.shape[1]}"
        )
    dtype = chain.dtype if chain.scaling is None else np.float64
    value_range(rows, name, dtype, chain.fill is not None, HINT)
    return rows


def _read(ae: Autoencoder, rows: Rows, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the net reads at these positions; NaN where a value is missing."""
    x = rows.select(positions).__array__(np.float64)
    return x if ae.scaling_ is None else ae.scaling_.apply(x)


def _some(n: int, count: int) -> NDArray[np.int64]:
    """``count`` of n positions, or all, in order; a smaller choice is part of a larger one."""
    chosen = np.empty(min(n, count), np.int64)
    random_permutation(np.zeros(4, np.uint32), n, 0, chosen)
    return np.sort(chosen)


def _classes(
    labels: NDArray[Any] | None, label_names: Sequence[str] | None
) -> tuple[list[int] | None, list[str]]:
    """(each sample's class, the classes' names)"""
    if labels is None:
        return None, []
    kinds, which = np.unique(labels, return_inverse=True)
    if label_names is None:
        return which.tolist(), [str(kind) for kind in kinds]
    if kinds.dtype.kind not in "iu" or kinds[0] < 0 or kinds[-1] >= len(label_names):
        raise ValueError(
            f"labels must be integers from 0 to {len(label_names) - 1}, as there are "
            f"{len(label_names)} label_names, got {kinds[0]} to {kinds[-1]}"
        )
    return which.tolist(), [str(label_names[kind]) for kind in kinds]


def _packed(array: NDArray[Any], dtype: Any = None) -> str:
    """The bytes, little-endian, compressed (the same bytes always), as base64."""
    dtype = np.dtype(dtype or array.dtype).newbyteorder("<")
    raw = np.ascontiguousarray(array, dtype).tobytes()
    return base64.b64encode(gzip.compress(raw, mtime=0)).decode()


def _filled(title: str, content: str) -> str:
    """page.html with its style, scripts and data."""
    here = resources.files(__package__)
    text = {name: (here / name).read_text("utf-8") for name in ("page.html", "page.css", *SCRIPTS)}
    style, script = text["page.css"], "\n".join(text[name] for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    # within a script nothing ends it but </script>, and <!-- changes what does
    for sign in "<>&":
        content = content.replace(sign, f"\\u{ord(sign):04x}")
    parts = {"title": html.escape(title), "policy": policy, "style": style, "script": script,
             "data": content}  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text["page.html"])


def _hash(text: str) -> str:
    """What a Content-Security-Policy calls an inline text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
