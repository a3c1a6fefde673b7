"""tinyae: an autoencoder from scratch, every layer, loss, optimiser and kernel by hand.

from tinyae import Autoencoder
ae = Autoencoder(hidden=(512, 256), code=32).fit(X)
z = ae.encode(X)
x = ae.decode(z)
"""

from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .datasets import load_dataset as load_dataset
    from .divergence import DivergenceError as DivergenceError
    from .estimator import Autoencoder as Autoencoder
    from .estimator import NotFittedError as NotFittedError
    from .files import FileError as FileError
    from .gradient_check import gradcheck as gradcheck

_HOME = {
    "Autoencoder": "estimator",
    "DivergenceError": "divergence",
    "FileError": "files",
    "NotFittedError": "estimator",
    "load_dataset": "datasets",
    "gradcheck": "gradient_check",
}
__all__ = [  # noqa: PLE0604
    "__version__",
    *_HOME,
]


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use: ``import tinyae`` costs next to nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'tinyae' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
