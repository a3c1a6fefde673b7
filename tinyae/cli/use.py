"""A trained run at work: ``tinyae encode``, ``decode``, ``reconstruct``, ``impute``, ``augment``,
``info``."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..codes.augment import NewSamples, add_noise, interpolate
from ..data.datasets import Dataset, Labels
from ..data.formats import Part
from ..data.missing import cells, missing_counts
from ..data.reading import Reading
from ..data.rows import Array, Rows
from ..data.tables.coded import OTHER
from ..data.tables.text import read_table, table_kind
from ..estimator import Autoencoder
from ..net.layers import DenseSpec
from ..plot.grids import plot_grid, plot_reconstructions
from ..storage.files import FileError, write_atomically
from ..storage.untrusted import read_npy
from ..train.progress import Waiting
from .options import UsageError, command, data_given
from .output import (
    can_draw,
    print_zero_units,
    shortened,
    table,
    to_draw,
    write_array,
    write_samples,
)
from .run import together
from .run.folder import RunFolder
from .run.opening import expect_apart, opened

SHOWN = 10  # samples in the picture of reconstructions
SHOWN_CLASSES, SHOWN_PAIRS = 10, 6  # in that of new samples


def add_commands(commands: Any) -> None:
    parser = command(commands, "encode", _encode, "write the codes of samples")
    parser.set_defaults(alike=True)
    parser.run_options(part="all")
    parser.file_option(
        "--out",
        ".npy or .csv of the codes; .csv of a table's run has names",
        ".npy",
        ".csv",
        required=True,
    )

    parser = command(commands, "decode", _decode, "write the samples that codes stand for")
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument(
        "--codes", required=True, metavar="FILE", help=".npy or table (.csv, ...) of codes"
    )
    parser.file_option("--out", ".npy or .csv", ".npy", ".csv", required=True)
    parser.backend_option()

    parser = command(
        commands, "reconstruct", _reconstruct, "write samples after encoding and decoding"
    )
    parser.set_defaults(alike=True)
    parser.run_options(part="test")
    parser.file_option("--out", ".npy or .csv of all samples, or .png with the first ten under "
                       "their originals", ".npy", ".csv", ".png", required=True)  # fmt: skip

    parser = command(
        commands,
        "impute",
        _impute,
        "write samples with their missing values filled in: the "
        "columns that were learnt from, and what is filled into whole numbers may be a fraction",
    )
    parser.set_defaults(alike=True)
    parser.run_options(part="all")
    parser.file_option("--out", ".npy or .csv", ".npy", ".csv", required=True)

    parser = command(commands, "info", _info, "what a run folder holds: layers, settings, training")
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.json_option("print one JSON object")

    parser = command(
        commands, "augment", _augment, "write new labelled samples, made between codes of a class"
    )
    parser.run_options(part="train")
    parser.count("--per-class", 20, "new samples of each class")
    parser.option("--method", "interpolate", "interpolate: between a code and a near one of its "
                  "class; noise: added to a code", choices=("interpolate", "noise"))  # fmt: skip
    parser.count("--neighbours", 5, "interpolate: between so many near codes")
    parser.option("--scale", 0.5, "noise: in the class's standard deviations", type=float,
                  metavar="X")  # fmt: skip
    parser.seed_option("all choices")
    parser.file_option("--out", ".npz of x and y, which --data reads; a .png beside it shows some "
                       "of them", ".npz", required=True)  # fmt: skip


def _encode(given: argparse.Namespace) -> None:
    run, ae, dataset = together.by_all(lambda: opened(given))
    with Waiting(f"encoding {dataset.name}"):
        codes = _by_all(given, run, _part(dataset, given.part), ae.encode)
    names = run.columns() and ae.get_feature_names_out().tolist()
    if together.first():
        write_array(given.out, codes, "codes", names)


def _by_all(
    given: argparse.Namespace, run: RunFolder, samples: list[Rows], do: Callable[[Rows], Array]
) -> Array:
    """``do`` of all samples, one part after the other, see ``together.divided``."""
    local = together.is_local(data_given(given) or run.read_config()["data"])
    return np.concatenate([together.divided(rows, do, local) for rows in samples])


def _decode(given: argparse.Namespace) -> None:
    run = RunFolder(given.run)
    ae = run.load_model(given.backend)
    codes = Path(given.codes)
    if not codes.is_file():
        raise UsageError(f"--codes: there is no file {codes}")
    expect_apart(given, run, given.codes)
    with Waiting(f"decoding {codes}"):
        # a code that counts is still a code
        how = Reading(index=False)
        found = read_table(codes, how) if table_kind(codes) else Part(read_npy(codes))
        if found.schema is not None:
            raise UsageError(f"--codes {codes}: expected numbers, got a table with text")
        samples = ae.decode(found.samples)
    write_samples(given.out, ae, samples, run.columns())


def _reconstruct(given: argparse.Namespace) -> None:
    run, ae, dataset = together.by_all(lambda: opened(given))
    samples = _part(dataset, given.part)
    if given.out.suffix == ".png":
        if not together.first():
            return
        with Waiting(f"drawing {given.out}"):
            shown = np.asarray(samples[0].select(np.arange(min(SHOWN, len(samples[0])))))
            shape = dataset.image_shape
            before, after = (to_draw(ae, x, shape) for x in (shown, ae.reconstruct(shown)))
            names = run.columns() or ()
            plot_reconstructions(before, after, shape, given.out, names=names)
        print(f"{given.out}: {len(shown)} originals over their reconstructions")
    else:
        with Waiting(f"reconstructing {dataset.name}"):
            reconstructions = _by_all(given, run, samples, ae.reconstruct)
        if together.first():
            write_samples(given.out, ae, reconstructions, run.columns())


def _impute(given: argparse.Namespace) -> None:
    run, ae, dataset = together.by_all(lambda: opened(given))
    samples = _part(dataset, given.part)
    counts = _by_all(given, run, samples, lambda rows: missing_counts(rows)[None])
    with Waiting(f"filling in {dataset.name}"):
        filled = _by_all(given, run, samples, ae.impute)
    if not together.first():
        return
    write_samples(given.out, ae, filled, run.columns())
    schema = ae.schema_
    counts = cells(counts.sum(axis=0), schema)
    print(f"{counts.sum():,} of {len(filled) * len(counts):,} values were missing")
    if schema and schema.left:
        print(f"{given.out} is without {shortened(schema.left)}, which training left out; impute "
              "of a DataFrame, in Python, keeps such columns")  # fmt: skip
    for category, (_, stop) in zip(schema.categories, schema.groups, strict=True) if schema else ():
        others = sum(int((np.asarray(rows)[:, stop - 1] == 1).sum()) for rows in samples)
        if category.other and others:
            print(f"column {category.name!r}: {others:,} rare levels are {OTHER!r} in {given.out}; "
                  "impute of a DataFrame, in Python, keeps them")  # fmt: skip


def _info(given: argparse.Namespace) -> None:
    """Layers, settings and the course of training of a run folder."""
    run = RunFolder(given.run)
    config = run.read_config()
    ae = run.load_model("auto")
    history = ae.history_
    last = {name: values[-1] for name, values in history.items() if values}
    parameters = ae.parameters()
    if given.json:
        shapes = {name: list(p.shape) for name, p in parameters.items()}
        result = {**config, "output": ae.output_, "loss": ae.loss_name_, "epochs": ae.n_iter_,
                  "shapes": shapes, "last": last, "zero_units": ae.zero_units_}  # fmt: skip
        print(json.dumps(result))
        return
    rows = _layers(ae)
    print(f"{run.path}: {ae!r}\n")
    print(table(("layer", "inputs", "outputs", "activation", "parameters"), rows))
    print(f"\n{sum(p.size for p in parameters.values()):,} parameters, loss {ae.loss_name_}")
    if ae.own:
        settings = {name: ae._built_params[name] for name in ae.own}
        print(f"family {ae.family}: {_words(settings)}"
              + (f"; in training {ae.in_training}" if ae.in_training else ""))  # fmt: skip
    print(f"data: {_words(config['data'])}")
    course = "; last: " + _words({k: f"{v:.6g}" for k, v in last.items()}) if last else ""
    seconds = sum(history.get("seconds", []))
    print(f"trained for {ae.n_iter_} epoch{'s' * (ae.n_iter_ != 1)} in {seconds:.1f} s{course}")
    print_zero_units(ae, ae.zero_units_)


def _layers(ae: Autoencoder) -> list[tuple[str, int, int, str, int]]:
    """Name, inputs, outputs, activation and parameters of each layer that inference has."""
    network = ae._network
    specs = [spec for spec, layer in zip(network.architecture.layers, network.layers, strict=True)
             if not layer.training_only]  # fmt: skip
    rows: list[tuple[str, int, int, str, int]] = []
    for spec, above in zip(specs, [*specs[1:], None], strict=True):
        if isinstance(spec, DenseSpec):
            activation = ae.output_ if above is None else spec.activation
            parameters = sum(map(math.prod, spec.shapes().values()))
            rows.append((spec.name, spec.n_in, spec.n_out, activation, parameters))
        else:
            width = rows[-1][2]
            rows.append((spec.name, width, getattr(above, "n_in", width), "-", 0))
    return rows


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _part(dataset: Dataset, part: str) -> list[Rows]:
    """All of a source without a test part of its own are one part, in the source's order."""
    parts = {"train": [dataset.train], "test": [dataset.test], "all": [dataset.train, dataset.test]}
    return [rows for rows in parts[part] if len(rows)]


