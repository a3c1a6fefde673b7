"""The benchmarks, for a clone of the repository: they are not in the wheel."""
