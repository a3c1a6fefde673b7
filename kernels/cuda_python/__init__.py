"""The Numba CUDA column: the kernels of ``cuda`` in Python."""
