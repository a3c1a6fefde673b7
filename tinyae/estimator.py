"""``Autoencoder``: the public face, with the names of the ecosystem."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import arguments, assemble
from .building import ALONE, Built
from .checks import WIDEST, integer
from .data.missing import choose_missing, column_means
from .data.reading import Progress as Report
from .data.reading import silent
from .data.rows import Rows, as_rows, far_outside
from .data.scaling import ranges, scaled, scaling_of
from .data.shifts import shifted
from .data.tables.frames import library_of
from .kernels.conventions import AS_FP32
from .model_file import as_json, load_model, plain_state, restore_state, save_model
from .net import losses
from .train.alone import Alone
from .train.batches import Feeder, split
from .train.checkpoint import (
    checkpoint_origin,
    fingerprint,
    restore_checkpoint,
    save_checkpoint,
    writing,
)
from .train.divergence import DivergenceError, diagnose, expect_finite
from .train.progress import Callback, print_epochs
from .train.sizes import Plan
from .train.training import Training

# arguments that a resumed run has from its checkpoint where they are "auto"
CHOSEN = ("backend", "output", "loss", "scale", "missing", "hidden", "batch_size", "epochs")
OF_A_RANK = ("random_state", "threads", "verbose")  # each rank of MPI may have another
JUDGED = ("validation_fraction", "patience")  # which epochs="auto" may set as well


class Autoencoder(Built):
    """An autoencoder: z = encode(x) is a short code from which decode(z) gives x back.

    Attributes
    ----------
    history_ : dict of lists, one entry per epoch: "loss", "squared_error", "val_loss",
        "val_squared_error", "learning_rate", "seconds". Squared errors are those of ``score``, of
        training by the weights of each step; of a table with categories, of its numbers alone.
    loss_, n_iter_, n_features_in_, output_, loss_name_, seed_, backend_, matmul_ : the last loss,
        epochs trained, features, and what "auto" and None came to.
    data_range_ : the least and the largest value of the training data, or None.
        Data far outside, beyond this range (extended to 0) by more than its width, cause one
        UserWarning.
    zero_units_ : what ``zero_units`` gave for all training data, where ``tinyae train`` stored it.
    feature_names_in_ : the column names, where the data came as a DataFrame.
    scaling_ : (center, spread) of the features, or None. The net learns (x - center) / spread;
        losses and scores are in these units, samples go in and come out in their own.
    fill_ : what the net reads where a value is missing, float64 (n_features,) on the scale of
        ``scaling_``; None where none may be missing.
    schema_ : of a table with categories, what its columns are, else None. The net then has a
        feature for each number and for each level of each category (``schema_.names``), and
        ``n_features_in_`` and ``feature_names_in_`` are of these.
    plan_ : what ``fit`` made of "auto", see ``plan``.

    A subclass may have a constructor of its own. It may take arguments that are not named here,
    store them or not, and pass what follows from them on to ``super().__init__``; those that are
    named here it must pass on as they are, or set itself and not take. ``get_params``,
    ``set_params``, ``clone``, searches, pickles and checkpoints then take its arguments, and files
    if they are numbers, strings, lists. ``tinyae.families`` has such classes.
    """

    # fmt: off
    def __init__(
        self, *,
        hidden: str | Sequence[int] = "auto", code: int = 32,
        decoder_hidden: Sequence[int] | None = None,
        activation: str = "relu", code_activation: str = "identity", output: str = "auto",
        loss: str = "auto", scale: Any = "auto", missing: str = "auto", initializer: str = "auto",
        optimizer: str = "adam", learning_rate: float = 1e-3, momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, clip_norm: float | None = None,
        schedule: str = "cosine", schedule_options: Mapping[str, float] | None = None,
        warmup: float = 0.3,
        batch_size: str | int = "auto", epochs: str | int = "auto", shuffle: bool = True,
        code_noise: float | tuple[float, float] = 0.0,
        target_blur: float = 0.0, shift: int = 0, image_shape: tuple[int, ...] | None = None,
        validation_fraction: float = 0.0, patience: int | None = None, warm_start: bool = False,
        backend: str = "auto", matmul: str = "auto", threads: int | None = None,
        dtype: str = "float32", random_state: Any = None, verbose: bool = False,
    ) -> None:
        self.hidden, self.code, self.decoder_hidden = hidden, code, decoder_hidden
        self.activation, self.code_activation, self.output = activation, code_activation, output
        self.loss, self.scale, self.missing, self.initializer = loss, scale, missing, initializer
        self.optimizer, self.learning_rate, self.momentum = optimizer, learning_rate, momentum
        self.betas, self.eps = betas, eps
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.schedule, self.schedule_options = schedule, schedule_options
        self.warmup = warmup
        self.batch_size, self.epochs, self.shuffle = batch_size, epochs, shuffle
        self.code_noise = code_noise
        self.target_blur, self.shift, self.image_shape = target_blur, shift, image_shape
        self.validation_fraction, self.patience = validation_fraction, patience
        self.warm_start = warm_start
        self.backend, self.matmul, self.threads = backend, matmul, threads
        self.dtype, self.random_state, self.verbose = dtype, random_state, verbose
    # fmt: on

    # ---- making and training -------------------------------------------------------------

    def initialize(self, n_features: int) -> Autoencoder:
        """Makes weights for samples of ``n_features``; nothing is trained.

        An output or loss of "auto" counts as "identity" and "mse" until the first data come, which
        also decide the scale.
        """
        params = self._params()
        self._check(params)
        integer("n_features", n_features, 1, WIDEST)
        seed = arguments.seed_from(self.random_state)
        self._make(params, int(n_features), None, None, seed, None)
        return self

    def plan(
        self, X: ArrayLike | Rows, *, validation: object = None, report: Report = silent,
        comm: Any = None, rows: str = "global",
    ) -> Plan:  # fmt: skip
        """What ``fit`` makes of "auto" for X, with a line for each choice that says why.

        ``hidden`` follows from the number of features, ``batch_size`` from that of all values;
        ``scale`` is None for uint8 and for data in [0, 1], else "standard". The number of
        ``epochs``: up to 262,144 values are cross-validated, which trains on four fifths of them
        five times and calls ``report(done, 5)``; up to 2,097,152 hold out a tenth, unless there is
        ``validation``, and stop by ``patience``; beyond that it is 20. ``backend`` is the fastest
        that works here, but NumPy where it is done before Numba would have begun.

        ``comm`` and ``rows`` are those of ``fit``. Raises what it raises for wrong arguments or
        data.
        """
        params, local = self._params(), _local(rows, comm)
        self._check(params)
        with ALONE if comm is None else _team(comm) as ranks:
            own = ranks.each(lambda: as_rows(X, learn=True))
            seed = ranks.once(lambda: arguments.seed_from(self.random_state))
            return ranks.of_rows(
                ranks.joined(own, local),
                lambda rows: self._plan(params, rows, seed, validation is not None, report),
            )

    def fit(
        self,
        X: ArrayLike | Rows,
        y: object = None,
        *,
        validation: ArrayLike | Rows | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        callback: Callback | None = None,
        comm: Any = None,
        rows: str = "global",
    ) -> Autoencoder:
        """Trains on X (samples, features): any real array, a memory map, uint8 pixels, or a
        DataFrame of pandas or polars, whose column names later data must have. Columns of text and
        of categories become one-hot columns with a softmax cross-entropy each; dates, constants and
        identifiers are left out, which a line in the log says.

        X is read batch by batch and may be larger than memory; uint8 is scaled to [0, 1]. ``y``
        is ignored. ``validation`` is a set of its own, instead of ``validation_fraction``.
        ``checkpoint`` names a file that is written after every epoch and at Ctrl-C; with
        ``resume`` training goes on from it, if it is there, to the same bytes as a run on as many
        threads that was never interrupted. ``comm``, a communicator of mpi4py, trains one net with
        all its ranks, each of which calls ``fit`` with the same arguments (see ``parallel``).
        ``rows``: "global" where X, and ``validation``, are all samples on each rank, "local" where
        each rank gives its own; the net is then that of one array of them, rank after rank.
        ``epochs`` may be more than the checkpoint's where
        nothing depends on their number: schedule="constant", warmup=0, the same code_noise
        throughout, no target_blur. ``callback(progress)`` is called after every step.

        Raises ValueError or TypeError for wrong arguments or data, on all ranks for those of one;
        DivergenceError when the loss
        is no longer finite (the last good weights stay), KeyboardInterrupt at Ctrl-C; FileError
        where ``checkpoint`` is no checkpoint, BlockingIOError where another training writes it.
        Warns of data that the output cannot reach, and of validation data far outside X.
        """
        local = _local(rows, comm)
        with ALONE if comm is None else _team(comm) as ranks:
            return self._fit(X, validation, checkpoint, resume, callback, ranks, local)

    def _fit(
        self, X: ArrayLike | Rows, validation: ArrayLike | Rows | None,
        checkpoint: str | os.PathLike[str] | None, resume: bool, callback: Callback | None,
        ranks: Alone, local: bool,
    ) -> Autoencoder:  # fmt: skip
        params = self._params()
        self._check(params)
        seed = ranks.once(lambda: arguments.seed_from(self.random_state))
        file = checkpoint if resume else None
        resume = file is not None and ranks.once(lambda: os.path.exists(file))
        if file is not None and resume:
            begun = ranks.once(lambda: arguments.of_file(checkpoint_origin(file)))
            seed = begun["random_state"] if self.random_state is None else seed
            # as it was, whatever has been installed since, and nothing is chosen anew
            names = [*CHOSEN, *(JUDGED if params["epochs"] == "auto" else ())]
            params |= {k: begun[k] for k in names if k in JUDGED or params[k] == "auto"}
        warm = self.warm_start and hasattr(self, "_network")
        schema = self.schema_ if warm else None
        ranks.place(lambda: assemble.backend_for(params))
        own = ranks.each(lambda: as_rows(X, schema=schema, learn=not warm))
        rows = all_rows = ranks.joined(own, local)
        params["output"] = assemble.output_for(params, rows)
        plan = ranks.of_rows(
            rows, lambda rows: self._plan(params, rows, seed, validation is not None, silent)
        )
        params |= plan.params
        for reason in plan.reasons if self.verbose and ranks.first else ():
            with suppress(OSError):  # a reader that has gone ends no training
                print(reason, flush=True)
        held_out = None
        if validation is not None:
            given = validation
            own = ranks.each(lambda: as_rows(given, "validation", schema=all_rows.schema))
            held_out = ranks.joined(own, local)
        ranks.expect_same(
            lambda: {
                "class": type(self).__name__,
                "data": fingerprint(all_rows),
                "validation": held_out and fingerprint(held_out),
                "checkpoint": checkpoint and os.fspath(checkpoint),
                **{name: repr(v) for name, v in params.items() if name not in OF_A_RANK},
            }
        )
        if held_out is None and params["validation_fraction"] > 0:
            chosen, rest = split(len(rows), params["validation_fraction"], seed)
            rows, held_out = rows.select(chosen), rows.select(rest)
        if params["patience"] is not None and held_out is None:
            raise ValueError(
                f"patience={params['patience']} watches the validation loss: give "
                "validation_fraction, or a validation set to fit"
            )
        arguments.image_features(params, rows.shape[1])
        dtype = self._network.dtype if warm else params["dtype"]
        known = warm and self._settled
        scaling = self.scaling_ if known else scaling_of(rows, params)
        seen = shifted(rows, scaling, params)
        missing = params["missing"] == "allow" or (warm and self.fill_ is not None)
        span, net_span = ranges(rows, "X", dtype, scaling, missing)
        loss = self._loss_for(net_span, scaling, None if warm else params)
        losses.expect_probabilities(loss, *net_span, "X")
        if held_out is not None:
            self._expect_names(held_out.names, rows.names, "validation")
            self._expect_width(held_out, rows.shape[1], "validation")
            held_out_span, net_held_out_span = ranges(
                held_out, "validation", dtype, scaling, missing
            )
            losses.expect_probabilities(loss, *net_held_out_span, "validation")
        if warm:
            self._expect_features(rows)
            self._settle(net_span, scaling, rows.names)
            self._optimizer = assemble.optimizer(params, self._network)
            self._minibatch = None
        else:
            self._make(params, rows.shape[1], net_span, scaling, seed, rows, rows.schema)
            self._name_features(rows.names)
            self.frame_ = library_of(X) if rows.schema else None
        self.plan_ = plan
        self._saw(span, net_span)
        if held_out is not None:
            self._warn(far_outside(*held_out_span, span, held_out.scale != 1, "validation"))
        rows, held_out = scaled(rows, scaling), held_out and scaled(held_out, scaling)
        if missing and self.fill_ is None:
            self._fill_in(column_means(rows))

        capacity = min(params["batch_size"], len(rows))
        work = self._work(params, seed, capacity, fused=True, ranks=ranks)
        training = Training(work, assemble.settings(params, seed), rows, held_out, seen)
        described = {} if checkpoint is None else as_json(
            {**params, "output": self.output_, "loss": self.loss_name_,
             "random_state": seed, "verbose": None, "threads": None, "backend": self.backend_,
             "matmul": "fp32" if params["matmul"] in AS_FP32 else params["matmul"]}
        )  # fmt: skip

        def save() -> None:
            if checkpoint is not None:
                save_checkpoint(checkpoint, training, described, threads)

        def restore() -> None:
            if resume and checkpoint is not None:
                tied = assemble.tied_to_epochs(params, self.tied)
                restore_checkpoint(checkpoint, training, described, threads, tied, arguments.ABSENT)

        if callback is None:
            callback = print_epochs if self.verbose and ranks.first else _ignore
        try:
            with ExitStack() as stack, self._limited_threads(ranks.threads) as threads:
                ranks.once(lambda: stack.enter_context(writing(checkpoint, resume)))
                ranks.once(restore)
                ranks.begin(training)
                training.run(lambda: ranks.once(save), callback)
        finally:
            self._start = training.start or (np.inf, np.inf)
            self.history_ = training.state.history
            self.n_iter_ = training.state.epoch
            if self.history_:
                self.loss_ = self.history_["loss"][-1]
        return self

    def partial_fit(self, X: ArrayLike | Rows, y: object = None) -> Autoencoder:
        """One update from one minibatch, X, at the constant ``learning_rate``.

        ``code_noise`` acts with its first value; targets are not blurred, pictures not moved. The
        first minibatch decides the scale: give ``scale`` one that was fitted to more, such as
        ``scaling_``.

        Makes the weights if there are none yet. ``loss_`` is the loss before the update. Raises
        DivergenceError when it or an updated weight is not finite; the weights then stay as they
        were.
        """
        params = self._params()
        self._check(params)
        fresh = not hasattr(self, "_network")
        rows = as_rows(X, schema=None if fresh else self.schema_, learn=fresh)
        if not fresh:
            self._expect_features(rows)
        params["output"] = assemble.output_for(params, rows)
        known = not fresh and self._settled
        if params["missing"] == "auto":
            params["missing"] = "error" if known else choose_missing(rows, params)[0]
        missing = params["missing"] == "allow" or (known and self.fill_ is not None)
        scaling = self.scaling_ if known else scaling_of(rows, params)
        dtype = params["dtype"] if fresh else self._network.dtype
        span, net_span = ranges(rows, "X", dtype, scaling, missing)
        loss_name = self._loss_for(net_span, scaling, params if fresh else None)
        losses.expect_probabilities(loss_name, *net_span, "X")
        if fresh:
            seed = arguments.seed_from(self.random_state)
            start = rows if params["initializer"] == "pca" else None  # a batch is not all data
            self._make(params, rows.shape[1], net_span, scaling, seed, start, rows.schema)
            self._name_features(rows.names)
            self.frame_ = library_of(X) if rows.schema else None
        self._settle(net_span, scaling, rows.names)
        if missing and self.fill_ is None:
            self._fill_in(column_means(scaled(rows, scaling)))
            self._minibatch = None
        if getattr(self, "n_iter_", 0):  # the first few batches alone say little of the rest
            self._warn(far_outside(*span, self.data_range_, rows.scale != 1))
        self._saw(span, net_span)
        network, backend, n = self._network, self._network.backend, len(rows)
        if self._minibatch is None or self._minibatch.workspace.capacity < n:
            first, _ = assemble.noise_range(self._built_params["code_noise"])
            built = {**self._built_params, "code_noise": first, "target_blur": 0.0}
            self._minibatch = self._work(built, self.seed_, n)
        work, workspace = self._minibatch, self._minibatch.workspace
        entered = backend.to_host(network.parameters.values)
        with np.errstate(all="ignore"), self._limited_threads():
            work.objective.begin(self._optimizer.updates, 0.0)
            numbers = self._optimizer.next_numbers(params["learning_rate"])
            feeder = Feeder(backend, scaled(rows, scaling), n, network.dtype)
            work.run(feeder, np.arange(n), n, numbers, work.totals)
            loss = float(backend.to_host(work.totals)[0]) / n
            step = self._optimizer.updates
            if not np.isfinite(loss):
                where = diagnose(network, workspace.input[:n], workspace.records(n))
                raise DivergenceError(
                    loss, 1, step, where, params["learning_rate"],
                    remedies=work.objective.remedies,
                )  # fmt: skip
            try:
                expect_finite(network.parameters, 1, step, params["learning_rate"],
                              work.objective.remedies)  # fmt: skip
            except DivergenceError:
                backend.write(entered, network.parameters.values)
                raise
        self.loss_ = loss
        return self

    # ---- weights and files ---------------------------------------------------------------

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Copies of the weights, in order: "encoder.0.weight" (n_in, n_out), "encoder.0.bias"..."""
        return self._fitted().parameters.to_host()

    def set_parameters(self, values: Mapping[str, ArrayLike]) -> Autoencoder:
        """Sets all weights; raises ValueError for a name, shape or value that does not fit,
        TypeError for a masked array."""
        self._fitted().parameters.set(values)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a ``.npz`` that ``load`` reads: arguments and weights, no pickle.

        Raises FileError where ``path`` is a file of another kind, OSError where writing fails.
        """
        save_model(path, self)

    def export(
        self, path: str | os.PathLike[str], *, to: str | None = None, part: str = "all",
        quantize: str | None = None, prefix: str = "net",
        weights: str | os.PathLike[str] | None = None,
    ) -> list[Path]:  # fmt: skip
        """Writes the trained net as a file that needs no tinyae; returns the files written.

        ``to``: "numpy", a Python file (.py), "c", a C99 header (.h), "onnx" (.onnx, float32) or
        "safetensors" (.safetensors, for an ``nn.Sequential`` of PyTorch); None: as ``path`` ends.
        ``part``: "encoder", "decoder" or "all". ``quantize``: None, "float16" (not C) or "int8"
        (not safetensors), weights in fewer bits: the net is a little another then. ``prefix``
        begins the names of C.
        ``weights``, a .npz in the folder of ``path``, takes the arrays of "numpy"; without it they
        go into the file itself, or where they are more than a MiB into one that is named like it.

        What is done to samples before and after the net (scale, missing values, probabilities of
        categories) is done by the file too. Samples are the numbers that the net reads: a table
        with categories has a column for each level (``schema_``).

        Raises ValueError for an argument that cannot be meant or weights that ``quantize`` cannot
        hold, or a net that the format has no room for; NotFittedError without weights, ImportError
        without the package of ONNX or safetensors, FileError where a file is there that is no
        export.
        """
        from .export.write import export

        return export(self, path, to=to, part=part, quantize=quantize, prefix=prefix,
                      weights=weights)  # fmt: skip

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, backend: str = "auto", matmul: str = "auto"
    ) -> Autoencoder:
        """The autoencoder that ``save`` wrote, ready to use or, by ``partial_fit``, to train on.
        ``Autoencoder.load`` gives one of the family that the file is of (see ``families``).

        Where and how it computes is not the file's to say, but ``backend`` and ``matmul``; "auto"
        is NumPy for what NumPy trained, which gives the same bits.
        Raises FileNotFoundError, or FileError for a file that is broken, truncated, foreign, or
        whose arrays have wrong names, shapes or dtypes or are not finite.
        """
        return load_model(path, cls, backend, matmul, any_family=cls is Autoencoder)

    @classmethod
    def from_onnx(
        cls, path: str | os.PathLike[str], *, code: int | None = None, backend: str = "auto"
    ) -> Autoencoder:
        """The autoencoder in an ONNX file that was made elsewhere: a chain of Gemm, or MatMul and
        Add, and activations that tinyae has, as many outputs as inputs.

        ``code``: the width of the layer that is the code; None: the one that the file calls
        "code", or the narrowest. Raises FileError for any other file, with the name of the node
        that does not fit, ValueError for a family with layers of its own, ImportError without the
        package onnx.
        """
        from .export.onnx_reader import read

        return read(cls, path, code, backend)

    def __getstate__(self) -> dict[str, Any]:
        return plain_state(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore_state(self, state)


def _team(comm: Any) -> Alone:
    from .parallel.team import Team  # who trains alone needs none of it

    if not hasattr(comm, "Iallgather"):
        raise TypeError(f"comm must be a communicator of mpi4py, got {comm!r}")
    if not comm or comm.Is_inter():
        what = "an intercommunicator" if comm else "MPI.COMM_NULL"
        raise ValueError(
            f"comm must be an intracommunicator that this process is a rank of, got {what}: only "
            "the ranks of a communicator may call fit with it"
        )
    return Team(comm)


def _local(rows: str, comm: Any) -> bool:
    if rows not in ("global", "local"):
        raise ValueError(
            f"rows must be 'global', X is all samples, or 'local', those of this rank, got {rows!r}"
        )
    if rows == "local" and comm is None:
        raise ValueError("rows='local' needs comm, whose ranks have the other rows, got comm=None")
    return rows == "local"


def _ignore(progress: object) -> None:
    """The callback of those who want none."""
