"""``Autoencoder``: the public face, with the names of the ecosystem."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import assemble, config
from .data.rows import Rows, as_rows, value_range
from .files import FileError, expect_arrays
from .inference import run, squared_errors
from .kernels.columns import get_backend
from .model_file import load_model, save_model
from .net import losses
from .net.network import Network
from .sklearn_api import EstimatorMixin
from .train.batches import Feeder, split
from .train.checkpoint import checkpoint_seed, restore_checkpoint, save_checkpoint
from .train.divergence import DivergenceError, diagnose
from .train.objective import Objective
from .train.optimizers import Optimizer
from .train.progress import Callback, print_epochs
from .train.training import Training
from .train.work import Work


class NotFittedError(ValueError, AttributeError):
    """The autoencoder has no weights yet."""


class Autoencoder(EstimatorMixin):
    """An autoencoder: z = encode(x) is a short code from which decode(z) gives x back.

    Parameters
    ----------
    hidden : widths of the encoder's hidden layers; () is a linear code.
    code : number of code units.
    decoder_hidden : widths of the decoder's hidden layers; None mirrors ``hidden``.
    activation, code_activation, output : "identity", "relu", "leaky_relu", "elu", "sigmoid",
        "tanh", "softplus", "silu" or "gelu"; output "auto" is "sigmoid" when all training data
        lie in [0, 1] and "identity" otherwise.
    loss : "mse", "bce", "l1" or "huber", summed over features and averaged over samples; "auto"
        is "bce" with a sigmoid output and "mse" otherwise.
    initializer : "glorot", "he", "lecun" or "sparse"; "auto" is he before rectifiers, else glorot.
    optimizer : "sgd", "momentum", "nesterov", "adam" or "adamw", with ``learning_rate``,
        ``momentum``, ``betas`` and ``eps``; ``weight_decay`` acts on weights, never on biases;
        ``clip_norm`` bounds the Euclidean norm of the whole gradient.
    schedule : "constant", "step", "cosine" or "one-cycle" (``schedule_options``: see
        ``tinyae.train.schedules``), after a linear ``warmup`` over that fraction of all updates.
    batch_size, epochs, shuffle : samples per update, passes over the data, in random order or not.
    code_noise : standard deviation of Gaussian noise on the code in training, or a pair of them,
        from the first update to the last; 0.05 to 0.1 with a bounded ``code_activation`` ("tanh")
        makes neighbouring codes stand for similar samples.
    target_blur : standard deviation in pixels of a blur on what is to be reconstructed, at the
        beginning; it falls to nothing by half of training. Meanwhile losses are against the
        blurred targets. Needs ``image_shape``, (height, width) or (height, width, channels).
    validation_fraction : part of X that is held out in ``fit`` (unless a set is given there).
    patience : stop after so many epochs without a better validation loss, and restore the best
        weights; None trains to the end.
    warm_start : ``fit`` goes on from the present weights instead of new ones.
    backend : "auto" (the fastest that works here) or a name of ``tinyae.kernels.backend``.
    matmul : how a GPU multiplies float32. "fp32" by its own multiplications; "3xtf32" on tensor
        cores (compute capability 8.0), as accurate; "tf32" there too, but factors keep 11 of their
        24 significant bits: every product errs by up to a thousandth.
    threads : CPU threads of the "numba" backend; None is TINYAE_NUM_THREADS or all that there are.
    dtype : "float32" or "float64", of weights and of all results.
    random_state : seed of weights, shuffles and splits; the same seed gives the same bytes.
    verbose : print a line per epoch.

    Attributes
    ----------
    history_ : dict of lists, one entry per epoch: "loss", "squared_error", "val_loss",
        "val_squared_error", "learning_rate", "seconds".
    loss_, n_iter_, n_features_in_, output_, loss_name_, seed_, backend_ : the last loss, epochs
        trained, features, and what "auto" and None came to.
    """

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (512, 256),
        code: int = 32,
        decoder_hidden: Sequence[int] | None = None,
        activation: str = "relu",
        code_activation: str = "identity",
        output: str = "auto",
        loss: str = "auto",
        initializer: str = "auto",
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        schedule: str = "cosine",
        schedule_options: Mapping[str, float] | None = None,
        warmup: float = 0.05,
        batch_size: int = 256,
        epochs: int = 20,
        shuffle: bool = True,
        code_noise: float | tuple[float, float] = 0.0,
        target_blur: float = 0.0,
        image_shape: tuple[int, ...] | None = None,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        warm_start: bool = False,
        backend: str = "auto",
        matmul: str = "fp32",
        threads: int | None = None,
        dtype: str = "float32",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.code = code
        self.decoder_hidden = decoder_hidden
        self.activation = activation
        self.code_activation = code_activation
        self.output = output
        self.loss = loss
        self.initializer = initializer
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.schedule = schedule
        self.schedule_options = schedule_options
        self.warmup = warmup
        self.batch_size = batch_size
        self.epochs = epochs
        self.shuffle = shuffle
        self.code_noise = code_noise
        self.target_blur = target_blur
        self.image_shape = image_shape
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.backend = backend
        self.matmul = matmul
        self.threads = threads
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    # ---- making and training -------------------------------------------------------------

    def initialize(self, n_features: int) -> Autoencoder:
        """Makes weights for samples of ``n_features``; nothing is trained.

        An output or loss of "auto" counts as "identity" and "mse" until the first data come.
        """
        config.check(self.get_params())
        config.integer("n_features", n_features, 1)
        self._make(n_features, -np.inf, np.inf, config.seed_from(self.random_state))
        return self

    def fit(
        self,
        X: ArrayLike | Rows,
        y: object = None,
        *,
        validation: ArrayLike | Rows | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        callback: Callback | None = None,
    ) -> Autoencoder:
        """Trains on X (samples, features): any real array, a memory map, or uint8 pixels.

        X is read batch by batch and may be larger than memory; uint8 is scaled to [0, 1]. ``y``
        is ignored. ``validation`` is a set of its own, instead of ``validation_fraction``.
        ``checkpoint`` names a file that is written after every epoch and at Ctrl-C; with
        ``resume`` training goes on from it, if it is there, to the same bytes as a run that was
        never interrupted. ``callback(progress)`` is called after every step.

        Raises ValueError or TypeError for wrong arguments or data, DivergenceError when the loss
        is no longer finite (the last good weights stay), KeyboardInterrupt at Ctrl-C.
        """
        config.check(self.get_params())
        seed = config.seed_from(self.random_state)
        resume = resume and checkpoint is not None and os.path.exists(checkpoint)
        if resume and checkpoint is not None and self.random_state is None:
            seed = checkpoint_seed(checkpoint)
        rows = as_rows(X)
        held_out = None if validation is None else as_rows(validation, "validation")
        if held_out is None and self.validation_fraction > 0:
            chosen, rest = split(len(rows), self.validation_fraction, seed)
            rows, held_out = rows.select(chosen), rows.select(rest)
        if self.patience is not None and held_out is None:
            raise ValueError(
                f"patience={self.patience} watches the validation loss: give validation_fraction, "
                "or a validation set to fit"
            )
        config.image_features(self.image_shape, self.target_blur, rows.shape[1])
        low, high = value_range(rows, "X")
        if held_out is not None:
            self._expect_width(held_out, rows.shape[1], "validation")
            value_range(held_out, "validation")
        if self.warm_start and hasattr(self, "_network"):
            self._expect_width(rows, self.n_features_in_, "X")
            self._settle(low, high)
            self._optimizer = assemble.optimizer(self.get_params(), self._network)
            self._minibatch = None
        else:
            self._make(rows.shape[1], low, high, seed)
        losses.warn_if_out_of_reach(self.output_, low, high)

        params = self.get_params()
        work = self._work(params, seed, min(self.batch_size, len(rows)), fused=True)
        training = Training(work, assemble.settings(params, seed), rows, held_out)
        described = _as_json(
            {**params, "output": self.output_, "loss": self.loss_name_,
             "random_state": seed, "verbose": None, "threads": None, "backend": self.backend_}
        )  # fmt: skip
        if resume and checkpoint is not None:
            restore_checkpoint(checkpoint, training, described)

        def save() -> None:
            if checkpoint is not None:
                save_checkpoint(checkpoint, training, described)

        try:
            with self._limited_threads():
                training.run(save, callback or (print_epochs if self.verbose else _ignore))
        finally:
            self.history_ = training.state.history
            self.n_iter_ = training.state.epoch
            if self.history_:
                self.loss_ = self.history_["loss"][-1]
        return self

    def partial_fit(self, X: ArrayLike | Rows, y: object = None) -> Autoencoder:
        """One update from one minibatch, X, at the constant ``learning_rate``.

        ``code_noise`` acts with its first value; targets are not blurred.

        Makes the weights if there are none yet. ``loss_`` is the loss before the update. Raises
        DivergenceError when it is not finite; the weights then stay as they were.
        """
        config.check(self.get_params())
        rows = as_rows(X)
        low, high = value_range(rows, "X")
        if not hasattr(self, "_network"):
            self._make(rows.shape[1], low, high, config.seed_from(self.random_state))
        self._expect_width(rows, self.n_features_in_, "X")
        self._settle(low, high)
        network, backend, n = self._network, self._network.backend, len(rows)
        if self._minibatch is None or self._minibatch.workspace.capacity < n:
            first, _ = assemble.noise_range(self._built_params["code_noise"])
            params = {**self._built_params, "code_noise": first, "target_blur": 0.0}
            self._minibatch = self._work(params, self.seed_, n)
        work, workspace = self._minibatch, self._minibatch.workspace
        with np.errstate(all="ignore"), self._limited_threads():
            if work.objective.noise is not None:
                work.objective.noise.prepare(self._optimizer.updates, 0.0)
            numbers = self._optimizer.next_numbers(self.learning_rate)
            feeder = Feeder(backend, rows, n, network.dtype)
            work.run(feeder, np.arange(n), n, numbers, work.totals)
            loss = float(backend.to_host(work.totals)[0]) / n
            if not np.isfinite(loss):
                where = diagnose(network, workspace.input[:n], workspace.records(n))
                step = self._optimizer.updates
                raise DivergenceError(loss, 1, step, where, self.learning_rate)
        self.loss_ = loss
        return self

    def fit_transform(
        self, X: ArrayLike | Rows, y: object = None, **fit_params: Any
    ) -> NDArray[Any]:
        """``fit(X)`` and then ``transform(X)``."""
        return self.fit(X, y, **fit_params).transform(X)

    # ---- using ---------------------------------------------------------------------------

    def encode(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """X (n, n_features) -> codes (n, code). uint8 is scaled to [0, 1], as in ``fit``."""
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            return run(network, network.encode, rows, self._code)

    def decode(self, Z: ArrayLike | Rows) -> NDArray[Any]:
        """Codes Z (n, code) -> reconstructions (n, n_features)."""
        network, rows = self._fitted(), as_rows(Z, "Z")
        self._expect_width(rows, self._code, "Z")
        value_range(rows, "Z")
        with self._limited_threads():
            return run(network, network.decode, rows, self.n_features_in_)

    def reconstruct(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """decode(encode(X)), (n, n_features)."""
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            return run(network, network.reconstruct, rows, self.n_features_in_)

    def transform(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """``encode``, under the ecosystem's name."""
        return self.encode(X)

    def inverse_transform(self, Z: ArrayLike | Rows) -> NDArray[Any]:
        """``decode``, under the ecosystem's name."""
        return self.decode(Z)

    def score_samples(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """Minus the squared error of each sample, (n,) in the net's dtype: higher is better."""
        return (-self._squared_errors(X)).astype(self._fitted().dtype)

    def score(self, X: ArrayLike | Rows, y: object = None) -> float:
        """Minus the squared error per sample: higher is better."""
        return -float(self._squared_errors(X).mean())

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Copies of the weights, in order: "encoder.0.weight" (n_in, n_out), "encoder.0.bias"..."""
        return self._fitted().parameters.to_host()

    def set_parameters(self, values: Mapping[str, ArrayLike]) -> Autoencoder:
        """Sets all weights; raises ValueError for a name, shape or value that does not fit."""
        self._fitted().parameters.set(values)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a ``.npz`` that ``load`` reads: arguments and weights, no pickle."""
        parameters = self.parameters()
        fitted = {
            "n_features": self.n_features_in_,
            "output": self.output_,
            "loss": self.loss_name_,
            "seed": self.seed_,
            "history": getattr(self, "history_", {}),
            "n_iter": getattr(self, "n_iter_", 0),
        }
        params = {**self._built_params, "random_state": self.seed_}
        save_model(path, _as_json(params), fitted, parameters)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, backend: str = "auto", matmul: str = "fp32"
    ) -> Autoencoder:
        """The autoencoder that ``save`` wrote, ready to use or, by ``partial_fit``, to train on.

        Where and how it computes is not the file's to say, but ``backend`` and ``matmul``.
        Raises FileNotFoundError, or FileError for a file that is broken, truncated, foreign, or
        whose arrays have wrong names, shapes or dtypes or are not finite.
        """
        params, fitted, arrays = load_model(path, cls._argument_names())
        params["backend"], params["matmul"] = backend, matmul
        try:
            model = cls(**params)
            config.check(model.get_params())
            config.integer("n_features", fitted["n_features"], 1)
            n_features, output, loss = fitted["n_features"], fitted["output"], fitted["loss"]
            plan = assemble.architecture(params, n_features, output, loss)
            expect_arrays(path, arrays, assemble.expected_arrays(plan, model.dtype))
            model._build(n_features, output, loss, fitted["seed"], model.get_params())
            model.history_ = {k: [float(v) for v in vs] for k, vs in fitted["history"].items()}
            model.n_iter_ = int(fitted["n_iter"])
        except FileError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileError(f"{path} describes no autoencoder: {error}") from error
        return model.set_parameters(arrays)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: plain values and NumPy arrays, nothing of the backend."""
        inside = ("_network", "_optimizer", "_minibatch")
        state = {name: value for name, value in self.__dict__.items() if name not in inside}
        if "_network" in self.__dict__:
            state["_trained"] = (
                self.parameters(),
                self._optimizer.updates,
                self._optimizer.state(),
            )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        trained = state.pop("_trained", None)
        self.__dict__.update(state)
        if trained is not None:
            parameters, updates, moments = trained
            params = self._built_params
            self._build(self.n_features_in_, self.output_, self.loss_name_, self.seed_, params)
            self.__dict__.update(state)
            self._network.parameters.set(parameters)
            self._optimizer.restore(updates, moments)

    # ---- inside --------------------------------------------------------------------------

    _network: Network
    _optimizer: Optimizer
    _minibatch: Work | None  # of ``partial_fit``

    def _make(self, n_features: int, low: float, high: float, seed: int) -> None:
        """New network with initial weights, for data in [low, high]."""
        output, loss = losses.resolve(self.output, self.loss, low, high)
        self._build(n_features, output, loss, seed, self.get_params())
        assemble.initialize(self._network, self.initializer, seed)
        self._settled = bool(np.isfinite(low))

    def _build(
        self, n_features: int, output: str, loss: str, seed: int, params: Mapping[str, Any]
    ) -> None:
        """A network whose weights are not set yet, and a fresh optimiser."""
        backend = get_backend(params["backend"], params["matmul"])
        plan = assemble.architecture(params, n_features, output, loss)
        self._network = Network(backend, plan, params["dtype"])
        self._optimizer = assemble.optimizer(params, self._network)
        self._built_params = dict(params)  # what set_params changes later is for the next fit
        self._minibatch = None
        self._settled = True
        self._code = params["code"]
        self.n_features_in_ = n_features
        self.output_, self.loss_name_ = output, loss
        self.seed_ = seed
        self.backend_ = backend.name

    def _work(
        self, params: Mapping[str, Any], seed: int, capacity: int, fused: bool = False
    ) -> Work:
        """What a step on up to ``capacity`` samples does."""
        objective = self._objective(params, seed, capacity)
        return Work(objective, self._optimizer, capacity, fused)

    def _objective(self, params: Mapping[str, Any], seed: int, capacity: int) -> Objective:
        """What is minimised: here a family of models adds its terms."""
        return assemble.objective(params, self._network, seed, capacity)

    def _settle(self, low: float, high: float) -> None:
        """After ``initialize``: the first data decide what "auto" means, with the same weights."""
        if self._settled:
            return
        output, loss = losses.resolve(self.output, self.loss, low, high)
        if (output, loss) != (self.output_, self.loss_name_):
            values = self._network.parameters.to_host()
            self._build(self.n_features_in_, output, loss, self.seed_, self._built_params)
            self._network.parameters.set(values)
        self._settled = True

    def _squared_errors(self, X: ArrayLike | Rows) -> NDArray[np.float64]:
        network, rows = self._fitted(), self._checked(X)
        with self._limited_threads():
            return squared_errors(network, rows)

    def _limited_threads(self) -> AbstractContextManager[None]:
        limit = self._network.backend.limit_threads
        if limit is not None:
            return limit(self.threads)
        if self.threads is not None:
            raise ValueError(
                f"threads={self.threads} is for backend='numba', and this is {self.backend_!r}: "
                "use threads=None"
            )
        return nullcontext()

    def _checked(self, X: ArrayLike | Rows) -> Rows:
        """X as samples of the right width, finite."""
        rows = as_rows(X)
        self._expect_width(rows, self.n_features_in_, "X")
        value_range(rows, "X")
        return rows

    def _fitted(self) -> Network:
        if not hasattr(self, "_network"):
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet: call fit, partial_fit or "
                "initialize first"
            )
        return self._network

    def _expect_width(self, rows: Rows, width: int, name: str) -> None:
        if rows.shape[1] != width:
            raise ValueError(
                f"{name} has {rows.shape[1]} features, but {type(self).__name__} is expecting "
                f"{width} features as input"
            )


def _as_json(params: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as JSON has them: tuples are lists, NumPy numbers plain."""
    plain: dict[str, Any] = json.loads(json.dumps(params, default=lambda v: v.item()))
    return plain


def _ignore(progress: object) -> None:
    """The callback of those who want none."""
