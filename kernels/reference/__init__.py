"""The NumPy column: the reference for all others, and the one to learn from."""