def _augment(given: argparse.Namespace) -> None:
    picture = given.out.with_suffix(".png")
    if picture.exists() and not (given.out.exists() or given.force):
        raise FileError(
            f"{picture} holds something else than the picture of {given.out}, which is not there "
            "yet, and stays as it is: choose another --out, or --force replaces it"
        )
    _, ae, dataset = opened(given)
    samples = _part(dataset, given.part)
    labels = np.concatenate(labels_of(dataset, given.part))
    with Waiting(f"making new samples of {dataset.name}"):
        codes = np.concatenate([ae.encode(rows) for rows in samples])
        if given.method == "interpolate":
            new = interpolate(codes, labels, given.per_class, given.seed, given.neighbours)
        else:
            new = add_noise(codes, labels, given.per_class, given.seed, given.scale)
        x = ae.decode(new.points)
    y = new.labels if dataset.label_names is None else np.array(dataset.label_names)[new.labels]
    shaped = x.reshape(len(x), *(dataset.image_shape or x.shape[1:]))
    with Waiting(f"writing {given.out}"):
        write_atomically(given.out, lambda f: np.savez_compressed(f, x=shaped, y=y))
    n_classes = len(x) // given.per_class
    print(
        f"{given.out}: {len(x):,} new samples, {given.per_class:,} of each of {n_classes} classes"
    )
    if can_draw():
        with Waiting(f"drawing {picture}"):
            _draw(ae, new, x, samples, y, dataset, picture)
        print(f"{picture}: originals, framed, and to the right of each a new sample made from it")


