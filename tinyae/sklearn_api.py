"""What scikit-learn asks of an estimator, without importing scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from numpy.typing import ArrayLike, NDArray

from .arguments import ARGUMENTS, Argument, described, plain
from .data.rows import Rows


class EstimatorMixin:
    """get_params, set_params, repr and tags, from the keyword arguments of ``__init__``, which are
    the table's and perhaps some that a subclass adds; the ecosystem's names."""

    _arguments: ClassVar[Mapping[str, Argument]] = ARGUMENTS

    # what the estimator has
    fit: Callable[..., Any]
    encode: Callable[[ArrayLike | Rows], NDArray[Any]]
    decode: Callable[[ArrayLike | Rows], NDArray[Any]]

    def __init_subclass__(cls) -> None:
        """Adds the arguments to the class's docstring."""
        super().__init_subclass__()
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

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {name: getattr(self, name) for name in self._defaults()}

    def _params(self) -> dict[str, Any]:
        """The table's arguments, plain, even those that a subclass leaves out, and its own."""
        return self.get_params() | {name: plain(getattr(self, name)) for name in self._arguments}

    def set_params(self, **params: Any) -> Any:
        """Sets constructor arguments; they count from the next ``fit`` or ``initialize``."""
        known = self._defaults()
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {type(self).__name__}(). "
                    f"Valid parameters are: {[*known]!r}."
                )
            setattr(self, name, value)
        return self

    def fit_transform(self, X: ArrayLike | Rows, y: object = None, **fit_params: Any) -> Any:
        """``fit(X)`` and then ``transform(X)``."""
        return self.fit(X, y, **fit_params).transform(X)

    def transform(self, X: ArrayLike | Rows) -> NDArray[Any]:
        """``encode``, under the ecosystem's name."""
        return self.encode(X)

    def inverse_transform(self, Z: ArrayLike | Rows) -> NDArray[Any]:
        """``decode``, under the ecosystem's name."""
        return self.decode(Z)

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

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float32"]),
        )
