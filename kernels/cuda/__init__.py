"""The CUDA C column: sources, their launchers, and the runner on a GPU."""
