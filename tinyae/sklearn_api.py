"""What scikit-learn asks of an estimator, without importing scikit-learn."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import ARGUMENTS, Argument, described, plain
from .checks import choice
from .data.rows import Rows
from .data.tables.frames import as_frame
from .net.network import Network


class _Bases(ValueError, AttributeError):
    """What ``NotFittedError`` is everywhere; Python wants a class of its own to change bases."""


class NotFittedError(_Bases):
    """The estimator has learnt nothing yet.

    Where scikit-learn is loaded, ``except sklearn.exceptions.NotFittedError`` catches it too.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", _Bases)
        if not issubclass(NotFittedError, theirs):  # ``except`` looks at real bases only
            NotFittedError.__bases__ = (_Bases, theirs)


class EstimatorBase:
    """get_params, set_params, repr and feature names, from the keyword arguments of ``__init__``,
    which are the table's and perhaps some that a subclass adds; the ecosystem's names."""

    _arguments: ClassVar[Mapping[str, Argument]] = {}
    feature_names_in_: NDArray[Any]
    n_features_in_: int
    _settled: bool = True  # whether the names of the features are known

    def __init_subclass__(cls) -> None:
        """Adds the arguments to the class's docstring, and stores those of its constructor."""
        super().__init_subclass__()
        if own := [name for name in cls._defaults() if name not in cls._arguments]:
            cls.__init__ = _keeping(cls.__init__, own)  # type: ignore[method-assign]
        if cls.__doc__ is not None:  # python -OO leaves docstrings out
            cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n\n{described(cls._arguments)}\n"

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """The constructor's arguments with their defaults: ``**rest`` takes the table's."""
        named = inspect.signature(cls).parameters.values()
        own = {p.name: p.default for p in named if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if any(p.kind is p.VAR_KEYWORD for p in named):
            return {name: argument.default for name, argument in cls._arguments.items()} | own
        return own

    @classmethod
    def _accepted(cls, params: dict[str, Any]) -> dict[str, Any]:
        """``params`` without those that the constructor sets itself beside its ``**rest``.

        Only calling it shows them.
        """
        named = inspect.signature(cls).parameters.values()
        for _ in params if any(p.kind is p.VAR_KEYWORD for p in named) else ():
            try:
                cls(**params)
            except Exception as error:
                twice = re.search(r"multiple values for keyword argument '(\w+)'", str(error))
                if twice and twice[1] in params:
                    params = {name: v for name, v in params.items() if name != twice[1]}
                    continue
            break
        return params

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return self._accepted({name: getattr(self, name) for name in self._defaults()})

    def _params(self) -> dict[str, Any]:
        """The table's arguments, plain, even those that a subclass leaves out, and its own."""
        return self.get_params() | {name: plain(getattr(self, name)) for name in self._arguments}

    def set_params(self, **params: Any) -> Any:
        """Sets constructor arguments; they count from the next ``fit`` or ``initialize``."""
        if not params:
            return self
        known = self.get_params()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {type(self).__name__}(). "
                    f"Valid parameters are: {[*known]!r}."
                )
        # Through the constructor, without what follows from its own arguments: that may change.
        named = inspect.signature(type(self)).parameters
        bare = type(self)(**{name: known[name] for name in named if name in known}).get_params()
        given = {k: v for k, v in known.items() if k in named or repr(v) != repr(bare[k])} | params
        changed = type(self)(**given)
        for name, value in given.items():
            made = getattr(changed, name)
            if made is not value and repr(made) != repr(value):
                raise ValueError(
                    f"the constructor of {type(self).__name__} must pass its argument {name} on "
                    f"as it is: it was given {value!r} and made {made!r} of it"
                )
        self.__dict__.update(vars(changed))
        return self

    def __repr__(self) -> str:
        defaults = self._defaults()
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if repr(value) != repr(defaults[name])
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    def get_metadata_routing(self) -> Any:
        """What scikit-learn's metadata routing asks for: nothing."""
        from sklearn.utils.metadata_routing import MetadataRequest

        routing = MetadataRequest(owner=type(self).__name__)
        # Pipeline.score passes it on, even as None, and fails where no step knows it
        routing.score.add_request(param="sample_weight", alias=None)
        return routing

    # ---- the features, and their names ---------------------------------------------------

    def _expect_features(self, rows: Rows) -> None:
        """Raises ValueError where these are other features than those of the weights."""
        known = getattr(self, "feature_names_in_", None)
        if self._settled and (known is not None or rows.schema is None):  # which has its own names
            self._expect_names(rows.names, known, "X")
        self._expect_width(rows, self.n_features_in_, "X")

    def _expect_width(self, rows: Rows, width: int, name: str) -> None:
        if rows.shape[1] != width:
            raise ValueError(
                f"{name} has {rows.shape[1]} features, but {type(self).__name__} is expecting "
                f"{width} features as input"
            )

    def _name_features(self, names: Sequence[str] | None) -> None:
        """``feature_names_in_`` of new weights; None, of an array, takes it away."""
        if names is None:
            self.__dict__.pop("feature_names_in_", None)
        else:
            self.feature_names_in_ = np.array(names, dtype=object)

    def _expect_names(
        self, found: Sequence[str] | None, known: Sequence[str] | None, what: str
    ) -> None:
        """Raises ValueError for other names than those ``known``, in scikit-learn's words."""
        if found is None or known is None:
            if found is not known:
                has = "does not have valid" if found is None else "has"
                how = "with" if found is None else "without"
                warnings.warn(
                    f"{what} {has} feature names, but {type(self).__name__} was fitted {how} "
                    "feature names",
                    stacklevel=5,
                )
        elif [*found] != [*known]:
            message = "The feature names should match those that were passed during fit.\n"
            unseen, missing = sorted({*found} - {*known}), sorted({*known} - {*found})
            for title, names in (
                ("Feature names unseen at fit time", unseen),
                ("Feature names seen at fit time, yet now missing", missing),
            ):
                if names:
                    shown = [*names[:5], "..."] if len(names) > 5 else names
                    message += f"{title}:\n" + "".join(f"- {name}\n" for name in shown)
            if not unseen and not missing:
                message += "Feature names must be in the same order as they were in fit.\n"
            raise ValueError(message)


