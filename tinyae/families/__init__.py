"""Families of autoencoders: each a subclass of ``Autoencoder`` in a file of its own, with
arguments, layers and terms of the loss that the others do not have."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from ..checks import choice

if TYPE_CHECKING:
    from ..estimator import Autoencoder

Kind = TypeVar("Kind", bound="type[Autoencoder]")
PLAIN = "plain"  # the name of ``Autoencoder`` among them
_HOME = {
    "contractive": ("contractive", "ContractiveAutoencoder"),
    "denoising": ("denoising", "DenoisingAutoencoder"),
    "sparse": ("sparse", "SparseAutoencoder"),
    "tied": ("tied", "TiedAutoencoder"),
    "variational": ("variational", "VariationalAutoencoder"),
}


class _Families(Mapping[str, "type[Autoencoder]"]):
    """Imports a class at its first use."""

    def __getitem__(self, name: str) -> type[Autoencoder]:
        module, kind = _HOME[name]
        found: type[Autoencoder] = getattr(import_module(f".{module}", __name__), kind)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_HOME)

    def __len__(self) -> int:
        return len(_HOME)


FAMILIES = _Families()  # name -> class


def made(model: Mapping[str, Any]) -> Autoencoder:
    """The autoencoder with the arguments ``model``, of the family that "family" names there.

    Raises ValueError or TypeError for arguments that it does not have.
    """
    from ..estimator import Autoencoder

    params = dict(model)
    name = params.pop("family", PLAIN)
    choice("family", name, (PLAIN, *FAMILIES))
    kind = Autoencoder if name == PLAIN else FAMILIES[name]
    for other, family in FAMILIES.items():
        if odd := [key for key in family.own if key in params and key not in kind._arguments]:
            raise ValueError(
                f"{odd[0]} is for the family {other!r}, and this is {name!r}: --family {other} "
                "takes it"
            )
    return kind(**params)


def all_named(kind: Kind) -> Kind:
    """Decorates a family: its constructor's signature names all arguments in place of ``**rest``,
    for ``help`` and for scikit-learn."""
    parameters = [
        inspect.Parameter(a.name, inspect.Parameter.KEYWORD_ONLY, default=a.default)
        for a in kind._arguments.values()
    ]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    init: Any = kind.__init__  # not of the class itself: subclasses have signatures of their own
    init.__signature__ = inspect.Signature([first, *parameters])
    return kind
