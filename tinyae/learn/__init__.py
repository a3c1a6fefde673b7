"""For learners: the numbers of a training step, and exercises.

from tinyae.learn import trace
trace(model, X)
"""

from .show import Trace as Trace
from .tracing import trace as trace
