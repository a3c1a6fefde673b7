"""The net of an estimator: made of its arguments and of data, and settled by the first data."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import arguments, assemble
from .data.reading import Progress as Report
from .data.rows import Rows
from .data.scaling import Scaling, Span, scaled
from .data.tables.schema import Schema
from .inference import Inference
from .kernels.cpu.cores import blas_threads
from .net import losses
from .net.network import Network
from .sklearn_api import EstimatorMixin
from .train.alone import Alone
from .train.objective import Objective, Term
from .train.optimizers import Optimizer
from .train.sizes import Plan, choose_code, widths
from .train.work import Work

ALONE = Alone()
Positions = NDArray[np.int64]


class Built(Inference, EstimatorMixin):
    """An autoencoder's weights, and all that goes with them; ``Autoencoder`` trains them."""

    fit: Callable[..., Any]
    history_: dict[str, list[float]]
    code: int
    warm_start: bool
    backend: str
    threads: int | None

    family: ClassVar[str] = ""  # the name in ``families.FAMILIES``
    own: ClassVar[Mapping[str, arguments.Argument]] = {}  # the family's arguments
    # those of them that count in parts of all epochs, and the values with which they do not
    tied: ClassVar[Mapping[str, Any]] = {}
    in_training: ClassVar[str] = ""  # what training alone has, in words: "corrupted samples"
    _network: Network
    _optimizer: Optimizer
    _minibatch: Work | None  # of ``partial_fit``
    _start: tuple[float, float]  # (loss, squared error) of validation data before the first epoch

    def _make(
        self, params: Mapping[str, Any], n_features: int, net_span: Span | None,
        scaling: Scaling | None, seed: int, rows: Rows | None, schema: Schema | None = None,
    ) -> None:  # fmt: skip
        """New network with initial weights, for data in ``net_span``; None is not known yet.

        ``rows`` are all data, if a start may be made of them.
        """
        output, loss = losses.resolve(params["output"], params["loss"], *_told(net_span, scaling))
        if params["hidden"] == "auto":
            params = {**params, "hidden": widths(params["code"], n_features)}
        before = dict(self.__dict__)
        try:
            self._build(n_features, output, loss, seed, params, schema)
            self._limited_threads()  # raises where the backend has none to limit
            start = None if rows is None else scaled(rows, scaling)
            self._network.parameters.set(self._initial(params, seed, start))
        except BaseException:  # no weights, or those that there were
            self.__dict__ = before
            raise
        self.scaling_ = scaling
        self._settled = net_span is not None
        self._name_features(None)

    def _plan(
        self, params: dict[str, Any], rows: Rows, seed: int, judged: bool, report: Report
    ) -> Plan:
        def fold(
            chosen: Mapping[str, Any], train: Positions, held_out: Positions
        ) -> Sequence[tuple[float, float]]:
            model = object.__new__(type(self))
            model.__dict__ = {**self.__dict__, **chosen, "warm_start": False, "verbose": False}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(rows.select(train), validation=rows.select(held_out))
            after = (model.history_.get(f"val_{name}", ()) for name in ("loss", "squared_error"))
            return [model._start, *zip(*after, strict=True)]

        settled = self._settled if self.warm_start and hasattr(self, "_network") else None
        work = self._steps_work(params)
        return assemble.resolve_auto(params, rows, seed, judged, settled, work, fold, report)

    def _steps_work(self, params: Mapping[str, Any]) -> int:
        """About how many of the plain net's steps one of NumPy takes as long as."""
        return 1

    def _loss_for(
        self, net_span: Span, scaling: Scaling | None, params: Mapping[str, Any] | None
    ) -> str:
        """That of new weights with ``params``, or of the present ones, on data in ``net_span``."""
        if params is None:
            if self._settled:
                return self.loss_name_
            params = self._built_params
        return losses.resolve(params["output"], params["loss"], *_told(net_span, scaling))[1]

    def _build(
        self, n_features: int, output: str, loss: str, seed: int, params: Mapping[str, Any],
        schema: Schema | None,
    ) -> None:  # fmt: skip
        """A network whose weights are not set yet, and a fresh optimiser."""
        backend = assemble.backend_for(params)
        groups = schema.groups if schema else ()
        plan = self._architecture(params, n_features, output, loss, groups)
        self._network = Network(backend, plan, params["dtype"])
        self._optimizer = assemble.optimizer(params, self._network)
        self._built_params = dict(params)  # what set_params changes later is for the next fit
        self._minibatch = None
        self._settled = True
        self._warned = False
        self.scaling_: Scaling | None = None
        self._fill_in(None)
        self.schema_, self.frame_ = schema, None  # the latter: the library of the table
        self.data_range_: Span | None = None
        self.zero_units_: dict[str, int] | None = None  # of all training data, where they are known
        self._code = params["code"]
        self.n_features_in_ = n_features
        self.output_, self.loss_name_ = output, loss
        self.seed_ = seed
        self.backend_, self.matmul_ = backend.name, backend.matmul

    def _work(
        self, params: Mapping[str, Any], seed: int, capacity: int, fused: bool = False,
        ranks: Alone = ALONE,
    ) -> Work:  # fmt: skip
        """What a step on up to ``capacity`` samples does."""
        objective = self._objective(params, seed, capacity)
        return ranks.work(objective, self._optimizer, capacity, fused)

    def _objective(self, params: Mapping[str, Any], seed: int, capacity: int) -> Objective:
        """What is minimised."""
        terms = self._terms(params, self._network, seed, capacity)
        return assemble.objective(params, self._network, seed, capacity, terms)

    # What a family of models may have of its own: checks, terms of the loss, layers

    def _check(self, params: Mapping[str, Any]) -> None:
        """Raises ValueError or TypeError for arguments that cannot be meant."""
        arguments.check(params, self._arguments)

    def _terms(
        self, params: Mapping[str, Any], network: Network, seed: int, capacity: int
    ) -> Sequence[Term]:
        """Those of the family alone; they come before all others."""
        return ()

    def _code_for(self, n_features: int) -> Plan:
        """The size of the code in a run that was given none."""
        return choose_code(self.code, n_features)

    _architecture = staticmethod(assemble.architecture)

    def _initial(
        self, params: Mapping[str, Any], seed: int, rows: Rows | None
    ) -> dict[str, NDArray[Any]]:
        """The first weights by name; ``rows`` are all data, if they may be made of these."""
        network = self._network
        return assemble.start(
            network.architecture, network.dtype, params["initializer"], seed, rows
        )[0]

    def _with_own_weights(self) -> Any:
        """A copy in which no two layers have the same array."""
        return copy.deepcopy(self)

    # ... and what ``tinyae train``, ``evaluate`` and ``sample`` show of it

    def _prior(self, n: int, seed: int) -> NDArray[Any] | None:
        """n codes (n, code) of the density that the family's codes have, by ``seed``; None where
        it has none, and one is to be fitted to codes."""
        return None

    def _rows_shown(self, X: NDArray[Any]) -> dict[str, Any]:
        """The samples X (n, n_features) in several states, by their labels."""
        return {"original": X, "reconstruction": self.reconstruct(X)}

    def _units_shown(self, X: Rows) -> NDArray[Any] | None:
        """(units, n_features) in [-1, 1]: what each unit of the code stands for, if that can be
        drawn; those that samples like X use most come first."""
        return None

    def _adjustable(self) -> list[str]:
        """The family's arguments that this net and its data leave a choice of."""
        return [*self.own]

    @property
    def _numbers(self) -> int:
        """How many numbers are left of a sample, to compare it with PCA's code."""
        return self._code

    def _measures(self, X: Rows) -> dict[str, tuple[str, float]]:
        """By name, what the number says, and the number."""
        return {}

    def _settle(self, net_span: Span, scaling: Scaling | None, names: Sequence[str] | None) -> None:
        """After ``initialize``: the first data decide what "auto" means, with the same weights,
        and bring the names of the features."""
        if self._settled:
            return
        built = self._built_params
        output, loss = losses.resolve(built["output"], built["loss"], *_told(net_span, scaling))
        if (output, loss) != (self.output_, self.loss_name_):
            values = self._network.parameters.to_host()
            self._build(self.n_features_in_, output, loss, self.seed_, built, self.schema_)
            self._network.parameters.set(values)
        self._name_features(names)
        self.scaling_ = scaling
        self._settled = True

    def _fill_in(self, values: NDArray[np.float64] | None) -> None:
        """Of each feature, what the net reads where it is missing."""
        network = self._network
        self.fill_ = values
        network.fill = None if values is None else network.backend.to_device(
            values.astype(network.dtype)
        )  # fmt: skip

    def _saw(self, span: Span, net_span: Span) -> None:
        """Training data in ``span``, which the net reads as ``net_span``."""
        known = self.data_range_ or span
        self.data_range_ = min(span[0], known[0]), max(span[1], known[1])
        self.zero_units_ = None
        self._warn(losses.out_of_reach(self.output_, *net_span))

    def _warn(self, problem: str) -> None:
        """Of ``problem``, if there is one, and none was warned of since the weights were made."""
        if problem and not self._warned:
            self._warned = True
            warnings.warn(problem, UserWarning, stacklevel=4)

    def _limited_threads(self, share: int | None = None) -> AbstractContextManager[int | None]:
        """Threads as asked for, else ``share``; gives their number, None for a GPU."""
        limit = self._network.backend.limit_threads
        if limit is not None:
            return limit(share if self.threads is None else arguments.plain(self.threads))
        if self.threads is not None:
            chosen = (
                ", which 'auto' took: use backend='numba' or" if self.backend == "auto" else ": use"
            )
            raise ValueError(
                f"threads={self.threads} is for backend='numba', and this is {self.backend_!r}"
                f"{chosen} threads=None"
            )
        return nullcontext(blas_threads() if self.backend_ == "numpy" else None)


def _told(net_span: Span | None, scaling: Scaling | None) -> Span:
    """What a range says of the output: that of scaled data is not where they must lie."""
    return (-np.inf, np.inf) if net_span is None or scaling is not None else net_span