def labels_of(dataset: Dataset, part: str) -> list[Labels]:
    chosen = {"train": [dataset.train_labels], "test": [dataset.test_labels],
              "all": [dataset.train_labels, dataset.test_labels]}[part]  # fmt: skip
    labels = [values for values in chosen if values is not None]
    if len(labels) < len(chosen):
        raise UsageError(
            f"{dataset.name} has no labels to give to new samples: --label names a .csv's label "
            "column, a .npz needs a y, a folder of images a folder per class"
        )
    return labels


def _draw(
    ae: Autoencoder, new: NewSamples, x: Array, samples: list[Rows], y: Array, dataset: Dataset,
    path: Path,
) -> None:  # fmt: skip
    """Pairs of an original and a new sample x, a row per class."""
    first = np.unique(new.labels, return_index=True)[1][:SHOWN_CLASSES]
    pairs = min(SHOWN_PAIRS, len(x) // len(np.unique(new.labels)))
    shown = (first[:, None] + np.arange(pairs)).reshape(-1)
    cells = np.stack([_originals(samples, new.base[shown]), x[shown]], axis=1)
    cells = to_draw(ae, cells.reshape(2 * len(shown), -1), dataset.image_shape)
    plot_grid(
        cells, 2 * pairs, dataset.image_shape, path,
        labels=[str(y[i]) for i in first], marked=range(0, 2 * len(shown), 2),
        names=dataset.columns or (),
    )  # fmt: skip


def _originals(samples: list[Rows], positions: Array) -> Array:
    """The samples at these positions of one or two parts, counted through."""
    n = len(samples[0])
    places = [(samples[0], p) if p < n else (samples[1], p - n) for p in positions]
    return np.concatenate([np.asarray(rows.select(np.array([at]))) for rows, at in places])
