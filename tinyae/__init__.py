"""tinyae: an autoencoder from scratch, every layer, loss, optimiser and kernel by hand.

from tinyae import Autoencoder
ae = Autoencoder(hidden=(512, 256), code=32).fit(X)
z = ae.encode(X)
x = ae.decode(z)
"""

import os as _os
from typing import TYPE_CHECKING, Any

# In a clone the kernels lie beside this folder; where the package is installed they are in it.
if not _os.path.isdir(_os.path.join(__path__[0], "kernels")):
    __path__.append(_os.path.dirname(__path__[0]))

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .data.datasets import load_dataset as load_dataset
    from .estimator import Autoencoder as Autoencoder
    from .families.contractive import ContractiveAutoencoder as ContractiveAutoencoder
    from .families.denoising import DenoisingAutoencoder as DenoisingAutoencoder
    from .families.sparse import SparseAutoencoder as SparseAutoencoder
    from .families.tied import TiedAutoencoder as TiedAutoencoder
    from .families.variational import VariationalAutoencoder as VariationalAutoencoder
    from .gradient_check import gradcheck as gradcheck
    from .outliers.detector import OutlierDetector as OutlierDetector
    from .sklearn_api import NotFittedError as NotFittedError
    from .storage.files import FileError as FileError
    from .train.divergence import DivergenceError as DivergenceError

_HOME = {
    "Autoencoder": "estimator",
    "ContractiveAutoencoder": "families.contractive",
    "DenoisingAutoencoder": "families.denoising",
    "DivergenceError": "train.divergence",
    "FileError": "storage.files",
    "NotFittedError": "sklearn_api",
    "OutlierDetector": "outliers.detector",
    "SparseAutoencoder": "families.sparse",
    "TiedAutoencoder": "families.tied",
    "VariationalAutoencoder": "families.variational",
    "load_dataset": "data.datasets",
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