class EstimatorMixin(EstimatorBase):
    """What an autoencoder has besides: codes, as features."""

    _arguments = ARGUMENTS

    # what the estimator has
    fit: Callable[..., Any]
    encode: Callable[[ArrayLike | Rows], NDArray[Any]]
    decode: Callable[[ArrayLike | Rows], NDArray[Any]]
    missing: str
    _network: Network
    _code: int

    def fit_transform(self, X: ArrayLike | Rows, y: object = None, **fit_params: Any) -> Any:
        """``fit(X)`` and then ``transform(X)``."""
        return self.fit(X, y, **fit_params).transform(X)

    def transform(self, X: ArrayLike | Rows) -> Any:
        """``encode``, under the ecosystem's name; a DataFrame where ``set_output`` wants one."""
        codes = self.encode(X)
        config: dict[str, Any] = getattr(sys.modules.get("sklearn"), "get_config", dict)()
        everywhere = config.get("transform_output", "default")
        kind = getattr(self, "_sklearn_output_config", {}).get("transform", everywhere)
        return (
            codes if kind == "default" else as_frame(kind, codes, self.get_feature_names_out(), X)
        )

    def inverse_transform(self, Z: ArrayLike | Rows) -> NDArray[Any]:
        """``decode``, under the ecosystem's name."""
        return self.decode(Z)

    def set_output(self, *, transform: str | None = None) -> Any:
        """What ``transform`` gives: "default" (an array), "pandas" or "polars"; None: as it was."""
        if transform is not None:
            choice("transform", transform, ("default", "pandas", "polars"))
            self._sklearn_output_config = {"transform": transform}  # ``clone`` looks for this name
        return self

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> NDArray[Any]:
        """The names of the code's units: "autoencoder0", "autoencoder1"..., objects (code,).

        Raises ValueError where ``input_features`` are not those that it was trained on.
        """
        self._fitted()
        if input_features is not None:
            known = getattr(self, "feature_names_in_", input_features)
            if not np.array_equal(known, input_features):
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(input_features) != self.n_features_in_:
                raise ValueError(
                    "input_features should have length equal to number of features "
                    f"({self.n_features_in_}), got {len(input_features)}"
                )
        name = type(self).__name__.lower()
        return np.array([f"{name}{i}" for i in range(self._code)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(allow_nan=self.missing != "error"),
            transformer_tags=TransformerTags(preserves_dtype=["float32"]),
        )

    def _fitted(self) -> Network:
        if not hasattr(self, "_network"):
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet: call fit, partial_fit or "
                "initialize first"
            )
        return self._network


def _keeping(init: Callable[..., None], own: Sequence[str]) -> Callable[..., None]:
    """``init``, which then stores those arguments of ``own`` that it does not store itself."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def keeping(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        for name in own:
            if not hasattr(self, name):
                setattr(self, name, given.arguments[name])

    return keeping
