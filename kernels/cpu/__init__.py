"""The Numba column: compiled for this machine's CPU."""
