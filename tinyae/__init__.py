"""tinyae: an autoencoder from scratch, every layer, loss, optimiser and kernel by hand.

from tinyae import Autoencoder
ae = Autoencoder(hidden=(512, 256), code=32).fit(X)
z = ae.encode(X)
x = ae.decode(z)
"""

from ._version import __version__ as __version__
from .divergence import DivergenceError as DivergenceError
from .estimator import Autoencoder as Autoencoder
from .estimator import NotFittedError as NotFittedError
from .files import FileError as FileError
