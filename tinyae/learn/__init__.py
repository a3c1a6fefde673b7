"""For learners: the numbers of a training step, exercises, and a net to play with in a browser.

from tinyae.learn import trace
trace(model, X)
"""

from .show import Trace as Trace
from .tracing import trace as trace
